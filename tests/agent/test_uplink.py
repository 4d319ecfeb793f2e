import asyncio
import socket
import time
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_agent.link import Acked
from civobs_agent.outstanding import Outstanding, Pace
from civobs_agent.sealing import Keep, Lane, Sealed
from civobs_agent.spool import Spool, SpoolLimits
from civobs_agent.uplink import OPEN_BYTES, TRY_BYTES, Sender, Uplink, UplinkTimes
from civobs_lab.broker import Broker, bridge_to
from civobs_wire.enrol import BrokerEndpoint
from civobs_wire.receipt import Receipt, pack_receipt
from civobs_wire.topics import Leaf
from tests.agent.fix_agent import PROBE_ID, Receiver, free_port, ladder_row, tcp_row

pytestmark = pytest.mark.broker

FAST = UplinkTimes(
    retry_s=0.4, retry_max_s=1.0, silence_s=5.0, backoff_s=0.1, backoff_max_s=0.3, connect_timeout_s=5, drain_per_s=1000
)


@pytest.fixture
def spool(tmp_path, hand_clock, probe_key):
    opened = Spool(tmp_path / "state", hand_clock, probe_key, SpoolLimits(), monotonic=hand_clock.monotonic)
    opened.identify(PROBE_ID)
    yield opened
    opened.close()


@pytest.fixture
def receiver(broker, probe_key):
    made = Receiver(broker.port, probe_key)
    yield made
    made.close()


def uplink_to(
    receiver, spool, clock, key, ports, times=FAST, *, plans=None, on_lost=lambda: None, on_bytes=lambda _n: None
):
    return Uplink(
        Sender(PROBE_ID, key, receiver.key.public_key()),
        tuple(BrokerEndpoint(host="127.0.0.1", port=port, tls=False) for port in ports),
        spool,
        clock,
        on_plan=[].append if plans is None else plans.append,
        times=times,
        on_lost=on_lost,
        on_bytes=on_bytes,
    )


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


class running:  # noqa: N801 - reads as a word in `async with`
    def __init__(self, uplink):
        self._uplink = uplink

    async def __aenter__(self):
        self._task = asyncio.create_task(self._uplink.run())
        return self._uplink

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._uplink.stop()


def fill(spool, clock, n, rows=3):
    for _ in range(n):
        spool.record([tcp_row(clock) for _ in range(rows)])
        spool.flush()


def test_batches_are_delivered_and_let_go_by_receipts(broker, receiver, spool, hand_clock, probe_key):
    fill(spool, hand_clock, 30)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port])) as uplink:
            await until(lambda: spool.state().batches == 0)
            assert uplink.state.connected
            assert uplink.state.resent == 0

    asyncio.run(scenario())
    assert sorted(receiver.batches) == list(range(1, 31))
    assert [row.seq for row in receiver.rows] == list(range(1, 91))
    assert receiver.said[:1] == ["online"]
    assert receiver.said[-1] == "stopped"


def test_without_receipts_at_most_the_window_is_sent_and_the_same_bytes_again(
    broker, receiver, spool, hand_clock, probe_key
):
    receiver.answering = False
    fill(spool, hand_clock, 20)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port])) as uplink:
            await until(lambda: uplink.state.resent >= 12)
            assert sorted(receiver.batches) == list(range(1, 9))
            assert spool.state().batches == 20
            receiver.answering = True
            receiver.answer()
            await until(lambda: spool.state().batches == 0)

    asyncio.run(scenario())
    assert all(len(forms) == 1 for forms in receiver.raw.values())


def test_batches_that_are_never_receipted_let_the_others_pass(broker, receiver, spool, hand_clock, probe_key):
    receiver.deaf_to = frozenset(range(1, 9))
    fill(spool, hand_clock, 30)
    times = UplinkTimes(retry_s=0.05, retry_max_s=0.2, backoff_s=0.1, connect_timeout_s=5, drain_per_s=1000)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port], times)):
            await until(lambda: spool.state().batches == 8)
            assert [sealed.batch_seq for sealed in spool.next_batches(30)] == list(range(1, 9))
            receiver.deaf_to = frozenset()
            await until(lambda: spool.state().batches == 0)

    asyncio.run(scenario())
    assert all(len(forms) == 1 for forms in receiver.raw.values())


def test_a_retained_receipt_for_numbers_used_before_costs_no_batch(broker, receiver, spool, hand_clock, probe_key):
    committed = Receipt(probe_id=PROBE_ID, committed=((1, 500),), at=datetime.now(UTC))
    receiver.publish(Leaf.RECEIPT, pack_receipt(committed, receiver.key))
    fill(spool, hand_clock, 20)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port])):
            await until(lambda: spool.state().last_seq > 60)
            spool.flush()
            await until(lambda: spool.state().batches == 0)

    asyncio.run(scenario())
    assert sorted(receiver.batches) == list(range(501, 522))
    assert {row.seq for row in receiver.rows} == set(range(1, 62))


def test_a_receipt_signed_by_another_or_for_another_lets_go_of_nothing(broker, receiver, spool, hand_clock, probe_key):
    receiver.answering = False
    fill(spool, hand_clock, 1)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port])):
            await until(lambda: receiver.batches)
            receiver.answer(key=Ed25519PrivateKey.generate())
            receiver.answer(probe_id="fedcba9876543210")
            await asyncio.sleep(0.3)
            assert spool.state().batches == 1
            receiver.answer()
            await until(lambda: spool.state().batches == 0)

    asyncio.run(scenario())


def test_an_acknowledgement_without_a_subscriber_is_not_storage(broker, spool, hand_clock, probe_key):
    fill(spool, hand_clock, 2)

    async def scenario():
        receiver = Receiver(broker.port, probe_key)
        key = receiver
        receiver.close()
        async with running(uplink_to(key, spool, hand_clock, probe_key, [broker.port])) as uplink:
            await until(lambda: uplink.state.refused >= 2)
            assert spool.state().batches == 2

    asyncio.run(scenario())
    assert not Acked(1, 0x10).stored
    assert not Acked(1, 0x87).stored
    assert Acked(1, 0).stored


def test_it_comes_back_when_the_broker_was_killed(broker, receiver, spool, hand_clock, probe_key):
    lost = []

    async def scenario():
        made = uplink_to(receiver, spool, hand_clock, probe_key, [broker.port], on_lost=lambda: lost.append(True))
        async with running(made) as uplink:
            await until(lambda: uplink.state.connected)
            assert lost == []
            broker.kill()
            fill(spool, hand_clock, 12)
            await until(lambda: not uplink.state.connected)
            assert lost == [True]
            broker.start()
            again = Receiver(broker.port, probe_key)
            again.key = receiver.key
            try:
                await until(lambda: spool.state().batches == 0, 20)
            finally:
                again.close()
            assert sorted(again.batches) == list(range(1, 13))

    asyncio.run(scenario())


def test_a_connection_without_receipts_is_replaced(broker, receiver, spool, hand_clock, probe_key):
    receiver.answering = False
    fill(spool, hand_clock, 1)
    times = UplinkTimes(retry_s=0.2, silence_s=0.5, backoff_s=0.05, backoff_max_s=0.1, connect_timeout_s=5)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port], times)):
            await until(lambda: receiver.said.count("online") >= 2)
            receiver.answering = True
            await until(lambda: spool.state().batches == 0)

    asyncio.run(scenario())
    assert "offline" not in receiver.said
    sessions = [presence.session for presence in receiver.presence if presence.state == "online"]
    assert len(set(sessions)) == len(sessions)


def test_a_broker_that_does_not_answer_is_passed_over(broker, receiver, spool, hand_clock, probe_key):
    fill(spool, hand_clock, 1)
    times = UplinkTimes(connect_timeout_s=0.5, backoff_s=0.05, backoff_max_s=0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:

        async def scenario():
            ports = [free_port(), silent.getsockname()[1], broker.port]
            async with running(uplink_to(receiver, spool, hand_clock, probe_key, ports, times)):
                await until(lambda: spool.state().batches == 0)

        asyncio.run(scenario())


def test_by_another_broker_the_first_is_asked_again_and_is_taken_when_it_answers(
    broker, receiver, spool, hand_clock, probe_key, tmp_path
):
    first = Broker(tmp_path / "first", options=bridge_to("127.0.0.1", broker.port))
    times = UplinkTimes(connect_timeout_s=5, backoff_s=0.05, backoff_max_s=0.1, first_again_s=0.05)

    async def scenario():
        ports = [first.port, broker.port]
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, ports, times)) as uplink:
            await until(lambda: "online" in receiver.said)
            fill(spool, hand_clock, 1)
            uplink.wake()
            await until(lambda: spool.state().batches == 0)
            first.start()
            try:
                await until(lambda: receiver.said.count("online") == 2)
                assert uplink.state.broker == f"127.0.0.1:{first.port}"
                fill(spool, hand_clock, 1)
                uplink.wake()
                await until(lambda: spool.state().batches == 0)
            finally:
                first.kill()

    asyncio.run(scenario())
    assert [presence.broker for presence in receiver.presence[:2]] == [1, 0]
    assert receiver.said[:2] == ["online", "online"], "it left the other in order"


def test_each_try_of_a_broker_counts_as_bytes_and_one_that_lets_in_as_more(
    broker, receiver, spool, hand_clock, probe_key
):
    spent = []
    times = UplinkTimes(connect_timeout_s=5, backoff_s=0.05, backoff_max_s=0.1, first_again_s=0.05)

    async def scenario():
        ports = [free_port(), broker.port]
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, ports, times, on_bytes=spent.append)):
            await until(lambda: len(spent) >= 5)

    asyncio.run(scenario())
    assert spent[:5] == [TRY_BYTES, TRY_BYTES, OPEN_BYTES, TRY_BYTES, TRY_BYTES]


def test_a_probe_that_vanishes_leaves_its_will(broker, receiver, spool, hand_clock, probe_key):
    async def scenario():
        uplink = uplink_to(receiver, spool, hand_clock, probe_key, [broker.port])
        task = asyncio.create_task(uplink.run())
        await until(lambda: "online" in receiver.said)
        mine = uplink._mine
        assert mine is not None
        socket_of = mine.link._client.socket()
        assert socket_of is not None
        socket_of.shutdown(socket.SHUT_RDWR)
        await until(lambda: "offline" in receiver.said)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await uplink.stop()

    asyncio.run(scenario())
    first, second = receiver.presence[:2]
    assert (first.state, second.state) == ("online", "offline")
    assert first.session == second.session


def test_a_plan_from_the_broker_is_handed_on(broker, receiver, spool, hand_clock, probe_key):
    plans: list[bytes] = []
    receiver.publish(Leaf.PLAN, b"a plan")

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port], plans=plans)):
            await until(lambda: plans)

    asyncio.run(scenario())
    assert plans == [b"a plan"]


def test_the_ladder_goes_first_and_the_rest_is_paced(broker, receiver, spool, hand_clock, probe_key):
    fill(spool, hand_clock, 40)
    for n in range(5):
        spool.record([ladder_row(hand_clock, rung=n)])
        spool.flush()
    times = UplinkTimes(drain_per_s=20, window=8)

    async def scenario():
        async with running(uplink_to(receiver, spool, hand_clock, probe_key, [broker.port], times)):
            began = time.monotonic()
            await until(lambda: spool.state().batches == 0)
            # 40 batches, 8 of them at once: the other 32 take at least 1.6 s.
            assert time.monotonic() - began > 1.4

    asyncio.run(scenario())
    assert receiver.order[:5] == [41, 42, 43, 44, 45]


def sealed(number, lane=Lane.REST):
    return Sealed(number, lane, Keep.ROUTINE, 1, 0, 0, b"")


def test_waits_double_with_each_try_up_to_the_longest():
    out = Outstanding(8, 10.0, 60.0)
    waits = []
    for _ in range(4):
        out.sent(sealed(1), 1, 0.0)
        due_at = out.next_due_at()
        assert due_at is not None
        waits.append(due_at)
    for wait, standard in zip(waits, (10, 20, 40, 60), strict=True):
        assert 0.75 * standard <= wait <= 1.25 * standard


def test_a_batch_that_was_tried_often_stands_aside_and_is_sent_ever_more_rarely():
    out = Outstanding(8, 10.0, 60.0)
    now = 0.0
    for _ in range(4):
        assert out.parked_due(now) == []
        out.sent(sealed(1), 1, now)
        out.disconnected()
        out.sent(sealed(2), 2, now)
        now = (out.next_due_at() or 0.0) + 1
    assert (out.due(now), out.awaits, out.room) == ([], True, 2), "no receipt has come: only few others are tried"
    waits = []
    for _ in range(14):
        due_at = out.next_due_at()
        assert due_at is not None
        waits.append(due_at - now)
        now = due_at
        assert out.parked_due(now) == [2]
        out.sent(sealed(2), 2, now)
    assert waits[0] > 100
    assert 16_000 < waits[-1] <= 27_000
    out.sent(sealed(3), 3, now)
    assert out.settled(lambda number: number == 3) == [3]
    assert (out.awaits, out.room, out.numbers) == (False, 8, frozenset()), "nobody receipted anything while 2 was tried"


def parked(out, number, now, receipted=()):
    """Send a batch until it is parked, others being receipted meanwhile; gives the time then."""
    while number not in out.numbers or number in {one.batch.batch_seq for one in out._flights.values()}:
        out.sent(sealed(number), number, now)
        for other in receipted:
            out.sent(sealed(other), other, now)
            out.settled(lambda one, other=other: one == other)
        now = (out.next_due_at() or 0.0) + 1
        out.due(now)
    return now


def test_a_batch_parked_in_silence_comes_back_with_the_next_receipt_but_once():
    out = Outstanding(8, 10.0, 60.0)
    now = parked(out, 1, 0.0)
    assert 1 in out.numbers
    out.sent(sealed(2), 2, now)
    out.settled(lambda number: number == 2)
    assert 1 not in out.numbers, "the collector was away: it has its turn again"
    now = parked(out, 1, now)
    out.sent(sealed(3), 3, now)
    out.settled(lambda number: number == 3)
    assert 1 in out.numbers, "now it is the batch"


def test_a_batch_parked_while_others_were_receipted_stays_aside():
    out = Outstanding(8, 10.0, 60.0)
    now = parked(out, 1, 0.0, receipted=(7,))
    out.sent(sealed(2), 2, now)
    out.settled(lambda number: number == 2)
    assert 1 in out.numbers


def test_a_parked_batch_that_is_receipted_is_done():
    out = Outstanding(8, 10.0, 60.0)
    parked(out, 1, 0.0)
    assert out.settled(lambda number: number == 1) == [1]
    assert out.numbers == frozenset()


def test_the_pace_holds_back_the_rest_and_never_the_ladder():
    pace = Pace(2.0, 1, 0.0)
    assert pace.allows(sealed(1))
    assert not pace.allows(sealed(2))
    assert pace.allows(sealed(3, Lane.LADDER))
    assert pace.wait_s == pytest.approx(0.5)
    pace.refill(0.5)
    assert pace.allows(sealed(2))
