"""HTTP against servers that misbehave."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from civobs_agent.probes import http
from civobs_agent.probes.http import MAX_BODY
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
