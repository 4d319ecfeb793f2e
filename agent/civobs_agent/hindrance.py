"""Why a slot cannot be used: pause, plan, budget, consent. The ladder goes on without plan and budget."""

from collections.abc import Callable
from dataclasses import dataclass

from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.probes import KINDS
from civobs_agent.probes.place import place_of
from civobs_agent.turns import LADDER, Series
from civobs_wire.failure import Failure
from civobs_wire.measurement import ClockState
from civobs_wire.plan import Plan, Target


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """What the people who host the probe allow."""

    paused: Callable[[], bool] = _never
    """Asked for every slot."""
    daily_bytes: int | None = None
    """Their own limit beside the plan's; the lower one counts."""
    tier: int = 3
    """Highest risk tier they agreed to."""


def hindrance(series: Series, plan: Plan | None, household: Household, now: Moment, spent: int) -> Fault | None:
    """What keeps this slot from being used; None if nothing does. ``spent`` are the bytes of the day."""
    if household.paused():
        return Fault(Failure.PAUSED)
    if series.kind == LADDER:
        return None
    if plan is None:
        return Fault(Failure.PLAN_MISSING)
    fault = _of_plan(plan, household, now, spent)
    if fault is None and series.kind not in KINDS:
        fault = Fault(Failure.NOTHING_TO_ASK, f"kind {series.kind} is not known to this version")
    return fault or _of_target(target_of(series, plan), household)


def target_of(series: Series, plan: Plan | None) -> Target | None:
    """The plan's target of a series; of a kind that is not aimed at any, one without a URL."""
    if series.kind in KINDS and not KINDS[series.kind].aimed:
        return Target(id=series.target, url="")
    targets = () if plan is None else plan.targets
    return next((target for target in targets if target.id == series.target), None)


def _of_plan(plan: Plan, household: Household, now: Moment, spent: int) -> Fault | None:
    # A clock that is not known says nothing about an expiry.
    if now.state is not ClockState.UNKNOWN and now.at >= plan.expires_at:
        return Fault(Failure.PLAN_EXPIRED)
    limits = (plan.budget.bytes_per_day, household.daily_bytes)
    if spent >= min(limit for limit in limits if limit is not None):
        return Fault(Failure.BUDGET_EXHAUSTED)
    return None


def _of_target(target: Target | None, household: Household) -> Fault | None:
    if target is None:
        return Fault(Failure.NOTHING_TO_ASK, "the task has no targets")
    if target.tier > household.tier:
        return Fault(Failure.TIER_NOT_AGREED, f"tier {target.tier}: the household agreed to {household.tier}")
    if not target.url:
        return None
    try:
        place_of(target.url)
    except ValueError as error:
        return Fault(Failure.NOTHING_TO_ASK, str(error))
    return None
