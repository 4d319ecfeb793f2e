"""What probes say of targets, hour by hour, folded to votes as the live path does it, and judged."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from civobs_collector.detect.flapping import Flapping
from civobs_collector.detect.fold import columns, fold
from civobs_collector.detect.inputs import Inputs, LadderRun, ProbeInfo
from civobs_collector.detect.record import EventRecord
from civobs_collector.detect.services import Evidence, compute
from civobs_collector.detect.target_runs import Word
from civobs_collector.detect.targets import Votes
from civobs_collector.detect.votes import Line, Said, borne_out, failing, telling
from tests.collector.fix_detect import LONG_AGO, PARAMS, T0, at

BIN = 3600.0
HOURS = 24
SITE, OTHER = 1, 2
NAMES = {SITE: "site", OTHER: "other"}
RESET = Word("tls", True, "tls.reset.sni", True)
WORKS = tuple(Word(layer, False) for layer in ("dns", "tcp", "tls", "http"))


@dataclass
class Crowd:
    """Households that ask for two targets every hour of a day; the first fails for some of them, as they say."""

    probes: list[ProbeInfo] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    runs: list[LadderRun] = field(default_factory=list)

    def homes(self, cc: str, asn: int, n: int, *, new: bool = False) -> list[int]:
        """Keys of so many probes, each of a household of its own."""
        keys = range(len(self.probes) + 1, len(self.probes) + 1 + n)
        enrolled = T0 - timedelta(days=1) if new else LONG_AGO
        self.probes += [ProbeInfo(key, f"{key:016d}", 100 + key, cc, asn, enrolled) for key in keys]
        return list(keys)

    def ask(self, keys: Iterable[int], meets: Callable[[int, int], Word | None] = lambda _key, _hour: None) -> None:
        """Every hour both targets; ``meets`` says what is met at the first, by probe and hour: nothing if it works."""
        for key in keys:
            for hour in range(HOURS):
                when = at(60 * hour + key % 50).timestamp()
                met = meets(key, hour)
                self.said += [Said(key, SITE, when, when + 10, one, 4) for one in ((met,) if met else WORKS)]
                self.said += [Said(key, OTHER, when + 60, when + 70, one, 4) for one in WORKS]

    def inputs(self, hours: float = HOURS) -> Inputs:
        return Inputs(T0, at(60 * hours), tuple(self.probes), runs=tuple(self.runs))

    def votes(self, said: Sequence[Said] | None = None, hours: float = HOURS) -> Votes:
        """Of what was said until then."""
        inputs, now = self.inputs(hours), at(60 * hours).timestamp()
        told = [one for one in (self.said if said is None else said) if one.last_at <= now]
        reached: dict[tuple[int, int], set[int]] = {}
        for one in told:
            if not one.word.bad:
                reached.setdefault((one.probe_key, int(one.first_at // BIN)), set()).add(one.target)
        met = {key: frozenset(targets) for key, targets in reached.items()}
        line = Line(inputs.runs)
        found, doubtful = telling(told, met, line, BIN, PARAMS)
        kept = found + borne_out(doubtful, {*met, *failing(told, BIN)}, line, BIN, PARAMS)
        probes = {probe.probe_key: probe for probe in inputs.probes}
        return fold(columns(kept), probes, NAMES, BIN, PARAMS, flapping=Flapping(inputs, PARAMS))

    def events(self, said: Sequence[Said] | None = None, hours: float = HOURS) -> tuple[EventRecord, ...]:
        return self.judged(self.votes(said, hours), hours)

    def judged(self, votes: Votes, hours: float = HOURS) -> tuple[EventRecord, ...]:
        return compute(Evidence(votes), self.inputs(hours), (), PARAMS)


def from_twelve_to_eighteen(word: Word = RESET) -> Callable[[int, int], Word | None]:
    """That it is met then, by whoever asks."""
    return lambda _key, hour: word if 12 <= hour < 18 else None


def told(record: EventRecord) -> tuple[object, ...]:
    """What a version is written for when it changes; the rest is as it was when the newest one was."""
    times = [None if one is None else (one.earliest, one.latest) for one in (record.onset, record.resolution)]
    scope = record.scope
    return (
        *(record.kind, scope.level, record.status, record.provisional, *times),
        *(scope.asns, scope.targets, scope.layers, scope.mechanisms),
        *(record.depth, record.likeliest, record.confidence.label),
    )
