"""Runs a kind of measurement in a program of its own, which lives for one run (``apart_program.py``).

QUIC and certificates take more memory than the whole agent may have all the time. The child is told by one JSON
document what it has to know, and answers with one JSON document a line: rows, what they cost the line, and what was
found out for later rows. It sees neither spool nor keys. Whatever it does wrong costs its own slot and nothing else.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from civobs_agent.blank import LEAST_FIELDS
from civobs_agent.faults import Fault
from civobs_agent.net import Context
from civobs_agent.probes import KINDS
from civobs_agent.refusal import LAB_BUILD
from civobs_wire import measurement
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement
from civobs_wire.plan import Target

logger = logging.getLogger(__name__)

START_S = 20.0
"""For the child to start in: Python and cryptography take a second on a current machine, a first Pi is ten times as
slow and may be busy."""
MAX_OUTPUT = 2 * 1024 * 1024
"""Bytes of all lines; the fullest run, twelve transfers with 160 samples each, is a tenth of it."""
CHUNK = 65_536

_BEGIN = """\
import sys
sys.path[:] = sys.argv.pop(1).split(":")
from civobs_agent.apart_program import main
sys.exit(main())
"""


def _command() -> tuple[str, ...]:
    """The child finds its modules where this program finds them, whatever the environment or the folder it is in."""
    search_path = ":".join(entry for entry in sys.path if entry.startswith("/"))
    return (sys.executable, "-I", "-S", "-c", _BEGIN, search_path, str(os.getpid()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started for a run; a test starts one that misbehaves."""

    command: Callable[[], Sequence[str]] = _command
    start_s: float = START_S


class _BrokenError(Exception):
    """The child did not do what was asked of it; the message goes to the row."""


@dataclass(slots=True)
class _Answer:
    """What has come from the child so far."""

    kind: str
    target: str
    context: Context
    rows: list[AnyMeasurement] = field(default_factory=list)
    spent: int = 0
    ended: bool = False
    _pending: bytearray = field(default_factory=bytearray)
    _size: int = 0

    def take(self, data: bytes) -> None:
        """Read what is whole. Raises _BrokenError."""
        self._size += len(data)
        if self._size > MAX_OUTPUT:
            raise _BrokenError("too much output")
        self._pending += data
        *lines, rest = self._pending.split(b"\n")
        self._pending = bytearray(rest)
        for line in lines:
            try:
                self._line(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError):
                raise _BrokenError("garbled output") from None

    def _line(self, told: dict[str, object]) -> None:
        match told:
            case {"row": str() as text}:
                self.rows.append(self._row(text))
            case {"spent": int() as spent} if spent >= self.spent:
                self.context.spend(spent - self.spent)
                self.spent = spent
            case {"known": dict() as known}:
                self.context.known.take_over(known, self.context.clock.moment().mono_ms)
            case {"cpu_s": float() as cpu_s, "peak_kib": int() as peak_kib}:
                self.context.meter.cpu_s, self.context.meter.peak_kib = cpu_s, peak_kib
            case {"end": True}:
                self.ended = True
            case _:
                raise ValueError(told)

    def _row(self, text: str) -> AnyMeasurement:
        """A row of this kind, target and slot, and of no other. Raises ValueError."""
        row: AnyMeasurement = measurement.KINDS[self.kind].model_validate_json(text)  # type: ignore[assignment]
        if (row.target, row.slot_at) != (self.target, self.context.slot_at):
            raise ValueError("a row of another slot")
        return row


_PROGRAM = Program()


async def run(kind: str, target: Target, context: Context, program: Program = _PROGRAM) -> list[AnyMeasurement]:
    """The rows of one run: the child's, or one that says that it broke. Cancelling ends the child."""
    begun = context.begin()
    answer = _Answer(kind, target.id, context)
    try:
        async with asyncio.timeout(program.start_s + KINDS[kind].limit_s / max(1.0, context.time_scale)):
            await _ask(program, _request(kind, target, context), answer)
        if not answer.rows:
            raise _BrokenError("no row")  # noqa: TRY301 - one place makes the row of what went wrong
    except _BrokenError as error:
        fault = Fault(Failure.UNKNOWN_FAILURE, f"the measuring program: {error}")
    except TimeoutError:
        fault = Fault(Failure.INTERRUPTED, "the measuring program reached its time limit")
    except OSError as error:
        fault = Fault(Failure.UNKNOWN_FAILURE, f"the measuring program did not start: {os.strerror(error.errno or 0)}")
    else:
        return answer.rows
    logger.warning("apart_broke kind=%s reason=%r", kind, fault.note)
    fields = LEAST_FIELDS.get(kind, {})
    row: AnyMeasurement = context.row(measurement.KINDS[kind], begun, target.id, fields, fault=fault)  # type: ignore[assignment]
    return [row]


async def _ask(program: Program, request: bytes, answer: _Answer) -> None:
    """Start the child, hand over the request and read to the end. Raises OSError, _BrokenError."""
    child = await asyncio.create_subprocess_exec(
        *program.command(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Its complaints go to the agent's own log, on the device, and into no row.
        env={name: value for name, value in os.environ.items() if not name.startswith("CIVOBS_")},
    )
    assert child.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert child.stdout is not None  # noqa: S101
    try:
        # A child that ends before it has read all of it is known by its exit code.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            child.stdin.write(request)
            await child.stdin.drain()
            child.stdin.close()
        while data := await child.stdout.read(CHUNK):
            answer.take(data)
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            while await child.stdout.read(CHUNK):
                pass
            await child.wait()
    if code != 0 or not answer.ended:
        raise _BrokenError(f"ended with code {code}")


def _request(kind: str, target: Target, context: Context) -> bytes:
    """All that the child is told. Of the plan not what else is measured; of the agent no keys and no paths but one."""
    now = context.clock.moment()
    refusal = context.refusal
    told = {
        "kind": kind,
        "target": target.model_dump(mode="json"),
        "plan": None
        if context.plan is None
        else context.plan.model_dump(mode="json", exclude={"targets", "tasks", "ladder"}),
        "slot_at": context.slot_at.isoformat(),
        "now": {"at": now.at.isoformat(), "mono_ms": now.mono_ms, "state": now.state, "err_ms": now.err_ms},
        "host": asdict(context.host),
        "validity": context.validity.model_dump(mode="json"),
        "own": sorted(refusal.own),
        "home": refusal.home,
        "known": context.known.told(),
        "interface": None if context.line is None else context.line.interface,
        "roots": context.roots.ca_file,
        "left": None if context.left is None else context.left(),
        "time_scale": context.time_scale,
        "resolver_port": context.resolver_port,
    }
    if LAB_BUILD:
        told |= {"lab_ranges": refusal.lab_ranges, "allowed": sorted(refusal.allowed)}
    return json.dumps(told, default=str).encode()
