"""Throughput is measured with ndt7 against a real anchor, within its bytes and time, and against servers that lie."""

import asyncio
import base64
import hashlib
import json
from dataclasses import replace

import pytest

from civobs_agent.allowed import Household
from civobs_agent.probes.throughput import LEAST, WHOLE, measure
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server, Target
from tests.agent.fix_net import free_port, plan_with

TARGET = Target(id="throughput", url="")


def measured(context, *servers, left=None, **plan):
    """Rows by their direction."""
    changed = replace(context, plan=plan_with(servers=servers, **plan), left=None if left is None else lambda: left)
    rows = {row.direction: row for row in asyncio.run(measure(TARGET, changed))}
    assert set(rows) == {"download", "upload"}
    return rows


def fits_together(row):
    assert row.outcome is Outcome.OK, row
    assert row.goodput_bps == pytest.approx(row.bytes * 8 / row.seconds)
    counts = [(sample.ms, sample.bytes) for sample in row.samples]
    assert counts == sorted(counts)
    assert counts[-1][1] == row.bytes
    assert row.rtt_min_ms > 0


def test_both_directions_have_figures_that_fit_together(context, anchor):
    rows = measured(context, anchor.server)
    for row in rows.values():
        fits_together(row)
        assert (row.server, row.ended, row.shrunk, row.stage) == ("anchor", "budget", None, None)
        assert row.bytes == pytest.approx(WHOLE / 2, rel=0.2)
    assert rows["upload"].lost_bytes == 0
    assert context.meter.spent >= rows["download"].bytes + rows["upload"].bytes
    assert context.meter.spent < WHOLE * 1.1


@pytest.mark.parametrize("family", [4, 6])
def test_each_family_is_measured_where_it_is_the_only_one(context, anchor, no_ipv6, family):
    if family == 4:
        rows = measured(no_ipv6, anchor.server, left=LEAST)
    else:
        rows = measured(context, anchor.server.model_copy(update={"address": None}), left=LEAST)
    assert {row.family for row in rows.values()} == {family}
    assert {row.outcome for row in rows.values()} == {Outcome.OK}


def test_a_short_budget_makes_the_test_smaller(context, anchor):
    for row in measured(context, anchor.server, left=2_000_000).values():
        fits_together(row)
        assert (row.ended, row.shrunk) == ("budget", True)
        assert row.bytes <= 1_000_000
    assert context.meter.spent < 2_200_000


def test_with_too_little_left_nothing_is_begun(context, anchor):
    for row in measured(context, anchor.server, left=LEAST - 1).values():
        assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.BUDGET_EXHAUSTED)
    assert context.meter.spent == 0


def test_without_a_server_there_is_nothing_to_ask(context):
    for row in measured(context).values():
        assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.NOTHING_TO_ASK)


def test_a_server_of_another_family_is_said_to_be_absent(no_ipv6, anchor):
    for row in measured(no_ipv6, anchor.server.model_copy(update={"address": None})).values():
        assert row.failure is Failure.FAMILY_ABSENT


@pytest.mark.parametrize(
    "server", [{"address": "192.168.1.1"}, {"name": "bogon.test", "address": None, "address6": None}]
)
def test_a_private_address_is_not_spoken_to(no_ipv6, anchor, server):
    for row in measured(no_ipv6, anchor.server.model_copy(update=server)).values():
        assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED)
        assert row.address is None
    assert no_ipv6.meter.spent < 1_000


def test_a_certificate_that_is_not_its_own_ends_it_before_a_byte(context, bad_servers):
    async def nothing(reader, writer):
        await reader.read()

    for row in measured(context, bad_servers.start(nothing, certificate="other")).values():
        assert (row.failure, row.stage, row.bytes) == (Failure.SSL_INVALID_HOSTNAME, "tls", None)


def test_a_closed_port_is_refused(context):
    nobody = Server(id="nobody", name="site.test", address="127.0.0.1", https_port=free_port())
    for row in measured(context, nobody).values():
        assert (row.failure, row.stage) == (Failure.CONNECTION_REFUSED, "connect")


async def _accepted(reader, writer):
    """The upgrade, as a server makes it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: net.measurementlab.ndt.v7\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    await writer.drain()


def saying(data, *, accept=True, stay=False):
    """A server that accepts, says something, and goes or stays."""

    async def handler(reader, writer):
        if accept:
            await _accepted(reader, writer)
        writer.write(data)
        await writer.drain()
        if stay:
            await asyncio.sleep(3600)

    return handler


CLOSE = b"\x88\x02\x03\xe8"
BINARY = b"\x82\x7e\x20\x00" + bytes(8192)
TOLD = json.dumps({"TCPInfo": {"MinRTT": 1500, "RTT": 2500, "BytesRetrans": 17}}).encode()
TEXT = b"\x81" + bytes([len(TOLD)]) + TOLD


@pytest.mark.parametrize(
    ("handler", "failure", "stage"),
    [
        (
            saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", accept=False),
            Failure.HTTP_UNEXPECTED_STATUS_CODE,
            "upgrade",
        ),
        (saying(b"220 mail.example ESMTP\r\n\r\n" * 9, accept=False), Failure.HTTP_REQUEST_FAILED, "upgrade"),
        (saying(b"HTTP/1.1 101 Yes\r\nUpgrade: tls\r\n\r\n", accept=False), Failure.UNEXPECTED_ANSWER, "upgrade"),
        (saying(b"HTTP/1.1 101 Yes\r\n" + b"X: y\r\n" * 9999, accept=False), Failure.HTTP_REQUEST_FAILED, "upgrade"),
        (saying(b"", accept=False), Failure.EOF_ERROR, "upgrade"),
        (saying(b"", accept=False, stay=True), Failure.GENERIC_TIMEOUT_ERROR, "upgrade"),
        (saying(b"\xff" * 100_000), Failure.UNEXPECTED_ANSWER, "transfer"),
        (saying(BINARY), Failure.EOF_ERROR, "transfer"),
        (saying(b"", stay=True), Failure.GENERIC_TIMEOUT_ERROR, "transfer"),
        (saying(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), stay=True), Failure.UNEXPECTED_ANSWER, "transfer"),
    ],
)
def test_a_server_that_breaks_the_rules_costs_a_download_and_no_more(context, bad_servers, handler, failure, stage):
    row = measured(context, bad_servers.start(handler), left=LEAST)["download"]
    assert (row.outcome, row.failure, row.stage) == (Outcome.FAILED, failure, stage), row.note


@pytest.mark.parametrize("told", ["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}", "{}"])
def test_a_servers_own_words_stay_out_of_the_row(context, bad_servers, told):
    head = f"HTTP/1.1 101 Yes\r\n{told.format('203.0.113.7')}\r\n\r\n".encode()
    for row in measured(context, bad_servers.start(saying(head, accept=False)), left=LEAST).values():
        assert row.stage == "upgrade"
        assert "203.0.113" not in row.model_dump_json()


def test_a_server_that_stops_in_the_middle_is_a_download_that_ended_with_its_time(context, bad_servers):
    row = measured(context, bad_servers.start(saying(BINARY + TEXT + BINARY, stay=True)), left=LEAST)["download"]
    assert (row.outcome, row.ended) == (Outcome.OK, "time")
    assert (row.rtt_min_ms, row.rtt_ms, row.lost_bytes) == (1.5, 2.5, 17)


@pytest.mark.parametrize(
    "text", [b"[]", b"{", b'{"TCPInfo": {"MinRTT": -1}}', b'{"TCPInfo": {"MinRTT": 1e400, "RTT": 1}}', b"[" * 100]
)
def test_figures_that_are_none_are_left_out(context, bad_servers, text):
    told = b"\x81" + bytes([len(text)]) + text
    row = measured(context, bad_servers.start(saying(BINARY + told + CLOSE)), left=LEAST)["download"]
    assert (row.outcome, row.ended) == (Outcome.OK, "done")
    assert (row.rtt_ms, row.lost_bytes) == (None, None)


def locating(answer, status="200 OK"):
    """M-Lab's Locate API, as far as a client sees it."""

    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /v2/nearest/ndt/ndt7 HTTP/1.1\r\n")
        assert b"User-Agent: civobs-agent/" in head
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()

    return handler


def urls(host, port):
    paths = ("/ndt/v7/download", "/ndt/v7/upload")
    return {f"wss://{path}": f"wss://{host}:{port}{path}?access_token=abc&index=0" for path in paths}


async def preparing(reader, writer):
    """A server that has more to say before its answer, without end."""
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(1000):
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await asyncio.sleep(0)


def located(context, bad_servers, answer, **plan):
    api = bad_servers.start(answer if callable(answer) else locating(json.dumps(answer).encode()))
    return measured(context, left=LEAST, ndt7_locate=f"https://site.test:{api.https_port}/v2/nearest/ndt/ndt7", **plan)


def test_a_server_of_mlabs_is_asked_for_and_measured(context, bad_servers, anchor):
    machine = "mlab1-abc01.mlab-oti.measurement-lab.org"
    answer = {"results": [{"machine": machine, "urls": urls("site.test", anchor.https)}]}
    for row in located(context, bad_servers, answer).values():
        fits_together(row)
        assert row.server == machine


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({}, Failure.JSON_PARSE_ERROR),
        ({"results": []}, Failure.JSON_PARSE_ERROR),
        ({"results": [{"machine": "m", "urls": {}}]}, Failure.JSON_PARSE_ERROR),
        ({"results": [{"machine": "m", "urls": urls("a b", 1)}]}, Failure.JSON_PARSE_ERROR),
        ({"results": [{"machine": "m", "urls": urls("bogon.test", 443)}]}, Failure.TARGET_REFUSED),
        ({"results": [{"machine": "m", "urls": urls("192.168.0.1", 443)}]}, Failure.TARGET_REFUSED),
        (locating(b"no json"), Failure.JSON_PARSE_ERROR),
        (locating(b"", "204 No Content"), Failure.HTTP_UNEXPECTED_STATUS_CODE),
        (locating(b"x" * 100_000), Failure.HTTP_REQUEST_FAILED),
        (preparing, Failure.HTTP_REQUEST_FAILED),
        (saying(b"220 mail.example\r\n", accept=False), Failure.HTTP_REQUEST_FAILED),
        (saying(b"", accept=False, stay=True), Failure.GENERIC_TIMEOUT_ERROR),
    ],
)
def test_what_the_api_says_is_trusted_no_further_than_it_can_be_checked(no_ipv6, bad_servers, answer, failure):
    for row in located(no_ipv6, bad_servers, answer).values():
        assert row.failure is failure, row.note
        assert row.bytes is None
    assert no_ipv6.meter.spent < 400_000


def test_mlab_is_gone_to_only_from_households_that_agreed():
    plan = plan_with(ndt7_locate="https://locate.example/v2/nearest/ndt/ndt7")
    assert Household(throughput_tests=True).agreed(plan).ndt7_locate is None
    assert Household(mlab_tests=True).agreed(plan) is plan
    assert Household().agreed(None) is None
