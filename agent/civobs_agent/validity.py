"""The validity of the moment: what else was the case when a row was taken.

An address family that the device lacks, or that has stopped working altogether, must not make a target look blocked;
so each row says what the last ladder found of IPv4 and IPv6 (measurement.md §0).
"""

from collections.abc import Iterable

from civobs_agent.board import Board
from civobs_agent.clock import Moment
from civobs_agent.host import Host
from civobs_agent.known import Known
from civobs_wire.failure import Outcome
from civobs_wire.measurement import FamilyState, Ladder, Validity

BEYOND_HOME = frozenset({2, 3, 4})
"""Rungs that only a working family can answer."""


def assess(now: Moment, host: Host, last_climb: Iterable[Ladder], known: Known, board: Board) -> Validity:
    """Judge the moment by the device's own state, the last climb of the ladder, and what probes found lately."""
    rows = [row for row in last_climb if row.rung in BEYOND_HOME and row.outcome is not Outcome.NOT_RUN]
    return Validity(
        clock=now.state,
        ipv4=_state(4, host, rows),
        ipv6=_state(6, host, rows),
        portal=known.flag("portal", now.mono_ms),
        interception=known.flag("interception", now.mono_ms),
        resolver=known.text("resolver", now.mono_ms),
        tunnel=host.tunnel,
        link=host.link,
        busy=board.busy(),
        hot=board.hot(),
        undervoltage=host.undervoltage,
    )


def _state(family: int, host: Host, rows: list[Ladder]) -> FamilyState:
    if not host.facts(family).present:
        return FamilyState.ABSENT
    outcomes = {row.outcome for row in rows if row.family == family}
    if Outcome.OK in outcomes:
        return FamilyState.WORKING
    return FamilyState.BROKEN if outcomes else FamilyState.UNKNOWN
