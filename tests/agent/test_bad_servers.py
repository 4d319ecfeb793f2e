"""Servers that are out to hurt: each costs a row, a bounded time and little memory, and no other target's slot."""

import asyncio
import contextlib
import time
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import pytest

from civobs_agent.net import Net
from civobs_agent.probes import dns as dns_probe
from civobs_agent.probes import http, reach, tls
from civobs_agent.probes.stream import Stream
from civobs_agent.schedule import Schedule
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import HttpStage
from civobs_wire.plan import Target, Task
from tests.agent.fix_net import plan_with

MOST_MEMORY = 4 * 2**20
"""Of Python's objects, those of the servers in this process with them."""
SLACK_S = 3.0
"""For a machine that has other things to do."""
OK, FAILED = Outcome.OK, Outcome.FAILED
NOT_HTTP, EOF, SLOW = Failure.HTTP_REQUEST_FAILED, Failure.EOF_ERROR, Failure.GENERIC_TIMEOUT_ERROR
AROUND, ODD_PLACE = Failure.HTTP_UNEXPECTED_REDIRECT_URL, Failure.HTTP_INVALID_REDIRECT_LOCATION


def rows_of(probe, url, context, seconds):
    """The rows of one run, which must end within so many of the agent's seconds."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        rows = asyncio.run(probe.measure(Target(id="t", url=url), context))
        took_s, peak = time.monotonic() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took_s < seconds / context.time_scale + SLACK_S
    assert peak < MOST_MEMORY
    for row in rows:
        assert len(row.model_dump_json()) < 20_000
    return rows


@pytest.mark.parametrize(
    ("path", "outcome", "failure", "stage"),
    [
        ("/noise", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-noise", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-head", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-line", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-status", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-interim", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/long-interim", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/endless-body", OK, None, HttpStage.DONE),
        ("/endless-crumbs", OK, None, HttpStage.DONE),
        ("/endless-extensions", OK, None, HttpStage.DONE),
        ("/endless-chunk-size", FAILED, NOT_HTTP, HttpStage.BODY),
        ("/endless-trailer", FAILED, NOT_HTTP, HttpStage.BODY),
        ("/huge-chunk", FAILED, EOF, HttpStage.BODY),
        ("/chunk-noise", FAILED, NOT_HTTP, HttpStage.BODY),
        ("/broken-head", FAILED, EOF, HttpStage.HEADERS),
        ("/too-long", OK, None, HttpStage.DONE),
        ("/too-short", FAILED, EOF, HttpStage.BODY),
        ("/huge-length", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/negative-length", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/two-lengths", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/length-and-chunks", OK, None, HttpStage.DONE),
        ("/odd-coding", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/switching", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/zero-status", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/long-status", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/nine", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/nul-header", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/split-header", FAILED, NOT_HTTP, HttpStage.HEADERS),
        ("/into-header", OK, None, HttpStage.DONE),
        ("/bomb", OK, None, HttpStage.DONE),
        ("/false-gzip", OK, None, HttpStage.DONE),
        ("/titles", OK, None, HttpStage.DONE),
        ("/many-fields", OK, None, HttpStage.DONE),
        ("/far/0", FAILED, AROUND, HttpStage.BODY),
        ("/far-name", FAILED, ODD_PLACE, HttpStage.BODY),
        ("/silence", FAILED, SLOW, HttpStage.HEADERS),
        ("/drip-head", FAILED, SLOW, HttpStage.HEADERS),
        ("/drip-body", FAILED, SLOW, HttpStage.BODY),
    ],
)
def test_an_http_server_that_misbehaves_yields_its_row(path, outcome, failure, stage, hostile, no_ipv6):
    rows = rows_of(http, f"http://site.test:{hostile.http}{path}", no_ipv6, http.TIMEOUTS["http.total"].seconds)
    assert (rows[0].outcome, rows[0].failure, rows[0].stage) == (outcome, failure, stage), rows[0].note
    assert rows[0].body_bytes is None or rows[0].body_bytes <= http.MAX_BODY
    assert no_ipv6.meter.spent < 4 * http.MAX_BODY


def test_what_is_no_http_is_shown_as_it_came_and_scrubbed(hostile, no_ipv6):
    row = rows_of(http, f"http://site.test:{hostile.http}/nine", no_ipv6, 30)[0]
    assert row.title == "Page of [mail]"
    assert row.sample.startswith("<html><title>Page of [mail]</title>")
    assert "Your address is [ip], your number [number]" in row.sample
    assert row.note == "no status line"


def test_a_bomb_is_told_by_its_packed_bytes_and_unpacked_no_further_than_its_beginning(hostile, no_ipv6):
    row = rows_of(http, f"http://site.test:{hostile.http}/bomb", no_ipv6, 30)[0]
    assert row.length == row.body_bytes < 200_000
    assert (row.title, row.sample) == (None, None)


def test_a_line_smuggled_into_a_redirect_stays_in_its_path(hostile, no_ipv6):
    row = rows_of(http, f"http://site.test:{hostile.http}/into-header", no_ipv6, 30)[0]
    assert row.status == 404
    assert row.redirects == (f"http://site.test:{hostile.http}/nothing%0d%0aX-Injected:%20yes",)


def test_a_thousand_session_tickets_are_not_waited_for(hostile, no_ipv6):
    row = rows_of(http, f"https://site.test:{hostile.tls['tickets']}/", no_ipv6, 30)[0]
    assert (row.outcome, row.failure, row.verified) == (FAILED, NOT_HTTP, True)
    assert no_ipv6.meter.spent < 400_000


@pytest.mark.parametrize(
    ("how", "failures"),
    [
        ("noise", {Failure.SSL_FAILED_HANDSHAKE}),
        ("endless_zeros", {Failure.SSL_FAILED_HANDSHAKE}),
        ("endless_hello", {Failure.SSL_FAILED_HANDSHAKE}),
        ("wrong_length", {Failure.SSL_FAILED_HANDSHAKE, EOF}),
        ("empty_records", {Failure.SSL_FAILED_HANDSHAKE}),
        ("endless_warnings", {Failure.SSL_FAILED_HANDSHAKE}),
        ("http_over_tls", {Failure.SSL_FAILED_HANDSHAKE}),
        ("drip", {SLOW}),
        ("crowd_1000", {Failure.SSL_UNKNOWN_AUTHORITY}),
        ("crowd_10000", {Failure.SSL_FAILED_HANDSHAKE, Failure.SSL_UNKNOWN_AUTHORITY}),
    ],
)
@pytest.mark.parametrize("probe", [tls, http, reach])
def test_a_tls_server_that_misbehaves_yields_its_rows(probe, how, failures, hostile, no_ipv6):
    url = f"https://crowd.test:{hostile.tls[how]}/"
    rows = [row for row in rows_of(probe, url, no_ipv6, 60) if row.family == 4]
    own = [row for row in rows if getattr(row, "named", "target") == "target"]
    assert [(row.outcome, row.failure in failures) for row in own] == [(FAILED, True)]


@pytest.mark.parametrize(
    ("how", "failures"),
    [
        ("noise", {Failure.DNS_SERVER_MISBEHAVING}),
        ("loop", {Failure.DNS_NO_ANSWER}),
        ("ladder", {Failure.DNS_NO_ANSWER}),
        ("pointer", {Failure.DNS_SERVER_MISBEHAVING}),
        ("swapped", {Failure.DNS_BOGON_ERROR, None}),
        ("crowd", {Failure.DNS_BOGON_ERROR, Failure.DNS_SERVER_MISBEHAVING, SLOW}),
        ("flood", {Failure.DNS_BOGON_ERROR, Failure.DNS_WRONG_QUERY_ID, SLOW}),
        ("twice", {Failure.DNS_BOGON_ERROR, None}),
        ("cut", {SLOW, Failure.DNS_SERVER_MISBEHAVING, None}),
    ],
)
def test_a_dns_server_that_misbehaves_yields_its_rows(how, failures, hostile, no_ipv6):
    asked = replace(no_ipv6, resolver_port=hostile.dns, time_scale=10.0)
    for row in rows_of(dns_probe, f"https://{how}.test/", asked, 60):
        assert row.failure in failures, row


@pytest.mark.parametrize("path", ["/endless-head", "/endless-crumbs", "/bomb", "/drip-head"])
def test_reach_asks_a_server_that_misbehaves_and_has_its_row(path, hostile, no_ipv6):
    [row] = rows_of(reach, f"http://site.test:{hostile.http}{path}", no_ipv6, 31)
    assert row.stage in {HttpStage.HEADERS, HttpStage.BODY, HttpStage.DONE}
    assert no_ipv6.meter.spent < http.MAX_BODY


@pytest.mark.parametrize("how", ["loop", "pointer", "crowd", "flood"])
def test_reach_asks_a_dns_server_that_misbehaves_and_has_its_row(how, hostile, no_ipv6):
    [row] = rows_of(reach, f"http://{how}.test:1/", replace(no_ipv6, resolver_port=hostile.dns), 60)
    assert row.outcome is not OK
    assert row.stage in {HttpStage.RESOLVE, HttpStage.CONNECT}


SCALE = 100.0
INTERVAL_S = 120.0
"""Longer than a hostile page may hold up the line: half a minute for each family."""


class Loopback(Net):
    """A network whose every address is the loopback, which has a resolver there."""

    def __init__(self, context):
        super().__init__(
            context.clock, refusal=context.refusal, meter=context.meter, roots=context.roots, time_scale=SCALE
        )
        self._given = replace(context, time_scale=SCALE)

    def context(self, *which, **more):
        now = super().context(*which, **more)
        return replace(now, host=self._given.host, refusal=self._given.refusal, resolver_port=self._given.resolver_port)


@pytest.mark.parametrize("path", ["/drip-body", "/endless-crumbs"])
def test_a_hostile_target_costs_no_slot_of_the_one_beside_it(path, hostile, no_ipv6):
    good = Target(id="good", url=f"http://site.test:{hostile.good}/")
    bad = Target(id="bad", url=f"http://site.test:{hostile.http}{path}")
    task = Task(kind="http", targets=("good", "bad"), interval_s=INTERVAL_S)
    plan = plan_with(targets=(good, bad), tasks=(task,))
    rows = []

    async def run():
        schedule = Schedule(Loopback(no_ipv6), rows.extend, seed="probe", plan=lambda: plan)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.5 * INTERVAL_S / SCALE):
                await schedule.run()

    asyncio.run(run())
    made = {name: [row for row in rows if row.target == name and row.family != 6] for name in ("good", "bad")}
    for one in made.values():
        slots = sorted(row.slot_at for row in one)
        assert len(slots) >= 3
        assert {round((later - earlier).total_seconds() * SCALE) for earlier, later in pairwise(slots)} == {INTERVAL_S}
    ended = [row for row in made["good"] if row.failure is not Failure.SHUTTING_DOWN]
    assert [(row.failure, row.note) for row in ended] == [(None, None)] * len(ended)


def test_a_flood_lets_time_limits_pass(context, bad_servers):
    async def flooding(reader, writer):
        for _ in range(20_000):
            writer.write(bytes(65_536))
            await writer.drain()

    server = bad_servers.start(flooding)

    async def listen():
        async with await Stream.connect(server.address, server.https_port, context) as stream:
            await stream.start_tls(context.roots.verifying(), "site.test", ("http/1.1",))
            async with asyncio.timeout(0.2):
                while await stream.receive():
                    pass

    with pytest.raises(TimeoutError):
        asyncio.run(listen())
