"""Transfers as they happen: TCP in rounds over a line with a queue, past a token bucket, a shaper, or other people.

A round sends a window. What the queue has no room for and what the bucket has no tokens for is lost; a loss shrinks
the window, a round lost for the most part is a timeout. Rough, but what a limit, a queue and a radio do to the course
of a transfer comes out of their mechanism here and is not painted on.
"""

from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from civobs_collector.detect.goodput import Transfer
from civobs_collector.detect.throttling import Trial, pair_up

MSS = 1448


@dataclass(frozen=True)
class Line:
    """What both arms share; rates in bit/s."""

    bps: float = 20e6
    rtt: float = 0.04
    queue_s: float = 0.1
    loss: float = 0.0
    """Of packets, by chance."""
    between: float = 0.03
    """Standard deviation of the logarithm of the rate from one transfer to the next."""
    within: float = 0.05
    """And within a transfer, about every second."""
    drift: float = 0.0
    """Of the logarithm, from the first pair to the last."""
    boost: float = 1.0
    """So many times faster ..."""
    boost_bytes: float = 0.0
    """... until so many bytes have come."""


@dataclass(frozen=True)
class Limit:
    """What the target's name is given."""

    bps: float
    bucket: float = 16_000
    shape: bool = False
    """Packets wait, instead of being lost."""
    after: float = 0.0
    """Only once so many bytes have come."""
    cut: bool = False
    """Nothing passes at all."""


@dataclass(frozen=True)
class Run:
    """How a trial is made."""

    line: Line = field(default_factory=Line)
    limit: Limit | None = None
    pairs: int = 8
    neutral: int | None = None
    """Transfers under the neutral name, where they are not as many."""
    seconds: float = 8.0
    size: float = float("inf")
    step: float = 0.1
    both: bool = False
    """The limit is on the neutral name too."""


def trial(name: str, run: Run, rng: Random) -> Trial:
    """All transfers of one run."""
    arms: dict[str, dict[int, Transfer]] = {"target": {}, "neutral": {}}
    counts = {"target": run.pairs, "neutral": run.pairs if run.neutral is None else run.neutral}
    for number in range(1, max(counts.values()) + 1):
        slower = run.line.drift * (number - 1) / max(1, max(counts.values()) - 1)
        for arm in rng.sample(sorted(arms), 2):
            if number <= counts[arm]:
                limit = run.limit if arm == "target" or run.both else None
                line = replace(run.line, bps=run.line.bps * float(np.exp(rng.gauss(-slower, run.line.between))))
                arms[arm][number] = transfer(line, limit, run, rng)
    pairs, spare_target, spare_neutral = pair_up(arms["target"], arms["neutral"])
    return Trial(name, pairs, None, spare_target, spare_neutral)


def transfer(line: Line, limit: Limit | None, run: Run, rng: Random) -> Transfer:
    """One transfer, sampled every ``run.step`` seconds until it is over or the time is."""
    at, came, lost = _rounds(line, limit, run, rng)
    end = min(at[-1], run.seconds)
    times = np.append(np.arange(run.step, end, run.step), end)
    sizes = np.floor(np.interp(times, at, came) / MSS) * MSS
    return Transfer(tuple(zip(times.tolist(), sizes.tolist(), strict=True)), retransmitted=lost)


def _rounds(line: Line, limit: Limit | None, run: Run, rng: Random) -> tuple[list[float], list[float], int]:
    t, got, window, threshold = 0.0, 0.0, 10.0, float("inf")
    queue = waiting = 0.0
    tokens = limit.bucket if limit else 0.0
    air, losses, backoff = 0.0, 0, 0.2
    at, came = [0.0], [0.0]
    while t < run.seconds and got < run.size:
        capacity = line.bps / 8 * float(np.exp(air)) * (line.boost if got < line.boost_bytes else 1.0)
        wait = queue / capacity + (waiting * 8 / limit.bps if limit and limit.shape else 0.0)
        took = max(line.rtt + wait, 1e-3)
        air += -air * min(1.0, took) + rng.gauss(0, line.within * (2 * min(1.0, took)) ** 0.5)
        sent = window * MSS
        queue += sent
        served = min(queue, capacity * took)
        queue -= served
        dropped = max(0.0, queue - line.queue_s * capacity)
        queue -= dropped
        if limit and got >= limit.after:
            tokens = min(limit.bucket, tokens + limit.bps / 8 * took)
            if limit.cut:
                passed = 0.0
            elif limit.shape:
                waiting += served
                passed = min(waiting, limit.bps / 8 * took + max(0.0, tokens - limit.bps / 8 * took))
                waiting -= passed
                dropped += max(0.0, waiting - 64_000)
                waiting = min(waiting, 64_000.0)
            else:
                passed = min(served, tokens)
                dropped += served - passed
            tokens = max(0.0, tokens - passed)
            served = passed
        if line.loss and rng.random() < 1 - (1 - line.loss) ** min(window, 200):
            dropped += MSS
        t, got = t + took, got + served
        if dropped > 0.5 * sent and dropped > MSS:
            losses += int(dropped // MSS)
            threshold, window = max(2.0, window / 2), 1.0
            at.append(t)
            came.append(min(got, run.size))
            t += backoff
            tokens = min(limit.bucket, tokens + limit.bps / 8 * backoff) if limit else 0.0
            backoff = min(2.0, 2 * backoff) if served <= 0 else 0.2
        elif dropped >= MSS:
            losses += int(dropped // MSS)
            window = threshold = max(2.0, 0.7 * window)
        else:
            window = window * 2 if window < threshold else window + 1
            window = min(window, 4 * capacity * (line.rtt + line.queue_s) / MSS + 10)
        at.append(t)
        came.append(min(got, run.size))
    return at, came, losses
