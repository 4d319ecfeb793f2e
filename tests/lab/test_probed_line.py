"""Time, IPv6 and NAT in a home of the lab: what their rows say when the way, or the other end, is at fault."""

import pytest

from civobs_lab.servers.misbehaviour import LIE_CLOCK_S
from civobs_wire.failure import Failure
from civobs_wire.measurement import FamilyState

pytestmark = pytest.mark.netns


def told(rows):
    return [(row.family, row.failure) for row in rows]


def test_time_that_is_blocked_is_told_by_how(probed):
    with probed.censored(method="drop", protocol="udp", ports=(123,)):
        dropped = probed.rows("ntp")["ntp"]
    with probed.censored(method="reject", protocol="udp", ports=(123,)):
        rejected = probed.rows("ntp")["ntp"]
    assert told(dropped) == [(4, Failure.GENERIC_TIMEOUT_ERROR), (6, Failure.GENERIC_TIMEOUT_ERROR)]
    assert told(rejected) == [(4, Failure.HOST_UNREACHABLE), (6, Failure.HOST_UNREACHABLE)]


def test_a_time_server_that_lies_is_hours_away(probed):
    probed.lab.switchboard.set("measure", "lie")
    try:
        rows = probed.rows("ntp")["ntp"]
    finally:
        probed.lab.switchboard.clear("measure", "lie")
    assert told(rows) == [(4, None), (6, None)]
    assert [row.offset_ms for row in rows] == pytest.approx([LIE_CLOCK_S * 1000] * 2, abs=1000)


def test_ipv6_that_is_dropped_is_broken_and_not_absent(probed):
    with probed.censored(method="drop", family=6):
        row = probed.rows("ipv6")["ipv6"][0]
    assert (row.state, row.failure, row.faster) == (FamilyState.BROKEN, Failure.GENERIC_TIMEOUT_ERROR, "4")


def test_a_stun_server_that_is_blocked_leaves_translation_unknown(probed):
    with probed.censored(method="drop", protocol="udp", ports=(3478, 3479)):
        rows = probed.rows("nat")["nat"]
    assert told(rows) == [(4, Failure.GENERIC_TIMEOUT_ERROR), (6, Failure.GENERIC_TIMEOUT_ERROR)]
    assert [(row.translated, row.mapping, row.carrier_nat) for row in rows] == [(None, None, None)] * 2
