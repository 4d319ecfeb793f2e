"""The ladder in a real home behind a real router, with things broken rung by rung."""

from datetime import UTC, datetime, timedelta

import pytest

from civobs_agent.rungs import RESOLVER
from civobs_agent.trouble import HOLD_CLIMBS, Trouble
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import Check, ClockState, Ladder, Validity
from civobs_wire.plan import Anchor, LadderPlan, Plan, Target
from tests.agent.fix_home import home

__all__ = ["home"]

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NETNS = pytest.mark.netns


def anchor(name, rung, address, method, port=0, family=4):
    return Anchor(id=name, rung=rung, address=address, family=family, method=method, port=port)


PLAN = Plan(
    plan_id="p",
    serial=1,
    cc="ZZ",
    issued_at=NOW,
    expires_at=NOW + timedelta(days=900),
    ladder=LadderPlan(service="page"),
    anchors=(
        anchor("near", 3, "203.0.113.1", "icmp"),
        anchor("near-dns", 3, "203.0.113.1", "dns", 53),
        anchor("far", 4, "198.51.100.1", "icmp"),
        anchor("far-dns", 4, "198.51.100.1", "dns", 53),
        anchor("far-tcp", 4, "198.51.100.1", "tcp", 80),
    ),
    targets=(Target(id="page", url="http://198.51.100.1/"),),
)


def verdict(rows):
    return {rung: rows[rung, 0 if rung in {0, 5} else 4]["outcome"] for rung in range(6)}


def checks(row):
    return {check["id"]: check["failure"] or "ok" for check in row["checks"]}


@NETNS
def test_a_working_line_answers_on_every_rung(home):
    rows = home.climb(PLAN)
    assert set(verdict(rows).values()) == {"ok"}
    assert checks(rows[1, 4]) == dict.fromkeys(("carrier", "address", "route", "gateway"), "ok")
    assert checks(rows[2, 4]) == {"hop": "ok", "resolver": "ok"}
    assert checks(rows[4, 4]) == {"far": "ok", "far-dns": "ok", "far-tcp": "ok"}
    assert checks(rows[5, 0]) == {"name": "ok", "connect": "ok", "http": "ok"}
    assert {rows[rung, 6]["failure"] for rung in (1, 2, 3, 4)} == {"family_absent"}
    assert "192.168.77" not in str(rows)


@NETNS
def test_a_cut_of_the_lines_abroad_leaves_the_country(home):
    home.ip("router", "route", "add", "blackhole", "198.51.100.0/24")
    rows = home.climb(PLAN)
    assert verdict(rows) == {0: "ok", 1: "ok", 2: "ok", 3: "ok", 4: "failed", 5: "failed"}
    assert rows[5, 0]["checks"][-1]["id"] == "connect"


@NETNS
def test_a_dead_line_leaves_the_home(home):
    home.ip("isp", "link", "set", "line", "down")
    rows = home.climb(PLAN)
    assert verdict(rows) == {0: "ok", 1: "ok", 2: "failed", 3: "failed", 4: "failed", 5: "failed"}


@NETNS
def test_a_dead_resolver_is_not_read_as_a_dead_network(home):
    (home.folder / "resolv.conf").write_text("nameserver 203.0.113.54\n")
    rows = home.climb(PLAN)
    assert verdict(rows) == dict.fromkeys(range(6), "ok")
    assert checks(rows[2, 4])["resolver"] != "ok"


@NETNS
def test_a_router_that_drops_pings_is_seen_by_arp(home):
    home.drop_pings()
    rows = home.climb(PLAN)
    assert checks(rows[1, 4])["gateway"] == "ok"


@NETNS
def test_a_pulled_cable_is_a_link_that_is_down(home):
    home.pull_cable()
    rows = home.climb(PLAN)
    assert (rows[1, 4]["outcome"], rows[1, 4]["failure"]) == ("failed", "link_down")
    assert rows[4, 4]["outcome"] == "failed"


@NETNS
def test_a_home_without_an_address_is_told_as_such(home):
    home.ip("home", "addr", "del", "192.168.77.2/24", "dev", "eth0")
    rows = home.climb(PLAN)
    assert (rows[1, 4]["failure"], rows[4, 4]["failure"]) == ("no_address", "network_unreachable")


@NETNS
def test_ipv6_has_rows_of_its_own(home):
    home.ip("home", "addr", "add", "2001:db8:1::2/64", "dev", "eth0", "nodad")
    home.ip("router", "addr", "add", "2001:db8:1::1/64", "dev", "lan", "nodad")
    home.ip("home", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    wide = PLAN.model_copy(update={"anchors": (*PLAN.anchors, anchor("far6", 4, "2001:db8:2::1", "icmp", family=6))})
    rows = home.climb(wide)
    assert (rows[1, 6]["outcome"], rows[4, 6]["outcome"], rows[3, 6]["failure"]) == ("ok", "failed", "nothing_to_ask")
    assert rows[4, 4]["outcome"] == "ok"


@NETNS
def test_an_anchor_in_the_home_is_refused_and_the_rung_says_so(home):
    rows = home.climb(PLAN.model_copy(update={"anchors": (anchor("trap", 4, "192.168.77.1", "icmp"),)}))
    assert (rows[4, 4]["outcome"], rows[4, 4]["failure"], rows[4, 4]["n"]) == ("not_run", "target_refused", 0)


@NETNS
def test_without_a_plan_the_built_in_anchors_are_asked(home):
    rows = home.climb(None)
    assert (rows[4, 4]["n"], rows[4, 4]["outcome"]) == (9, "failed")
    assert (rows[3, 4]["failure"], rows[5, 0]["failure"]) == ("plan_missing", "plan_missing")
    assert rows[2, 4]["outcome"] == "ok"


@NETNS
def test_without_permission_what_needs_none_is_still_asked(home):
    rows = home.climb(PLAN, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--")
    assert verdict(rows) == dict.fromkeys(range(6), "ok")
    assert checks(rows[4, 4]) == {"far": "no_permission", "far-dns": "ok", "far-tcp": "ok"}
    assert rows[4, 4]["n"] == 2


PLAIN = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--")


@NETNS
@pytest.mark.parametrize("wrapper", [(), PLAIN])
@pytest.mark.parametrize(
    ("address", "ttl", "told"),
    [
        ("198.51.100.1", 64, "ok"),
        ("198.51.100.1", 1, "ok"),
        ("198.51.100.77", 64, "host_unreachable"),
        ("198.51.100.77", 1, "ok"),
    ],
)
def test_an_echo_tells_the_same_with_and_without_privilege(address, ttl, told, wrapper, home):
    home.allow_plain_pings()
    home.ip("isp", "route", "add", "unreachable", "198.51.100.0/24")
    assert home.echo(address, ttl, *wrapper) == told


def row(rung, outcome, mono_ms=0, family=4):
    return Ladder(
        seq=1,
        target=f"L{rung}",
        slot_at=NOW,
        at=NOW,
        mono_ms=mono_ms,
        clock_err_ms=0,
        duration_ms=1.0,
        family=family,
        outcome=outcome,
        failure=None if outcome is Outcome.OK else Failure.TOO_FEW_ANSWERS,
        validity=Validity(clock=ClockState.SYNCED),
        rung=rung,
        n=1,
        n_ok=int(outcome is Outcome.OK),
    )


def test_trouble_begins_when_a_rung_stops_working_and_lasts_a_while_after():
    trouble = Trouble()
    trouble.learn([row(3, Outcome.OK), row(4, Outcome.OK)])
    assert not trouble.active
    trouble.learn([row(3, Outcome.FAILED, 1000), row(4, Outcome.OK, 1000)])
    assert trouble.active
    for climb in range(HOLD_CLIMBS):
        assert trouble.active, climb
        trouble.learn([row(3, Outcome.OK, 2000), row(4, Outcome.OK, 2000)])
    assert not trouble.active


def test_what_never_worked_is_no_trouble_as_long_as_something_abroad_answers():
    trouble = Trouble()
    trouble.learn([row(4, Outcome.OK), row(4, Outcome.FAILED, family=6), row(2, Outcome.FAILED)])
    assert not trouble.active


def test_an_agent_started_in_an_outage_is_in_trouble_at_once():
    trouble = Trouble()
    trouble.learn([row(4, Outcome.FAILED)])
    assert trouble.active


def test_a_resolver_that_falls_silent_is_trouble_though_the_next_hop_answers():
    def access(resolver, mono_ms):
        checks = (Check(id="hop", outcome=Outcome.OK), Check(id=RESOLVER, **resolver))
        return row(2, Outcome.OK, mono_ms).model_copy(update={"checks": checks, "n": 2})

    dead = {"outcome": Outcome.FAILED, "failure": Failure.GENERIC_TIMEOUT_ERROR}
    trouble = Trouble()
    trouble.learn([access(dead, 0)])
    assert not trouble.active
    trouble.learn([access({"outcome": Outcome.OK}, 1000)])
    trouble.learn([access(dead, 2000)])
    assert trouble.active


def test_what_has_not_worked_for_a_day_is_no_news():
    trouble = Trouble()
    trouble.learn([row(4, Outcome.OK), row(4, Outcome.OK, family=6)])
    for climb in range(HOLD_CLIMBS + 1):
        trouble.learn([row(4, Outcome.OK, 90_000_000 + climb), row(4, Outcome.FAILED, 90_000_000 + climb, family=6)])
    assert not trouble.active
