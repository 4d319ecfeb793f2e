"""What one run of a probe says of a target, layer by layer."""

import pytest

from civobs_collector.detect.target_addresses import Known
from civobs_collector.detect.target_runs import Page, Run, commonest, words
from civobs_wire.failure import Failure

TRUE, FALSE = "198.51.100.7", "203.0.113.66"
KNOWN = Known(verified=frozenset({TRUE}), lies=frozenset({FALSE}))
UNPROVEN = Known(verified=frozenset({TRUE}))
TIMEOUT, RESET, WRONG_NAME = Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET, Failure.SSL_INVALID_HOSTNAME


def row(failure, address=TRUE, **more):
    return {"failure": failure, "address": address, **more}


def shake(failure, stage, named="target", address=TRUE):
    return row(failure, address, stage=stage, named=named)


def said(kind, n_ok, *failed, known=KNOWN, page=Page.USUAL):
    found = words(Run(kind, n_ok, failed=failed), known, page)
    return {one.layer: one.how if one.bad else "ok" for one in found}


@pytest.mark.parametrize(
    ("kind", "n_ok", "failed", "wanted"),
    [
        ("tcp", 1, (), {"tcp": "ok"}),
        ("tcp", 0, (row(TIMEOUT),), {"tcp": "tcp.timeout"}),
        ("tcp", 0, (row(Failure.NETWORK_UNREACHABLE),), {"tcp": "ip.unreachable"}),
        ("tcp", 0, (row(Failure.CONNECTION_REFUSED),), {"tcp": "tcp.reset"}),
        ("tcp", 1, (row(TIMEOUT, FALSE),), {"dns": "dns.injection", "tcp": "ok"}),
        ("tcp", 2, (row(TIMEOUT),), {"tcp": "ok"}),
        ("tls", 3, (), {"tls": "ok", "tcp": "ok"}),
        ("tls", 2, (shake(RESET, "handshake"),), {"tls": "tls.reset.sni", "tcp": "ok"}),
        ("tls", 2, (shake(TIMEOUT, "handshake"),), {"tls": "tls.timeout.sni", "tcp": "ok"}),
        ("tls", 2, (shake(WRONG_NAME, "verify"),), {"tls": "tls.mitm.sni", "tcp": "ok"}),
        ("tls", 2, (shake(WRONG_NAME, "verify", address=FALSE),), {"dns": "dns.injection"}),
        (
            "tls",
            1,
            (shake(RESET, "handshake", "neutral"), shake(RESET, "handshake", "none")),
            {"tls": "ok", "tcp": "ok"},
        ),
        (
            "tls",
            0,
            tuple(shake(RESET, "handshake", named) for named in ("target", "neutral", "none")),
            {"tls": "tls.reset", "tcp": "ok"},
        ),
        (
            "tls",
            0,
            tuple(shake(TIMEOUT, "connect", named) for named in ("target", "neutral", "none")),
            {"tcp": "tcp.timeout"},
        ),
        ("reach", 1, (), {"dns": "ok", "tcp": "ok", "tls": "ok", "http": "ok"}),
        ("reach", 0, (row(Failure.DNS_NXDOMAIN_ERROR, stage="resolve"),), {"dns": "dns.nxdomain"}),
        ("reach", 0, (row(Failure.NO_ADDRESS_RESOLVED, stage="resolve"),), {}),
        ("http", 0, (row(TIMEOUT, FALSE, stage="connect"),), {"dns": "dns.injection"}),
        ("http", 0, (row(RESET, stage="tls"),), {"tls": "tls.reset", "tcp": "ok", "dns": "ok"}),
        ("http", 0, (row(RESET, stage="headers"),), {"http": "http.reset", "tcp": "ok"}),
        ("quic", 2, (), {"quic": "ok"}),
        ("quic", 1, (shake(TIMEOUT, "handshake"),), {"quic": "quic.timeout.sni"}),
        (
            "quic",
            0,
            (shake(TIMEOUT, "handshake"), shake(TIMEOUT, "handshake", "neutral")),
            {"quic": "quic.timeout"},
        ),
        ("quic", 0, (shake(TIMEOUT, "handshake") | {"tcp_failure": TIMEOUT},), {}),
        (
            "dns",
            8,
            (row(TIMEOUT, None, resolver="resolver", transport="udp", qtype="A"),),
            {"dns": "dns.timeout"},
        ),
        ("dns", 8, (row(TIMEOUT, None, resolver="quad9", transport="udp", qtype="A"),), {}),
        ("dns", 8, (row(Failure.DNS_NO_ANSWER, None, resolver="resolver", transport="udp", qtype="AAAA"),), {}),
    ],
)
def test_a_run_says_where_and_how_it_failed(kind, n_ok, failed, wanted):
    assert said(kind, n_ok, *failed) == wanted


@pytest.mark.parametrize(
    ("page", "wanted"), [(Page.BLOCK, "http.blockpage"), (Page.LIKELY_BLOCK, "http.replaced"), (Page.USUAL, "ok")]
)
def test_an_exchange_that_went_well_may_have_brought_somebody_elses_page(page, wanted):
    assert said("http", 1, page=page)["http"] == wanted


def test_of_a_page_that_was_not_kept_nothing_is_said():
    assert "http" not in said("http", 1, page=Page.UNKNOWN)
    assert "http" not in said("reach", 1, known=Known(open=frozenset({TRUE})))


@pytest.mark.parametrize(
    ("kind", "n_ok", "failed", "wanted"),
    [
        ("tcp", 0, row(TIMEOUT, FALSE), {"tcp": "tcp.timeout"}),
        ("http", 0, row(TIMEOUT, FALSE, stage="connect"), {"tcp": "tcp.timeout"}),
        ("tls", 1, shake(TIMEOUT, "connect", address=FALSE), {"tcp": "tcp.timeout"}),
        ("tls", 2, shake(RESET, "handshake", address=FALSE), {"tls": "tls.reset.sni", "tcp": "ok"}),
        ("tls", 2, shake(WRONG_NAME, "verify", address=FALSE), {"dns": "dns.injection"}),
        ("reach", 0, row(WRONG_NAME, FALSE, stage="tls"), {"dns": "dns.injection"}),
    ],
)
def test_at_an_address_that_may_be_the_targets_own_only_anothers_certificate_shows_a_lie(kind, n_ok, failed, wanted):
    assert said(kind, n_ok, failed, known=UNPROVEN) == wanted


def test_an_address_is_no_lie_where_nobody_has_met_the_target_anywhere():
    assert said("tcp", 0, row(TIMEOUT, FALSE), known=Known()) == {"tcp": "tcp.timeout"}


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ((), ()),
        ((("tls.reset", 5), ("tls.reset.sni", 3)), ("tls.reset.sni",)),
        ((("tcp.reset", 9), ("tls.reset.sni", 3)), ("tls.reset.sni",)),
        ((("tcp.timeout", 9), ("tls.timeout", 1)), ("tcp.timeout",)),
        ((("tcp.timeout", 9), ("dns.injection", 5)), ("dns.injection", "tcp.timeout")),
    ],
)
def test_mechanisms_are_the_words_that_are_not_rare_said_most_exactly(counts, wanted):
    assert commonest(counts, 0.25) == wanted
