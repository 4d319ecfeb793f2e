"""Probes whose line comes and goes by itself: their word on services weighs half (detection.md §3.4).

A loss counts when no other household of the country was lost at about the same time: where many are lost together it
is not the line of one.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict

from civobs_collector.detect.inputs import Inputs, RunOutcome
from civobs_collector.detect.params import Params
from civobs_collector.detect.timeline import INTERNATIONAL


class Flapping:
    """When which probe was lost alone; the order of the facts does not matter."""

    def __init__(self, inputs: Inputs, params: Params) -> None:
        self._params = params
        near = params["eligible.shared"]
        losses = _losses(inputs)
        of_country: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for probe in inputs.probes:
            of_country[probe.cc].extend((at, probe.household) for at in losses[probe.probe_key])
        for times in of_country.values():
            times.sort()
        self._alone = {
            probe.probe_key: [
                at for at in losses[probe.probe_key] if _only(of_country[probe.cc], at, near, probe.household)
            ]
            for probe in inputs.probes
        }

    def at(self, probe_key: int, at: float) -> bool:
        """Whether a probe was lost so often within the day before a moment, in seconds since 1970."""
        times = self._alone.get(probe_key, [])
        since = at - self._params["eligible.flap_window"]
        return bisect_right(times, at) - bisect_left(times, since) >= self._params["eligible.flaps"]


def _losses(inputs: Inputs) -> dict[int, list[float]]:
    """By probe when its way abroad was lost, by the family that lost it most; without a ladder when the broker did."""
    lost: dict[tuple[int, int], list[float]] = {}
    good: set[tuple[int, int]] = set()
    for run in sorted(inputs.runs, key=lambda r: (r.first_at, r.last_at, r.outcome)):
        key = (run.probe_key, run.family)
        if run.rung != INTERNATIONAL:
            continue
        times = lost.setdefault(key, [])
        if run.outcome is RunOutcome.OK:
            good.add(key)
        elif run.outcome is RunOutcome.FAILED and key in good:
            good.remove(key)
            times.append(run.first_at.timestamp())
    found: dict[int, list[float]] = defaultdict(list)
    for (probe_key, _), times in sorted(lost.items()):
        found[probe_key] = max(found[probe_key], times, key=len)
    climbed = {probe_key for probe_key, _ in lost}
    for fact in sorted(inputs.presence, key=lambda one: one.received_at):
        if fact.state == "offline" and not fact.late and fact.probe_key not in climbed:
            found[fact.probe_key].append(fact.received_at.timestamp())
    return found


def _only(losses: list[tuple[float, int]], at: float, near: float, household: int) -> bool:
    """Whether all losses about a moment are of one household."""
    around = losses[bisect_left(losses, (at - near,)) : bisect_right(losses, (at + near, math.inf))]
    return all(home == household for _, home in around)
