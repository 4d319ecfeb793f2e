"""What somebody between alters is told; what is broken is not called altered."""

import asyncio
import re
from dataclasses import replace

import pytest

from civobs_agent.probes import echo
from civobs_agent.probes.echo_requests import REQUESTS
from civobs_agent.refusal import Refusal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server, Target
from tests.agent.fix_net import free_port, plan_with

TARGET = Target(id="echo", url="")
ALL = tuple(request.id for request in REQUESTS)


def row_of(context, port, address="127.0.0.1", **fields):
    server = Server(id="s", name="anchor.test", address=address, http_port=port)
    context = replace(context, plan=plan_with(servers=(server,)), **fields)
    (row,) = asyncio.run(echo.measure(TARGET, context))
    return row


def altered(row):
    return {(one.where.split()[0], one.what): (one.sent, one.got) for one in row.altered}


def tries(row):
    return {one.id: one for one in row.tries}


def test_a_clean_path_alters_nothing_in_either_family(anchor, context):
    context = replace(context, plan=plan_with(servers=(anchor.server,)))
    four, six = asyncio.run(echo.measure(TARGET, context))
    assert [row.family for row in (four, six)] == [4, 6]
    for row, ids in ((four, ALL), (six, ALL[:2])):
        assert (row.outcome, row.server, row.altered, row.proxy) == (Outcome.OK, "anchor", (), None)
        assert tuple(one.id for one in row.tries) == ids
        assert {(one.outcome, one.request_altered, one.response_altered) for one in row.tries} == {
            (Outcome.OK, False, False)
        }
        assert all(one.ms > 0 for one in row.tries)
    assert 10_000 < context.meter.spent < 20_000


def test_a_field_of_a_proxy_is_told_in_both_directions(between, context):
    port = between(
        request=lambda data: data.replace(b"\r\n\r\n", b"\r\nVia: 1.1 cache.isp.example (squid/5.7)\r\n\r\n"),
        answer=lambda data: data.replace(b"\r\nX-Echo-Last", b"\r\nX-Cache: MISS from 10.9.8.7\r\nX-Echo-Last", 1),
    )
    row = row_of(context, port)
    assert (row.outcome, row.proxy) == (Outcome.OK, True)
    assert altered(row)["request", "Via"] == (None, "1.1 cache.isp.example (squid/5.7)")
    assert altered(row)["response", "X-Cache"] == (None, "MISS from [ip]")
    assert all(one.request_altered and one.response_altered for one in row.tries)
    # The request that was lengthened on the way is no second difference of every try.
    assert len(row.altered) <= 3


def test_names_in_another_case_are_told_as_such(between, context):
    def fold(data):
        head, end, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        folded = [line.split(b":", 1)[0].title() + b":" + line.split(b":", 1)[1] for line in lines[1:]]
        return b"\r\n".join([lines[0], *folded]) + end + body

    row = row_of(context, between(request=fold))
    assert not tries(row)["plain"].request_altered
    assert tries(row)["odd_case"].request_altered
    assert row.proxy is None
    sent, got = next(told for (where, what), told in altered(row).items() if what.lower() == "user-agent")
    assert (sent.lower(), got) == ("user-agent", "User-Agent")
    row = row_of(context, between(answer=fold))
    assert altered(row)["response", "x-eChO-NaMe"] == ("x-eChO-NaMe", "X-Echo-Name")
    assert not any(one.request_altered for one in row.tries)


@pytest.mark.parametrize(
    ("from_", "to", "what", "told"),
    [
        (b"Accept-Encoding: gzip, deflate\r\n", b"", "Accept-Encoding", ("gzip, deflate", None)),
        (b"gzip, deflate", b"identity", "Accept-Encoding", ("gzip, deflate", "identity")),
        (b"GET /echo HTTP/1.1", b"GET /echo HTTP/1.0", "request line", ("GET /echo HTTP/1.1", "GET /echo HTTP/1.0")),
        (b"Connection: keep-alive", b"Connection:keep-alive", "spacing", (None, None)),
    ],
)
def test_what_became_of_each_part_of_a_request(between, context, from_, to, what, told):
    row = row_of(context, between(request=lambda data: data.replace(from_, to)))
    assert altered(row)["request", what] == told
    assert row.proxy is None


def test_order_and_joined_fields_are_told(between, context):
    host = re.compile(rb"(Host: [^\r]+\r\n)(User-Agent: [^\r]+\r\n)")
    row = row_of(context, between(request=lambda data: host.sub(rb"\2\1", data)))
    assert altered(row) == {("request", "order"): (None, None)}
    twice = b"X-Twice: first\r\nX-Twice: second"
    row = row_of(context, between(request=lambda data: data.replace(twice, b"X-Twice: first, second")))
    assert [one.id for one in row.tries if one.request_altered] == ["twice"]
    assert [(one.what, one.sent, one.got) for one in row.altered] == [
        ("X-Twice", "first", "first, second"),
        ("X-Twice", "second", None),
    ]


def test_what_a_network_says_of_its_customer_stays_at_home(between, context):
    def name_customer(data):
        return data.replace(
            b"\r\n\r\n",
            b"\r\nX-MSISDN: +41-79-123\r\nX-Forwarded-For: 192.168.1.77, 198.51.100.7\r\n"
            b"Via: 1.1 198.51.100.7 line-00112233aabbccdd\r\n\r\n",
        )

    context.known.mapped[4] = "198.51.100.7"
    row = row_of(context, between(request=name_customer))
    assert row.proxy is True
    assert altered(row)["request", "X-MSISDN"] == (None, "(10 characters)")
    assert not re.search(r"41-79|192\.168\.1|198\.51\.100|aabbccdd", row.model_dump_json())


def test_a_dead_path_is_not_altered(between, context):
    for port, failure in (
        (free_port(), Failure.CONNECTION_REFUSED),
        (between(request=lambda _: None), Failure.EOF_ERROR),
        (between(answer=lambda data: data[:-9]), Failure.EOF_ERROR),
        (between.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), Failure.HTTP_UNEXPECTED_STATUS_CODE),
        (between.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin"), Failure.UNEXPECTED_ANSWER),
        (between.say(b"220 mail.example ESMTP\r\n\r\n"), Failure.HTTP_REQUEST_FAILED),
        (between.repeat(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536), Failure.UNEXPECTED_ANSWER),
        (between.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Failure.GENERIC_TIMEOUT_ERROR),
        (between.repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Failure.UNEXPECTED_ANSWER),
    ):
        row = row_of(context, port)
        assert (row.outcome, row.failure, row.altered, row.proxy) == (Outcome.FAILED, failure, (), None)
        (plain,) = row.tries
        assert (plain.id, plain.failure, plain.request_altered, plain.response_altered) == (
            "plain",
            failure,
            None,
            None,
        )
    assert context.meter.spent < 800_000


def test_one_lost_request_is_no_finding(between, context):
    seen = []

    def lose_the_first(data):
        seen.append(data)
        return None if len(seen) == 1 else data

    row = row_of(context, between(request=lose_the_first))
    assert (row.outcome, len(row.tries), row.altered) == (Outcome.OK, len(ALL), ())


def test_where_only_odd_requests_fail_the_tries_say_so(between, context):
    row = row_of(context, between(request=lambda data: data if data.startswith(b"GET /echo HTTP/") else None))
    assert row.outcome is Outcome.OK
    told = tries(row)
    assert {name for name, one in told.items() if one.outcome is Outcome.FAILED} == {
        "odd_case",
        "odd_method",
        "odd_version",
    }
    assert told["odd_method"].request_altered is None
    assert row.altered == ()


def test_a_server_that_sees_another_network_sees_a_proxy(anchor, context):
    for mapped, proxy in (("198.51.100.7", True), ("127.0.0.99", False)):
        context.known.mapped[4] = mapped
        row = row_of(context, anchor.http)
        assert (row.outcome, row.altered, row.proxy) == (Outcome.OK, (), proxy)
        assert "198.51" not in row.model_dump_json()
        assert "127.0" not in row.model_dump_json()
    assert context.known.mapped == {4: "127.0.0.99"}


def test_short_of_bytes_it_asks_less_and_then_not_at_all(anchor, context):
    row = row_of(context, anchor.http, left=lambda: 6_000)
    assert [one.id for one in row.tries] == ["plain", "odd_case"]
    before = context.meter.spent
    row = row_of(context, anchor.http, left=lambda: 100)
    assert (row.failure, row.tries) == (Failure.BUDGET_EXHAUSTED, ())
    row = row_of(replace(context, refusal=Refusal()), anchor.http, address="10.0.0.1")
    assert row.failure is Failure.TARGET_REFUSED
    (row,) = asyncio.run(echo.measure(TARGET, context))
    assert row.failure is Failure.NOTHING_TO_ASK
    assert context.meter.spent == before


def test_a_network_that_lets_odd_requests_hang_does_not_hold_the_rest_up(between, anchor, context):
    def swallow(data):
        return data if data.startswith(b"GET /echo HTTP/1.1\r\nHost") and b"X-" not in data else data[:10]

    # Time runs so fast that all tries together have a quarter of a second, as each of them has.
    row = row_of(context, between(request=swallow), time_scale=400.0)
    assert (row.outcome, row.tries[0].request_altered) == (Outcome.OK, False)
    assert [one.failure for one in row.tries[1:]] == [Failure.GENERIC_TIMEOUT_ERROR]
