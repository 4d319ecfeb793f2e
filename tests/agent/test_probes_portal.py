"""The known page, and what portals and broken networks say in its place."""

import asyncio
import re
from dataclasses import replace

import pytest

from civobs_agent.probes import portal
from civobs_agent.refusal import Refusal
from civobs_wire.anchor import KNOWN_BODY
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Server, Target
from tests.agent.fix_net import free_port, plan_with

TARGET = Target(id="portal", url="")
LOGIN = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
PAGE = b"<html><head><title>Welcome to room 12, guest 192.168.1.77</title></head></html>"


def rows_of(context, *ports, address="127.0.0.1", **fields):
    """One row, of IPv4, with a server at each of these ports."""
    servers = tuple(
        Server(id=f"s{number}", name="anchor.test", address=address, http_port=port)
        for number, port in enumerate(ports)
    )
    context = replace(context, plan=plan_with(servers=servers), **fields)
    (row,) = asyncio.run(portal.measure(TARGET, context))
    return row


def found(context):
    return context.known.flag("portal", context.clock.moment().mono_ms)


def test_the_page_itself_is_no_portal_in_either_family(anchor, context):
    context = replace(context, plan=plan_with(servers=(anchor.server,)))
    rows = asyncio.run(portal.measure(TARGET, context))
    for row, family, address in zip(rows, (4, 6), ("127.0.0.1", "::1"), strict=True):
        assert (row.family, row.outcome, row.status, row.as_expected) == (family, Outcome.OK, 200, True)
        assert (row.address, row.url) == (address, f"http://site.test:{anchor.http}/known")
        assert (row.redirected_to, row.title, row.body_sha256) == (None, None, None)
    assert found(context) is False
    assert 3_000 < context.meter.spent < 6_000


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (b"http://login.hotel.example/start?mac=00:11:22:33:44:55", "login.hotel.example"),
        (b"https://192.168.1.1/login", "refused:private"),
        (b"/login", "anchor.test"),
        (b"mailto:nobody@hotel.example", "invalid"),
    ],
)
def test_who_sends_elsewhere_is_told_by_host_or_range(between, context, location, told):
    context = replace(context, refusal=Refusal(allowed=frozenset({"127.0.0.1"})))
    row = rows_of(context, between.say(LOGIN % location))
    assert (row.outcome, row.status, row.as_expected, row.redirected_to) == (Outcome.OK, 302, False, told)
    assert found(context) is True
    assert not re.search("192.168|00:11", row.model_dump_json())


def test_another_page_is_told_by_its_title_without_the_guest(between, context):
    row = rows_of(context, between.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE))
    assert (row.outcome, row.status, row.as_expected) == (Outcome.OK, 200, False)
    assert row.title == "Welcome to room 12, guest [ip]"
    assert len(row.body_sha256) == 64
    assert found(context) is True


def test_a_page_that_something_was_added_to_is_not_as_expected(between, context):
    row = rows_of(context, between(answer=lambda data: data.replace(b"only look like", b"have the looks")))
    assert row.as_expected is False
    longer = KNOWN_BODY + b"<script src=x></script>"
    row = rows_of(context, between.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(longer) + longer))
    assert row.as_expected is False


def test_a_dead_path_is_neither(between, context):
    row = rows_of(context, free_port())
    assert (row.outcome, row.failure, row.as_expected) == (Outcome.FAILED, Failure.CONNECTION_REFUSED, None)
    row = rows_of(context, between(request=lambda _: None))
    assert (row.failure, row.as_expected) == (Failure.EOF_ERROR, None)
    row = rows_of(context, between(answer=lambda data: data[:-40]))
    assert (row.failure, row.status, row.as_expected) == (Failure.EOF_ERROR, 200, None)
    assert found(context) is None


def test_a_server_that_is_down_or_out_of_order_is_no_portal(anchor, between, context):
    row = rows_of(context, free_port(), anchor.http)
    assert (row.outcome, row.as_expected) == (Outcome.OK, True)
    row = rows_of(context, between.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"))
    assert (row.status, row.as_expected, found(context)) == (503, False, False)


def test_what_is_no_http_and_what_never_ends_cost_little(between, context):
    row = rows_of(context, between.say(b"220 mail.example ESMTP\r\n\r\n"))
    assert (row.failure, row.as_expected, row.status) == (Failure.HTTP_REQUEST_FAILED, False, None)
    before = context.meter.spent
    row = rows_of(context, between.repeat(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536))
    assert (row.outcome, row.as_expected) == (Outcome.OK, False)
    row = rows_of(context, between.repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert row.outcome is Outcome.FAILED
    row = rows_of(context, between.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
    assert (row.failure, row.as_expected) == (Failure.GENERIC_TIMEOUT_ERROR, None)
    assert context.meter.spent - before < 400_000


def test_a_tunnel_is_told_whatever_the_page(context, anchor):
    host = replace(context.host, tunnel=True, tunnel_kind="wireguard")
    row = rows_of(context, anchor.http, host=host)
    assert (row.as_expected, row.tunnel, row.tunnel_kind) == (True, True, "wireguard")
    row = rows_of(context, anchor.http, host=replace(context.host, tunnel=False))
    assert (row.tunnel, row.tunnel_kind) == (False, None)


def test_without_server_address_or_bytes_it_says_so_and_sends_nothing(context):
    (row,) = asyncio.run(portal.measure(TARGET, context))
    assert (row.outcome, row.failure) == (Outcome.NOT_RUN, Failure.NOTHING_TO_ASK)
    row = rows_of(replace(context, refusal=Refusal()), 80, address="192.168.1.1")
    assert (row.failure, row.address) == (Failure.TARGET_REFUSED, "refused:private")
    row = rows_of(context, 80, left=lambda: 10)
    assert row.failure is Failure.BUDGET_EXHAUSTED
    assert context.meter.spent == 0
