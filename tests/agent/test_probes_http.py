"""HTTP against servers that misbehave."""

import asyncio
import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest

from civobs_agent.known import Known
from civobs_agent.probes import http
from civobs_agent.probes.http import MAX_BODY
from civobs_agent.probes.http_answer import Answer
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import HttpStage
from civobs_wire.plan import Target
from tests.agent.fix_net import BODY


def fetch(url, context):
    rows = asyncio.run(http.measure(Target(id="t", url=url), context))
    assert [row.family for row in rows] == [4, 6]
    return rows[0]


def test_a_page_comes_with_its_status_its_digest_and_its_times(sites, context):
    row = fetch(f"http://site.test:{sites.http}/", context)
    assert (row.outcome, row.stage, row.status, row.address) == (Outcome.OK, HttpStage.DONE, 200, "127.0.0.1")
    assert row.body_sha256 == hashlib.sha256(BODY).hexdigest()
    assert row.body_bytes == len(BODY)
    assert min(row.resolve_ms, row.connect_ms, row.first_byte_ms) > 0
    assert row.tls_ms is None


def test_a_page_comes_over_verified_tls(sites, context):
    row = fetch(f"https://site.test:{sites.https}/", context)
    assert (row.outcome, row.status) == (Outcome.OK, 200)
    assert row.tls_ms > 0


def test_both_families_have_a_row(sites, context):
    rows = asyncio.run(http.measure(Target(id="t", url=f"http://site.test:{sites.http}/"), context))
    assert [(row.family, row.outcome, row.address) for row in rows] == [
        (4, Outcome.OK, "127.0.0.1"),
        (6, Outcome.OK, "::1"),
    ]


def test_a_device_without_ipv6_says_so(sites, no_ipv6):
    rows = asyncio.run(http.measure(Target(id="t", url=f"http://site.test:{sites.http}/"), no_ipv6))
    assert (rows[1].outcome, rows[1].failure) == (Outcome.NOT_RUN, Failure.FAMILY_ABSENT)


@pytest.mark.parametrize(
    ("path", "failure", "stage"),
    [
        ("/reset", Failure.CONNECTION_RESET, HttpStage.HEADERS),
        ("/stall", Failure.GENERIC_TIMEOUT_ERROR, HttpStage.HEADERS),
        ("/silent-end", Failure.EOF_ERROR, HttpStage.HEADERS),
        ("/garbage", Failure.HTTP_REQUEST_FAILED, HttpStage.HEADERS),
        ("/short", Failure.EOF_ERROR, HttpStage.BODY),
        ("/stall-body", Failure.GENERIC_TIMEOUT_ERROR, HttpStage.BODY),
        ("/round", Failure.HTTP_UNEXPECTED_REDIRECT_URL, HttpStage.BODY),
        ("/far/0", Failure.HTTP_UNEXPECTED_REDIRECT_URL, HttpStage.BODY),
        ("/nowhere", Failure.HTTP_INVALID_REDIRECT_LOCATION, HttpStage.BODY),
        ("/mail", Failure.HTTP_INVALID_REDIRECT_LOCATION, HttpStage.BODY),
        ("/half-ipv6", Failure.HTTP_INVALID_REDIRECT_LOCATION, HttpStage.BODY),
        ("/far-port", Failure.HTTP_INVALID_REDIRECT_LOCATION, HttpStage.BODY),
        ("/control", Failure.HTTP_INVALID_REDIRECT_LOCATION, HttpStage.BODY),
        ("/two-lines", Failure.HTTP_REQUEST_FAILED, HttpStage.HEADERS),
        ("/two-lengths", Failure.HTTP_REQUEST_FAILED, HttpStage.HEADERS),
    ],
)
def test_a_failure_is_told_with_the_stage_it_came_in(path, failure, stage, sites, context):
    row = fetch(f"http://site.test:{sites.http}{path}", context)
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, stage)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/to-private", "refused:private"),
        ("/to-metadata", "refused:link_local"),
        ("/to-mapped", "refused:private"),
        ("/to-name-in-home", "http://bogon.test/"),
    ],
)
def test_a_redirect_into_the_home_is_refused_and_its_address_not_written_down(path, shown, sites, context):
    row = fetch(f"http://site.test:{sites.http}{path}", context)
    assert (row.outcome, row.failure, row.stage) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, HttpStage.RESOLVE)
    assert row.redirects == (shown,)
    assert row.address is None


def test_a_redirect_is_followed_and_written_down(sites, context):
    row = fetch(f"http://site.test:{sites.http}/moved", context)
    assert (row.outcome, row.status) == (Outcome.OK, 200)
    assert row.redirects == (f"http://site.test:{sites.http}/",)


def test_an_endless_body_is_cut_and_its_bytes_are_counted(sites, context):
    row = fetch(f"http://site.test:{sites.http}/endless", context)
    assert (row.outcome, row.body_bytes) == (Outcome.OK, MAX_BODY)
    assert row.body_sha256 == hashlib.sha256(b"x" * MAX_BODY).hexdigest()
    assert context.meter.spent > MAX_BODY


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/until-close", 200), ("/informed", 200)])
def test_any_whole_answer_is_ok_whatever_its_status(path, status, sites, context):
    row = fetch(f"http://site.test:{sites.http}{path}", context)
    assert (row.outcome, row.status) == (Outcome.OK, status)


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("other", Failure.SSL_INVALID_HOSTNAME),
        ("expired", Failure.SSL_INVALID_CERTIFICATE),
        ("unknown", Failure.SSL_UNKNOWN_AUTHORITY),
        ("reset", Failure.CONNECTION_RESET),
        ("stall", Failure.GENERIC_TIMEOUT_ERROR),
        ("close", Failure.EOF_ERROR),
        ("babble", Failure.SSL_FAILED_HANDSHAKE),
    ],
)
def test_a_connection_that_does_not_verify_carries_no_request(how, failure, sites, context):
    row = fetch(f"https://site.test:{sites.ports[how]}/", context)
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, HttpStage.TLS)
    assert row.status is None


@pytest.mark.parametrize(
    ("name", "outcome", "failure"),
    [
        ("nx.test", Outcome.FAILED, Failure.DNS_NXDOMAIN_ERROR),
        ("servfail.test", Outcome.FAILED, Failure.DNS_SERVFAIL_ERROR),
        ("silent.test", Outcome.FAILED, Failure.GENERIC_TIMEOUT_ERROR),
        ("empty.test", Outcome.NOT_RUN, Failure.NO_ADDRESS_RESOLVED),
        ("bogon.test", Outcome.NOT_RUN, Failure.TARGET_REFUSED),
    ],
)
def test_a_name_without_an_address_ends_at_the_stage_of_the_name(name, outcome, failure, sites, context):
    row = fetch(f"http://{name}:{sites.http}/", context)
    assert (row.outcome, row.failure, row.stage) == (outcome, failure, HttpStage.RESOLVE)


def test_loopback_is_refused_without_the_tests_own_policy(sites, context):
    row = fetch(f"http://127.0.0.1:{sites.http}/", replace(context, refusal=Refusal()))
    assert (row.outcome, row.failure, row.note) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, "loopback")


def test_the_url_of_a_row_is_that_of_the_target_after_redirects_too(sites, context):
    url = f"http://site.test:{sites.http}/moved"
    assert fetch(url, context).url == url


def test_what_tells_who_answered_is_kept_and_what_names_a_person_is_not(sites, context):
    row = fetch(f"http://site.test:{sites.http}/portal", context)
    kept = {header.name: header.value for header in row.headers}
    assert kept == {
        "server": "Portal/2 ([ip])",
        "via": "1.1 one, 1.1 two",
        "content-type": "text/html",
        "refresh": "0; url=/login?user=…",
    }
    assert (row.title, row.length) == ("Blocked by order", row.body_bytes)
    assert "secret" not in row.model_dump_json()


def test_the_beginning_of_a_page_that_is_not_the_usual_one_is_kept_scrubbed(sites, context):
    known = Known()
    known.mapped[4] = "198.51.100.7"
    row = fetch(f"http://site.test:{sites.http}/portal", replace(context, known=known))
    assert row.sample == (
        "<title>Blocked\n by order</title>Hello [mail], [ip], [ip], [mac], [ip]. Your number is [number],"
        " your ticket [id]. Ask at 12:34."
    )


@pytest.mark.parametrize(
    ("path", "secure", "sampled"),
    [
        ("/", True, False),
        ("/", False, True),
        ("/missing", True, True),
        ("/moved", True, False),
        ("/abroad", True, True),
    ],
)
def test_a_page_is_sampled_where_it_is_not_the_usual_one(path, secure, sampled, sites, context):
    origin = f"https://site.test:{sites.https}" if secure else f"http://site.test:{sites.http}"
    row = fetch(origin + path.replace("/abroad", f"/abroad?{sites.https}"), context)
    assert (row.outcome, row.verified, row.sample is not None) == (Outcome.OK, True if secure else None, sampled)


def test_a_long_page_is_sampled_by_a_bounded_beginning(sites, context):
    row = fetch(f"http://site.test:{sites.http}/long", context)
    assert len(row.sample) == 1024


def test_a_beginning_is_not_cut_within_an_address(sites, context):
    row = fetch(f"http://site.test:{sites.http}/late-address", context)
    assert row.sample == ". [id] "


def test_bytes_are_counted_at_instants_and_at_the_end(sites, context):
    row = fetch(f"http://site.test:{sites.http}/slow", context)
    assert len(row.samples) > 3
    assert [one.bytes for one in row.samples] == sorted(one.bytes for one in row.samples)
    assert row.samples[-1].bytes == row.body_bytes == 40
    gaps = [later.ms - earlier.ms for earlier, later in pairwise(row.samples[:-1])]
    assert all(24 <= gap * context.time_scale <= 651 for gap in gaps)
    assert row.first_byte_ms <= row.headers_ms <= row.body_ms


def test_a_body_that_breaks_off_is_told_as_far_as_it_came(sites, context):
    row = fetch(f"http://site.test:{sites.http}/short", context)
    assert (row.body_bytes, row.length) == (3, 1000)
    assert row.body_sha256 == hashlib.sha256(b"few").hexdigest()
    assert row.samples[-1].bytes == 3


def test_the_body_shrinks_with_the_budget_and_then_is_not_asked_for(sites, context):
    short = fetch(f"http://site.test:{sites.http}/endless", replace(context, left=lambda: 50_000))
    assert (short.outcome, short.body_cut) == (Outcome.OK, True)
    assert 20_000 < short.body_bytes < 40_000
    none = fetch(f"http://site.test:{sites.http}/endless", replace(context, left=lambda: 1_000))
    assert (none.outcome, none.failure) == (Outcome.NOT_RUN, Failure.BUDGET_EXHAUSTED)


def test_tls_that_does_not_verify_is_told_as_such_and_plain_http_as_neither(sites, context):
    assert fetch(f"https://site.test:{sites.ports['unknown']}/", context).verified is False
    assert fetch(f"https://site.test:{sites.ports['reset']}/", context).verified is None


def test_a_title_is_whole_behind_letters_that_grow_when_made_small():
    page = "<meta content='İNTERNET İLETİŞİM'><TITLE lang=tr>Erişim\n engeli</TITLE>"
    assert Answer(opening=bytearray(page.encode())).title(()) == "Erişim engeli"


def test_a_redirect_loses_the_address_of_the_visitor_from_its_host(sites, context):
    assert fetch(f"http://site.test:{sites.http}/to-portal", context).redirects == ("http://host-[ip].portal.test:9/",)


def test_a_redirect_loses_its_password_and_what_its_parameters_say(sites, context):
    row = fetch(f"http://site.test:{sites.http}/to-login", context)
    assert row.redirects == (f"http://site.test:{sites.http}/login/[ip]?user=…&back=…",)
