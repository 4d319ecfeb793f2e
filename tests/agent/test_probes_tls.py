"""TCP and TLS against real servers on the loopback, over both families."""

import asyncio
import ssl
import tracemalloc
from dataclasses import replace

import pytest

from civobs_agent.faults import MeasurementError
from civobs_agent.probes import tcp, tls
from civobs_agent.probes.chain import covers
from civobs_agent.probes.choice import chosen
from civobs_agent.probes.place import place_of
from civobs_agent.probes.stream import CHUNK, MAX_HANDSHAKE
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import TlsStage
from civobs_wire.plan import Resolver, Target
from tests.agent.fix_net import LOOPBACK, PRESENT, free_port, plan_with

FAMILIES = (4, 6)


def measured(probe, url, context):
    return asyncio.run(probe.measure(Target(id="t", url=url), context))


def shaken(sites, how, context, name="site.test"):
    """Rows of handshakes with one of the servers, by family and by whose name was sent."""
    rows = measured(tls, f"https://{name}:{sites.ports[how]}/", context)
    return {(row.family, row.named): row for row in rows}


# TCP


def test_a_connect_is_timed_and_says_who_gave_the_address(sites, context):
    rows = measured(tcp, f"http://site.test:{sites.http}/", context)
    assert [(row.family, row.outcome, row.address, row.port, row.resolvers) for row in rows] == [
        (4, Outcome.OK, "127.0.0.1", sites.http, ("resolver",)),
        (6, Outcome.OK, "::1", sites.http, ("resolver",)),
    ]
    assert all(0 < row.duration_ms < 1000 for row in rows)


def test_a_closed_port_refuses_without_any_icmp(context):
    for row in measured(tcp, f"http://site.test:{free_port()}/", context):
        assert (row.outcome, row.failure, row.icmp_type) == (Outcome.FAILED, Failure.CONNECTION_REFUSED, None)


def test_a_name_that_does_not_resolve_means_that_the_connect_was_not_run(context):
    row = measured(tcp, "http://nx.test/", context)[0]
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.NO_ADDRESS_RESOLVED)
    assert row.note == "dns_nxdomain_error"


def test_a_name_that_resolves_into_the_home_is_refused(context):
    row = measured(tcp, "http://bogon.test/", context)[0]
    assert (row.outcome, row.failure, row.note, row.address) == (
        Outcome.NOT_RUN,
        Failure.TARGET_REFUSED,
        "private",
        None,
    )


def test_an_address_of_the_other_family_is_no_address(sites, context):
    rows = measured(tcp, f"http://[::1]:{sites.http}/", context)
    assert [(row.family, row.failure, row.resolvers) for row in rows] == [
        (4, Failure.NO_ADDRESS_RESOLVED, ()),
        (6, None, ()),
    ]


def test_several_addresses_are_connected_to_and_each_resolver_s_first_is_among_them(context, dns_port):
    plan = plan_with(Resolver(id="other", address="::1", port=dns_port))
    given = asyncio.run(chosen(place_of("http://site.test/"), 4, 4, replace(context, plan=plan)))
    assert given == (("127.0.0.1", ("resolver", "other")),)
    with pytest.raises(MeasurementError):
        asyncio.run(chosen(place_of("http://[::1]/"), 4, 4, context))


# TLS: one handshake


@pytest.mark.parametrize("family", FAMILIES)
def test_a_handshake_says_what_was_agreed_and_whose_certificate_it_was(family, sites, context, certificates):
    row = shaken(sites, "good", context)[family, "target"]
    assert (row.outcome, row.stage, row.version, row.alpn) == (Outcome.OK, TlsStage.DONE, "TLSv1.3", "http/1.1")
    assert (row.sni, row.address, row.resolvers) == ("site.test", LOOPBACK[family], ("resolver",))
    assert row.cert_sha256 == row.chain[0].sha256 == certificates.digest("good")
    assert (row.root, row.root_sha256) == ("Test Authority", certificates.digest("authority"))
    assert (row.n_names, row.covers, row.answer, row.alert) == (3, True, "hello", None)
    assert min(row.connect_ms, row.handshake_ms) > 0
    assert 500 < row.received < 5_000


def test_the_chain_is_told_as_the_server_sent_it(sites, context):
    row = shaken(sites, "chained", context)[4, "target"]
    assert [(one.subject, one.issuer) for one in row.chain] == [
        ("site.test", "Test Intermediate"),
        ("Test Intermediate", "Test Authority"),
    ]
    assert row.chain[0].not_before < row.chain[0].not_after
    assert row.root == "Test Authority"


@pytest.mark.parametrize(
    ("how", "failure", "root", "subject"),
    [
        ("other", Failure.SSL_INVALID_HOSTNAME, "Test Authority", "other.test"),
        ("expired", Failure.SSL_INVALID_CERTIFICATE, None, "site.test"),
        ("unknown", Failure.SSL_UNKNOWN_AUTHORITY, None, "site.test"),
    ],
)
def test_a_certificate_that_does_not_verify_is_told_with_its_chain(how, failure, root, subject, sites, context):
    rows = shaken(sites, how, context)
    for row in (rows[4, "target"], rows[6, "target"]):
        assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, TlsStage.VERIFY)
        assert (row.root, row.covers) == (root, subject == "site.test")
        assert (row.chain[0].subject, row.chain[0].sha256) == (subject, row.cert_sha256)
        assert row.note


@pytest.mark.parametrize(
    ("how", "failure", "answer"),
    [
        ("reset", Failure.CONNECTION_RESET, None),
        ("stall", Failure.GENERIC_TIMEOUT_ERROR, None),
        ("close", Failure.EOF_ERROR, None),
        ("babble", Failure.SSL_FAILED_HANDSHAKE, "other"),
        ("half", Failure.GENERIC_TIMEOUT_ERROR, "hello"),
        ("reset-half", Failure.CONNECTION_RESET, "hello"),
        ("objecting", Failure.SSL_FAILED_HANDSHAKE, "alert"),
    ],
)
def test_a_broken_handshake_says_what_ended_it_and_what_had_come(how, failure, answer, sites, context):
    rows = shaken(sites, how, context)
    for row in (rows[4, "target"], rows[6, "target"]):
        assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, TlsStage.HANDSHAKE)
        assert (row.answer, row.received == 0) == (answer, answer is None)
        assert row.alert == ("unrecognized_name" if how == "objecting" else None)
        assert row.chain == ()
        assert row.connect_ms > 0


def test_a_closed_port_fails_at_the_connect_before_any_hello(context):
    for row in measured(tls, f"https://site.test:{free_port()}/", context):
        assert (row.failure, row.stage) == (Failure.CONNECTION_REFUSED, TlsStage.CONNECT)
        assert (row.received, row.answer, row.handshake_ms) == (None, None, None)


def test_an_address_in_a_stranger_s_certificate_does_not_leave_the_home(sites, context):
    row = shaken(sites, "router", context)[4, "target"]
    assert row.chain[0].subject == "router [ip]"
    assert "192.168" not in row.model_dump_json()


@pytest.mark.parametrize(
    ("reason", "opening", "alert"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", b"\x16\x03\x03\x00\x7a\x02\x00", "protocol_version"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", b"\x15\x03\x03\x00\x02\x02\x28", "handshake_failure"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", b"", "certificate_required"),
        (None, b"\x15\x03\x03\x00\x02\x02\x31", "access_denied"),
        (None, b"\x15\x03\x03\x00\x02\x02\x78", "alert_120"),
        (None, b"\x15\x03\x03", None),
        ("WRONG_VERSION_NUMBER", b"HTTP/1.", None),
        ("SSLV3_ROLLBACK_ATTACK", b"", None),
    ],
)
def test_an_alert_is_called_by_its_name_where_anybody_has_one(reason, opening, alert):
    error = ssl.SSLError()
    error.reason = reason
    assert tls.alert_of(error, opening) == alert


# TLS: which names at which addresses


def test_the_first_address_of_each_family_is_asked_with_three_names(sites, context):
    rows = shaken(sites, "good", context)
    assert {key: row.sni for key, row in rows.items()} == {
        (family, named): sni
        for family in FAMILIES
        for named, sni in (("target", "site.test"), ("neutral", "www.example.com"), ("none", "-"))
    }
    assert {row.outcome for row in rows.values()} == {Outcome.OK}
    assert {row.root for row in rows.values()} == {"Test Authority"}


@pytest.mark.parametrize("how", ["objecting", "cutting"])
def test_where_the_target_s_name_alone_is_objected_to_the_others_show_it(how, sites, context):
    rows = shaken(sites, how, context)
    for family in FAMILIES:
        outcomes = {named: rows[family, named].outcome for named in ("target", "neutral", "none")}
        assert outcomes == {"target": Outcome.FAILED, "neutral": Outcome.OK, "none": Outcome.OK}
    assert rows[4, "neutral"].covers is False


@pytest.mark.parametrize("named", ["neutral", "none"])
def test_without_the_target_s_name_any_certificate_is_an_answer(named, sites, context, certificates):
    row = shaken(sites, "unknown", context)[4, named]
    assert (row.outcome, row.stage, row.root, row.covers) == (Outcome.OK, TlsStage.VERIFY, None, True)
    assert row.cert_sha256 == certificates.digest("unknown")


def test_the_order_of_the_names_is_drawn_anew(sites, context):
    url = f"https://site.test:{sites.https}/"
    orders = {tuple(row.named for row in measured(tls, url, context) if row.family == 4) for _ in range(20)}
    assert len(orders) > 1
    assert len({order[0] for order in orders}) > 1


def test_an_address_as_target_is_verified_and_has_no_second_handshake_without_a_name(sites, context):
    rows = measured(tls, f"https://127.0.0.1:{sites.https}/", replace(context, host=replace(context.host)))
    told = {(row.family, row.named): row for row in rows}
    assert set(told) == {(4, "target"), (4, "neutral"), (6, "target")}
    assert (told[4, "target"].sni, told[4, "target"].outcome, told[4, "target"].covers) == ("-", Outcome.OK, True)
    assert told[6, "target"].failure is Failure.NO_ADDRESS_RESOLVED


@pytest.mark.parametrize(("left", "names"), [(20_000, {"target"}), (33_000, {"target", "neutral"})])
def test_a_short_budget_leaves_names_out_before_it_leaves_the_target_out(left, names, sites, context):
    rows = shaken(sites, "good", replace(context, left=lambda: left))
    assert {named for _, named in rows} == names


def test_an_empty_budget_makes_no_handshake(sites, context):
    rows = measured(tls, f"https://site.test:{sites.https}/", replace(context, left=lambda: 5_000))
    assert [(row.outcome, row.failure) for row in rows] == [(Outcome.NOT_RUN, Failure.BUDGET_EXHAUSTED)] * 2
    assert context.meter.spent == 0


def test_a_family_that_is_absent_is_told_and_costs_nothing(sites, no_ipv6):
    rows = shaken(sites, "good", no_ipv6)
    assert rows[6, "target"].failure is Failure.FAMILY_ABSENT
    assert no_ipv6.host.v4 == PRESENT


# TLS: certificates that are too much


def test_a_certificate_with_a_thousand_names_is_counted(sites, context):
    row = shaken(sites, "crowded", context)[4, "target"]
    assert (row.outcome, row.n_names, row.covers) == (Outcome.OK, 1_003, True)


@pytest.mark.parametrize(
    ("how", "reason"), [("overfull", "HANDSHAKE_TOO_LONG"), ("overcrowded", "EXCESSIVE_MESSAGE_SIZE")]
)
def test_a_certificate_with_thousands_of_names_ends_the_handshake_within_bounded_memory(how, reason, sites, context):
    tracemalloc.start()
    try:
        rows = shaken(sites, how, context)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for row in rows.values():
        assert (row.outcome, row.failure, row.note) == (Outcome.FAILED, Failure.SSL_FAILED_HANDSHAKE, reason)
        assert row.received <= MAX_HANDSHAKE + CHUNK
    # Two at a time, and the server in the same program.
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        ([("DNS", "site.test")], "SITE.test.", True),
        ([("DNS", "*.test")], "site.test", True),
        ([("DNS", "*.test")], "deep.site.test", False),
        ([("DNS", "*.")], "localhost", False),
        ([("DNS", "s*.test")], "site.test", False),
        ([("DNS", "127.0.0.1")], "127.0.0.1", False),
        ([("IP Address", "<invalid>"), ("IP Address", "0:0:0:0:0:0:0:1")], "::1", True),
        ([], "site.test", False),
    ],
)
def test_a_name_is_compared_as_rfc_9525_has_it(names, host, covered):
    assert covers(names, host) is covered
