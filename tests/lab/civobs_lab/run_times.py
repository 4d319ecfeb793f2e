"""How long a scenario is, in the lab's time, and how long its run takes by the clock: expected, and at most."""

from civobs_lab import timeline
from civobs_lab.scenario_file import Loaded

QUIET_AFTER_S = 900.0
"""Lab seconds for which a run looks on after the last fault has ended: three bins, so that late false alarms show."""

FIRST_ROWS_S = 90.0
"""Seconds of the clock for eleven probes to enrol and deliver: so many interpreters start at once on two cores."""
PROBE_S = 4.0
"""More for each further probe."""
SEALED_S = 1200.0
"""Lab seconds in which a probe seals and sends its first batch by the default plan, four times over."""
DELIVER_S = 60.0
"""Seconds of the clock, after everything has settled, for the rows of the last minute."""

_BUILD_S = 60.0
_OBSERVATORY_S = 120.0
_STOP_S = 60.0
_EXPECTED_START_S = 15.0
_EXPECTED_PROBE_S = 1.2
_EXPECTED_STOP_S = 6.0
"""As seen on two cores; they only move a bar."""
_MARGIN = 1.25


def length_s(loaded: Loaded) -> float:
    """Lab seconds of the timeline: as the scenario says, or until all is over; what has no end is given an hour."""
    scenario = loaded.scenario
    if scenario.length is not None:
        return scenario.length
    ends = [step.at_s for step in timeline.steps(scenario, loaded.topology)]
    ends += [fault.start + timeline.OPEN_END_S for fault in scenario.fault if fault.end is None]
    return max(ends, default=timeline.OPEN_END_S)


def first_rows_s(loaded: Loaded) -> float:
    """Seconds of the clock for every probe to have delivered, at most."""
    return FIRST_ROWS_S + PROBE_S * _probes(loaded) + SEALED_S / loaded.scenario.time_scale


def limit_s(loaded: Loaded) -> float:
    """Seconds of the clock after which a run has hung."""
    scenario = loaded.scenario
    around = _BUILD_S + _OBSERVATORY_S + first_rows_s(loaded) + 2 * DELIVER_S + _STOP_S
    return around + _MARGIN * (length_s(loaded) + max(scenario.settle, QUIET_AFTER_S)) / scenario.time_scale


def expected_s(loaded: Loaded) -> float:
    """Seconds of the clock that a run is likely to take."""
    scenario = loaded.scenario
    after = min(max(scenario.settle, QUIET_AFTER_S), 2 * QUIET_AFTER_S)
    around = _EXPECTED_START_S + _EXPECTED_PROBE_S * _probes(loaded) + _EXPECTED_STOP_S
    return around + (SEALED_S / 4 + length_s(loaded) + after) / scenario.time_scale


def _probes(loaded: Loaded) -> int:
    return sum(1 for _ in loaded.topology.households())
