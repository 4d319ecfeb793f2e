"""General throttling: a network gets half of what is usual there at this hour of the week, and no queue explains it.

Each transfer is held against the same household and server at the same hour of earlier weeks; then the network's
transfers of six hours against its usual scatter (Mann-Whitney). Round trips that grow are congestion; one household or
one server is a fault of its own (detection.md §3.5). What is slow is never learnt as usual while it lasts.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from civobs_collector.detect.params import Params


@dataclass(frozen=True, slots=True, order=True)
class Speed:
    """One transfer to one of the observatory's own servers, in one direction."""

    at: float
    """Seconds since the epoch."""
    household: int
    asn: int
    server: str
    """And direction, and whether it was cut short: only like is compared."""
    bps: float
    rtt_ms: float | None = None
    """While it ran."""
    cc: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether one transfer was slow for its household, server and hour."""

    at: float
    household: int
    slow: bool


@dataclass(frozen=True, slots=True)
class General:
    """A stretch of time in which one network was slow."""

    cc: str
    asn: int
    start: tuple[float | None, float]
    """Between the last transfer that was as usual and the first slow one; None: it was so from the first."""
    end: tuple[float, float | None]
    """Between the last slow transfer and the first as usual; None while it lasts."""
    ratio: float
    """Of the usual rate, median over the slow transfers."""
    p: float
    """Least of its windows, one-sided."""
    rtt_ratio: float | None
    households: int
    servers: int
    transfers: int
    steadier: bool
    """The scatter collapsed to less than half: a limit, and not a crowd."""
    marks: tuple[Mark, ...]
    """All transfers of the network that could be held against earlier weeks, in the order of time."""
    rules: tuple[str, ...] = ("general.mann_whitney", "general.ratio", "general.lasting")


@dataclass(slots=True)
class _Seen:
    """A transfer against what was usual."""

    speed: Speed
    apart: float
    """Logarithm of the rate over the usual one."""
    rtt_apart: float | None
    p: float = 1.0
    slow: bool = False


def find_general(speeds: Iterable[Speed], params: Params) -> tuple[General, ...]:
    """All such stretches, by network and time; the order of the transfers decides nothing."""
    networks: dict[tuple[str, int], list[Speed]] = defaultdict(list)
    for one in sorted(set(speeds), key=lambda one: (one.at, one.household, one.server, one.bps, one.rtt_ms or 0.0)):
        if one.bps > 0:
            networks[one.cc, one.asn].append(one)
    return tuple(found for key in sorted(networks) for found in _stretches(_judged(networks[key], params), params))


def _judged(speeds: Sequence[Speed], params: Params) -> list[_Seen]:
    """Every transfer that has something to be held against, in the order of time, marked where its window is slow."""
    learnt: dict[tuple[int, str], list[Speed]] = defaultdict(list)
    seen: list[_Seen] = []
    for speed in speeds:
        mine = learnt[speed.household, speed.server]
        usual = [
            one for one in mine if speed.at - one.at <= params["general.history"] and _same_hour(one, speed, params)
        ]
        if len(usual) < params.count("general.least"):
            mine.append(speed)
            continue
        apart = math.log(speed.bps) - float(np.median([math.log(one.bps) for one in usual]))
        rtts = [one.rtt_ms for one in usual if one.rtt_ms]
        rtt_apart = math.log(speed.rtt_ms / float(np.median(rtts))) if speed.rtt_ms and rtts else None
        seen.append(_Seen(speed, apart, rtt_apart))
        if not _mark(seen, params):
            mine.append(speed)
    return seen


def _same_hour(one: Speed, other: Speed, params: Params) -> bool:
    week = 7 * params["general.day"]
    apart = (other.at - one.at) % week
    return min(apart, week - apart) <= params["general.hour"]


def _mark(seen: list[_Seen], params: Params) -> bool:
    """Whether the hours up to the last transfer are slow; those of them that are get marked."""
    now, limit = seen[-1].speed.at, math.log(params["general.ratio"])
    begins = bisect_left(seen, now - params["general.lasting"], key=_at)
    window = seen[begins:]
    if not _slow(window, limit, params) or _queued(window, params):
        return False
    learnt = seen[bisect_left(seen, now - params["general.history"], key=_at) : begins]
    usual = sorted(one.apart for one in learnt if not one.slow)
    if not usual:
        return False
    p = float(mannwhitneyu(sorted(one.apart for one in window), usual, alternative="less").pvalue)
    if p >= params["general.p"]:
        return False
    for one in window:
        one.slow, one.p = one.slow or one.apart < limit, min(one.p, p)
    return seen[-1].slow


def _at(one: _Seen) -> float:
    return one.speed.at


def _slow(window: Sequence[_Seen], limit: float, params: Params) -> bool:
    """Whether it is slow for most transfers, in enough households, and to enough servers."""
    homes: dict[int, list[float]] = defaultdict(list)
    servers: dict[str, list[float]] = defaultdict(list)
    for one in window:
        homes[one.speed.household].append(one.apart)
        servers[one.speed.server].append(one.apart)
    if float(np.median([one.apart for one in window])) >= limit:
        return False
    return all(
        sum(float(np.median(apart)) < limit for apart in each.values()) >= params.count(least)
        for each, least in ((homes, "general.probes"), (servers, "general.servers"))
    )


def _queued(window: Sequence[_Seen], params: Params) -> bool:
    known = sorted(one.rtt_apart for one in window if one.rtt_apart is not None)
    return bool(known) and float(np.median(known)) >= math.log(params["general.rtt_ratio"])


def _stretches(seen: Sequence[_Seen], params: Params) -> list[General]:
    """Slow transfers with no more than ``general.lasting`` between them are one stretch."""
    groups: list[list[_Seen]] = []
    for one in (one for one in seen if one.slow):
        if groups and one.speed.at - groups[-1][-1].speed.at <= params["general.lasting"]:
            groups[-1].append(one)
        else:
            groups.append([one])
    found = []
    for group in groups:
        first, last = group[0].speed.at, group[-1].speed.at
        if last - first >= params["general.lasting"]:
            found.append(_general(group, seen))
    return found


def _general(group: Sequence[_Seen], seen: Sequence[_Seen]) -> General:
    first, last = group[0].speed.at, group[-1].speed.at
    apart = sorted(one.apart for one in group)
    others = sorted(one.apart for one in seen if not one.slow)
    rtts = sorted(one.rtt_apart for one in group if one.rtt_apart is not None)
    before = [one.speed.at for one in seen if not one.slow and one.speed.at < first]
    after = [one.speed.at for one in seen if not one.slow and one.speed.at > last]
    return General(
        cc=group[0].speed.cc,
        asn=group[0].speed.asn,
        start=(max(before) if before else None, first),
        end=(last, min(after) if after else None),
        ratio=_digits(math.exp(float(np.median(apart)))),
        p=_digits(min(one.p for one in group)),
        rtt_ratio=_digits(math.exp(float(np.median(rtts)))) if rtts else None,
        households=len({one.speed.household for one in group}),
        servers=len({one.speed.server for one in group}),
        transfers=len(group),
        steadier=len(others) > 1 and float(np.std(apart)) < float(np.std(others)) / 2,
        marks=tuple(Mark(one.speed.at, one.speed.household, one.slow) for one in seen),
    )


def _digits(value: float) -> float:
    return float(f"{value:.6g}")
