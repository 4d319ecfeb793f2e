"""The ladder: power, link, access, domestic, international, services, all of them every time (detection.md §3.1).

A rung that fails never keeps the next from being tried: a router that drops pings must not hide a working line, and a
dead resolver must not be read as a dead country. All rungs run at the same time, so a climb takes as long as its
slowest question, well below the interval of times of trouble.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from civobs_agent import builtin
from civobs_agent.faults import Fault
from civobs_agent.net import FAMILIES, Context, IpFamily, Run
from civobs_agent.probes.http import Course, follow
from civobs_agent.probes.place import place_of
from civobs_agent.rungs import TIMEOUTS, access, ask_anchor, link
from civobs_wire.failure import Failure, Outcome
from civobs_wire.limits import MAX_CHECKS
from civobs_wire.measurement import Check, Family, HttpStage, Ladder
from civobs_wire.plan import Anchor, Plan, Target

SERVICE_STAGES: tuple[tuple[str, frozenset[HttpStage]], ...] = (
    ("name", frozenset({HttpStage.RESOLVE})),
    ("connect", frozenset({HttpStage.CONNECT})),
    ("tls", frozenset({HttpStage.TLS})),
    ("http", frozenset({HttpStage.REQUEST, HttpStage.HEADERS, HttpStage.BODY})),
)
"""The checks of L5 and the stages of an HTTP exchange that belong to each."""

SERVICE_BYTES = 16_384
"""Of L5's page: enough to see that it comes. It is asked for 288 times a day and more, whatever the budget says."""


async def climb(plan: Plan | None, context: Context) -> list[Ladder]:
    """One row for each rung and family; L0 and L5 are not divided. Never raises for what the network does."""
    anchors = builtin.ANCHORS if plan is None else plan.anchors
    rungs = [_power(context)]
    for family in FAMILIES:
        rungs += [
            _link(family, context),
            _access(family, anchors, context),
            _anchors(3, family, plan, context),
            _anchors(4, family, plan, context),
        ]
    rungs.append(_services(plan, context))
    rows = await asyncio.gather(*rungs)
    return sorted(rows, key=lambda row: (row.rung, row.family))


async def _power(context: Context) -> Ladder:
    """L0: this boot is alive."""
    run = context.begin()
    fields: dict[str, object] = {
        "rung": 0,
        "n": 1,
        "n_ok": 1,
        "uptime_s": run.moment.mono_ms / 1000,
        "dark_s": context.clock.dark_s(),
        "undervoltage": context.host.undervoltage,
    }
    return context.row(Ladder, run, "L0", fields)


async def _link(family: IpFamily, context: Context) -> Ladder:
    run = context.begin()
    absent = context.absent(family)
    if absent is not None:
        return _row(1, family, run, (), context, absent)
    checks = await link(family, context)
    wrong = next((check for check in checks if check.outcome is Outcome.FAILED), None)
    fault = None if wrong is None or wrong.failure is None else Fault(wrong.failure)
    return _row(1, family, run, checks, context, fault)


async def _access(family: IpFamily, anchors: Sequence[Anchor], context: Context) -> Ladder:
    run = context.begin()
    fault = context.absent(family)
    checks: tuple[Check, ...] = ()
    if fault is None:
        checks = await access(family, [anchor for anchor in anchors if anchor.rung == 4] or builtin.ANCHORS, context)
        fault = judge(checks, quorum=1)
    return _row(2, family, run, checks, context, fault)


async def _anchors(rung: int, family: IpFamily, plan: Plan | None, context: Context) -> Ladder:
    """L3 and L4. Without any plan L4 asks the anchors that ship with the software, and L3 has none."""
    run = context.begin()
    fault = context.absent(family)
    checks: tuple[Check, ...] = ()
    asked = [
        anchor
        for anchor in (builtin.ANCHORS if plan is None else plan.anchors)
        if anchor.rung == rung and anchor.family == family
    ][:MAX_CHECKS]
    if fault is None and not asked:
        fault = Fault(Failure.PLAN_MISSING if plan is None else Failure.NOTHING_TO_ASK)
    if fault is None:
        checks = tuple(await asyncio.gather(*(ask_anchor(anchor, context) for anchor in asked)))
        fault = judge(checks, quorum=1 if plan is None else plan.ladder.quorum)
    return _row(rung, family, run, checks, context, fault)


def judge(checks: Sequence[Check], quorum: int) -> Fault | None:
    """None if enough of the checks that were made succeeded; a quorum is never more than there are."""
    made = [check for check in checks if check.outcome is not Outcome.NOT_RUN]
    if not made:
        reasons = [check.failure for check in checks if check.failure is not None]
        return Fault(reasons[0] if reasons else Failure.NOTHING_TO_ASK)
    n_ok = sum(check.outcome is Outcome.OK for check in made)
    if n_ok >= min(quorum, len(made)):
        return None
    failures = {check.failure for check in made if check.failure is not None}
    return Fault(failures.pop() if len(failures) == 1 and not n_ok else Failure.TOO_FEW_ANSWERS)


async def _services(plan: Plan | None, context: Context) -> Ladder:
    """L5: one target end to end, by the first family that gets there."""
    run = context.begin()
    if plan is None or plan.ladder.service is None:
        fault = Fault(Failure.PLAN_MISSING if plan is None else Failure.NOTHING_TO_ASK)
        return _row(5, 0, run, (), context, fault)
    target = next(target for target in plan.targets if target.id == plan.ladder.service)
    try:
        place_of(target.url)
    except ValueError as error:
        return _row(5, 0, run, (), context, Fault(Failure.NOTHING_TO_ASK, str(error)))
    course, end = await _end_to_end(target, context)
    return _row(5, 0, run, _service_checks(course, end), context, end)


async def _end_to_end(target: Target, context: Context) -> tuple[Course, Fault | None]:
    """Try the families the device has, one after the other, within the time of the rung.

    Of two that fail the first that could run is told.
    """
    tried: list[tuple[Course, Fault]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["ladder.service"])):
            for family in FAMILIES:
                if context.absent(family) is not None:
                    continue
                course = Course(target.url, most=SERVICE_BYTES)
                tried.append((course, Fault(Failure.GENERIC_TIMEOUT_ERROR)))
                fault = await follow(course, family, context)
                if fault is None:
                    return course, None
                tried[-1] = (course, fault)
    return next((attempt for attempt in tried if attempt[1].outcome is Outcome.FAILED), tried[0])


def _service_checks(course: Course, end: Fault | None) -> tuple[Check, ...]:
    """What the exchange says of name, connect, TLS and HTTP. Stages after the one that failed were not made."""
    times = {
        "name": course.resolve_ms,
        "connect": course.connect_ms,
        "tls": course.tls_ms,
        "http": course.first_byte_ms,
    }
    encrypted = course.url.startswith("https:")
    checks: list[Check] = []
    for name, stages in SERVICE_STAGES:
        if name == "tls" and not encrypted:
            continue
        if end is not None and course.stage in stages:
            checks.append(Check(id=name, outcome=end.outcome, failure=end.failure))
            break
        checks.append(Check(id=name, outcome=Outcome.OK, ms=times[name]))
    return tuple(checks)


def _row(
    rung: int, family: Family, run: Run, checks: tuple[Check, ...], context: Context, fault: Fault | None
) -> Ladder:
    made = [check for check in checks if check.outcome is not Outcome.NOT_RUN]
    fields: dict[str, object] = {
        "rung": rung,
        "n": len(made),
        "n_ok": sum(check.outcome is Outcome.OK for check in made),
        "checks": checks,
    }

    return context.row(Ladder, run, f"L{rung}", fields, family=family, fault=fault)
