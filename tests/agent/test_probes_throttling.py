"""Pairs of transfers from a real anchor: order, stopping, shrinking, and what goes wrong."""

import asyncio
import math
import random
import socket
from dataclasses import replace

import pytest

from civobs_agent.probes import throttling
from civobs_agent.probes.quic_trace import QuicTrace
from civobs_agent.probes.tcp_info import look
from civobs_agent.probes.throttling_stop import slowdown, stop
from civobs_agent.probes.transfer import Source, fetch
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server, Target
from tests.agent.fix_net import free_port, plan_with

NAME = "www.slowed.example"
PAIR = 2 * throttling.cost(throttling.LEAST_BYTES)


def measured(context, *servers, url=f"https://{NAME}/", **changes):
    given = replace(context, plan=plan_with(servers=servers), **changes)
    return asyncio.run(throttling.measure(Target(id="t", url=url, tier=1), given))


@pytest.fixture
def few(no_ipv6):
    """A device whose budget allows the smallest transfers, and time that runs as in life."""
    return replace(no_ipv6, time_scale=1.0, left=lambda: 8 * PAIR)


def test_alike_arms_stop_after_two_pairs_over_each_transport(anchor, few):
    rows = measured(few, anchor.server)
    assert {row.outcome for row in rows} == {Outcome.OK}
    for transport in ("tcp", "quic"):
        of_it = [row for row in rows if row.transport == transport]
        pairs = [[row.arm for row in of_it[at : at + 2]] for at in range(0, len(of_it), 2)]
        assert all(sorted(pair) == ["neutral", "target"] for pair in pairs)
        # ABBA or BAAB.
        assert all(second == first[::-1] for first, second in zip(pairs[::2], pairs[1::2], strict=False))
        assert [row.stopped for row in of_it[:-1]] == [None] * (len(of_it) - 1)
        assert of_it[-1].stopped in {"alike", "pairs"}
        assert [row.replicate for row in of_it] == [1 + at // 2 for at in range(len(of_it))]
    assert [row.place for row in rows] == list(range(1, len(rows) + 1))
    assert len({row.test for row in rows}) == 1


def test_a_row_has_the_samples_and_what_the_kernel_counted(anchor, few):
    for row in measured(few, anchor.server):
        assert (row.server, row.address, row.port, row.family) == ("anchor", "127.0.0.1", anchor.https, 4)
        assert row.sni == (NAME if row.arm == "target" else "www.example.com")
        assert (row.bytes, row.wanted_bytes, row.ended) == (throttling.LEAST_BYTES, throttling.LEAST_BYTES, "done")
        assert row.goodput_bps == pytest.approx(row.bytes * 8 / row.seconds)
        assert row.bytes < row.samples[-1].bytes < 1.1 * row.bytes
        assert row.samples[-1].ms == pytest.approx(row.seconds * 1000)
        assert 0 < row.first_byte_ms <= row.seconds * 1000
        assert 0 < row.rtt_min_ms <= row.rtt_ms + 0.001
        assert row.lost_packets is not None
        assert (row.connect_ms is None) == (row.transport == "quic")


def test_transfers_are_as_large_as_the_budget_allows_for_all_pairs(anchor, no_ipv6):
    """Smaller before fewer."""
    fits = throttling.WHOLE * throttling.cost(100_000)
    rows = measured(no_ipv6, anchor.server, time_scale=1.0, left=lambda: fits)
    assert {row.wanted_bytes for row in rows} == {100_000}
    ample = measured(no_ipv6, anchor.server, time_scale=1.0)
    assert {row.wanted_bytes for row in ample} == {throttling.MOST_BYTES}


def test_a_budget_that_runs_out_ends_the_run_and_says_so_for_each_transport(anchor, no_ipv6):
    left = [PAIR * 2 + 1000]

    def remaining():
        return max(0, left[0] - meter.spent)

    meter = no_ipv6.meter
    rows = measured(no_ipv6, anchor.server, time_scale=1.0, left=remaining)
    assert rows[-1].stopped == "budget"
    assert (rows[-1].transport, rows[-1].outcome, rows[-1].failure) == (
        "quic",
        Outcome.NOT_RUN,
        Failure.BUDGET_EXHAUSTED,
    )
    assert meter.spent < left[0]


def test_every_byte_of_a_run_is_counted_and_it_costs_no_more_than_was_asked_for(anchor, few):
    rows = measured(few, anchor.server)
    payload = sum(row.bytes for row in rows)
    estimate = (len(rows) + 1) * throttling.cost(throttling.LEAST_BYTES)
    assert payload < few.meter.spent < estimate


@pytest.mark.parametrize(
    ("url", "servers", "changes", "failure"),
    [
        ("https://192.0.2.1/", 1, {}, Failure.NOTHING_TO_ASK),
        ("https://www.example.com/", 1, {}, Failure.NOTHING_TO_ASK),
        (f"https://{NAME}/", 0, {}, Failure.NOTHING_TO_ASK),
        (f"https://{NAME}/", 1, {"left": lambda: PAIR}, Failure.BUDGET_EXHAUSTED),
    ],
)
def test_a_run_that_cannot_be_says_why_in_one_row(url, servers, changes, failure, anchor, few):
    (row,) = measured(few, *[anchor.server] * servers, url=url, **changes)
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, failure)


def test_the_first_server_that_answers_is_taken(anchor, few):
    gone = Server(id="gone", name="gone.example", address="127.0.0.1", https_port=free_port())
    home = Server(id="home", name="home.example", address="192.168.1.1")
    v6 = Server(id="v6", name="v6.example", address6="2001:db8::1")
    assert {row.server for row in measured(few, v6, home, gone, anchor.server)} == {"anchor"}
    (row,) = measured(few, gone)
    assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.CONNECTION_REFUSED)
    (row,) = measured(few, home)
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED)


def test_a_site_that_is_no_anchor_gives_no_bytes(sites, few):
    site = Server(id="site", name="site.test", address="127.0.0.1", https_port=sites.https)
    (row,) = measured(few, site)
    assert (row.outcome, row.failure) == (Outcome.FAILED, Failure.HTTP_UNEXPECTED_STATUS_CODE)


@pytest.mark.parametrize(
    ("head", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfew", Failure.UNEXPECTED_ANSWER),
        (b"HTTP/1.1 200 OK\r\n\r\nfew", Failure.EOF_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nfew", Failure.EOF_ERROR),
        (b"220 mail.example ESMTP\r\n\r\n", Failure.HTTP_REQUEST_FAILED),
        (b"", Failure.EOF_ERROR),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000, Failure.UNEXPECTED_ANSWER),
    ],
)
def test_an_answer_that_is_not_the_bytes_is_a_failure(head, failure, certificates, few, server_loop):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    async def start():
        return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificates.server("good"))

    server = server_loop.run(start())
    source = Source("x", "x.example", "127.0.0.1", server.sockets[0].getsockname()[1], 4)
    went = asyncio.run(fetch("tcp", source, NAME, 65_536, few))
    assert (went.fault.failure, went.ended) == (failure, "failed")
    assert "mail.example" not in (went.fault.note or "")
    server_loop.loop.call_soon_threadsafe(server.close)


@pytest.mark.parametrize(("body", "failure"), [(5000, None), (None, Failure.GENERIC_TIMEOUT_ERROR)])
def test_a_slow_transfer_ends_with_its_time_and_tells_what_came(body, failure, certificates, few, server_loop):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if body is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + bytes(body))
        await reader.read()
        writer.close()

    async def start():
        return await asyncio.start_server(drip, "127.0.0.1", 0, ssl=certificates.server("good"))

    server = server_loop.run(start())
    source = Source("x", "x.example", "127.0.0.1", server.sockets[0].getsockname()[1], 4)
    went = asyncio.run(fetch("tcp", source, NAME, 65_536, replace(few, time_scale=40.0)))
    assert (went.fault and went.fault.failure, went.ended) == (failure, "time")
    assert (body or 0) <= went.bytes < (body or 0) + 2_000
    assert went.seconds == pytest.approx(0.5, abs=0.2)
    server_loop.loop.call_soon_threadsafe(server.close)


# the rules


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 1.2], "alike"),
        ([0.5, 1.2], "alike"),
        ([5.0, 1.0], None),
        ([5.0, 1.0, 1.1], "alike"),
        ([1.5] * 7, None),
        ([1.5] * 8, "pairs"),
        ([5.0] * 6, None),
        ([5.0] * 7, "apart"),
        ([1.5] + [5.0] * 6, None),
        ([1.5] + [5.0] * 7, "apart"),
        ([math.inf] * 3, "apart"),
        ([None], None),
        ([None, None], "failed"),
        ([None, 1.0], None),
    ],
)
def test_a_run_stops_by_the_first_rule_that_holds(pairs, expected):
    assert stop(pairs) == expected


def test_a_pair_is_compared_only_where_the_neutral_name_worked():
    assert slowdown(10.0, 5.0) == 2.0
    assert slowdown(10.0, None) == math.inf
    assert slowdown(None, 5.0) is None


def test_a_name_slowed_twofold_is_seldom_taken_for_alike():
    """What the table says of its rule, with pairs that scatter by a third."""
    rng = random.Random(1)
    runs = [[math.exp(rng.gauss(math.log(2), 0.3)) for _ in range(2)] for _ in range(10_000)]
    assert sum(stop(run) == "alike" for run in runs) / len(runs) < 0.01


# what the sockets say


def test_tcp_info_of_a_live_socket_is_read_and_a_shorter_one_is_not_guessed():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        info = look(client)
    assert 0 < info.min_rtt_ms <= info.rtt_ms < 1000
    assert (info.retransmitted, info.out_of_order) == (0, 0)

    class Old:
        def getsockopt(self, level, option, size):
            return bytes(100)

    assert look(Old()).out_of_order is None
    assert look(Old()).rtt_ms is None


def test_packets_that_never_came_are_counted_between_the_first_and_the_last():
    trace = QuicTrace(is_client=True, odcid=b"")
    assert trace.lost == 0

    def receive(number, kind="1RTT"):
        header = {"packet_number": number, "packet_type": kind}
        trace.log_event(category="transport", event="packet_received", data={"header": header})

    receive(2, "initial")
    for number in (7, 9, 8, 12):
        receive(number)
    assert trace.lost == 2
    receive(2**40)
    assert trace.lost == 2**31 - 1
    assert trace.to_dict()["events"] == []
