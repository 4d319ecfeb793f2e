"""A captive portal, headers rewritten on the way, and the way itself, as the rows of a home in the lab tell them."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from civobs_agent.probes import portal
from civobs_lab import faults
from civobs_lab.scenario import Scenario
from civobs_lab.timeline import steps
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target

pytestmark = pytest.mark.netns

TIMEOUT = Failure.GENERIC_TIMEOUT_ERROR
SITE4, SITE6 = "198.18.4.2", "2001:db8:4::2"


@contextmanager
def captive(probed):
    """Nobody has logged in at the portal yet."""
    fault = {"kind": "captive_portal", "scope": probed.homes[0], "start": "10m", "end": "20m"}
    made = Scenario.model_validate({"title": "A portal", "resembles": "nothing", "fault": [fault]})
    begin, mend = steps(made, probed.topology)
    faults.perform(probed.lab, made, begin)
    try:
        yield
    finally:
        faults.perform(probed.lab, made, mend)


def test_in_peace_the_page_is_the_known_one_and_nothing_is_altered(probed):
    rows = probed.rows("portal", "echo")
    assert [(row.family, row.as_expected, row.redirected_to) for row in rows["portal"]] == [
        (4, True, None),
        (6, True, None),
    ]
    assert [(row.family, row.outcome, row.altered) for row in rows["echo"]] == [
        (4, Outcome.OK, ()),
        (6, Outcome.OK, ()),
    ]


def test_a_captive_portal_is_told_and_what_it_swallows_is_no_portal(probed):
    with captive(probed):
        rows = probed.rows("portal", "echo")
    four, six = rows["portal"]
    assert (four.outcome, four.status, four.as_expected) == (Outcome.OK, 302, False)
    assert four.redirected_to == "login.arland.example"
    assert (six.failure, six.as_expected) == (TIMEOUT, None)
    # A login page in place of an echo is no alteration of it.
    four, six = rows["echo"]
    assert (four.failure, four.altered, four.proxy) == (Failure.HTTP_UNEXPECTED_STATUS_CODE, (), None)
    assert (six.failure, six.altered) == (TIMEOUT, ())


def test_what_a_portal_finds_is_the_validity_of_later_rows(probed):
    async def twice():
        plan, net = probed.plan(), probed.net()
        return [
            (await portal.measure(Target(id="portal", url=""), net.context(datetime.now(UTC), plan)))[0]
            for _ in range(2)
        ]

    with captive(probed):
        first, second = probed.inside(lambda: asyncio.run(twice()))
    assert (first.validity.portal, second.validity.portal) == (None, True)


def test_headers_rewritten_on_the_way_are_told_in_the_direction_they_went(probed):
    with probed.censored(method="rewrite"):
        rows = probed.rows("echo")["echo"]
    for row in rows:
        assert row.outcome is Outcome.OK
        plain = row.tries[0]
        assert (plain.id, plain.request_altered, plain.response_altered) == ("plain", True, False)
        assert {one.where for one in row.altered} >= {"request plain"}
        changed = {one.what: (one.sent, one.got) for one in row.altered if one.where == "request plain"}
        assert changed["Accept"] == ("Accept", "aCCEPT")
        assert changed["User-Agent"][1] == "X" + changed["User-Agent"][0][1:]


def paths(probed):
    rows = probed.rows("path", url="https://www.good.example/")["path"]
    return {(row.family, row.method): row for row in rows}


def test_the_way_to_a_site_leads_from_the_home_over_the_provider_abroad(probed):
    rows = paths(probed)
    assert {(4, "icmp"), (6, "icmp")} <= set(rows)
    for (family, _), row in rows.items():
        assert (row.outcome, row.reached) == (Outcome.OK, True)
        assert row.hops[0].address == ("refused:private" if family == 4 else "refused:home_network")
        assert (row.hops[-1].address, row.first_public_ttl) == ({4: SITE4, 6: SITE6}[family], 2)
        assert len(row.hops) == rows[family, "icmp"].last_answer_ttl


def test_a_censor_that_swallows_tcp_leaves_the_way_of_echoes_whole(probed):
    with probed.censored(method="drop", protocol="tcp", ports=(443,)):
        rows = paths(probed)
    assert rows[4, "icmp"].reached is True
    for (_, method), row in rows.items():
        assert row.reached is (method != "tcp")
    for family in (4, 6):
        if (family, "tcp") in rows:
            assert rows[family, "tcp"].last_answer_ttl < rows[family, "icmp"].last_answer_ttl
    with probed.censored(method="reject", addresses=(SITE4,)):
        row = paths(probed)[4, "icmp"]
    assert (row.outcome, row.reached, row.hops[-1].answer) == (Outcome.FAILED, False, "prohibited")
