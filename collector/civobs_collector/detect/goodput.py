"""The course of one transfer: how fast it went once it ran, how even it was, and whether a rate held it.

Bytes are cumulative and times are seconds since the request. What is compared is the *sustained* rate, of the later
half of the time: a policer lets its bucket through first, a line may give a boost, and TCP needs a while to start, so
the mean over all of it tells less of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from civobs_collector.detect.params import Params

Floats = NDArray[np.float64]
_INSTANT = 1e-6
"""Seconds: no clock here is better, and what came before the first of them is not divided by it."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One arm of one pair. What was not measured stays at its default."""

    samples: tuple[tuple[float, float], ...]
    """(seconds since the request, bytes that had come by then), in any order; nothing at all is an empty tuple."""
    rtt_ms: tuple[float, ...] = ()
    """Round trips: the handshake's and the one while it ran (``rtt_min_ms``, ``rtt_receiver_ms``), or one a sample."""
    retransmitted: int | None = None
    """Segments that were lost or sent again."""
    cross_bytes: float | None = None
    """What others moved over the device's link meanwhile."""
    at: float | None = None
    """When it began, seconds since the epoch."""


class Course(NamedTuple):
    """A transfer as a curve that starts at nought: rising times, and bytes that never fall."""

    seconds: Floats
    bytes: Floats

    @property
    def total(self) -> float:
        return float(self.bytes[-1])


def course(transfer: Transfer) -> Course:
    """The curve of its samples. Of two at one instant the larger counts, as bytes that came do not go away."""
    points = sorted((round(float(at), 6), float(size)) for at, size in transfer.samples if at >= _INSTANT)
    seconds = np.array([0.0, *(at for at, _ in points)])
    size = np.maximum.accumulate(np.array([0.0, *(size for _, size in points)]))
    keep = np.append(np.diff(seconds) > 0, True)
    return Course(seconds[keep], size[keep])


def active(whole: Course, usual: float, params: Params) -> Course:
    """Without the time after the end: a sampler may go on when everything has come.

    ``usual`` is what a neutral transfer brought; one that stands still long before that has stalled, not ended.
    """
    if whole.total <= 0 or whole.total < params["throttling.finished"] * usual:
        return whole
    last = int(np.searchsorted(whole.bytes, whole.total, side="left"))
    return Course(whole.seconds[: last + 1], whole.bytes[: last + 1])


def later(whole: Course) -> Course:
    """The later half of its time, starting at nought again; all of it where that holds no sample but the last."""
    middle = whole.seconds[-1] / 2
    if np.count_nonzero(whole.seconds > middle) < 2:
        return whole
    inside = whole.seconds > middle
    before = float(np.interp(middle, whole.seconds, whole.bytes))
    return Course(np.append(0.0, whole.seconds[inside] - middle), np.append(0.0, whole.bytes[inside] - before))


def rate(part: Course) -> float:
    """Bits a second over all of it."""
    return float(8 * part.total / part.seconds[-1]) if part.seconds[-1] > 0 else 0.0


def pieces(part: Course, most: int) -> Floats:
    """Bits a second in equal stretches of time: as many as there are samples, and no more than ``most``.

    Samples of 10 ms hold a packet or none, and follow from one another; longer stretches can be compared.
    """
    number = min(most, len(part.seconds) - 1)
    if number < 1:
        return np.zeros(0)
    width = part.seconds[-1] / number
    edges = np.linspace(0, part.seconds[-1], number + 1)
    return np.asarray(8 * np.diff(np.interp(edges, part.seconds, part.bytes)) / width, dtype=np.float64)


def held(whole: Course, params: Params) -> float | None:
    """The rate r of the best fit of B(t) = min(Ct, b + rt), bits a second; None with too few samples.

    A token bucket of rate r and size b on a line of rate C draws this curve (detection.md §3.5 (iii)); on a line
    without one the fit has r = C. The knee is tried at every sample that leaves enough of them after it.
    """
    least = params.count("throttling.plateau_samples")
    most = params.count("throttling.fit_points")
    if len(whole.seconds) - 1 < least:
        return None
    if len(whole.seconds) - 1 > most:
        edges = np.linspace(0, whole.seconds[-1], most + 1)
        whole = Course(edges, np.interp(edges, whole.seconds, whole.bytes))
    t, size = whole
    best, slope = np.inf, 0.0
    for knee in range(len(t) - least):
        # Continuous at the knee: one line from the origin to it, and one on from it.
        step, rise = t[knee + 1 :] - t[knee], size[knee + 1 :] - size[knee]
        after = float(step @ rise / (step @ step))
        first = size[knee] / t[knee] if knee else after
        error = float(((rise - after * step) ** 2).sum() + ((size[:knee] - first * t[:knee]) ** 2).sum())
        if error < best and after <= first * (1 + 1e-9):
            best, slope = error, after
    return 8 * max(slope, 0.0) if np.isfinite(best) else rate(later(whole))


def scatter(rates: Sequence[float] | Floats) -> float:
    """Standard deviation of the logarithm; 0 of fewer than two that are above nought."""
    known = np.log(np.sort([one for one in rates if one > 0]))
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0
