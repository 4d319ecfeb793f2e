"""Why a slot cannot be used: pause, plan, consent, quiet hours, budget. The ladder goes on without plan and budget."""

from civobs_agent import path_on_change
from civobs_agent.allowed import Household
from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.probes import KINDS
from civobs_agent.probes.place import place_of
from civobs_agent.ration import Ration
from civobs_agent.turns import LADDER, Series
from civobs_wire.failure import Failure
from civobs_wire.measurement import ClockState
from civobs_wire.plan import Plan, Target


def hindrance(series: Series, plan: Plan | None, household: Household, now: Moment, ration: Ration) -> Fault | None:
    """What keeps this slot from being used; None if nothing does."""
    if household.paused():
        return Fault(Failure.PAUSED)
    if series.kind == LADDER:
        return None
    if plan is None:
        return Fault(Failure.PLAN_MISSING)
    # A clock that is not known says nothing about an expiry.
    if now.state is not ClockState.UNKNOWN and now.at >= plan.expires_at:
        return Fault(Failure.PLAN_EXPIRED)
    kind = KINDS.get(series.kind)
    if kind is None:
        return Fault(Failure.NOTHING_TO_ASK, f"kind {series.kind} is not known to this version")
    fault = household.objects_to_kind(kind) or _of_target(target_of(series, plan), household)
    if fault is None and kind.heavy and household.quiet.at(now):
        fault = Fault(Failure.QUIET_HOURS)
    return fault or ration.refuses(kind, plan, now)


def target_of(series: Series, plan: Plan | None) -> Target | None:
    """The plan's target of a series; of a kind that is not aimed at any, one without a URL."""
    if (series.kind, series.target) == ("path", path_on_change.TARGET.id):
        return path_on_change.TARGET
    if series.kind in KINDS and not KINDS[series.kind].aimed:
        return Target(id=series.target, url="")
    targets = () if plan is None else plan.targets
    return next((target for target in targets if target.id == series.target), None)


def _of_target(target: Target | None, household: Household) -> Fault | None:
    if target is None:
        return Fault(Failure.NOTHING_TO_ASK, "the task has no targets")
    objection = household.objects_to_target(target)
    if objection is not None or not target.url:
        return objection
    try:
        place_of(target.url)
    except ValueError as error:
        return Fault(Failure.NOTHING_TO_ASK, str(error))
    return None
