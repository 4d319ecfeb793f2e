"""Scoring: names, kinds and times of the truth, and what counts as found, right and off."""

import math

import pytest

from civobs_collector.errors import EvaluationError
from civobs_collector.evaluate.found import Between, Found, Piece
from civobs_collector.evaluate.lines import Tally
from civobs_collector.evaluate.score import score
from civobs_collector.evaluate.truth import TruthRow, read_truth

HOUR = 3600.0
SEEN = {"g": (0.0, 100 * HOUR), "as7": (0.0, 100 * HOUR), "7": (0.0, 100 * HOUR), "ke": (0.0, 100 * HOUR)}
SEEN |= {"x.org": (0.0, 100 * HOUR), "as8": (0.0, 100 * HOUR), "8": (0.0, 100 * HOUR)}


def about(hours, spread=1.0):
    return Between((hours - spread) * HOUR, (hours + spread) * HOUR, hours * HOUR)


def event(first, last, kind="outage", group="G", **more):
    alert = more.pop("alert", first + 1)
    end = about(last) if last is not None else None
    return Found(group=group, kind=kind, start=about(first), end=end, alert_at=alert * HOUR, **more)


def truth(first, last, kind="outage", name="g"):
    start = -math.inf if first is None else first * HOUR
    return TruthRow(name, kind, start, math.inf if last is None else last * HOUR)


def test_delay_and_errors_are_from_the_event_that_overlaps_most():
    made = score([event(10, 11), event(12.5, 20, alert=13)], [truth(10, 21)], SEEN)
    (row,) = made.rows
    assert row.found == (0, 1)
    assert (row.delay_s, row.start_error_s, row.end_error_s) == (1 * HOUR, 2.5 * HOUR, -1 * HOUR)
    assert (row.start_within, row.end_within) == (False, True)
    assert made.all.start_error_s.median == 2.5 * HOUR
    assert (made.all.precision, made.all.recall) == (1.0, 1.0)


def test_an_event_elsewhere_at_another_time_or_of_another_kind_is_false():
    found = [event(10, 11, group="H"), event(50, 60), event(10, 20, kind="blocking")]
    made = score(found, [truth(10, 20)], SEEN)
    assert made.all.recall == 0.0
    assert made.false_alarms == (0, 1, 2)
    assert made.n_unnamed == 1
    assert {one.kind: (one.n_truth, one.n_events) for one in made.kinds} == {"outage": (1, 2), "blocking": (0, 1)}


@pytest.mark.parametrize(
    ("kind", "told", "wrong"),
    [
        ("shutdown", ("outage", "shutdown_suspected"), ("power", "blocking")),
        ("power_cut", ("outage", "power"), ("shutdown_suspected",)),
        ("throttling", ("throttling_targeted", "throttling_general"), ("congestion", "blocking")),
        ("blocked", ("blocking",), ("outage",)),
        ("event", ("outage", "blocking"), ("congestion",)),
    ],
)
def test_kinds_are_told_by_their_like(kind, told, wrong):
    row = truth(0, 1, kind)
    assert all(row.told_by(Found(group="G", kind=one)) for one in told)
    assert not any(row.told_by(Found(group="G", kind=one)) for one in wrong)


def test_a_quiet_row_is_broken_by_what_certainly_overlaps_it_and_by_nothing_else():
    rows = [truth(20, 40, "quiet"), truth(None, None, "nothing")]
    touching = score([event(10, 20.5)], rows[:1], SEEN)
    assert (touching.n_quiet, touching.n_quiet_kept) == (1, 1)
    inside = score([event(25, 30)], rows, SEEN)
    assert (inside.n_quiet, inside.n_quiet_kept) == (2, 0)
    assert inside.all.recall is None
    held = score([event(25, 30, kind="blocking", held="site_failure")], rows, SEEN)
    assert held.n_quiet_kept == 2


def test_a_conclusion_is_scored_as_such_and_an_event_there_is_false():
    rows = [truth(None, None, "congestion"), truth(None, None, "site_failure", "x.org")]
    found = [Found(group="g", kind="congestion"), Found(group="x.org", kind="blocking", held="site_failure")]
    made = score(found, rows, SEEN)
    assert (made.all.recall, made.all.precision) == (1.0, 1.0)
    assert made.false_alarms == ()
    wrong = score([Found(group="g", kind="throttling_targeted", level="extreme")], rows[:1], SEEN)
    assert (wrong.all.recall, wrong.false_alarms) == (0.0, (0,))


def test_networks_and_targets_are_scored_by_their_own_times():
    pieces = (
        Piece(network="AS7", target="x.org", start=about(10), end=about(12), alert_at=11 * HOUR),
        Piece(network="AS8", target="x.org", start=about(30), end=about(32), alert_at=31 * HOUR),
    )
    one = event(10, 32, "blocking", "KE/x.org", cc="KE", networks=("AS7", "AS8"), targets=("x.org",), pieces=pieces)
    for name, start in (("AS8/x.org", 30), ("8", 30), ("as7", 10), ("KE/X.org", 10), ("x.org", 10), ("ke", 10)):
        (row,) = score([one], [truth(start, start + 2, "blocking", name)], SEEN).rows
        assert (row.found, row.delay_s, row.start_error_s) == ((0,), HOUR, 0.0), name
    (control,) = score([one], [truth(None, None, "quiet", "AS9")], SEEN | {"as9": (0.0, 9.0)}).rows
    assert control.found == ()
    early = score([one], [truth(0, 20, "quiet", "AS8/x.org")], SEEN)
    assert early.n_quiet_kept == 1


def test_what_the_files_do_not_tell_of_is_not_scored():
    made = score([], [truth(10, 20), truth(200, 210), truth(10, 20, name="other")], SEEN)
    assert (made.all.n_truth, made.n_unscoreable) == (1, 2)


def test_an_event_that_goes_on_has_no_end_error():
    (row,) = score([event(10, None)], [truth(10, None)], SEEN).rows
    assert (row.start_error_s, row.end_error_s) == (0.0, None)


def test_truth_may_have_open_times_other_headings_and_bad_rows(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text(
        "kind,test,end,start\nThrottling-Targeted,t1,,\nquiet,G,2026-01-02T00:00Z,2026-01-01T00:00Z\n"
        "outage,G,2026-01-01T00:00Z,2026-01-02T00:00Z\noutage,,,\n"
    )
    tally = Tally()
    first, second = read_truth(str(path), tally)
    assert (first.kind, first.name, first.start, first.end) == ("throttling_targeted", "t1", -math.inf, math.inf)
    assert second.quiet
    assert [(one.line, one.what) for one in tally.problems] == [
        (4, "end is before start"),
        (5, "group_or_target is empty"),
    ]
    path.write_text("kind,start,end\n")
    with pytest.raises(EvaluationError, match="no column group_or_target"):
        read_truth(str(path), tally)
