"""DNS, TCP, TLS and ping against servers that misbehave."""

import asyncio
import errno
import hashlib
import ssl
from dataclasses import replace

import pytest

from civobs_agent.faults import fault_of
from civobs_agent.probes import dns, ping, tcp, tls
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import TlsStage
from civobs_wire.plan import Resolver, Target
from tests.agent.fix_net import free_port, plan_with


def measured(probe, url, context):
    return asyncio.run(probe.measure(Target(id="t", url=url), context))


def test_an_error_of_the_system_is_told_without_the_address_it_names():
    # What asyncio says of a connect that was answered with "protocol unreachable".
    fault = fault_of(OSError(errno.ENOPROTOOPT, "Connect call failed ('192.168.1.1', 53)"))
    assert (fault.failure, fault.note) == (Failure.UNKNOWN_FAILURE, "OSError: Protocol not available")


# DNS


@pytest.mark.parametrize(
    ("name", "failure", "rcode"),
    [
        ("site", None, "NOERROR"),
        ("late", None, "NOERROR"),
        ("nx", Failure.DNS_NXDOMAIN_ERROR, "NXDOMAIN"),
        ("servfail", Failure.DNS_SERVFAIL_ERROR, "SERVFAIL"),
        ("refused", Failure.DNS_REFUSED_ERROR, "REFUSED"),
        ("odd", Failure.DNS_SERVER_MISBEHAVING, "NOTIMP"),
        ("empty", Failure.DNS_NO_ANSWER, "NOERROR"),
        ("bogon", Failure.DNS_BOGON_ERROR, "NOERROR"),
        ("wrongid", Failure.DNS_WRONG_QUERY_ID, None),
        ("garbage", Failure.DNS_SERVER_MISBEHAVING, None),
        ("silent", Failure.GENERIC_TIMEOUT_ERROR, None),
    ],
)
def test_what_the_resolver_does_is_told_in_the_vocabulary(name, failure, rcode, context):
    row = measured(dns, f"https://{name}.test/", context)[0]
    assert (row.qtype, row.resolver, row.failure, row.rcode) == ("A", "resolver", failure, rcode)
    assert row.outcome is (Outcome.OK if failure is None else Outcome.FAILED)


def test_an_answer_that_was_cut_is_asked_again_over_tcp(context):
    row = measured(dns, "https://cut.test/", context)[0]
    assert (row.outcome, row.transport, row.answers) == (Outcome.OK, "tcp", ("127.0.0.1",))


def test_a_bogon_is_written_down_by_its_range_because_it_may_be_of_this_home(context):
    assert measured(dns, "https://bogon.test/", context)[0].answers == ("refused:private",)


def test_the_given_resolver_and_those_of_the_plan_are_asked_for_both_types(context, dns_port):
    second = replace(context, plan=plan_with(Resolver(id="other", address="::1", port=dns_port)))
    rows = measured(dns, "https://site.test/", second)
    assert [(row.resolver, row.qtype, row.family) for row in rows] == [
        ("resolver", "A", 4),
        ("resolver", "AAAA", 4),
        ("other", "A", 6),
        ("other", "AAAA", 6),
    ]


def test_a_resolver_of_the_plan_in_the_home_is_refused(context):
    row = measured(dns, "https://site.test/", replace(context, plan=plan_with(Resolver(id="x", address="10.0.0.1"))))[2]
    assert (row.outcome, row.failure, row.note) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, "private")


def test_a_resolver_that_is_not_there_refuses_the_connection(context):
    row = measured(dns, "https://site.test/", replace(context, resolver_port=free_port()))[0]
    assert row.failure is Failure.CONNECTION_REFUSED


def test_no_resolver_at_all_still_yields_a_row(context):
    rows = measured(dns, "https://site.test/", replace(context, host=replace(context.host, resolvers=())))
    assert [row.failure for row in rows] == [Failure.NOTHING_TO_ASK]


# TCP


def test_a_connect_is_timed(sites, context):
    rows = measured(tcp, f"http://site.test:{sites.http}/", context)
    assert [(row.family, row.outcome, row.address, row.port) for row in rows] == [
        (4, Outcome.OK, "127.0.0.1", sites.http),
        (6, Outcome.OK, "::1", sites.http),
    ]
    assert all(0 < row.duration_ms < 1000 for row in rows)


def test_a_closed_port_refuses(context):
    row = measured(tcp, f"http://site.test:{free_port()}/", context)[0]
    assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.CONNECTION_REFUSED)


def test_a_name_that_does_not_resolve_means_that_the_connect_was_not_run(context):
    row = measured(tcp, "http://nx.test/", context)[0]
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.NO_ADDRESS_RESOLVED)
    assert row.note == "dns_nxdomain_error"


def test_a_name_that_resolves_into_the_home_is_refused(context):
    row = measured(tcp, "http://bogon.test/", context)[0]
    assert (row.outcome, row.failure, row.note) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, "private")


def test_an_address_of_the_other_family_is_no_address(sites, context):
    rows = measured(tcp, f"http://[::1]:{sites.http}/", context)
    assert [row.failure for row in rows] == [Failure.NO_ADDRESS_RESOLVED, None]


# TLS


def test_a_handshake_says_what_was_agreed_and_whose_certificate_it_was(sites, context, certificates):
    row = measured(tls, f"https://site.test:{sites.https}/", context)[0]
    leaf = ssl.PEM_cert_to_DER_cert(_certificate(certificates.folder / "good.pem"))
    assert (row.outcome, row.stage, row.version, row.alpn) == (Outcome.OK, TlsStage.DONE, "TLSv1.3", "http/1.1")
    assert (row.sni, row.cert_sha256) == ("site.test", hashlib.sha256(leaf).hexdigest())
    assert min(row.connect_ms, row.handshake_ms) > 0


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("other", Failure.SSL_INVALID_HOSTNAME),
        ("expired", Failure.SSL_INVALID_CERTIFICATE),
        ("unknown", Failure.SSL_UNKNOWN_AUTHORITY),
    ],
)
def test_a_certificate_that_does_not_verify_is_told_with_its_digest(how, failure, sites, context, certificates):
    row = measured(tls, f"https://site.test:{sites.ports[how]}/", context)[0]
    leaf = ssl.PEM_cert_to_DER_cert(_certificate(certificates.folder / f"{how}.pem"))
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, TlsStage.VERIFY)
    assert row.cert_sha256 == hashlib.sha256(leaf).hexdigest()


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("reset", Failure.CONNECTION_RESET),
        ("stall", Failure.GENERIC_TIMEOUT_ERROR),
        ("close", Failure.EOF_ERROR),
        ("babble", Failure.SSL_FAILED_HANDSHAKE),
    ],
)
def test_a_broken_handshake_is_told_as_such(how, failure, sites, context):
    row = measured(tls, f"https://site.test:{sites.ports[how]}/", context)[0]
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, TlsStage.HANDSHAKE)
    assert row.connect_ms > 0


def test_a_closed_port_fails_at_the_connect(context):
    row = measured(tls, f"https://site.test:{free_port()}/", context)[0]
    assert (row.failure, row.stage) == (Failure.CONNECTION_REFUSED, TlsStage.CONNECT)


def _certificate(path):
    text = path.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


# Ping


def test_echoes_are_counted_and_timed_or_the_permission_is_missing(context):
    for row in measured(ping, "http://site.test/", context):
        if row.outcome is Outcome.OK:
            assert (row.sent, row.received) == (3, 3)
            assert 0 < row.rtt_min_ms <= row.rtt_avg_ms <= row.rtt_max_ms
        else:
            assert (row.failure, row.sent) == (Failure.NO_PERMISSION, 0)


def test_a_private_address_is_never_pinged(context):
    rows = measured(ping, "http://192.168.1.1/", replace(context, refusal=Refusal()))
    assert [row.failure for row in rows] == [Failure.TARGET_REFUSED] * 2
    assert context.meter.spent == 0
