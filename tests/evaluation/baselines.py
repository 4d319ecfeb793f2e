"""Two detectors that others use, on the same series: what civobs has to be better than.

- Plain threshold: under half of the median of the last seven days (IODA's critical level for active probing,
  detection.md §2), for as long as that lasts.
- Plain CUSUM: what is missing of that median, two-sided, drift 0.35, alarm at 3.5 (OONI 2025, detection.md §2).

Neither knows how many households stand behind a number, and neither looks back: a bin that is not there is skipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from civobs_collector.evaluate.forms import Coded, CountRows, RosterRows, Rows, TargetRows
from civobs_collector.evaluate.found import Between, Found

Floats = NDArray[np.float64]
WINDOW_S = 7 * 86400.0
FRACTION, DRIFT, ALARM = 0.5, 0.35, 3.5


@dataclass(frozen=True, slots=True)
class Series:
    """What is good in each bin that was observed: a share, or a count."""

    group: str
    at: Floats
    good: Floats
    bin_s: float
    kind: str
    network: str = ""
    target: str = ""

    def found(self, first: int, last: int | None, alert: int) -> Found:
        """An event from bin ``first`` until before bin ``last``."""
        return Found(
            group=self.group,
            kind=self.kind,
            networks=(self.network,) if self.network else (),
            targets=(self.target,) if self.target else (),
            start=self._between(first),
            end=self._between(last) if last is not None else None,
            ongoing=last is None,
            alert_at=float(self.at[alert]) + self.bin_s,
        )

    def _between(self, place: int) -> Between:
        at = float(self.at[place])
        return Between(float(self.at[max(0, place - 1)]), at + self.bin_s, at)

    def missing(self) -> Floats:
        """The share of the trailing median that is not there, 0 to 1; 0 where there is no median yet."""
        starts = np.searchsorted(self.at, self.at - WINDOW_S)
        medians = [float(np.median(self.good[a:b])) if b > a else 0.0 for b, a in enumerate(starts)]
        usual = np.array(medians)
        return np.clip(1 - self.good / np.where(usual > 0, usual, np.inf), 0, 1) * (usual > 0)


def threshold(series: Series) -> list[Found]:
    """Under half of what is usual."""
    low = series.missing() > 1 - FRACTION
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(int)))
    return [
        series.found(int(a), int(b) if b < len(low) else None, int(a))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def cusum(series: Series) -> list[Found]:
    """Two-sided, with a state."""
    found, total, begun, opened = [], 0.0, 0, -1
    for place, bad in enumerate(series.missing()):
        before = total
        total = max(0.0, total + (bad - DRIFT if opened < 0 else DRIFT - bad))
        if before == 0.0 < total:
            begun = place
        if total < ALARM:
            continue
        total = 0.0
        if opened < 0:
            opened, alert = begun, place
        else:
            found.append(series.found(opened, begun, alert))
            opened = -1
    return [*found, series.found(opened, None, alert)] if opened >= 0 else found


def series_of(rows: Rows) -> Iterator[Series]:
    """Every series of a file."""
    match rows:
        case RosterRows():
            share = rows.n_up / np.maximum(rows.n_expected, 1)
            yield from _series(rows.at, rows.group, share, rows.step.seconds, "outage", np.mean)
        case CountRows():
            counts = rows.count.astype(np.float64)
            yield from _series(rows.at, rows.group, counts, rows.step.seconds, "outage", np.sum)
        case TargetRows():
            pairs = [f"{network}/{target}" for network in rows.network.names for target in rows.target.names]
            codes = rows.network.codes * len(rows.target.names) + rows.target.codes
            place = Coded(codes.astype(np.int32), tuple(pairs))
            # The median of an hour, as OONI takes it: a step at one half.
            yield from _series(rows.at, place, rows.ok.astype(np.float64), 3600.0, "blocking", np.median)
        case _:
            raise TypeError(f"no series in {type(rows).__name__}")


def _series(
    at: Floats, place: Coded, good: Floats, bin_s: float, kind: str, fold: Callable[[Floats], np.floating]
) -> Iterator[Series]:
    bins = np.floor(at / bin_s).astype(np.int64)
    order = np.lexsort((bins, place.codes))
    starts = np.flatnonzero(np.append(True, np.diff(place.codes[order]) | np.diff(bins[order])))
    values = np.array([float(fold(part)) for part in np.split(good[order], starts[1:])])
    codes, times = place.codes[order][starts], bins[order][starts] * bin_s
    for code in np.unique(codes):
        own, name = codes == code, place.names[code]
        network, _, target = name.partition("/") if kind == "blocking" else ("", "", "")
        yield Series(name, times[own], values[own], bin_s, kind, network, target)
