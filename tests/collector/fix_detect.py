"""A small world for the detector: probes that are online, get lost, come back, and record their ladder meanwhile."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.events import compute
from civobs_collector.detect.inputs import Inputs, LadderRun, PresenceFact, ProbeInfo, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord

T0 = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = T0 - timedelta(days=90)
PARAMS = Params()
OK, FAILED, AGENT_DOWN, CLOCK = RunOutcome.OK, RunOutcome.FAILED, RunOutcome.AGENT_DOWN, RunOutcome.CLOCK


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def boot(number: int) -> UUID:
    return UUID(int=number)


@dataclass
class World:
    """Facts as they accumulate; minutes count from T0."""

    probes: list[ProbeInfo] = field(default_factory=list)
    presence: list[PresenceFact] = field(default_factory=list)
    runs: list[LadderRun] = field(default_factory=list)
    away: list[tuple[datetime, datetime]] = field(default_factory=list)
    sessions: dict[int, tuple[str, int]] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def probe(self, cc: str, asn: int, household: int | None = None, *, online: float | None = 0, **more) -> int:
        key = len(self.probes) + 1
        given = {"enrolled_at": LONG_AGO, **more}
        self.probes.append(ProbeInfo(key, f"{key:016d}", household or 1000 + key, cc, asn, **given))
        if online is not None:
            self.online(key, online)
        return key

    def country(self, cc: str, networks: dict[int, int], **more) -> list[int]:
        return [self.probe(cc, asn, **more) for asn, n in networks.items() for _ in range(n)]

    def online(
        self, key: int, minute: float, *, reboot: bool = False, late: bool = False, broker: int | None = 0
    ) -> None:
        old = self.sessions.get(key, ("", 0))[1]
        number = next(self.numbers)
        self.sessions[key] = (f"{number:032x}", number if reboot or not old else old)
        self._say(key, "online", minute, late=late, broker=broker)

    def lose(self, key: int, minute: float, *, late: bool = False) -> None:
        """The will comes at ``minute``."""
        self._say(key, "offline", minute, late=late)

    def stop(self, key: int, minute: float) -> None:
        self._say(key, "stopped", minute)

    def _say(self, key: int, state: str, minute: float, *, late: bool = False, broker: int | None = None) -> None:
        session, boot_number = self.sessions[key]
        said = PresenceFact(key, at(minute), state, session, boot(boot_number), 60, late, broker=broker)
        self.presence.append(said)

    def rows(  # noqa: PLR0917
        self,
        key: int,
        rung: int,
        outcome: RunOutcome,
        first: float,
        last: float,
        step: float = 1.0,
        err_s: float = 0.01,
    ) -> None:
        """Rows from ``first`` to ``last``, one every ``step`` minutes."""
        n = round((last - first) / step) + 1
        self.runs.append(LadderRun(key, rung, 4, outcome, at(first), at(last), n, err_s, err_s))

    def cut(self, key: int, start: float, end: float, *, domestic_works: bool = False) -> None:
        """What a probe that was cut off from ``start`` to ``end`` recorded, a row a minute."""
        for rung, through in ((1, OK), (2, OK), (3, OK if domestic_works else FAILED), (4, FAILED)):
            self.rows(key, rung, OK, start - 60, start - 0.5, 59.5 / 60)
            self.rows(key, rung, through, start + 0.5, end - 0.5)
            self.rows(key, rung, OK, end + 0.5, end + 30.5)

    def inputs(self, now: float) -> Inputs:
        """What was known at minute ``now``."""
        limit = at(now)
        return Inputs(
            since=T0,
            now=limit,
            probes=tuple(self.probes),
            presence=tuple(fact for fact in self.presence if fact.received_at <= limit),
            runs=tuple(replace(run, last_at=min(run.last_at, limit)) for run in self.runs if run.first_at <= limit),
            away=tuple(span for span in self.away if span[0] < limit),
        )

    def events(self, now: float) -> tuple[EventRecord, ...]:
        return compute(self.inputs(now), PARAMS)


def shutdown(world: World, keys: list[int], start: float, end: float | None = None) -> None:
    """The broker loses them within a minute and a half of ``start``; they are back soon after ``end``."""
    for index, key in enumerate(keys):
        world.lose(key, start + 0.5 + (index % 5) * 0.2)
    if end is not None:
        for index, key in enumerate(keys):
            world.online(key, end + 0.6 + (index % 5) * 0.1)


def stored(versions, chains, now):
    """What the chains are after these versions were written."""
    known = {chain.event_key: chain for chain in chains}
    for one in versions:
        public_id = f"CIV-2026-{one.record.scope.cc}-{len(known):04d}" if one.public else None
        known[one.event_key] = Chain(one.event_key, public_id, one.version, now, one.record)
    return list(known.values())
