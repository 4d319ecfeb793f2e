"""The demonstration's result, as a table for people and as JSON for programs."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from civobs_collector.detect.record import Transition
from civobs_lab.published import Published, error_s

if TYPE_CHECKING:
    from civobs_lab.demo import Outcome

CUT_CC, CONTROL_CC = "XA", "XB"
"""The country that is cut off, and the one that nothing happens to."""
BIN_S = 300.0
"""Lab seconds of one bin of the detector (``detect/params.py``, grid.bin)."""
EDGE_S = 60.0
"""architecture.md §6: start within a minute once the stored records have arrived."""


def table(outcome: "Outcome") -> Table:
    """What was done, what was published, how far apart they are."""
    made = Table(title="What was done, and what was published", title_justify="left")
    for name in ("", "done", "published", "difference", "bar"):
        made.add_column(name, overflow="fold")
    event = outcome.event
    record = None if event is None else event.record
    made.add_row("country", CUT_CC, "-" if record is None else record.scope.cc, "", CUT_CC)
    if record is not None and event is not None:
        kind = record.kind.replace("_", " ")
        published_as = f"{kind}, {record.depth}, {record.scope.level}, {event.first.public_id}"
        made.add_row("what", "shutdown of all providers", published_as, "", "")
    made.add_row(
        "alert",
        _clock(outcome.truth_start),
        _clock(None if event is None else event.first.published_at),
        _seconds(delay_s(outcome), outcome.scale),
        f"≤ {2 * BIN_S:g} s",
    )
    for name, truth, bounds in (
        ("start", outcome.truth_start, None if record is None else record.onset),
        ("end", outcome.truth_end, None if record is None else record.resolution),
    ):
        error = None if truth is None else error_s(bounds, truth)
        made.add_row(name, _clock(truth), _bounds(bounds), _seconds(error, outcome.scale), f"± {EDGE_S:g} s")
    made.add_row(f"events for {CONTROL_CC}", "nothing", str(len(outcome.control_events)), "", "0")
    ledger = outcome.ledger
    if ledger is not None:
        made.add_row("measurements", f"{ledger.recorded} recorded", f"{ledger.stored} stored", "", "")
        made.add_row("lost", "", str(ledger.lost), "", "0")
        made.add_row("doubled", "", str(ledger.doubled), "", "0")
    made.caption = f"Differences in lab time, {outcome.scale:g} times as fast as the clock; times are UTC."
    return made


def document(outcome: "Outcome", seconds_total: float) -> dict[str, Any]:
    """The same as JSON. Plain seconds are the clock's, ``_scaled`` are the lab's."""
    event = outcome.event
    record = None if event is None else event.record
    start = None if record is None or outcome.truth_start is None else error_s(record.onset, outcome.truth_start)
    end = None if record is None or outcome.truth_end is None else error_s(record.resolution, outcome.truth_end)
    return {
        "right": outcome.right,
        "wrong": outcome.wrong(),
        **({} if outcome.ledger is None else asdict(outcome.ledger)),
        "event": None if event is None else _event(event),
        "other_events": [_event(each) for each in outcome.others],
        "control_events": [_event(each) for each in outcome.control_events],
        **_both("delay_s", delay_s(outcome), outcome.scale),
        **_both("start_error_s", start, outcome.scale),
        **_both("end_error_s", end, outcome.scale),
        "truth": {"start": _iso(outcome.truth_start), "end": _iso(outcome.truth_end)},
        "scale": outcome.scale,
        "seconds_total": round(seconds_total, 1),
        "phases": outcome.phases,
    }


def delay_s(outcome: "Outcome") -> float | None:
    """From the cut to the first version, in seconds of the clock."""
    if outcome.event is None or outcome.truth_start is None:
        return None
    return (outcome.event.first.published_at - outcome.truth_start).total_seconds()


def _event(event: Published) -> dict[str, Any]:
    record = event.record
    return {
        "public_id": event.last.public_id,
        "kind": record.kind.value,
        "cc": record.scope.cc,
        "level": record.scope.level.value,
        "depth": record.depth.value,
        "status": record.status.value,
        "provisional": record.provisional,
        "versions": len(event.versions),
        "onset": record.onset.model_dump(mode="json"),
        "per_signal": [signal.model_dump(mode="json") for signal in record.per_signal],
        "resolution": None if record.resolution is None else record.resolution.model_dump(mode="json"),
        "households": {"down": record.affected.n_down, "of": record.affected.n_households},
    }


def _both(name: str, seconds: float | None, scale: float) -> dict[str, float | None]:
    if seconds is None:
        return {name: None, f"{name}_scaled": None}
    return {name: round(seconds, 2), f"{name}_scaled": round(seconds * scale, 1)}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _clock(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%H:%M:%S}.{at.microsecond // 100_000}"


def _bounds(bounds: Transition | None) -> str:
    return "-" if bounds is None else f"{_clock(bounds.earliest)} to {_clock(bounds.latest)}"


def _seconds(seconds: float | None, scale: float) -> str:
    return "-" if seconds is None else f"{seconds * scale:+.0f} s"
