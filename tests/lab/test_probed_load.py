"""Throughput and responsiveness say what a line was made to carry, and how long what it carries has to wait."""

import pytest

from civobs_wire.failure import Outcome

pytestmark = pytest.mark.netns

RATE_BPS = 8_000_000
DIRECTIONS = ["download", "upload"]


def by_direction(rows):
    assert {row.outcome for row in rows} == {Outcome.OK}, rows
    assert [row.direction for row in rows] == DIRECTIONS
    return {row.direction: row for row in rows}


def test_a_shaped_line_has_the_throughput_it_was_shaped_to(probed):
    free = by_direction(probed.rows("throughput")["throughput"])
    with probed.censored(method="shape", rate_kbit=RATE_BPS // 1000):
        narrow = by_direction(probed.rows("throughput")["throughput"])
    for direction in DIRECTIONS:
        assert narrow[direction].goodput_bps == pytest.approx(RATE_BPS, rel=0.25)
        assert free[direction].goodput_bps > 5 * RATE_BPS
    # The sender of an upload is here, and sees the queue in front of the shaper.
    assert narrow["upload"].rtt_ms > 10 * narrow["upload"].rtt_min_ms


def test_a_queue_that_fills_costs_round_trips(probed):
    with probed.censored(method="shape", rate_kbit=RATE_BPS // 1000):
        rows = by_direction(probed.rows("responsiveness")["responsiveness"])
    for row in rows.values():
        assert row.n_foreign > 10
        assert row.loaded_ms > 10 * row.idle_ms
        # The shaper has a queue for each connection: who comes on a new one waits for the machine alone.
        assert row.rpm_loaded < 60_000 / row.idle_ms / 3
        assert row.rpm == pytest.approx((row.rpm_foreign + row.rpm_loaded) / 2)
