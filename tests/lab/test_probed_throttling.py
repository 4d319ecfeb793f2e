"""Pairs of transfers behind a censor that slows a name, and on a line that is slow for all."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

import pytest

from civobs_agent.probes import throttling
from civobs_agent.probes.transfer import Source, fetch
from civobs_wire.failure import Failure, Outcome
from tests.lab.fix_probed import BAD

pytestmark = [pytest.mark.netns, pytest.mark.labs]

SLOWED, OTHER = "www.bad.example", "www.good.example"
NAMES = {"names": ["bad.example"]}
SLOW = {"rate_kbit": 130, "burst_kbyte": 16}
UNTHROTTLED = {"alike", "pairs"}
"""Without a line that is slower than the machine, transfers of a millisecond scatter widely."""
PAIR = 2 * throttling.cost(throttling.LEAST_BYTES)


def measured(probed, pairs, scale=1.0):
    """The rows of a run whose budget is used up after so many of the smallest pairs, by arm within transport."""
    plan = probed.plan(BAD)

    async def run():
        given = probed.net().context(datetime.now(UTC), plan)
        left = pairs * PAIR + 5_000
        began = given.meter.spent
        budget = replace(given, time_scale=scale, left=lambda: max(0, left - (given.meter.spent - began)))
        return await throttling.measure(plan.targets[0], budget)

    rows = probed.inside(lambda: asyncio.run(run()))
    print(*((r.transport, r.arm, r.failure, r.goodput_bps, r.lost_packets, r.rtt_receiver_ms, r.ended) for r in rows))
    return rows


def goodput(rows, transport, arm):
    return median(row.goodput_bps for row in rows if row.transport == transport and row.arm == arm)


def stopped(rows, transport):
    return [row.stopped for row in rows if row.transport == transport][-1]


def test_a_name_that_nobody_slows_is_never_told_apart(probed):
    rows = measured(probed, 40)
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert {stopped(rows, "tcp"), stopped(rows, "quic")} <= UNTHROTTLED
    assert {row.address for row in rows} <= {probed.address("measure"), probed.address("measure", 6)}


def test_a_policed_name_gets_its_rate_and_a_neutral_one_all_there_is(probed):
    with probed.censored(method="police", layers=["tls", "quic"], **NAMES, **SLOW):
        rows = measured(probed, 2)
    tcp = goodput(rows, "tcp", "target")
    assert 90_000 < tcp < 200_000
    assert goodput(rows, "tcp", "neutral") > 10 * tcp
    assert stopped(rows, "tcp") == "budget"
    assert all(row.lost_packets > 0 for row in rows if row.transport == "tcp" and row.arm == "target")


def test_a_policed_name_is_slow_over_quic_too(probed):
    source = Source("measure", "measure.example", probed.address("measure"), 443, 4)

    async def run(name):
        context = replace(probed.net().context(datetime.now(UTC), probed.plan(BAD)), time_scale=1.0)
        return await fetch("quic", source, name, throttling.LEAST_BYTES, context)

    with probed.censored(method="police", layers=["quic"], **NAMES, **SLOW):
        slowed, free = (probed.inside(lambda name=name: asyncio.run(run(name))) for name in (SLOWED, OTHER))
    assert 30_000 < slowed.goodput_bps < 200_000
    assert free.goodput_bps > 10 * slowed.goodput_bps
    assert slowed.lost_packets > free.lost_packets + 10


def test_a_shaped_name_waits_in_a_queue_and_loses_little(probed):
    with probed.censored(method="shape", layers=["tls"], rate_kbit=500, burst_kbyte=4, **NAMES):
        rows = measured(probed, 2)
    slowed = [row for row in rows if row.transport == "tcp" and row.arm == "target"]
    free = [row for row in rows if row.transport == "tcp" and row.arm == "neutral"]
    assert 350_000 < goodput(rows, "tcp", "target") < 650_000
    assert goodput(rows, "tcp", "neutral") > 10 * goodput(rows, "tcp", "target")
    assert min(row.rtt_receiver_ms for row in slowed) > 10 * max(row.rtt_receiver_ms for row in free)


def test_a_line_that_is_slow_for_all_makes_both_arms_alike(probed):
    with probed.censored(method="shape", rate_kbit=1000, burst_kbyte=8):
        rows = measured(probed, 20)
    assert stopped(rows, "tcp") == "alike"
    for arm in ("target", "neutral"):
        assert 600_000 < goodput(rows, "tcp", arm) < 1_200_000


def test_a_name_that_is_cut_off_is_compared_three_times_and_no_more(probed):
    with probed.censored(method="reset", layers=["tls"], **NAMES):
        rows = measured(probed, 20)
    slowed = [row for row in rows if row.transport == "tcp" and row.arm == "target"]
    assert [row.failure for row in slowed] == [Failure.CONNECTION_RESET] * 3
    assert stopped(rows, "tcp") == "apart"
    assert stopped(rows, "quic") in UNTHROTTLED
