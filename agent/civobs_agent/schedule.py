"""Runs what the plan says, when it says it, and gives every slot its row, also the slots that could not be used.

One loop looks at the clock, the plan and the pause a few times a minute and starts what is due; nothing here waits for
a network, a server or a correct clock. The ladder runs at its short interval while there is trouble.
"""

import asyncio
import contextlib
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from civobs_agent import apart
from civobs_agent.allowed import Household
from civobs_agent.blank import blank_row
from civobs_agent.budget import Cost
from civobs_agent.clock import Moment
from civobs_agent.faults import Fault
from civobs_agent.hindrance import hindrance, target_of
from civobs_agent.ladder import climb
from civobs_agent.missed import Recorded, missed_rows
from civobs_agent.net import Context, Net
from civobs_agent.path_on_change import PathOnChange
from civobs_agent.probes import KINDS, Kind, measure_of
from civobs_agent.ration import Ration
from civobs_agent.trouble import Trouble
from civobs_agent.turns import LADDER, Series, jitter_s, ladder_series, task_series
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Ladder
from civobs_wire.plan import LadderPlan, Plan

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""Longest sleep: a new plan or a step of the clock is seen after so long."""
POLL_FLOOR_S = 0.2
"""The same where a laboratory's time runs fast."""
SUSPENDED_S = 30.0
"""A loop that slept so much longer than it meant to was not running."""
STEPPED_S = 1.0
"""A wall clock that moved so much against the monotonic one was set."""
LIGHT_AT_ONCE = 4
"""Small questions that may run at the same time; of heavy ones there is one (measurement.md §0)."""

Sink = Callable[[Sequence[AnyMeasurement]], None]


@dataclass(order=True, slots=True)
class _Turn:
    """A series' next run."""

    due_ms: float
    """Monotonic time of this boot."""
    slot_at: datetime
    series: Series = field(compare=False)


class Schedule:
    """Feeds ``sink`` with rows until it is cancelled.

    ``plan`` gives the plan in force and is asked again at every look; ``seed`` is the probe's id, from which the
    offsets of its slots follow.
    """

    def __init__(  # noqa: PLR0913 - clock (in net), chance and sleep come from outside, so that time can be played
        self,
        net: Net,
        sink: Sink,
        *,
        seed: str,
        plan: Callable[[], Plan | None],
        household: Household | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._net = net
        self._sink = sink
        self._seed = seed
        self._plan_source = plan
        self._household = household or Household()
        self._ration = Ration(net.meter, self._household, net.time_scale)
        self.costs: dict[str, Cost] = {}
        """By kind."""
        self._poll_s = max(POLL_FLOOR_S, POLL_S / net.time_scale)
        self._rng = rng or random.SystemRandom()
        self._sleep = sleep
        self._plan: Plan | None = None
        self._trouble = Trouble(net.time_scale)
        self._path = PathOnChange(net.time_scale)
        self._turns: list[_Turn] = []
        self._climb_asked = False
        self._climbed: tuple[datetime, int] | None = None
        """Slot and monotonic time of the last climb that was begun."""
        self._running: dict[tuple[str, str], tuple[asyncio.Task[None], _Turn]] = {}
        self._light = asyncio.Semaphore(LIGHT_AT_ONCE)
        self._heavy = asyncio.Semaphore(1)
        self._apart = asyncio.Semaphore(1)
        """One program beside the agent: two would not fit into the unit's memory."""

    def climb_soon(self) -> None:
        """Something points to trouble, as a broker that is gone: look at the next look, not at the next slot.

        At most once in a trouble interval, on whose grid the slot lies, so that no slot is told twice.
        """
        self._climb_asked = True

    async def run(self) -> None:
        """Run slots until cancelled. Slots that are running then are told as ``shutting_down``."""
        last = self._net.clock.moment()
        self._plan = self._plan_source()
        self._line_up(last, pending=[], climb_now=True)
        try:
            while True:
                self._start_due(last)
                await self._sleep(self._pause_s(last))
                now = self._net.clock.moment()
                self._notice(last, now)
                self._climb_if_asked(now)
                last = now
        finally:
            await self._stop()

    def missed_slots(
        self,
        since: datetime,
        until: datetime | None = None,
        recorded: Recorded = lambda _kind, _target, _slot_at: False,
    ) -> Iterator[AnyMeasurement]:
        """Rows for the slots in which the agent was down, made one at a time.

        Slots for which ``recorded`` says that a row is kept are left out. To be asked when the clock is known.
        """
        now = self._net.clock.moment()
        end = now if until is None else self._moment_of(until, now)
        plan, scale = self._plan_source(), self._net.time_scale
        series = (ladder_series(plan, self._seed, scale), *task_series(plan, self._seed, scale))
        return missed_rows(series, since, end, lambda at: self._moment_of(at, now), recorded)

    @staticmethod
    def _moment_of(at: datetime, now: Moment) -> Moment:
        """An earlier time as a moment; what was before this boot has its start for monotonic time."""
        mono_ms = now.mono_ms - round((now.at - at).total_seconds() * 1000)
        return Moment(at, max(0, mono_ms), now.state, now.err_ms)

    def _notice(self, last: Moment, now: Moment) -> None:
        """See what has changed since the last look: the plan, the clock, or that there was no look for long."""
        elapsed_s = (now.mono_ms - last.mono_ms) / 1000
        step_s = (now.at - last.at).total_seconds() - elapsed_s
        plan, before = self._plan_source(), self._plan
        self._plan = plan
        stepped = abs(step_s) > STEPPED_S
        if elapsed_s > self._poll_s + SUSPENDED_S:
            logger.info("suspended for_s=%.0f clock_stepped by_s=%.1f", elapsed_s, step_s)
            # If the clock was set as well, what was lined up is void, and the gap is told in the time known now.
            begun = [] if stepped else [turn for turn in self._turns if turn.slot_at <= last.at]
            since = now.at - timedelta(seconds=elapsed_s)
            down = Fault(Failure.AGENT_DOWN)
            self._sink(
                [blank_row(turn.series, turn.slot_at, self._moment_of(turn.slot_at, now), down) for turn in begun]
            )
            self._sink(list(self.missed_slots(since, now.at)))
            self._line_up(now, pending=[], climb_now=True)
        elif stepped:
            logger.info("clock_stepped by_s=%.1f", step_s)
            # A slot that has begun keeps its run, unless it belongs to a time that was wrong by more than its interval.
            begun = [turn for turn in self._turns if turn.slot_at <= max(last.at, now.at)]
            kept = [turn for turn in begun if abs(step_s) <= turn.series.interval_s and turn.slot_at <= now.at]
            void = [turn for turn in begun if abs(step_s) > turn.series.interval_s and turn.slot_at <= last.at]
            fault = Fault(Failure.OVERRUN, "the clock was set")
            self._sink([blank_row(turn.series, turn.slot_at, now, fault) for turn in void])
            self._line_up(now, pending=kept, climb_now=False)
        elif _name(plan) != _name(before):
            begun = [turn for turn in self._turns if turn.slot_at <= now.at]
            # The plan came at some time since the last look, and from then on its slots count.
            self._line_up(now, pending=begun, climb_now=False, since=last.at)

    def _line_up(self, now: Moment, *, pending: list[_Turn], climb_now: bool, since: datetime | None = None) -> None:
        """Line up the next slot of each series, but keep a slot that has begun and whose series goes on.

        Of tasks also a slot counts that began after ``since``.
        """
        begun = {(turn.series.kind, turn.series.target): turn for turn in pending}
        tasks = task_series(self._plan, self._seed, self._net.time_scale)
        series = [(self._ladder(), now.at), *((one, since or now.at) for one in tasks)]
        self._turns = []
        for one, after in series:
            kept = begun.pop((one.kind, one.target), None)
            if kept is not None and kept.series.interval_s != one.interval_s and one.kind != LADDER:
                # It belongs to a grid that is no more: it is run now, and what follows it is of the new one.
                self._start(kept, now)
                kept = None
            self._turns.append(kept or self._turn(one, after, now))
        gone = Fault(Failure.NOTHING_TO_ASK, "the plan that asked for it is replaced")
        self._sink([blank_row(turn.series, turn.slot_at, now, gone) for turn in begun.values()])
        if climb_now:
            self._turns[0] = _Turn(now.mono_ms, self._turns[0].series.slot_of(now.at), self._turns[0].series)
        heapq.heapify(self._turns)

    def _turn(self, series: Series, after: datetime, now: Moment) -> _Turn:
        slot_at = series.slot_after(after)
        delay_s = (slot_at - now.at).total_seconds() + jitter_s(series.interval_s, self._rng)
        return _Turn(now.mono_ms + delay_s * 1000, slot_at, series)

    def _climb_if_asked(self, now: Moment) -> None:
        series = self._ladder(urgent=True)
        slot_at = series.slot_of(now.at)
        if not self._climb_asked:
            return
        if self._climbed is not None:
            last_slot_at, last_ms = self._climbed
            if slot_at <= last_slot_at or now.mono_ms - last_ms < series.interval_s * 1000:
                return
        self._climb_asked = False
        begun = [turn for turn in self._turns if turn.series.kind == LADDER and turn.slot_at <= now.at]
        for turn in begun:
            turn.due_ms = now.mono_ms
        heapq.heapify(self._turns)
        if not begun and (series.kind, series.target) not in self._running:
            self._start(_Turn(now.mono_ms, slot_at, series), now)

    def _ladder(self, *, urgent: bool = False) -> Series:
        calm = ladder_series(self._plan, self._seed, self._net.time_scale)
        if not (urgent or self._trouble.active):
            return calm
        ladder = LadderPlan() if self._plan is None else self._plan.ladder
        return calm.every(min(ladder.trouble_interval_s, ladder.interval_s) / self._net.time_scale)

    def _pause_s(self, now: Moment) -> float:
        return max(0.0, min(self._poll_s, (self._turns[0].due_ms - now.mono_ms) / 1000))

    def _start_due(self, now: Moment) -> None:
        while self._turns and self._turns[0].due_ms <= now.mono_ms:
            turn = heapq.heappop(self._turns)
            series = self._ladder() if turn.series.kind == LADDER else turn.series
            following = self._turn(series, max(turn.slot_at, series.slot_of(now.at)), now)
            self._tell_overrun(series, turn.slot_at, following.slot_at, now)
            heapq.heappush(self._turns, following)
            self._start(turn, now)

    def _tell_overrun(self, series: Series, done: datetime, following: datetime, now: Moment) -> None:
        """Slots that went by while the loop was busy."""
        skipped = series.slots(done, following - timedelta(microseconds=1))
        rows = [blank_row(series, slot_at, now, Fault(Failure.OVERRUN)) for slot_at in skipped]
        if rows:
            self._sink(rows)

    def _start(self, turn: _Turn, now: Moment) -> None:
        """Run a slot, or say at once why not."""
        if turn.series.kind == LADDER:
            self._climbed = (turn.slot_at, now.mono_ms)
        key = (turn.series.kind, turn.series.target)
        fault = Fault(Failure.OVERRUN) if key in self._running else None
        fault = fault or hindrance(turn.series, self._plan, self._household, now, self._ration)
        if fault is not None:
            self._sink([blank_row(turn.series, turn.slot_at, now, fault)])
            return
        task = asyncio.create_task(self._measure(turn), name=f"{turn.series.kind} {turn.series.target}")
        self._running[key] = (task, turn)
        task.add_done_callback(lambda _task: self._running.pop(key, None))

    async def _measure(self, turn: _Turn) -> None:
        """Run one slot and record what came of it; a bug in a probe costs its slot, not the agent."""
        rows: Sequence[AnyMeasurement]
        try:
            if turn.series.kind == LADDER:
                rows = await self._climb(turn)
            else:
                rows = await self._probe(turn)
        except Exception as error:
            logger.exception("probe_broke kind=%s target=%s", turn.series.kind, turn.series.target)
            # Not its words: nobody has looked at what they may say of the home. The device's own log has them.
            fault = Fault(Failure.UNKNOWN_FAILURE, type(error).__name__)
            rows = [blank_row(turn.series, turn.slot_at, self._net.clock.moment(), fault)]
        self._sink(rows)

    async def _probe(self, turn: _Turn) -> Sequence[AnyMeasurement]:
        """One run, when its turn has come among those that may not go on at the same time."""
        kind = KINDS[turn.series.kind]
        async with contextlib.AsyncExitStack() as order:
            for turn_taking in self._order(kind):
                await order.enter_async_context(turn_taking)
            # A heavy run may have waited for minutes: the household has paused since, or another plan has come.
            now, plan = self._net.clock.moment(), self._household.agreed(self._plan)
            fault = hindrance(turn.series, plan, self._household, now, self._ration)
            target = target_of(turn.series, plan)
            if fault is not None or target is None:
                fault = fault or Fault(Failure.NOTHING_TO_ASK)
                return [blank_row(turn.series, turn.slot_at, now, fault)]
            allowed = None if plan is None else self._ration.left(kind, plan, now.at)
            context = self._net.context(turn.slot_at, plan, allowed)
            with self._accounted(kind.id, context):
                if kind.apart:
                    return await apart.run(kind.id, target, context)
                return await measure_of(kind.id)(target, context)

    def _order(self, kind: Kind) -> Iterator[asyncio.Semaphore]:
        """What a run of this kind waits for.

        A program beside the agent takes seconds to start: it keeps no question of a few packets waiting.
        """
        if kind.heavy:
            yield self._heavy
        if kind.apart:
            yield self._apart
        elif not kind.heavy:
            yield self._light

    @contextlib.contextmanager
    def _accounted(self, kind: str, context: Context) -> Iterator[None]:
        """Note what a run costs, however it ends."""
        run = context.begin()
        try:
            yield
        finally:
            seconds = run.elapsed_ms() / 1000
            self.costs.setdefault(kind, Cost()).add(context.meter, seconds)
            if kind in KINDS:
                self._ration.took(KINDS[kind], seconds, self._net.clock.moment().mono_ms)

    async def _climb(self, turn: _Turn) -> Sequence[AnyMeasurement]:
        """One climb; what it finds sets the interval of the next."""
        context = self._net.context(turn.slot_at, self._plan)
        with self._accounted(LADDER, context):
            rows = await climb(self._plan, context)
        was_active = self._trouble.active
        self._net.climbed(rows)
        self._trouble.learn(rows)
        if self._trouble.active is not was_active:
            logger.info("trouble active=%s", self._trouble.active)
            now = self._net.clock.moment()
            kept = [one for one in self._turns if one.series.kind != LADDER or one.slot_at <= now.at]
            if all(one.series.kind != LADDER for one in kept):
                kept.append(self._turn(self._ladder(), turn.slot_at, now))
            self._turns = kept
            heapq.heapify(self._turns)
        self._trace_if_changed(turn, rows)
        return rows

    def _trace_if_changed(self, turn: _Turn, rows: Sequence[Ladder]) -> None:
        """A rung that went or came back is a run of ``path`` beside the plan's, hindered by whatever hinders those."""
        now = self._net.clock.moment()
        if self._path.due(rows, self._plan, now.mono_ms):
            self._start(_Turn(now.mono_ms, turn.slot_at, self._path.series(self._plan)), now)

    async def _stop(self) -> None:
        """End what is running, and say so."""
        running = list(self._running.values())
        for task, _ in running:
            task.cancel()
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)
        now = self._net.clock.moment()
        cut = [turn for task, turn in running if task.cancelled()]
        if cut:
            self._sink([blank_row(turn.series, turn.slot_at, now, Fault(Failure.SHUTTING_DOWN)) for turn in cut])


def _name(plan: Plan | None) -> tuple[str, int] | None:
    """What tells one plan from another."""
    return None if plan is None else (plan.plan_id, plan.serial)
