"""Reach: one row a target, and a service's own refusal told from what happens on the way."""

import asyncio
from dataclasses import replace

import pytest

from civobs_agent.probes import reach
from civobs_agent.probes.vendor_refusals import RULES, Refusable, plain, refusal_of
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import FamilyState, HttpStage
from civobs_wire.plan import Target
from tests.agent.fix_net import MISSING, free_port


def reached(url, context, category="NEWS"):
    (row,) = asyncio.run(reach.measure(Target(id="t", url=url, category=category), context))
    return row


def test_a_service_that_answers_is_told_with_whom_it_takes(sites, context):
    row = reached(f"https://site.test:{sites.https}/", context, "AI")
    assert (row.outcome, row.stage, row.status, row.verified) == (Outcome.OK, HttpStage.DONE, 200, True)
    assert (row.family, row.address, row.addresses) == (4, "127.0.0.1", ("127.0.0.1", "::1"))
    assert (row.issuer, row.root) == ("Test Authority", "Test Authority")
    assert row.name_servers == ("a.root-servers.net",)
    assert (row.category, row.refusal, row.location) == ("AI", None, None)
    assert row.first_byte_ms > 0


def test_ipv6_goes_first_where_it_works(sites, context):
    working = replace(context, validity=context.validity.model_copy(update={"ipv6": FamilyState.WORKING}))
    row = reached(f"https://site.test:{sites.https}/", working)
    assert (row.family, row.address, row.outcome) == (6, "::1", Outcome.OK)


def test_the_other_family_is_tried_where_the_first_does_not_connect(context):
    one_family = free_port()

    async def run():
        async with await asyncio.start_server(lambda _reader, writer: writer.close(), "::1", one_family):
            return await reach.measure(Target(id="t", url=f"http://site.test:{one_family}/"), context)

    (row,) = asyncio.run(run())
    assert (row.family, row.address, row.outcome, row.stage) == (6, "::1", Outcome.FAILED, HttpStage.HEADERS)


@pytest.mark.parametrize(
    ("path", "status", "refusal"),
    [
        ("/", 200, None),
        ("/missing", 404, None),
        ("/article", 200, None),
        ("/forbidden", 403, "status_403"),
        ("/legal", 451, "status_451"),
        ("/challenge", 403, "cloudflare_challenge"),
        ("/region", 302, "anthropic_region"),
        ("/country", 403, "openai_region"),
        ("/gemini", 200, "google_ai_region"),
    ],
)
def test_a_refusal_by_the_service_itself_is_told_over_verified_tls(path, status, refusal, sites, context):
    row = reached(f"https://site.test:{sites.https}{path}", context)
    assert (row.outcome, row.status, row.refusal) == (Outcome.OK, status, refusal)


def test_a_refusal_in_the_clear_may_be_anybody_s(sites, context):
    row = reached(f"http://site.test:{sites.http}/forbidden", context)
    assert (row.outcome, row.status, row.verified, row.refusal) == (Outcome.OK, 403, None, None)
    assert row.server == "cdn"


def test_a_redirection_is_told_without_what_it_says_of_its_visitor_and_not_followed(sites, context):
    row = reached(f"https://site.test:{sites.https}/region", context)
    assert row.location == "https://claude.com/app-unavailable-in-region?ip=…"
    assert reached(f"http://site.test:{sites.http}/to-private", context).location == "refused:private"


@pytest.mark.parametrize(
    ("how", "failure", "verified"),
    [
        ("unknown", Failure.SSL_UNKNOWN_AUTHORITY, False),
        ("other", Failure.SSL_INVALID_HOSTNAME, False),
        ("expired", Failure.SSL_INVALID_CERTIFICATE, False),
        ("reset", Failure.CONNECTION_RESET, None),
        ("stall", Failure.GENERIC_TIMEOUT_ERROR, None),
    ],
)
def test_nothing_is_asked_over_tls_that_does_not_verify(how, failure, verified, sites, context):
    row = reached(f"https://site.test:{sites.ports[how]}/forbidden", context)
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, HttpStage.TLS)
    assert (row.verified, row.status, row.refusal) == (verified, None, None)
    assert (row.issuer is None) == (verified is None)


@pytest.mark.parametrize(
    ("path", "failure", "stage"),
    [
        ("/stall", Failure.GENERIC_TIMEOUT_ERROR, HttpStage.HEADERS),
        ("/garbage", Failure.HTTP_REQUEST_FAILED, HttpStage.HEADERS),
        ("/short", Failure.EOF_ERROR, HttpStage.BODY),
        ("/endless", None, HttpStage.DONE),
    ],
)
def test_an_answer_that_goes_wrong_says_where(path, failure, stage, sites, context):
    row = reached(f"https://site.test:{sites.https}{path}", context)
    assert (row.failure, row.stage) == (failure, stage)


def test_an_endless_body_costs_no_more_than_its_first_words(sites, context):
    before = context.meter.spent
    reached(f"http://site.test:{sites.http}/endless", context)
    assert context.meter.spent - before < 40_000


@pytest.mark.parametrize(
    ("host", "outcome", "failure"),
    [
        ("nx.test", Outcome.FAILED, Failure.DNS_NXDOMAIN_ERROR),
        ("empty.test", Outcome.FAILED, Failure.DNS_NO_ANSWER),
        ("bogon.test", Outcome.NOT_RUN, Failure.TARGET_REFUSED),
    ],
)
def test_a_name_that_leads_nowhere_is_told_as_such(host, outcome, failure, context):
    row = reached(f"https://{host}/", context)
    assert (row.outcome, row.failure, row.address, row.family) == (outcome, failure, None, 0)


def test_an_address_needs_no_resolver_and_its_family(sites, context):
    alone = replace(context, host=replace(context.host, resolvers=(), v6=MISSING))
    assert reached(f"https://127.0.0.1:{sites.https}/", alone).outcome is Outcome.OK
    assert reached(f"https://[::1]:{sites.https}/", alone).failure is Failure.FAMILY_ABSENT


def test_an_empty_budget_asks_nothing(sites, context):
    row = reached(f"https://site.test:{sites.https}/", replace(context, left=lambda: 100))
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.BUDGET_EXHAUSTED)
    assert context.meter.spent == 0


def test_rules_have_ids_of_their_own_and_sources():
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.source for rule in RULES)


@pytest.mark.parametrize(
    ("status", "text", "location", "refusal"),
    [
        (403, "Error code: 1009", "", "cloudflare_country"),
        (403, "Error 1020. Sorry, you have been blocked", "", "cloudflare_rule"),
        (403, "The distribution is configured to block access from your country.", "", "cloudfront_country"),
        (400, "User location is not supported for the API use.", "", "google_ai_region"),
        (404, "This isn&#39;t available in your region", "", "words_region"),
        (307, "", "https://x.example/not-available-in-your-area", "redirect_region"),
        (200, "How to block access from your country", "", None),
        (302, "", "https://x.example/en", None),
    ],
)
def test_known_pages_are_known(status, text, location, refusal):
    said = Refusable(status=status, location=location, headers={}, text=plain(text))
    assert refusal_of(said) == refusal
