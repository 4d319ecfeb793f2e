"""One scenario in this process: the world is built, the timeline played, the record collected, everything taken down.

Zero of the timeline is the moment at which every probe has delivered its first rows. After the last fault the run
looks on until all rows are in and no event can still change, for a while at least and for the scenario's ``settle``
at most. What breaks down is told in one line, never raised: the run is then a miss of everything.
"""

import logging
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict

from civobs_collector import __version__
from civobs_collector.detect.params import TABLE
from civobs_lab import collect, faults, run_times, slots, timeline
from civobs_lab.lab import POLL_S, SWITCHBOARD, Lab, build
from civobs_lab.load import Meter
from civobs_lab.observatory import ObservatoryError
from civobs_lab.results import EventRun, LedgerRun, LoadRun, RunResult, TruthRun
from civobs_lab.scenario import Truth
from civobs_lab.scenario_file import Loaded
from civobs_lab.stalls import StallWatch
from civobs_lab.timeline import Done, Step

TIMELINE = "play the timeline"
"""The phase in which a scenario happens."""
STILL_S = 1800.0
"""Lab seconds without a change after which a run with a fault that never ends has nothing more to wait for: an event
that is over would have been closed by then (``rule.merge``)."""
LOOK_S = 2.0
"""Of the clock, between two looks at what has been published."""
_BROKE_MAX = 300

logger = logging.getLogger(__name__)


class Progress(BaseModel):
    """Where a run stands."""

    model_config = ConfigDict(frozen=True)

    phase: str
    elapsed_s: float
    """Of the clock, since the beginning."""
    lab_s: float | None = None
    """Of the lab, since zero of the timeline; None before."""
    broken: tuple[str, ...] = ()
    """What is broken now, in words."""
    events: int = 0
    """Published so far."""


Say = Callable[[Progress], None]


def play(
    loaded: Loaded, *, say: Say, logs: Path | None = None, look: Callable[[Lab, RunResult], None] | None = None
) -> RunResult:
    """Run it. ``logs`` is where to keep what all programs said; ``look`` is called while all of it still runs."""
    run = _Run(loaded, say)
    try:
        with ExitStack() as world:
            with run.phase("build the network and its servers"):
                lab = world.enter_context(build(loaded.topology, time_scale=loaded.scenario.time_scale))
            try:
                run.play(lab)
                if look is not None:
                    look(lab, run.result())
            finally:
                if logs is not None:
                    _keep_logs(lab, logs)
                run.begin_phase("take everything down")
    except Exception as error:
        logger.exception("the scenario broke down: scenario=%s", loaded.name)
        run.broke = one_line(error)
    return run.result()


def at_scale(loaded: Loaded, time_scale: float | None) -> Loaded:
    """The same at another speed; None changes nothing."""
    if time_scale is None:
        return loaded
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"time_scale": time_scale}))


def never_ran(loaded: Loaded, broke: str | None, *, started_at: datetime, seconds: float) -> RunResult:
    """The result of a run that gave none itself."""
    run = _Run(loaded, lambda _: None)
    run.broke = broke
    return run.result().model_copy(update={"started_at": started_at, "seconds": round(seconds, 1)})


def one_line(error: BaseException) -> str:
    """What an error says, in one line: its first and, of a long one, its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
    return text[:_BROKE_MAX]


def _keep_logs(lab: Lab, logs: Path) -> None:
    """Neither a result nor the reason of a breakdown is given up for logs that cannot be written."""
    try:
        lab.copy_logs(logs)
    except OSError:
        logger.exception("logs could not be kept: folder=%s", logs)


class _Run:
    """A run and what it has given so far."""

    def __init__(self, loaded: Loaded, say: Say) -> None:
        self.loaded = loaded
        self.broke: str | None = None
        self._say = say
        self._scenario = loaded.scenario
        self._scale = loaded.scenario.time_scale
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._phase = ""
        self._said = 0.0
        self._phases: dict[str, float] = {}
        self._zero: tuple[datetime, float] | None = None
        self._done: list[Done] = []
        self._broken: dict[tuple[int, str], str] = {}
        self._published = 0
        self._unchanged: tuple[object, float] = (None, 0.0)
        self._played_until: datetime | None = None
        self._events: tuple[EventRun, ...] = ()
        self._ledger: LedgerRun | None = None
        self._load: LoadRun | None = None
        self._stalls: StallWatch | None = None
        self._not_observable: tuple[str, ...] = ()

    def begin_phase(self, name: str) -> None:
        self._phase = name
        self._tell(None)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of the run, and say that it has begun."""
        self.begin_phase(name)
        began = time.monotonic()
        yield
        self._phases[name] = round(time.monotonic() - began, 1)

    def play(self, lab: Lab) -> None:
        """From the observatory's start to the account of every row."""
        with self.phase("start database, broker and collector"):
            lab.start_observatory(self._scenario.plan)
        steps = timeline.steps(self._scenario, self.loaded.topology)
        with self.phase("tell the censors what is to come"):
            faults.prepare(lab, self._scenario, steps)
        self._stalls = StallWatch(lab.folder / SWITCHBOARD)
        with self._stalls:
            self._watched(lab, steps)

    def _watched(self, lab: Lab, steps: Iterable[Step]) -> None:
        """All in which probes measure."""
        households = len(list(self.loaded.topology.households()))
        with self.phase(f"enrol {households} probes, until all have delivered"):
            lab.start_probes()
            limit_s = run_times.first_rows_s(self.loaded)
            if not self._wait(lab, lambda: _delivering(lab) >= households, limit_s):
                silent = households - _delivering(lab)
                raise ObservatoryError(f"{silent} of {households} probes did not deliver within {limit_s:.0f} s")
        self._zero = datetime.now(UTC), time.monotonic()
        with self.phase(TIMELINE):
            meter = Meter([probe.pid for probe in lab.probes])
            meter.start()
            self._timeline(lab, steps)
            self._load = meter.stop()
        with self.phase("wait until all rows are in and all events settled"):
            self._settle(lab)
        with self.phase("collect what was published, and compare every row"):
            self._collect(lab)

    def result(self) -> RunResult:
        """As far as it has come."""
        scenario, topology = self._scenario, self.loaded.topology
        return RunResult(
            scenario=self.loaded.name,
            title=scenario.title,
            resembles=scenario.resembles,
            version=_version(),
            detector_version=f"civobs {__version__}",
            time_scale=self._scale,
            bin_s=next(param.value for param in TABLE if param.id == "grid.bin"),
            intervals=scenario.plan.intervals,
            started_at=self._started_at,
            seconds=round(time.monotonic() - self._began, 1),
            zero=None if self._zero is None else self._zero[0],
            played_until=self._played_until,
            countries=tuple(sorted({household.network.cc for household in topology.households()})),
            not_observable=self._not_observable,
            truths=tuple(self._truth(truth) for truth in scenario.truth),
            events=self._events,
            ledger=self._ledger,
            load=self._load,
            stalls=() if self._stalls is None else self._stalls.seen(),
            phases=self._phases,
            broke=self.broke,
        )

    def _truth(self, truth: Truth) -> TruthRun:
        said = truth.model_dump(exclude={"faults", "start", "end"})
        place = " ".join([truth.cc, *(f"AS{asn}" for asn in truth.asns), *truth.admin1])
        said["name"] = truth.name or f"{truth.kind.replace('_', ' ')} {place}"
        zero = None if self._zero is None else self._zero[0]
        return TruthRun(
            **said,
            spans=timeline.spans(self._scenario, truth, self._done, zero=zero),
            backfill_from=timeline.backfill_from(self._scenario, truth, self._done),
        )

    def _timeline(self, lab: Lab, steps: Iterable[Step]) -> None:
        length_s = run_times.length_s(self.loaded)
        for step in steps:
            if step.at_s > length_s:
                break
            self._pass_until(lab, step.at_s)
            self._perform(lab, step)
        self._pass_until(lab, length_s)

    def _perform(self, lab: Lab, step: Step) -> None:
        """A fault lasts from when its doing begins until its mending is finished."""
        fault, key = self._scenario.fault[step.fault], (step.fault, step.item)
        began = datetime.now(UTC)
        faults.perform(lab, self._scenario, step)
        if step.verb == "begin":
            self._done.append(Done(step, began, until=datetime.now(UTC)))
            if step.item != timeline.HABIT:  # nothing is wrong yet
                self._broken[key] = f"{fault.kind.replace('_', ' ')} {step.item}"
        else:
            self._done.append(Done(step, datetime.now(UTC), since=began))
            self._broken.pop(key, None)
        self._tell(None)

    def _settle(self, lab: Lab) -> None:
        ended_s = self._lab_s()
        recorded = collect.recorded_rows(lab)
        quiet_s = run_times.QUIET_AFTER_S
        self._pass_until(lab, ended_s + quiet_s)
        left_s = (ended_s + max(self._scenario.settle, quiet_s) - self._lab_s()) / self._scale
        self._wait(lab, lambda: self._has_settled(lab, recorded), left_s, look_s=LOOK_S)

    def _has_settled(self, lab: Lab, recorded: dict[str, int]) -> bool:
        """Whether nothing more can come; also where something is still broken and nothing changes any more."""
        try:
            lost = collect.ledger(lab, recorded).lost
            last = [(event.public_id, event.versions[-1]) for event in collect.events(lab)]
        except psycopg.OperationalError:  # the scenario has killed the database
            return False
        if lost == 0 and all(v.status == "retracted" or (v.status == "closed" and not v.provisional) for _, v in last):
            return True
        seen = (lost, [(name, version.status, version.provisional) for name, version in last])
        if seen != self._unchanged[0]:
            self._unchanged = seen, time.monotonic()
        return bool(lab.broken) and (time.monotonic() - self._unchanged[1]) * self._scale > STILL_S

    def _collect(self, lab: Lab) -> None:
        """What was published first; then what is still broken is mended, so that every row can arrive."""
        if not _answers(lab):
            lab.mend()
        self._events = collect.events(lab)
        self._played_until = datetime.now(UTC)
        lab.mend()
        self._not_observable = collect.not_observable(lab)
        self._broken.clear()
        recorded = collect.recorded_rows(lab)
        self._wait(lab, lambda: collect.ledger(lab, recorded).lost == 0, run_times.DELIVER_S)
        found = slots.account(lab)
        told = {"slots": found.slots, "slots_missing": found.missing}
        self._ledger = collect.ledger(lab, recorded).model_copy(update=told)

    def _lab_s(self) -> float:
        assert self._zero is not None
        return (time.monotonic() - self._zero[1]) * self._scale

    def _pass_until(self, lab: Lab, lab_s: float) -> None:
        """Wait for a moment of the timeline, to the millisecond, and notice if something dies."""
        while (left_s := (lab_s - self._lab_s()) / self._scale) > 0:
            lab.check()
            self._tell(lab)
            time.sleep(min(left_s, POLL_S))

    def _wait(self, lab: Lab, condition: Callable[[], bool], limit_s: float, *, look_s: float = POLL_S) -> bool:
        """The same for something that is to happen; False if it does not within so many seconds of the clock."""
        looked = 0.0

        def watched() -> bool:
            nonlocal looked
            self._tell(lab)
            if time.monotonic() - looked < look_s:
                return False
            met = condition()
            looked = time.monotonic()
            return met

        return lab.wait_until(watched, limit_s)

    def _tell(self, lab: Lab | None) -> None:
        """Say where the run stands: at each change, and each second."""
        now = time.monotonic()
        if lab is not None and now - self._said < 1.0:
            return
        self._said = now
        if lab is not None and self._zero is not None:
            self._published = _published(lab, self._published)
        self._say(
            Progress(
                phase=self._phase,
                elapsed_s=now - self._began,
                lab_s=None if self._zero is None else self._lab_s(),
                broken=tuple(dict.fromkeys(self._broken.values())),
                events=self._published,
            )
        )


def _delivering(lab: Lab) -> int:
    """Probes of which a row has arrived."""
    found = lab.observatory.query(
        "SELECT count(*) AS n FROM probe p WHERE EXISTS (SELECT FROM measurement m WHERE m.probe_key = p.probe_key)"
    )
    return int(found[0]["n"])


def _published(lab: Lab, before: int) -> int:
    try:
        return int(lab.observatory.query("SELECT count(DISTINCT event_key) AS n FROM event_version")[0]["n"])
    except psycopg.OperationalError:
        return before


def _answers(lab: Lab) -> bool:
    try:
        lab.observatory.query("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@cache
def _version() -> str:
    """Of civobs, with the commit where the checkout tells it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} {said.stdout.strip()}"
