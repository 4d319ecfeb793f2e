"""The form ``counts``: from rows of a file to outages and campaigns."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Wanted, evaluate

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LOST = slice(30 * 24 + 6, 30 * 24 + 18)


def hourly(mean=60, days=42, seed=1):
    counts = np.random.default_rng(seed).poisson(mean, days * 24)
    counts[LOST] = 0
    return counts


def lines(counts, group="Bago", *, noughts=True):
    for hour, count in enumerate(counts):
        if count or noughts:
            yield f"{(T0 + timedelta(hours=hour)).isoformat()},{group},{count}"


def judged(tmp_path, *files):
    names = []
    for number, rows in enumerate(files):
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join(["time,group,count", *rows]) + "\n")
        names.append(str(path))
    return evaluate(Wanted(Form.COUNTS, names), Params()).events


def day(one):
    return datetime.fromtimestamp(one.likely, UTC)


def test_an_outage_has_its_times_and_the_sightings_behind_it(tmp_path):
    (one,) = judged(tmp_path, lines(hourly()))
    assert (one.kind, one.group, one.confidence, one.ongoing) == ("outage", "Bago", "probable", False)
    assert day(one.start) == T0 + timedelta(days=30, hours=6)
    assert day(one.end) == T0 + timedelta(days=30, hours=18)
    assert one.start.earliest <= one.start.likely <= one.start.latest
    assert one.start.likely < one.alert_at <= one.start.likely + 3 * 3600
    assert one.depth == pytest.approx(1)
    assert one.why == f"lost: 0 seen where about {dict(one.numbers)['expected']:.0f} are usual, in 12 bins"


def test_an_outage_that_begins_within_a_bin_is_dated_within_it(tmp_path):
    counts = hourly(mean=600)
    counts[LOST.start - 1] *= 0.5
    (one,) = judged(tmp_path, lines(counts))
    assert abs(one.start.likely - (T0 + timedelta(days=30, hours=5, minutes=30)).timestamp()) < 600


def test_a_file_that_leaves_its_noughts_out_is_read_as_if_it_had_them(tmp_path):
    counts = hourly(mean=7)
    (plain,) = judged(tmp_path, lines(counts))
    (bare,) = judged(tmp_path, lines(counts, noughts=False))
    assert bare == plain


def test_gaps_in_a_file_of_large_counts_are_no_outage(tmp_path):
    counts = np.random.default_rng(2).poisson(500, 42 * 24)
    counts[np.random.default_rng(3).random(len(counts)) < 0.1] = 0
    counts[700:720] = 0
    assert judged(tmp_path, lines(counts, noughts=False)) == []


def test_long_gaps_in_a_file_of_large_counts_are_told_and_not_sure(tmp_path):
    (one,) = judged(tmp_path, lines(hourly(mean=500), noughts=False))
    assert day(one.start) == T0 + timedelta(days=30, hours=6)
    assert day(one.end) == T0 + timedelta(days=30, hours=18)
    assert one.confidence == "unconfirmed"
    assert "the counter itself may have failed" in one.why


def test_a_group_without_rows_beside_one_with_rows_is_lost(tmp_path):
    calm = np.random.default_rng(6).poisson(500, 42 * 24)
    (one,) = judged(tmp_path, [*lines(hourly(mean=500), noughts=False), *lines(calm, "Mandalay")])
    assert (one.group, one.confidence) == ("Bago", "probable")


def test_sightings_one_by_one_are_counted(tmp_path):
    rng = np.random.default_rng(4)
    at = np.sort(rng.uniform(0, 42 * 86400, 42 * 24 * 12))
    at = at[(at < LOST.start * 3600) | (at >= LOST.stop * 3600)]
    rows = [f"{(T0 + timedelta(seconds=float(one))).isoformat()},Bago,1" for one in at]
    (one,) = judged(tmp_path, rows)
    assert abs(one.start.likely - T0.timestamp() - LOST.start * 3600) <= 1200
    assert abs(one.end.likely - T0.timestamp() - LOST.stop * 3600) <= 1200


def test_files_that_overlap_are_not_counted_twice(tmp_path):
    counts = hourly()
    rows = list(lines(counts))
    assert judged(tmp_path, rows[:600], rows[400:]) == judged(tmp_path, rows)


def test_parts_of_a_group_are_added_up(tmp_path):
    first, second = hourly(mean=30, seed=5), hourly(mean=30, seed=6)
    both = [*lines(first), *lines(second)]
    assert judged(tmp_path, both) == judged(tmp_path, lines(first + second))


def test_the_order_of_rows_decides_nothing(tmp_path):
    rows = [*lines(hourly()), *lines(hourly(seed=9), "Mandalay")]
    found = judged(tmp_path, rows)
    assert [one.group for one in found] == ["Bago", "Mandalay"]
    assert judged(tmp_path, sorted(rows, key=hash)) == found


def test_nights_are_one_campaign(tmp_path):
    counts = np.random.default_rng(7).poisson(30, 60 * 24)
    for night in range(30, 50):
        counts[night * 24 + 1 : night * 24 + 8] = 0
    found = judged(tmp_path, lines(counts))
    assert [one.occurrence for one in found] == list(range(1, 21))
    assert len({one.campaign for one in found}) == 1
    assert {one.n_occurrences for one in found} == {20}


def test_one_empty_bin_is_never_more_than_unconfirmed(tmp_path):
    counts = np.random.default_rng(1).poisson(600, 42 * 24)
    counts[800] = 0
    assert [one.confidence for one in judged(tmp_path, lines(counts))] == ["unconfirmed"]


def test_a_group_of_few_sightings_is_not_judged(tmp_path):
    rows = [*lines(hourly()), *lines(np.random.default_rng(8).poisson(0.05, 42 * 24), "few")]
    assert {one.group for one in judged(tmp_path, rows)} == {"Bago"}
