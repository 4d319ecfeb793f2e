"""Each switch of the censor, and what tells it apart in the agent's own rows; with none set, no row tells any of it.

What is compared is everything in the rows that is not as in peace, in one word each, and all of it: a fact too many
fails as one too few does. The censor stands where the provider leaves for the world, so the provider's own resolver
asks through it as well.
"""

from statistics import median

import pytest

from civobs_wire.failure import Outcome

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]

KINDS = ("dns", "resolver", "tcp", "tls", "quic", "echo", "ping", "ntp", "portal")
PLAIN = "http://www.bad.example/"
BAD_SITE = ("bad.example",)
LIE, LIE6 = "198.18.7.2", "2001:db8:7::2"
"""A host that has another certificate, as one that serves block pages."""
SITE4, SITE6 = "198.18.4.2", "2001:db8:4::2"
DELAY_MS = 100.0
NEVER_IN_PEACE = ("dns_nxdomain_error", "dns_no_answer")
"""What the lab's resolvers answer to questions about themselves: they hide their names, and sign nothing."""


def facts(rows):
    """Every word for something that is not as in peace."""
    found = set()
    for kind, some in rows.items():
        for row in some:
            found |= {f"{kind} {word}" for word in WORDS[kind](row)}
    return found


def dns_words(row):
    whose = {"resolver.2": "resolver"}.get(row.resolver, row.resolver)
    where = f"{whose} {row.transport} {row.qtype}"
    truth = {"A": (SITE4,), "AAAA": (SITE6,)}[row.qtype]
    if row.failure is not None:
        yield f"{where} {row.failure}"
    elif row.answers != truth:
        yield f"{where} lie"
    if any(other.failure is None and other.answers != row.answers for other in row.others):
        yield f"{where} two answers"


def resolver_words(row):
    if row.no_resolver_answered:
        yield "answered where none is"
    if row.resolver == "public":
        for check in row.checks:
            if check.failure is not None and check.failure not in NEVER_IN_PEACE:
                yield f"{check.id} {check.failure}"


def tcp_words(row):
    if row.failure is not None:
        yield f"{row.failure} {row.family}"


def tls_words(row):
    if row.failure is not None:
        yield f"{row.named} {row.stage} {row.failure} {row.family}"


def quic_words(row):
    if row.outcome is Outcome.NOT_RUN:
        yield f"{row.failure} {row.family}"
        return
    if row.failure is not None:
        yield f"{row.named} {row.failure} {row.family}"
    if row.named == "target":
        if not row.udp_answered:
            yield f"silent {row.family}"
        if row.tcp_failure is not None:
            yield f"tcp {row.tcp_failure} {row.family}"


def echo_words(row):
    if row.failure is not None:
        yield f"{row.failure} {row.family}"
    if row.altered:
        yield f"altered {row.family}"


def ping_words(row):
    if row.failure is not None:
        yield f"{row.failure} {row.family}"
    elif row.rtt_min_ms >= DELAY_MS:
        yield f"late {row.family}"


def http_words(row):
    if row.failure is not None:
        yield f"{row.stage} {row.failure} {row.family}"
    elif row.redirects:
        yield f"redirected {row.family}"
    elif row.status != 200:
        yield f"{row.status} {row.family}"


def portal_words(row):
    if row.failure is not None:
        yield f"{row.failure} {row.family}"
    elif not row.as_expected:
        yield f"other page {row.family}"


WORDS = {
    "dns": dns_words,
    "resolver": resolver_words,
    "tcp": tcp_words,
    "tls": tls_words,
    "quic": quic_words,
    "echo": echo_words,
    "ping": ping_words,
    "ntp": tcp_words,
    "portal": portal_words,
    "http": http_words,
}


def both(*words):
    """The same in both families."""
    return {f"{word} {family}" for word in words for family in (4, 6)}


def observed(probed):
    plain = probed.rows("http", url=PLAIN)
    return facts(probed.rows(*KINDS) | plain)


def throttling_words(row):
    if row.failure is not None:
        yield f"{row.arm} {row.failure}"


def slower(rows):
    """Which transports carried the target's name at less than a third of what the neutral one had."""
    for transport in ("tcp", "quic"):
        rates = {
            arm: [row.goodput_bps for row in rows if (row.transport, row.arm) == (transport, arm) and row.goodput_bps]
            for arm in ("target", "neutral")
        }
        if all(rates.values()) and 3 * median(rates["target"]) < median(rates["neutral"]):
            yield f"slower {transport}"


NO_WAY4 = {
    *("http connect {} 4", "ping {} 4", "quic neutral {} 4", "quic target {} 4", "quic tcp {} 4", "tcp {} 4"),
    *("tls neutral connect {} 4", "tls none connect {} 4", "tls target connect {} 4"),
}
TIMEOUT, REFUSED, RESET = "generic_timeout_error", "connection_refused", "connection_reset"
DNS_ABROAD = {f"dns public {transport} {kind}" for transport in ("udp", "tcp") for kind in ("A", "AAAA")}
DNS_BY_UDP = {word for word in DNS_ABROAD if "udp" in word}
CASES = {
    "an address, dropped": (
        {"method": "drop", "addresses": [SITE4]},
        {word.format(TIMEOUT) for word in NO_WAY4} | {"quic silent 4"},
    ),
    "an address of IPv6, dropped for what arrives": (
        {"method": "drop", "addresses": [SITE6], "direction": "in"},
        {word.format(TIMEOUT).replace("4", "6") for word in NO_WAY4} | {"quic silent 6"},
    ),
    "an address, rejected": (
        {"method": "reject", "addresses": [SITE4], "direction": "out"},
        {word.format("host_unreachable") for word in NO_WAY4} | {"quic silent 4"},
    ),
    "an address, reset from beside the path": (
        {"method": "reset", "addresses": [SITE4], "protocol": "tcp", "on_path": True},
        {word.format(REFUSED) for word in NO_WAY4 if not word.startswith(("ping", "quic neutral", "quic target"))},
    ),
    "a port of TCP, reset": (
        {"method": "reset", "ports": [443], "family": 4},
        {word.format(REFUSED) for word in NO_WAY4 if word.startswith(("tcp", "tls", "quic tcp"))}
        | {f"resolver doh {REFUSED}"},
    ),
    "a port of UDP, dropped: QUIC blocked and TCP fine": (
        {"method": "drop", "protocol": "udp", "ports": [443]},
        both(f"quic neutral {TIMEOUT}", f"quic target {TIMEOUT}", "quic silent"),
    ),
    "DNS over TLS, dropped": (
        {"method": "drop", "protocol": "tcp", "ports": [853]},
        {f"resolver dot {TIMEOUT}"},
    ),
    "a protocol, rejected": (
        {"method": "reject", "protocol": "icmp", "family": 6},
        {"ping host_unreachable 6"},
    ),
    "a family, dropped on its way out": (
        {"method": "drop", "family": 6, "direction": "out"},
        {word.format(TIMEOUT).replace("4", "6") for word in NO_WAY4}
        | {"quic silent 6", *(f"{kind} {TIMEOUT} 6" for kind in ("echo", "ntp", "portal"))},
    ),
    "a name wherever it is read, dropped": (
        {"method": "drop", "names": BAD_SITE},
        {f"{word} {TIMEOUT}" for word in DNS_ABROAD}
        | both(
            *(f"http headers {TIMEOUT}", f"quic target {TIMEOUT}", f"quic tcp {TIMEOUT}"),
            f"tls target handshake {TIMEOUT}",
        ),
    ),
    "a name in TLS, dropped for what arrives": (
        {"method": "drop", "names": BAD_SITE, "layers": ["tls"], "direction": "in"},
        both(f"quic tcp {TIMEOUT}", f"tls target handshake {TIMEOUT}"),
    ),
    "a name in TLS, reset": (
        {"method": "reset", "names": BAD_SITE, "layers": ["tls"]},
        both(f"quic tcp {RESET}", f"tls target handshake {RESET}"),
    ),
    "a name in QUIC, dropped": (
        {"method": "drop", "names": BAD_SITE, "layers": ["quic"]},
        both(f"quic target {TIMEOUT}"),
    ),
    "a name in HTTP, reset from beside the path": (
        {"method": "reset", "names": BAD_SITE, "layers": ["http"], "on_path": True},
        both(f"http headers {RESET}"),
    ),
    "a name in answers of DNS, dropped": (
        {"method": "drop", "names": BAD_SITE, "layers": ["dns"], "protocol": "udp", "direction": "in"},
        {f"{word} {TIMEOUT}" for word in DNS_BY_UDP},
    ),
    "a name in DNS, rejected": (
        {"method": "reject", "names": BAD_SITE, "layers": ["dns"], "protocol": "udp"},
        {f"{word} host_unreachable" for word in DNS_BY_UDP},
    ),
    "a name in DNS, denied": (
        {"method": "inject_dns", "names": BAD_SITE},
        {f"{word} dns_nxdomain_error" for word in DNS_ABROAD},
    ),
    "a name in DNS, answered with lies": (
        {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE, LIE6]},
        {f"{word} lie" for word in DNS_ABROAD} | both("tls target verify ssl_invalid_hostname"),
    ),
    "a name in DNS, answered from beside the path before the truth comes": (
        {"method": "inject_dns", "names": BAD_SITE, "answers": [LIE, LIE6], "on_path": True, "protocol": "udp"},
        {f"{word} {what}" for word in DNS_BY_UDP for what in ("lie", "two answers")}
        | both("tls target verify ssl_invalid_hostname"),
    ),
    "every question of DNS, taken by somebody on the way": (
        {"method": "inject_dns", "names": ["example"], "answers": [SITE4, SITE6]},
        {"resolver answered where none is"},
    ),
    "a name in HTTP, answered with a page": (
        {"method": "block_page", "names": BAD_SITE},
        both("http 403"),
    ),
    "a name in HTTP, led to a page from beside the path": (
        {"method": "block_page", "names": BAD_SITE, "redirect": "http://measure.example/known", "on_path": True},
        both("http redirected"),
    ),
    "headers of HTTP, rewritten": ({"method": "rewrite"}, both("echo altered")),
    "every packet to time servers, lost": (
        {"method": "loss", "loss_percent": 100, "protocol": "udp", "ports": [123]},
        both(f"ntp {TIMEOUT}"),
    ),
    "pings, held back": (
        {"method": "delay", "delay_ms": DELAY_MS, "protocol": "icmp"},
        both("ping late"),
    ),
}
RATES = {
    "a name in TLS, policed": ({"method": "police", "rate_kbit": 130, "layers": ["tls"]}, {"slower tcp"}),
    "a name in QUIC, shaped": ({"method": "shape", "rate_kbit": 130, "layers": ["quic"]}, {"slower quic"}),
    "a name in TLS, slowed after some kilobytes": (
        {"method": "slow_after", "rate_kbit": 130, "after_kbyte": 32, "layers": ["tls"]},
        {"slower tcp"},
    ),
}


def test_with_all_switches_off_no_row_shows_any_of_it(probed):
    for _ in range(3):
        assert observed(probed) == set()


@pytest.mark.parametrize("case", CASES)
def test_each_switch_shows_what_tells_it_apart(probed, case):
    rule, expected = CASES[case]
    with probed.censored(**rule):
        assert observed(probed) == expected
    assert observed(probed) == set()


@pytest.mark.parametrize("case", RATES)
def test_what_is_slow_by_name_shows_in_pairs_and_nowhere_else(probed, case):
    rule, expected = RATES[case]
    with probed.censored(names=BAD_SITE, **rule):
        rows = probed.rows("throttling")["throttling"]
        assert set(slower(rows)) == expected
        assert observed(probed) == set()
    assert set(slower(probed.rows("throttling")["throttling"])) == set()


def test_a_block_that_lasts_after_its_trigger_shows_in_the_neutral_name_too(probed):
    with probed.censored(method="reset", names=BAD_SITE, layers=["tls"], residual="30s"):
        probed.rows("tls")
        words = facts(probed.rows("tls"))
    assert {"tls neutral connect connection_refused 4", "tls none connect connection_refused 6"} <= words
    assert observed(probed) == set()
