"""Every switch of the censor: it hits what it names, and nothing else, and is gone when it is lifted."""

import contextlib

import pytest

from civobs_lab.censor.rule import Rule

from .fix_censored import ALICE, ALL_WELL, A, B

pytestmark = pytest.mark.netns

BAD_SITE = ("bad.example",)
LIE, LIE6 = "203.0.113.66", "2001:db8:bad::66"


@contextlib.contextmanager
def in_force(censored, **rule):
    number = censored.box.apply(Rule(**rule))
    try:
        yield number
    finally:
        censored.box.lift(number)


def hits(outcome, *names):
    return dict.fromkeys(names, outcome)


TO_A = (
    *("tls bad", "tls good", "http bad", "http good", "dns bad", "dns good", "dns bad aaaa", "dns bad tcp"),
    *("dns good tcp", "quic bad", "quic good", "udp", "ping"),
)
TO_A6 = ("tls bad 6", "tls good 6", "http bad 6", "dns bad 6", "quic bad 6", "udp 6", "ping 6")
BOB_TO_A = ("bob tls bad", "bob http bad", "bob dns bad", "bob ping")
QUIC = ("quic bad", "quic good", "quic bad 6")
DNS_OF_BAD = ("dns bad", "dns bad aaaa", "dns bad 6", "bob dns bad")
NAMED_BAD = (
    *("tls bad", "tls bad B", "tls bad 6", "bob tls bad", "http bad", "http bad 6", "bob http bad"),
    *(*DNS_OF_BAD, "dns bad tcp", "quic bad", "quic bad 6"),
)
CASES = {
    "an address, dropped": (
        {"method": "drop", "addresses": [A]},
        hits("timeout", *TO_A, *BOB_TO_A),
    ),
    "a prefix of IPv6, dropped for what arrives": (
        {"method": "drop", "addresses": ["2001:db8:f::10/127"], "direction": "in"},
        hits("timeout", *TO_A6),
    ),
    "an address for one customer, rejected": (
        {"method": "reject", "addresses": [A], "customers": [ALICE], "direction": "out"},
        hits("forbidden", *TO_A) | hits("timeout", "quic bad", "quic good", "ping"),
    ),
    "a port of TCP, reset": (
        {"method": "reset", "ports": [443], "family": 4},
        hits("refused", "tls bad", "tls good", "tls bad B", "bob tls bad"),
    ),
    "a port of UDP, dropped: QUIC blocked and TCP fine": (
        {"method": "drop", "protocol": "udp", "ports": [443]},
        hits("timeout", *QUIC),
    ),
    "a protocol, rejected": (
        {"method": "reject", "protocol": "icmp", "family": 6},
        hits("timeout", "ping 6"),
    ),
    "a family, dropped on its way out": (
        {"method": "drop", "family": 6, "direction": "out"},
        hits("timeout", *TO_A6),
    ),
    "a name wherever it is read, dropped": (
        {"method": "drop", "names": BAD_SITE},
        hits("timeout", *NAMED_BAD),
    ),
    "a name in TLS at one address, dropped for what arrives": (
        {"method": "drop", "names": BAD_SITE, "layers": ["tls"], "addresses": [A], "direction": "in"},
        hits("timeout", "tls bad", "bob tls bad"),
    ),
    "a name in answers of DNS, dropped": (
        {"method": "drop", "names": BAD_SITE, "layers": ["dns"], "protocol": "udp", "direction": "in"},
        hits("timeout", *DNS_OF_BAD),
    ),
    "a name in QUIC, dropped": (
        {"method": "drop", "names": ["BAD.example."], "layers": ["quic"]},
        hits("timeout", "quic bad", "quic bad 6"),
    ),
    "a name in TLS for one customer, reset": (
        {"method": "reset", "names": BAD_SITE, "layers": ["tls"], "customers": [ALICE]},
        hits("reset", "tls bad", "tls bad B"),
    ),
    "a name in HTTP, reset from beside the path": (
        {"method": "reset", "names": BAD_SITE, "layers": ["http"], "on_path": True},
        hits("reset", "http bad", "http bad 6", "bob http bad"),
    ),
    "an address, reset from beside the path": (
        {"method": "reset", "addresses": [B], "protocol": "tcp", "on_path": True},
        hits("refused", "tls bad B"),
    ),
    "a name in DNS, rejected": (
        {"method": "reject", "names": BAD_SITE, "layers": ["dns"], "protocol": "udp"},
        hits("forbidden", *DNS_OF_BAD),
    ),
    "a name in DNS, answered with lies": (
        {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE, LIE6]},
        hits(LIE, *DNS_OF_BAD, "dns bad tcp") | hits(LIE6, "dns bad aaaa"),
    ),
    "a name in DNS, answered from beside the path with an address of one family": (
        {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE], "on_path": True, "protocol": "udp"},
        hits(LIE, *DNS_OF_BAD) | hits("NOERROR", "dns bad aaaa"),
    ),
    "a name in DNS, denied": (
        {"method": "inject_dns", "names": BAD_SITE, "family": 6},
        hits("NXDOMAIN", "dns bad 6"),
    ),
    "a name in HTTP, answered with a page": (
        {"method": "block_page", "names": BAD_SITE},
        hits("403", "http bad", "http bad 6", "bob http bad"),
    ),
    "a name in HTTP, led to a page from beside the path": (
        {"method": "block_page", "names": BAD_SITE, "redirect": "http://stop.example/", "on_path": True},
        hits("302", "http bad", "http bad 6", "bob http bad"),
    ),
    "every packet lost": (
        {"method": "loss", "loss_percent": 100, "protocol": "udp", "ports": [7], "customers": [ALICE]},
        hits("timeout", "udp", "udp B"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_hits_what_it_names_and_nothing_else(censored, case):
    rule, hit = CASES[case]
    with in_force(censored, **rule):
        assert censored.battery(hit) == ALL_WELL | hit
    assert censored.battery() == ALL_WELL
