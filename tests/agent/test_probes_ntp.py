"""Time servers that are honest, lie, refuse, answer twice or talk nonsense."""

import asyncio
import socket
import struct
from contextlib import contextmanager
from dataclasses import replace

import pytest

from civobs_agent.probes import ntp
from civobs_agent.refusal import Refusal
from civobs_lab.servers.misbehaviour import LIE_CLOCK_S, Conduct, Does
from civobs_lab.servers.ntp import respond
from civobs_wire.failure import Failure, Outcome
from civobs_wire.plan import Target, TimeServer
from tests.agent.fix_net import free_port, plan_with


class TimeProtocol(asyncio.DatagramProtocol):
    """Sends what ``answers`` makes of a question, one after the other, with seconds between them."""

    def __init__(self, answers, asked):
        self._answers, self._asked = answers, asked

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        self._asked.append(data)
        self._task = asyncio.get_running_loop().create_task(self._send(data, peer))

    async def _send(self, data, peer):
        for answer, after_s in await self._answers(data):
            await asyncio.sleep(after_s)
            self._transport.sendto(answer, peer)


@pytest.fixture
def served(server_loop):
    """A time server on the loopback that does what it is told; gives its port and the questions it has heard."""

    @contextmanager
    def serve(answers, address="127.0.0.1"):
        port, asked = free_port(socket.SOCK_DGRAM), []

        async def start():
            loop = asyncio.get_running_loop()
            made = await loop.create_datagram_endpoint(lambda: TimeProtocol(answers, asked), (address, port))
            return made[0]

        transport = server_loop.run(start())
        try:
            yield port, asked
        finally:
            server_loop.loop.call_soon_threadsafe(transport.close)

    return serve


def honest(*does):
    """The lab's server."""
    conduct = Conduct(["ntp"], 1.0)
    for word in does:
        conduct.switch(word, 1)

    async def answers(data):
        return [(await respond(data, conduct), 0.0)]

    return answers


def bent(change):
    """The lab's server, its answer changed before it leaves."""

    async def answers(data):
        return change(await respond(data, Conduct(["ntp"], 1.0)))

    return answers


def asked_of(context, port, address="127.0.0.1"):
    plan = plan_with(time_servers=(TimeServer(id="time-a", address=address, port=port),))
    rows = asyncio.run(ntp.measure(Target(id="ntp", url=""), replace(context, plan=plan)))
    assert [row.server for row in rows] == ["time-a"]
    return rows[0]


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", 4), ("::1", 6)])
def test_an_honest_server_agrees_with_this_clock(address, family, served, context):
    with served(honest(), address) as (port, asked):
        row = asked_of(context, port, address)
    assert (row.outcome, row.family, row.address, row.stratum, row.leap) == (Outcome.OK, family, address, 1, 0)
    assert (row.ref_id, row.kiss, row.other_offsets_ms, row.strays) == ("LAB", None, (), None)
    assert abs(row.offset_ms) < 1000
    assert 0 <= row.delay_ms < 1000
    # Client, version 4, and of the rest only what is random: nothing of this device's clock.
    assert asked[0][:40] == b"\x23\x00\x00\x20" + bytes(36)


def test_what_is_sent_as_time_is_never_the_same(served, context):
    with served(honest()) as (port, asked):
        for _ in range(3):
            asked_of(context, port)
    assert len({data[40:] for data in asked}) == 3


def test_a_server_that_lies_is_that_far_away(served, context):
    with served(honest(Does.LIE)) as (port, _):
        row = asked_of(context, port)
    assert row.outcome is Outcome.OK
    assert row.offset_ms == pytest.approx(LIE_CLOCK_S * 1000, abs=1000)


def test_a_kiss_of_death_is_an_answer_without_a_time(served, context):
    with served(honest(Does.ERROR)) as (port, asked):
        row = asked_of(context, port)
    assert (row.outcome, row.kiss, row.stratum, row.leap) == (Outcome.OK, "DENY", 0, 3)
    assert (row.offset_ms, row.delay_ms, row.ref_id) == (None, None, None)
    assert len(asked) == 1


def test_a_second_answer_to_the_same_question_is_kept(served, context):
    def forged_first(true):
        hour = struct.pack("!Q", (int.from_bytes(true[40:48], "big") + (3600 << 32)) & 2**64 - 1)
        return [(true[:32] + hour + hour, 0.0), (true, 0.05)]

    with served(bent(forged_first)) as (port, _):
        row = asked_of(context, port)
    assert row.offset_ms == pytest.approx(3_600_000, abs=2000)
    assert [round(offset / 2000) for offset in row.other_offsets_ms] == [0]


@pytest.mark.parametrize(
    "change",
    [
        lambda true: true[:24] + bytes(8) + true[32:],
        lambda true: bytes([true[0] & 0xF8 | 5]) + true[1:],
        lambda true: true[:47],
        lambda true: b"\xff" * 900,
    ],
    ids=["another origin", "broadcast", "short", "garbage"],
)
def test_what_answers_no_question_is_counted_and_not_believed(change, served, context):
    with served(bent(lambda true: [(change(true), 0.0), (true, 0.0)])) as (port, _):
        row = asked_of(context, port)
    assert (row.outcome, row.strays, row.stratum) == (Outcome.OK, 1, 1)
    with served(bent(lambda true: [(change(true), 0.0)])) as (port, asked):
        row = asked_of(context, port)
    assert (row.outcome, row.failure, row.strays) == (Outcome.FAILED, Failure.UNEXPECTED_ANSWER, 2)
    assert (row.offset_ms, len(asked)) == (None, 2)


def test_a_flood_is_not_read_to_its_end(served, context):
    with served(bent(lambda true: [(b"x", 0.0)] * 500)) as (port, _):
        row = asked_of(context, port)
    assert (row.failure, row.strays) == (Failure.UNEXPECTED_ANSWER, 2 * ntp.MAX_HEARD)


def test_many_answers_are_kept_up_to_a_number(served, context):
    with served(bent(lambda true: [(true, 0.0)] * 30)) as (port, _):
        row = asked_of(context, port)
    assert len(row.other_offsets_ms) == 8


async def nothing(data):
    return []


def test_silence_and_a_closed_port_are_told_apart(served, context):
    with served(nothing) as (port, asked):
        assert asked_of(context, port).failure is Failure.GENERIC_TIMEOUT_ERROR
    assert len(asked) == 2
    assert asked_of(context, free_port(socket.SOCK_DGRAM)).failure is Failure.CONNECTION_REFUSED


def test_what_a_server_follows_is_shown_unless_it_is_of_this_home(served, context):
    def follows(address):
        return bent(lambda true: [(true[:1] + b"\x02" + true[2:12] + socket.inet_aton(address) + true[16:], 0.0)])

    with served(follows("9.9.9.9")) as (port, _):
        assert asked_of(context, port).ref_id == "9.9.9.9"
    with served(follows("192.168.1.1")) as (port, _):
        assert asked_of(context, port).ref_id == "refused:private"


def test_times_beyond_2036_are_of_the_era_that_is_near(served, context):
    assert ntp._near(0, 2**32 - 2_208_988_800 + 5.0) == 2**32 - 2_208_988_800
    assert ntp._near(2**64 - 1, 2**32 - 2_208_988_800 + 5.0) == pytest.approx(2**32 - 2_208_988_800)


def test_a_server_in_the_home_is_refused(context):
    row = asked_of(replace(context, refusal=Refusal()), 123, "192.168.1.1")
    assert (row.outcome, row.failure, row.address) == (Outcome.NOT_RUN, Failure.TARGET_REFUSED, "refused:private")


def test_a_family_the_device_does_not_have_is_not_asked(no_ipv6):
    assert asked_of(no_ipv6, 123, "::1").failure is Failure.FAMILY_ABSENT


def test_a_plan_without_time_servers_still_yields_a_row(context):
    rows = asyncio.run(ntp.measure(Target(id="ntp", url=""), replace(context, plan=plan_with())))
    assert [(row.outcome, row.failure, row.server) for row in rows] == [(Outcome.NOT_RUN, Failure.NOTHING_TO_ASK, "-")]
