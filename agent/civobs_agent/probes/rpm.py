"""The arithmetic of responsiveness: round trips a minute, and how sure they are (draft-ietf-ippm-responsiveness).

No socket here: what is fed in are bytes of intervals and durations of probes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Literal

MINUTE_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the draft's, by its name there."""

    id: str
    value: float
    source: str


_DRAFT = "draft-ietf-ippm-responsiveness, Test Parameters"
PARAMETERS: dict[str, Parameter] = {
    row.id: row
    for row in (
        Parameter("MAD", 4, f"{_DRAFT}: intervals of the moving average"),
        Parameter(
            "ID",
            1.0,
            f"{_DRAFT}, in its texts up to -08: seconds of an interval. That of 2026-07 has 5 s; two times MAD of "
            "these fill a line for 40 s in each direction, which is more than any household's budget",
        ),
        Parameter("TMP", 0.95, f"{_DRAFT}: the lowest share that a trimmed mean is of"),
        Parameter("SDT", 0.05, f"{_DRAFT}: standard deviation, as a share, below which a series is stable"),
        Parameter("INP", 1, f"{_DRAFT}: connections at the start"),
        Parameter("INC", 1, f"{_DRAFT}: connections added in each interval"),
        Parameter("MNP", 16, f"{_DRAFT}: the most connections"),
        Parameter(
            "MPS",
            20,
            "pairs of probes a second, as librespeed has it. The draft's 100 handshakes a second are all that a Pi's "
            "processor can do, and the measurement would be of that",
        ),
        Parameter("PTC", 0.05, f"{_DRAFT}: share of the goodput that probes may take"),
    )
}
FOREIGN_BYTES, SELF_BYTES = 5_000, 1_000
"""What a probe costs the line: the draft's estimates."""
FIRST_RATE = 4.0
"""Pairs a second while the goodput is not known: 24 kB/s, the PTC of a line of 4 Mbit/s."""

Confidence = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A probe on a connection of its own: milliseconds of each of its round trips."""

    tcp_ms: float
    tls_ms: float
    """Of one round trip: a handshake of TLS 1.2 takes two."""
    http_ms: float


@dataclass(frozen=True, slots=True)
class Score:
    """Round trips a minute, and the trimmed means they come from."""

    foreign: float
    loaded: float
    tcp_ms: float
    tls_ms: float
    http_ms: float
    loaded_ms: float

    @property
    def rpm(self) -> float:
        return (self.foreign + self.loaded) / 2


def trimmed_mean(values: Sequence[float], share: float = PARAMETERS["TMP"].value) -> float:
    """Mean of the lowest ``share`` of the values, at least one: only the slow end is cut. Raises ValueError."""
    if not values:
        raise ValueError("nothing to take the mean of")
    return fmean(sorted(values)[: max(1, int(len(values) * share))])


def score(foreign: Sequence[Foreign], loaded_ms: Sequence[float]) -> Score | None:
    """Of probes that came back; None while one of the two sorts is missing."""
    if not foreign or not loaded_ms:
        return None
    tcp = trimmed_mean([each.tcp_ms for each in foreign])
    tls = trimmed_mean([each.tls_ms for each in foreign])
    http = trimmed_mean([each.http_ms for each in foreign])
    own = trimmed_mean(loaded_ms)
    return Score(MINUTE_MS / ((tcp + tls + http) / 3), MINUTE_MS / own, tcp, tls, http, own)


def is_stable(series: Sequence[float]) -> bool:
    """Whether the last MAD values deviate from the newest by less than SDT."""
    last = series[-int(PARAMETERS["MAD"].value) :]
    if len(last) < PARAMETERS["MAD"].value:
        return False
    return pstdev(last) < PARAMETERS["SDT"].value * last[-1]


def pairs_per_s(goodput_bps: float | None) -> float:
    """How many pairs of probes a second the line may be asked to carry."""
    if goodput_bps is None:
        return FIRST_RATE
    affordable = PARAMETERS["PTC"].value * goodput_bps / 8 / (FOREIGN_BYTES + SELF_BYTES)
    return max(1.0, min(PARAMETERS["MPS"].value, affordable))


@dataclass(slots=True)
class Judge:
    """Follows a run, interval by interval: first until the goodput is stable, then until the responsiveness is."""

    saturated: bool = False
    stable: bool = False
    goodputs: list[float] = field(default_factory=list)
    """Moving averages, bits a second."""
    rpms: list[float] = field(default_factory=list)
    _bytes: list[int] = field(default_factory=list)
    _foreign: list[list[Foreign]] = field(default_factory=list)
    _loaded: list[list[float]] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)

    def interval(self, n_bytes: int, seconds: float, foreign: list[Foreign], loaded_ms: list[float]) -> None:
        """What one interval brought: bytes moved, and probes that came back in it."""
        mad = int(PARAMETERS["MAD"].value)
        self._bytes.append(n_bytes)
        self._seconds.append(seconds)
        self._foreign.append(foreign)
        self._loaded.append(loaded_ms)
        self.goodputs.append(sum(self._bytes[-mad:]) * 8 / sum(self._seconds[-mad:]))
        if not self.saturated:
            self.saturated = is_stable(self.goodputs)
        elif (now := self.score()) is not None:
            self.rpms.append(now.rpm)
            self.stable = is_stable(self.rpms)

    def score(self) -> Score | None:
        """Of the last MAD intervals' probes."""
        mad = int(PARAMETERS["MAD"].value)
        return score(
            [each for interval in self._foreign[-mad:] for each in interval],
            [each for interval in self._loaded[-mad:] for each in interval],
        )

    @property
    def confidence(self) -> Confidence:
        """Low: responsiveness was not followed for MAD intervals. Medium: it was, and did not come to rest."""
        if self.stable:
            return "high"
        return "medium" if len(self.rpms) >= PARAMETERS["MAD"].value else "low"
