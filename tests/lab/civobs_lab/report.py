"""The demonstration's result, as a table for people and as JSON for programs."""

from datetime import datetime
from typing import Any

from rich.table import Table

from civobs_lab import rules
from civobs_lab.matching import Event, events_of
from civobs_lab.results import Interval, RunResult
from civobs_lab.scores import OccurrenceScore, ScenarioScore, TimeScore

CONTROL_CC = "XB"
"""The country that nothing happens to."""


class Report:
    """One run of the demonstration's scenario, which has one truth that happens once."""

    def __init__(self, result: RunResult, score: ScenarioScore) -> None:
        self.result = result
        self.score = score
        self._cut = result.truths[0]
        self._occurrence: OccurrenceScore = score.truths[0].occurrences[0]
        standing = [event for event in events_of(result) if not event.retracted]
        self._event = next((event for event in standing if event.name == self._occurrence.event), None)
        self._others = [e for e in standing if e.last.cc == self._cut.cc and e is not self._event]
        self._control = [e for e in standing if e.last.cc == CONTROL_CC]

    def wrong(self) -> list[str]:
        """What did not come true, in words."""
        misses = [*self.score.misses, *(miss for truth in self.score.truths for miss in truth.misses)]
        return [miss.why for miss in misses]

    def table(self) -> Table:
        """What was done, what was published, how far apart they are."""
        made = Table(title="What was done, and what was published", title_justify="left")
        for name in ("", "done", "published", "difference", "bar"):
            made.add_column(name, overflow="fold")
        cut, found, event = self._cut, self._occurrence, self._event
        made.add_row("country", cut.cc, "-" if event is None else event.last.cc, "", cut.cc)
        if event is not None:
            said = f"{event.last.kind.replace('_', ' ')}, {event.last.depth}, {event.last.level}, {event.name}"
            made.add_row("what", "shutdown of all providers", said, "", "")
        alert = rules.bars(self.result, cut)[rules.alert_rule(cut.kind)]
        alerted = "-" if event is None else _clock(event.first.published_at)
        made.add_row("alert", _clock(found.start), alerted, _seconds(found.delay_s), f"≤ {alert.s:.0f} s")
        for name, truth, bounds, error in (
            ("start", found.start, None if event is None else event.last.onset, found.start_after),
            ("end", found.end, None if event is None else event.last.resolution, found.end_after),
        ):
            bar = f"± {rules.edge_bar_s(self.result, rules.edge_rule(name, cut.kind)):g} s"
            made.add_row(name, _clock(truth), _bounds(bounds), _seconds(error.error_s if error else None), bar)
        made.add_row(f"events for {CONTROL_CC}", "nothing", str(len(self._control)), "", "0")
        if (ledger := self.result.ledger) is not None:
            made.add_row("measurements", f"{ledger.recorded} recorded", f"{ledger.stored} stored", "", "")
            made.add_row("lost", "", str(ledger.lost), "", "0")
            made.add_row("doubled", "", str(ledger.doubled), "", "0")
        scale = self.result.time_scale
        made.caption = f"Differences in lab time, {scale:g} times as fast as the clock; times are UTC."
        if alert.s > alert.life_s:
            more = f"{alert.s - alert.life_s:.0f} s"
            made.caption += (
                f" In life the alert's bar is {alert.life_s:.0f} s: MQTT's shortest pauses cost {more} here."
            )
        return made

    def document(self) -> dict[str, Any]:
        """The same as JSON. Plain seconds are the clock's, ``_scaled`` are the lab's."""
        found, ledger = self._occurrence, self.result.ledger
        return {
            "right": not self.wrong(),
            "wrong": self.wrong(),
            "stood_still": self.score.stood_still,
            **({} if ledger is None else ledger.model_dump()),
            "event": None if self._event is None else _event(self._event),
            "other_events": [_event(each) for each in self._others],
            "control_events": [_event(each) for each in self._control],
            **self._both("delay_s", found.delay_s),
            **self._both("start_error_s", _error_s(found.start_after)),
            **self._both("end_error_s", _error_s(found.end_after)),
            "truth": {"start": _iso(found.start), "end": _iso(found.end)},
            "scale": self.result.time_scale,
            "seconds_total": self.result.seconds,
            "phases": self.result.phases,
        }

    def _both(self, name: str, lab_s: float | None) -> dict[str, float | None]:
        if lab_s is None:
            return {name: None, f"{name}_scaled": None}
        return {name: round(lab_s / self.result.time_scale, 2), f"{name}_scaled": round(lab_s, 1)}


def _event(event: Event) -> dict[str, Any]:
    last = event.last
    return {
        "public_id": event.run.public_id,
        "kind": last.kind,
        "cc": last.cc,
        "level": last.level,
        "depth": last.depth,
        "status": last.status,
        "provisional": last.provisional,
        "versions": len(event.run.versions),
        "onset": last.onset.model_dump(mode="json"),
        "resolution": None if last.resolution is None else last.resolution.model_dump(mode="json"),
        "households": {"down": last.households_down, "of": last.households},
    }


def _error_s(time: TimeScore | None) -> float | None:
    return None if time is None else time.error_s


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _clock(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%H:%M:%S}.{at.microsecond // 100_000}"


def _bounds(bounds: Interval | None) -> str:
    return "-" if bounds is None else f"{_clock(bounds.earliest)} to {_clock(bounds.latest)}"


def _seconds(lab_s: float | None) -> str:
    return "-" if lab_s is None else f"{lab_s:+.0f} s"
