"""The form ``target``: files of tries as people have them, through the detector of blocking."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from civobs_collector.detect.params import Params
from civobs_collector.evaluate import target
from civobs_collector.evaluate.forms import TargetRows, read
from civobs_collector.evaluate.lines import Tally
from civobs_collector.evaluate.names import Form
from tests.collector.test_evaluate import write

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HEADING = ("time", "network", "country", "target", "layer", "household", "ok", "failure")


def tries(blocked, *, hours=168, minutes=60, layers=("tls",), word="generic_timeout_error"):
    """Two countries of two networks of two households; ``blocked`` (network, layer, hour) says what fails."""
    for country, network in (("KE", "AS1"), ("KE", "Second ISP"), ("TZ", "AS3"), ("TZ", "AS4")):
        for household in range(2):
            for number in range(int(hours * 60 / minutes)):
                hour = number * minutes / 60
                at = (T0 + timedelta(hours=hour, minutes=7 * household)).isoformat()
                for layer in layers:
                    bad = blocked(network, layer, hour)
                    name = f"{network}-{household}"
                    yield at, network, country, "www.example.org", layer, name, int(not bad), word if bad else ""


def found(tmp_path, rows, bin_s=None):
    path = write(tmp_path / "a.csv", HEADING, rows)
    given = read(Form.TARGET, path, Tally(), bin_s)
    assert isinstance(given, TargetRows)
    return target.find(given, Params())


def at(one):
    """Hours after the start."""
    return (one - T0.timestamp()) / 3600


def test_a_network_without_a_number_is_told_by_its_name(tmp_path):
    (event,) = found(tmp_path, tries(lambda network, _, hour: network == "Second ISP" and 50 <= hour < 90))
    assert (event.group, event.kind, event.level) == ("Second ISP/www.example.org", "blocking", "network")
    assert (event.networks, event.asns, event.mechanisms) == (("Second ISP",), (), ("tls.timeout",))
    assert at(event.start.earliest) < 50 <= at(event.start.latest) < 50.2
    assert at(event.end.earliest) < 90 <= at(event.end.latest) < 90.2
    assert event.start.earliest <= event.start.likely <= event.start.latest
    assert (event.n_down, event.n_observed, event.confidence) == (2, 2, "probable")


def test_a_national_blocking_has_a_piece_for_every_network(tmp_path):
    (event,) = found(tmp_path, tries(lambda network, _, hour: network in {"AS1", "Second ISP"} and hour >= 50))
    assert (event.group, event.level, event.ongoing, event.end) == ("KE/www.example.org", "country", True, None)
    assert [(one.network, one.target) for one in event.pieces] == [
        ("AS1", "www.example.org"),
        ("Second ISP", "www.example.org"),
    ]


@pytest.mark.parametrize("minutes", [5, 20, 60, 360, 1440])
def test_rows_may_come_every_five_minutes_or_once_a_day(tmp_path, minutes):
    hours, begins = (24 * 40, 480) if minutes == 1440 else (24 * 10, 120)
    rows = tries(lambda network, _, hour: network == "AS1" and hour >= begins, hours=hours, minutes=minutes)
    (event,) = found(tmp_path, rows)
    assert at(event.start.latest) == pytest.approx(begins, abs=0.2)
    assert at(event.alert_at) - begins <= 3 * max(1, minutes / 60)


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = list(tries(lambda network, _, hour: network == "AS1" and hour % 24 < 5, layers=("tcp", "tls")))
    first = found(tmp_path, rows)
    random.Random(3).shuffle(rows)
    assert found(tmp_path, rows) == first


def test_windows_of_every_day_are_occurrences_of_one_campaign(tmp_path):
    events = found(tmp_path, tries(lambda network, _, hour: network == "AS1" and 6 <= hour % 24 < 10))
    assert [one.occurrence for one in events] == [1, 2, 3, 4, 5, 6, 7]
    assert len({one.campaign for one in events}) == 1


def test_a_page_that_was_read_says_that_the_handshake_worked(tmp_path):
    # Some tools write the rows of a lower layer only where it failed.
    rows = [
        row
        for row in tries(lambda network, layer, hour: network == "AS1" and 50 <= hour < 60, layers=("tls", "http"))
        if (row[4] == "tls") != bool(row[6])
    ]
    (event,) = found(tmp_path, rows)
    assert event.layers == ("tls",)
    assert at(event.end.latest) == pytest.approx(60, abs=0.2)


def test_a_target_that_failed_all_along_with_nobody_elsewhere_is_not_enough_to_tell(tmp_path):
    rows = [row for row in tries(lambda network, _, hour: True) if row[2] == "KE"]
    (only,) = found(tmp_path, rows)
    assert (only.kind, only.held, only.is_event, only.start) == ("insufficient", "no_comparison", False, None)
    assert "ongoing since before the file began" in only.why


def test_a_target_blocked_all_along_and_read_elsewhere_has_an_open_start(tmp_path):
    (event,) = found(tmp_path, tries(lambda network, _, hour: network in {"AS1", "Second ISP"}))
    assert (event.kind, event.start, event.ongoing) == ("blocking", None, True)
    assert "ongoing since before the file began" in event.why


def test_households_may_be_numbered_from_one_in_every_network(tmp_path):
    rows = [
        (*row[:5], row[5].rpartition("-")[2], *row[6:])
        for row in tries(lambda network, _, hour: network == "AS1" and 50 <= hour < 60)
    ]
    # Of three targets that are silent in one network its line is to blame, whoever else is called household 0.
    more = [(*row[:3], f"{name}.example.org", *row[4:]) for row in rows for name in "abc"]
    assert found(tmp_path, more) == []
    (event,) = found(tmp_path, rows)
    assert event.networks == ("AS1",)


def test_one_row_and_rows_at_one_moment_are_no_event(tmp_path):
    one = [(T0.isoformat(), "AS1", "KE", "www.example.org", "dns", "h", 0, "")]
    assert found(tmp_path, one) == []
    assert found(tmp_path, one * 50) == []
