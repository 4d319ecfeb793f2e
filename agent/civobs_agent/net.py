"""What a probe needs of the world around it, made anew for each slot, and the one place that makes rows."""

import random
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from civobs_agent.authorities import verifying_context
from civobs_agent.board import board_of
from civobs_agent.budget import Meter, Tally
from civobs_agent.clock import Clock, Moment, Timekeeper
from civobs_agent.faults import Fault
from civobs_agent.host import Host, Sources, look
from civobs_agent.known import Known
from civobs_agent.line import Line, line_of
from civobs_agent.refusal import Refusal
from civobs_agent.self_report import PLACEHOLDER_SEQ
from civobs_agent.tables import Timeout
from civobs_agent.validity import assess
from civobs_wire.failure import Failure, Outcome
from civobs_wire.limits import MAX_TEXT
from civobs_wire.measurement import Ladder, MeasurementBase, Validity
from civobs_wire.plan import NEUTRAL_NAME, Plan, Resolver, Server

Row = TypeVar("Row", bound=MeasurementBase)
IpFamily = Literal[4, 6]
FAMILIES: tuple[IpFamily, IpFamily] = (4, 6)

HEADER_BYTES: dict[IpFamily, int] = {4: 20, 6: 40}
"""IP header (RFC 791 without options, RFC 8200)."""
UDP_BYTES = 8
TCP_BYTES = 32
"""Header with the timestamp option that Linux sends (RFC 7323)."""
TCP_OPEN_CLOSE_PACKETS = 7
"""Three to open, four to close."""


class Roots:
    """The certificates a verified connection ends at: the system's, or one file's. Read when first needed."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self.ca_file = ca_file
        self._verifying: ssl.SSLContext | None = None

    def verifying(self) -> ssl.SSLContext:
        """A client context that verifies chain and name. Raises OSError if the file cannot be read."""
        if self._verifying is None:
            self._verifying = verifying_context(self.ca_file)
        return self._verifying


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a probe, from its first instant."""

    moment: Moment
    moved: int | None = None
    """Bytes that the line had moved when it began."""
    own: int = 0
    """Bytes that the agent had moved by then."""
    began: float = field(default_factory=time.perf_counter)

    def elapsed_ms(self) -> float:
        """Milliseconds since it began, by a clock that no step of the wall clock moves."""
        return (time.perf_counter() - self.began) * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of one slot."""

    clock: Timekeeper
    slot_at: datetime
    host: Host
    validity: Validity
    refusal: Refusal
    meter: Tally
    roots: Roots
    plan: Plan | None = None
    known: Known = field(default_factory=Known)
    line: Line | None = None
    """The device's own link, to see what others move over it; None where that cannot be seen."""
    rng: random.Random = field(default_factory=random.SystemRandom)
    left: Callable[[], int] | None = None
    """Bytes that this run may still move; None where there is no limit, as by hand."""
    time_scale: float = 1.0
    resolver_port: int = 53
    """Where the given resolvers listen. ``resolv.conf`` knows no other port; a test without root does."""

    @property
    def resolvers(self) -> tuple[str, ...]:
        """Addresses of the resolvers the device was given, those it may not speak to left out."""
        return tuple(address for address in self.host.resolvers if self.refusal.refuses_own(address) is None)

    @property
    def plan_resolvers(self) -> tuple[Resolver, ...]:
        """The independent resolvers of the plan."""
        return () if self.plan is None else self.plan.resolvers

    @property
    def servers(self) -> tuple[Server, ...]:
        """The observatory's own servers of the plan."""
        return () if self.plan is None else self.plan.servers

    @property
    def neutral_name(self) -> str:
        """The name that nobody objects to."""
        return NEUTRAL_NAME if self.plan is None else self.plan.neutral_name

    @property
    def of_home(self) -> tuple[str, ...]:
        """Addresses that no text may tell the world about this home."""
        return (*self.known.mapped.values(), *self.host.own_addresses(), *self.host.addresses)

    def afford(self, wanted: int, least: int) -> int | None:
        """How many bytes a run may move: what it wants while there is plenty, less as the budget runs short.

        None: not even ``least``.
        """
        left = wanted if self.left is None else self.left()
        return None if left < least else min(wanted, left)

    def timeout_s(self, timeout: Timeout) -> float:
        return timeout.scaled(self.time_scale)

    def spend(self, n_bytes: int) -> None:
        """Count bytes of the line against the budget of the day."""
        self.meter.spend(n_bytes)

    def begin(self) -> Run:
        return Run(self.clock.moment(), None if self.line is None else self.line.moved(), self.meter.total)

    def row(  # noqa: PLR0913 - what every kind shares
        self,
        model: type[Row],
        run: Run,
        target: str,
        fields: dict[str, object],
        *,
        family: Literal[0, 4, 6] = 0,
        fault: Fault | None = None,
        duration_ms: float | None = None,
    ) -> Row:
        """Make one row; ``fields`` are those of its kind."""
        shared: dict[str, object] = {
            "seq": PLACEHOLDER_SEQ,
            "target": target,
            "slot_at": self.slot_at,
            "at": run.moment.at,
            "mono_ms": run.moment.mono_ms,
            "clock_err_ms": run.moment.err_ms,
            "duration_ms": run.elapsed_ms() if duration_ms is None else duration_ms,
            "family": family,
            "outcome": Outcome.OK if fault is None else fault.outcome,
            "failure": None if fault is None else fault.failure,
            "validity": self._validity(run),
        }
        if fault is not None and fault.note is not None:
            shared["note"] = clean(fault.note)
        return model.model_validate(shared | fields)

    def _validity(self, run: Run) -> Validity:
        """That of the slot, with what others moved over the line during the run."""
        moved = None if self.line is None or run.moved is None else self.line.moved()
        if moved is None or run.moved is None or moved < run.moved:  # less: the interface was made anew
            return self.validity
        others = moved - run.moved - (self.meter.total - run.own)
        return self.validity.model_copy(update={"cross_bytes": max(0, others)})

    def absent(self, family: IpFamily) -> Fault | None:
        """The fault of a family the device does not have."""
        return Fault(Failure.FAMILY_ABSENT) if self.host.absent(family) else None


class Net:
    """The device's place in the network, as long as the agent runs. Gives each slot its context."""

    def __init__(
        self,
        clock: Clock,
        *,
        refusal: Refusal | None = None,
        meter: Meter | None = None,
        sources: Sources | None = None,
        roots: Roots | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.clock = clock
        self.time_scale = time_scale
        self.meter = meter or Meter(lambda: clock.moment().at)
        self._refusal = refusal or Refusal()
        self._sources = sources or Sources()
        self._roots = roots or Roots()
        self._board = board_of(self._sources.proc, self._sources.sys)
        self.known = Known(time_scale)
        self._last_climb: tuple[Ladder, ...] = ()

    def context(self, slot_at: datetime, plan: Plan | None, allowed: int | None = None) -> Context:
        """Look at the device and say what a probe has to know. ``allowed`` are the bytes that the run may move."""
        host, tally = look(self._sources), Tally(self.meter)
        return Context(
            clock=self.clock,
            slot_at=slot_at,
            host=host,
            validity=assess(self.clock.moment(), host, self._last_climb, self.known, self._board),
            refusal=self._refusal.with_own(host.own_addresses(), (*host.home, *self.known.outside())),
            meter=tally,
            roots=self._roots,
            plan=plan,
            known=self.known,
            left=None if allowed is None else lambda: max(0, allowed - tally.spent),
            line=line_of(self._sources.proc, host),
            time_scale=self.time_scale,
        )

    def climbed(self, rows: Iterable[Ladder]) -> None:
        """Remember the last climb, which the validity of the rows after it rests on."""
        self._last_climb = tuple(rows)


def clean(text: str) -> str:
    """Text as the wire can hold it."""
    return text.replace("\x00", "")[:MAX_TEXT]
