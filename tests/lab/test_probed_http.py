"""What rows of HTTP say of each thing that a censor does to a page, and that they say none of it otherwise."""

import pytest

from civobs_agent.probes.http import MAX_BODY
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import HttpStage

pytestmark = pytest.mark.netns

BAD = ("www.bad.example",)
PLAIN, SECURE = "http://www.bad.example/", "https://www.bad.example/"
LARGE = f"{SECURE}bytes?n={MAX_BODY}"


def pages(probed, url):
    rows = probed.rows("http", url=url)["http"]
    assert [row.family for row in rows] == [4, 6]
    return rows


def header(row, name):
    return next((one.value for one in row.headers if one.name == name), None)


@pytest.mark.parametrize("url", [PLAIN, SECURE])
def test_a_page_that_nobody_touches_comes_whole(url, probed):
    for row in pages(probed, url):
        assert (row.outcome, row.status, row.title, row.redirects) == (Outcome.OK, 200, "Lab", ())
        assert row.length == row.body_bytes <= row.samples[-1].bytes
        assert (row.verified, row.sample is None) == ((True, True) if url == SECURE else (None, False))


def test_a_block_page_is_kept_as_it_was_shown(probed):
    with probed.censored(method="block_page", names=BAD):
        rows = pages(probed, PLAIN)
    for row in rows:
        assert (row.outcome, row.status, row.verified) == (Outcome.OK, 403, None)
        assert row.title != "Lab"
        assert row.sample


def test_a_redirect_to_a_block_page_is_written_down(probed):
    with probed.censored(method="block_page", names=BAD, redirect="http://measure.example/known"):
        rows = pages(probed, PLAIN)
    for row in rows:
        assert row.redirects == ("http://measure.example/known",)
        assert (row.outcome, row.stage) == (Outcome.OK, HttpStage.DONE)
        assert row.sample


@pytest.mark.parametrize(
    ("method", "layer", "url", "failure", "stage"),
    [
        ("reset", "http", PLAIN, Failure.CONNECTION_RESET, HttpStage.HEADERS),
        ("drop", "http", PLAIN, Failure.GENERIC_TIMEOUT_ERROR, HttpStage.HEADERS),
        ("reset", "tls", SECURE, Failure.CONNECTION_RESET, HttpStage.TLS),
        ("drop", "tls", SECURE, Failure.GENERIC_TIMEOUT_ERROR, HttpStage.TLS),
    ],
)
def test_what_is_done_to_a_name_shows_at_the_stage_that_carries_it(method, layer, url, failure, stage, probed):
    with probed.censored(method=method, names=BAD, layers=(layer,)):
        rows = pages(probed, url)
    for row in rows:
        assert (row.outcome, row.failure, row.stage, row.status) == (Outcome.FAILED, failure, stage, None)


def test_a_page_that_is_slowed_shows_it_in_the_bytes_by_the_time(probed):
    free = pages(probed, LARGE)[0]
    with probed.censored(method="shape", names=BAD, layers=("tls",), rate_kbit=4000):
        slowed = pages(probed, LARGE)[0]
    assert (free.outcome, free.body_bytes) == (Outcome.OK, MAX_BODY)
    assert (slowed.outcome, slowed.body_bytes) == (Outcome.OK, MAX_BODY)
    assert slowed.body_ms > 4 * free.body_ms
    assert len(slowed.samples) > 8
    counts = [one.bytes for one in slowed.samples]
    assert counts == sorted(counts)
    assert counts[len(counts) // 2] < MAX_BODY <= counts[-1]
