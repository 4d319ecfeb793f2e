"""What resolvers are told to be, against real ones on the loopback that sign, lie, strip and stay silent."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import dns.dnssec
import dns.name
import dns.rrset
import pytest

from civobs_agent.probes import resolver
from civobs_agent.probes.dns_examination import BuiltIn
from civobs_agent.probes.dns_trust import ROOT_ANCHORS
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import DnsNames, Resolver, Server, Target
from tests.agent.fix_net import LOOPBACK, plan_with
from tests.agent.fix_resolver import BOGUS, NEUTRAL, SIGNED, WHOAMI, Manners, Zones

NAMES = DnsNames(signed=SIGNED, bogus=BOGUS, whoami=WHOAMI)
ALL_WELL = {
    "udp",
    "tcp",
    "id.server",
    "version.bind",
    "whoami.A",
    "signed",
    "bogus.unchecked",
    "root_dnskey",
    "signatures",
}
PUBLISHED = (
    (
        "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMt"
        "NROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK"
        "6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU="
    ),
    (
        "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiSh"
        "vZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTv"
        "oB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc="
    ),
)
"""The root's keys of 2017 and 2024 as IANA publishes them; the table has their digests."""


def examined(context, resolvers, *planned, anchors=None, dns_port=None, **plan):
    """Rows of one run. The given resolver is the fixture's own."""
    built_in = BuiltIn(
        anchors=(resolvers.recursive.zones.anchor,) if anchors is None else anchors,
        dot_port=resolvers.dot,
        dns_port=dns_port or resolvers.silent,
    )
    plan = plan_with(*planned, dns_names=plan.pop("dns_names", NAMES), neutral_name=NEUTRAL, **plan)
    context = replace(context, plan=plan, resolver_port=resolvers.port)
    return asyncio.run(resolver.measure(Target(id="resolver", url=""), context, built_in))


def checks(row):
    return {check.id: check.failure for check in row.checks}


@pytest.mark.parametrize("family", [4, 6])
def test_a_resolver_in_order_shows_all_of_it(family, context, resolvers):
    context = replace(context, host=replace(context.host, resolvers=(LOOPBACK[family],)))
    (row,) = examined(context, resolvers)
    assert (row.resolver, row.family, row.outcome) == ("resolver", family, Outcome.OK)
    assert {name for name, failure in checks(row).items() if failure is None} == ALL_WELL
    assert checks(row)["bogus"] is Failure.DNS_SERVFAIL_ERROR
    assert (row.case_kept, row.nsid, row.server_id, row.version) == (True, "node-1", "res-1", "resolver 1.0")
    assert (row.egress, row.validates, row.root_signed, row.name_signed) == ("9.9.9.0/24", True, True, True)
    assert row.reply_ms > 0
    assert context.known.text("resolver", context.clock.moment().mono_ms) == "9.9.9.0/24"


def test_what_the_plan_does_not_name_is_not_asked(context, resolvers):
    (row,) = examined(context, resolvers, dns_names=DnsNames())
    assert set(checks(row)) == {"udp", "tcp", "id.server", "version.bind", "root_dnskey"}
    assert (row.egress, row.validates, row.root_signed, row.name_signed) == (None, None, True, None)


def test_where_bytes_run_short_the_given_resolver_is_examined_and_some_of_the_others(context, resolvers):
    others = [Resolver(id=f"r{n}", address="127.0.0.1", port=resolvers.port) for n in range(4)]
    rows = examined(replace(context, left=lambda: 30_000), resolvers, *others, dns_names=DnsNames())
    assert (rows[0].resolver, len(rows)) == ("resolver", 2)


def test_names_of_the_plan_that_are_none_are_no_reason_to_fail(context, resolvers):
    (row,) = examined(context, resolvers, dns_names=DnsNames(signed="a..b", bogus="a..b", whoami="a" * 64))
    assert (row.outcome, row.root_signed, row.name_signed, row.validates) == (Outcome.OK, True, None, None)


def test_a_resolver_that_believes_broken_signatures_is_told(context, resolvers):
    resolvers.recursive.manners = Manners(validates=False)
    (row,) = examined(context, resolvers)
    assert (row.validates, row.root_signed, row.name_signed) == (False, True, True)


def test_a_root_of_its_own_does_not_verify(context, resolvers):
    (row,) = examined(context, resolvers, anchors=ROOT_ANCHORS)
    assert (row.root_signed, row.name_signed) == (False, None)
    assert checks(row)["root_dnskey"] is Failure.UNEXPECTED_ANSWER


def test_a_forged_address_under_a_true_signature_is_found_out(context, resolvers):
    forged = Zones()
    forged.forge(SIGNED)
    resolvers.recursive.zones = forged
    (row,) = examined(context, resolvers)
    assert (row.root_signed, row.name_signed) == (True, False)


def test_signatures_that_have_ended_do_not_verify(context, resolvers):
    resolvers.recursive.zones = Zones(ends=timedelta(hours=-1))
    (row,) = examined(context, resolvers)
    assert (row.root_signed, row.name_signed) == (False, None)


def test_a_resolver_that_strips_signatures_leaves_the_question_open(context, resolvers):
    resolvers.recursive.manners = Manners(keeps_signatures=False)
    (row,) = examined(context, resolvers)
    assert (row.root_signed, row.name_signed, checks(row)["root_dnskey"]) == (None, None, Failure.DNS_NO_ANSWER)


def test_without_a_clock_signatures_are_not_judged(context, resolvers, tmp_path):
    unknown = type(context.clock)(tmp_path / "new", trust_system=False)
    (row,) = examined(replace(context, clock=unknown), resolvers)
    assert (row.validates, row.root_signed, row.name_signed) == (True, None, None)
    assert "root_dnskey" not in checks(row)


def test_a_resolver_that_fails_at_mixed_letters_is_asked_without(context, resolvers):
    resolvers.recursive.manners = Manners(mangles=True)
    (row,) = examined(context, resolvers)
    assert (row.outcome, row.case_kept) == (Outcome.OK, False)


def test_where_udp_is_dead_the_rest_goes_over_tcp(context, resolvers):
    (row,) = examined(context, replace(resolvers, port=resolvers.silent_udp))
    assert (checks(row)["udp"], checks(row)["tcp"]) == (Failure.GENERIC_TIMEOUT_ERROR, None)
    assert (row.outcome, row.validates, row.name_signed) == (Outcome.OK, True, True)


def test_a_dead_resolver_fails_but_its_encrypted_ways_are_tried(context, resolvers):
    planned = Resolver(id="r", address="::1", port=resolvers.silent, dot_name="site.test")
    row = examined(context, resolvers, planned)[1]
    assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.GENERIC_TIMEOUT_ERROR)
    assert checks(row) == {"udp": Failure.GENERIC_TIMEOUT_ERROR, "tcp": Failure.GENERIC_TIMEOUT_ERROR, "dot": None}


@pytest.mark.parametrize("family", [4, 6])
def test_encrypted_ways_are_verified(family, context, resolvers):
    def planned(name, **ways):
        return Resolver(id=name, address=LOOPBACK[family], port=resolvers.port, **ways)

    _, *rows = examined(
        context,
        resolvers,
        planned("right", dot_name="site.test", doh_url=f"https://site.test:{resolvers.http2}/dns-query"),
        planned("old", doh_url=f"https://site.test:{resolvers.http1}/dns-query{{?dns}}"),
        planned("other", dot_name="other.test", doh_url=f"https://other.test:{resolvers.http2}/dns-query"),
        planned("missing", doh_url=f"https://site.test:{resolvers.http2}/missing"),
        planned("garbage", doh_url=f"https://site.test:{resolvers.http1}/garbage"),
        planned("endless", doh_url=f"https://site.test:{resolvers.http1}/endless"),
        planned("no_http", doh_url=f"https://site.test:{resolvers.dot}/dns-query"),
        planned("no_tls", dot_name="site.test", doh_url=f"https://site.test:{resolvers.port}/dns-query"),
        dns_names=DnsNames(),
    )
    said = {row.resolver: (checks(row).get("dot"), checks(row).get("doh")) for row in rows}
    assert said == {
        "right": (None, None),
        "old": (None, None),
        "other": (Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_HOSTNAME),
        "missing": (None, Failure.HTTP_UNEXPECTED_STATUS_CODE),
        "garbage": (None, Failure.DNS_SERVER_MISBEHAVING),
        "endless": (None, Failure.DNS_SERVER_MISBEHAVING),
        "no_http": (None, said["no_http"][1]),
        "no_tls": (None, said["no_tls"][1]),
    }
    assert all(said[name][1] is not None for name in ("no_http", "no_tls"))


def test_the_household_s_own_address_is_never_told(context, resolvers):
    context.known.mapped[4] = "9.9.9.200"
    (row,) = examined(context, resolvers)
    assert row.egress == "home"


def test_what_a_resolver_at_home_calls_itself_stays_there(context, resolvers):
    at_home = Refusal(own=frozenset(LOOPBACK.values()))
    (row,) = examined(replace(context, refusal=at_home), resolvers)
    assert (row.nsid, row.server_id, row.version) == ("home", "home", "home")


def test_who_answers_where_no_resolver_is_stands_on_the_way(context, resolvers):
    server = Server(id="anchor", name="anchor.test", address="127.0.0.1", address6="::1")
    rows = examined(context, resolvers, servers=(server,), dns_port=resolvers.port)[1:]
    assert [(row.resolver, row.family, row.no_resolver_answered) for row in rows] == [
        ("anchor", 4, True),
        ("anchor", 6, True),
    ]
    assert context.known.flag("interception", context.clock.moment().mono_ms) is True


def test_silence_where_no_resolver_is_means_that_nobody_intercepts(context, resolvers):
    server = Server(id="anchor", name="anchor.test", address="127.0.0.1")
    row = examined(context, resolvers, servers=(server,))[1]
    assert (row.outcome, row.no_resolver_answered) == (Outcome.OK, False)
    assert context.known.flag("interception", context.clock.moment().mono_ms) is False


def test_silence_on_a_dead_line_means_nothing(context, resolvers):
    server = Server(id="anchor", name="anchor.test", address="127.0.0.1")
    row = examined(context, replace(resolvers, port=resolvers.silent), servers=(server,))[1]
    assert (row.failure, row.no_resolver_answered) == (Failure.GENERIC_TIMEOUT_ERROR, None)
    assert context.known.flag("interception", context.clock.moment().mono_ms) is None


def test_servers_and_resolvers_in_a_home_are_refused(context, resolvers):
    server = Server(id="anchor", name="anchor.test", address="192.168.1.1")
    planned = Resolver(id="x", address="10.0.0.1", dot_name="x.test", doh_url="https://x.test/")
    rows = examined(context, resolvers, planned, servers=(server,))[1:]
    assert [(row.resolver, row.failure, row.checks) for row in rows] == [
        ("x", Failure.TARGET_REFUSED, ()),
        ("anchor", Failure.TARGET_REFUSED, ()),
    ]


def test_nobody_to_ask_still_yields_a_row(context):
    bare = replace(context, host=replace(context.host, resolvers=()))
    (row,) = asyncio.run(resolver.measure(Target(id="resolver", url=""), bare))
    assert row.failure is Failure.NOTHING_TO_ASK


def test_the_anchors_built_in_are_the_digests_of_the_keys_that_iana_publishes():
    for anchor, published in zip(ROOT_ANCHORS, PUBLISHED, strict=True):
        key = dns.rrset.from_text(".", 1, "IN", "DNSKEY", f"257 3 8 {published}")[0]
        assert dns.dnssec.make_ds(dns.name.root, key, "SHA256").to_text() == anchor.lower()


def test_the_agent_itself_loads_no_cryptography_for_dns():
    code = "import sys, civobs_agent.probes.dns, civobs_agent.probes.addresses; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
