"""The program in which one run of a kind happens that is too large for the agent (``apart.py``).

Reads one JSON document from standard input and writes JSON lines to standard output. It ends with its parent, and is
the first to go where memory runs out.
"""

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from civobs_agent.budget import Meter, Tally
from civobs_agent.clock import DRIFT_PPM, UNBOUNDED_MS, Moment
from civobs_agent.host import Host
from civobs_agent.known import Known
from civobs_agent.line import Line
from civobs_agent.net import Context, Roots
from civobs_agent.probes import measure_of
from civobs_agent.refusal import Refusal
from civobs_wire.measurement import AnyMeasurement, ClockState, Validity
from civobs_wire.plan import Plan, Target

PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""
MAX_DATA = 100 * 2**20
"""Bytes of its memory that are no program text, three times what the largest kind has. With the text, some 25 MiB, it
stays below 128 MiB of a unit that has 512, whatever a stranger's answer unpacks to."""
TELL_S = 1.0
"""Between two reports of the bytes spent: so much is not counted if the run is killed."""


class Now(BaseModel):
    """The agent's clock when it asked."""

    at: datetime
    mono_ms: int
    state: ClockState
    err_ms: int


class Request(BaseModel):
    """What the agent says; its fields are those of ``Context``."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    target: Target
    plan: Plan | None
    slot_at: datetime
    now: Now
    host: dict[str, object]
    validity: Validity
    own: frozenset[str]
    home: tuple[IPv4Network | IPv6Network, ...]
    known: dict[str, object]
    interface: str | None
    roots: Path | None
    left: int | None
    time_scale: float
    resolver_port: int
    lab_ranges: bool = False
    allowed: frozenset[str] = frozenset()

    def context(self) -> Context:
        """The surroundings as the agent saw them. Raises ConfigError for a lifted refusal outside a laboratory."""
        clock = BorrowedClock(self.now)
        meter = Tally(Meter(lambda: clock.moment().at))
        left = self.left
        known = Known(self.time_scale)
        known.take_over(self.known, self.now.mono_ms)
        return Context(
            clock=clock,
            slot_at=self.slot_at,
            host=TypeAdapter(Host).validate_python(self.host),
            validity=self.validity,
            refusal=Refusal(lab_ranges=self.lab_ranges, own=self.own, home=self.home, allowed=self.allowed),
            meter=meter,
            roots=Roots(self.roots),
            plan=self.plan,
            known=known,
            line=None if self.interface is None else Line("/proc/net/dev", self.interface),
            left=None if left is None else lambda: max(0, left - meter.spent),
            time_scale=self.time_scale,
            resolver_port=self.resolver_port,
        )


class BorrowedClock:
    """Goes on from what the agent's clock said, by the same monotonic clock of this boot."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def moment(self) -> Moment:
        """Now."""
        elapsed_ms = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._began) // 1_000_000
        drift = -(-elapsed_ms * DRIFT_PPM // 1_000_000)
        then = self._now
        at = then.at + timedelta(milliseconds=elapsed_ms)
        return Moment(at, then.mono_ms + elapsed_ms, then.state, min(UNBOUNDED_MS, then.err_ms + drift))

    def dark_s(self) -> float | None:
        """The agent's to tell."""
        return None


def main() -> int:
    """Measure once. The exit code is 0 if rows were written."""
    _end_with(int(sys.argv[1]))
    _go_first()
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA, MAX_DATA))
    request = Request.model_validate_json(sys.stdin.buffer.read())
    asyncio.run(_measure(request))
    return 0


def _end_with(parent: int) -> None:
    """Be killed when the agent dies, also if it just has."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _go_first() -> None:
    """Where memory runs out, the kernel ends this and not the agent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


async def _measure(request: Request) -> None:
    context = request.context()
    telling = asyncio.create_task(_tell_spent(context.meter))
    rows = await measure_of(request.kind)(request.target, context)
    telling.cancel()
    for row in rows:
        _say({"row": _text(row)})
    _say({"spent": context.meter.spent})
    _say({"known": context.known.told()})
    _say({"cpu_s": time.process_time(), "peak_kib": _peak_kib()})
    _say({"end": True})


async def _tell_spent(meter: Tally) -> None:
    while True:
        _say({"spent": meter.spent})
        await asyncio.sleep(TELL_S)


def _peak_kib() -> int:
    """The most memory this program has had. ``getrusage`` would count what it was before it became this program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _text(row: AnyMeasurement) -> str:
    return row.model_dump_json(exclude_none=True)


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
