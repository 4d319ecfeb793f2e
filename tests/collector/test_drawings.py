"""Charts are drawn once for what they show, and anew when that changes."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import psycopg
import pytest

from civobs_collector.detect.record import Level, Scope, Status, Transition
from civobs_collector.publish.chart_spec import NARROW, WIDE, timeline_spec
from civobs_collector.publish.charts import Curve, CurvePoint, Lane, Segment, Timeline
from civobs_collector.web.ahead import MOST, Ahead
from civobs_collector.web.country_page import PERIODS, View, country_page, window
from civobs_collector.web.draw import Drawings, draw
from civobs_collector.web.places import local_clock
from tests.collector.fix_web import HOSTILE, ONSET, add_event, add_version, seed, shutdown_record

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def timeline(label="Kenya", state="d"):
    end = ONSET + 6 * HOUR
    lane = Lane(label, "3 households", (Segment(ONSET, end, state, label),))
    return Timeline(ONSET, end, (lane,), Curve(label, (CurvePoint(ONSET, 2),), 3, main_state="d", end=end))


def test_what_shows_the_same_is_drawn_once_for_each_width():
    drawings = Drawings()
    first = drawings.both(timeline(), "one")
    assert drawings.both(timeline(), "another") == str(first).replace(">one<", ">another<")
    assert len(drawings._kept) == 2
    drawings.both(timeline(state="g"), "one")
    assert len(drawings._kept) == 4


def test_readers_of_the_same_new_chart_wait_for_one_drawing():
    drawings = Drawings()
    spec = orjson.dumps(timeline_spec(timeline(), WIDE))
    with ThreadPoolExecutor(4) as readers:
        drawn = list(readers.map(drawings._drawn, [spec] * 4))
    assert {id(one) for one in drawn} == {id(drawn[0])}


def test_the_drawings_asked_for_longest_ago_are_forgotten():
    drawings = Drawings(most=3)
    for state in "udu":
        drawings.both(timeline(state=state), "")
    assert len(drawings._kept) == 3
    kept = list(drawings._kept)
    drawings.both(timeline(state="u"), "")
    assert list(drawings._kept)[-2:] == kept[-2:]


def test_what_could_not_be_drawn_is_tried_again():
    drawings = Drawings()
    for _ in range(2):
        with pytest.raises(ValueError, match="Vega"):
            drawings._drawn(b'{"mark": "nothing"}')
    assert not drawings._kept


def test_names_are_drawn_as_text():
    drawn = Drawings().both(timeline(HOSTILE), HOSTILE)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in drawn


@pytest.mark.parametrize("days", [5, 7, 30, 120, 365, 2000])
def test_no_date_stands_twice_on_an_axis(days):
    start = datetime(2026, 2, 27, 21, 7, 13, tzinfo=UTC)
    long = Timeline(start, start + timedelta(days=days), (Lane("Kenya", "1 household", ()),))
    for width in (WIDE, NARROW):
        *dates, _label = re.findall(r">([^<>]+)</text>", draw(orjson.dumps(timeline_spec(long, width))))
        assert len(dates) == len(set(dates)) >= 2


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: period.id)
def test_a_chart_reaches_to_the_end_of_the_step_that_runs(period):
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    for minute in range(0, 2 * 24 * 60, 5):
        at = midnight + MINUTE * minute
        shown = window(period, at)
        assert timedelta(0) < shown.edge - at <= period.moves
        assert timedelta(0) <= at - shown.end < HOUR
        assert shown.bins[0] == shown.start
        assert shown.bins[-1] < shown.end <= shown.bins[-1] + period.step <= shown.edge
        assert period.length - period.step < shown.end - shown.start <= period.length


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: period.id)
def test_a_minute_redraws_nothing_and_an_event_that_opens_or_closes_does(plain_dsn, period):
    drawings = Drawings()
    at = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
    place = Scope(level=Level.COUNTRY, cc="KE", asns=(33771,), asns_observed=(33771,), country="Kenya")
    onset = Transition(earliest=at - period.length / 4, latest=at - period.length / 4)

    def drawn(minutes):
        view = View(at + MINUTE * minutes, local_clock("KE"), drawings, "https://observatory.example")
        assert country_page(conn, "KE", period, view)
        return len(drawings._kept)

    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        seed(conn, at)
        assert [drawn(0), drawn(1), drawn(4)] == [2, 2, 2]
        opened = shutdown_record(event_key=uuid4(), status=Status.OPEN, resolution=None, scope=place, onset=onset)
        add_event(conn, "CIV-2026-KE-0009", [("new", "detected", opened)])
        assert [drawn(1), drawn(2)] == [4, 4]
        over = Transition(earliest=at - period.length / 8, latest=at - period.length / 8)
        closed = opened.model_copy(update={"status": Status.CLOSED, "resolution": over})
        add_version(conn, 2, "closed", "detected", closed)
        assert [drawn(3), drawn(4)] == [6, 6]


def test_what_was_asked_for_within_a_day_is_drawn_before_the_next_reader_comes(plain_dsn):
    drawings = Drawings()
    at = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)

    def render(cc, period, moment):
        return country_page(conn, cc, period, View(moment, local_clock(cc), drawings, "https://observatory.example"))

    with psycopg.connect(plain_dsn, autocommit=True) as conn:
        seed(conn, at)
        ahead = Ahead(render)
        ahead.asked("KE", PERIODS[0], at)
        for minutes in (5, 6, 9):
            ahead.draw(at + MINUTE * minutes)
            assert len(drawings._kept) == 2
        render("KE", PERIODS[0], at + MINUTE * 7)
        assert len(drawings._kept) == 2
        ahead.draw(at + MINUTE * 10)
        assert len(drawings._kept) == 4
        ahead.draw(at + timedelta(days=1, minutes=10))
        assert len(drawings._kept) == 4


def test_pages_drawn_ahead_are_bounded_and_wait_while_the_database_is_away(caplog):
    rendered = []

    def render(cc, period, at):
        rendered.append(cc)
        if len(rendered) == 3:
            raise psycopg.OperationalError("away")

    ahead = Ahead(render)
    for number in range(MOST + 5):
        ahead.asked(f"{number}", PERIODS[0], ONSET)
    ahead.draw(ONSET)
    assert rendered == ["5", "6", "7"]
    assert "cause=away" in caplog.text
    ahead.draw(ONSET)
    assert len(rendered) == 3 + MOST
