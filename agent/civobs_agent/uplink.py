"""Delivers: sends batches from the spool until the collector's receipts settle them, and takes in plans.

Only a signed receipt lets go of a batch; a broker's PUBACK does not (ingest.md §0.1). Being connected is no sign of
life either: if batches wait and no receipt comes, the connection is taken for dead, whatever the client says.

Brokers are tried in turn, and the first is the one to be with: by another a probe goes on asking for the first beside
the connection that stands, and says at each by which it speaks. So the observatory learns that the first is blocked,
and when it no longer is.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from civobs_agent import AGENT
from civobs_agent.link import Acked, Closed, Event, Link, LinkError, Received, Trust, Will
from civobs_agent.outstanding import Outstanding, Pace
from civobs_agent.sealing import Sealed
from civobs_agent.self_report import ClockLike
from civobs_agent.spool import Spool
from civobs_wire.batch import CONTENT_TYPE
from civobs_wire.enrol import BrokerEndpoint
from civobs_wire.envelope import Signer, Verifier
from civobs_wire.errors import WireError
from civobs_wire.presence import Presence, PresenceState, pack_presence
from civobs_wire.receipt import unpack_receipt
from civobs_wire.topics import Leaf, Topic

logger = logging.getLogger(__name__)

GOODBYE_S = 2.0
"""How long a stop waits for the broker to take the last word: systemd allows five seconds for all of it."""
OVERHEAD_BYTES = 700
"""Around one batch: topic, TLS and TCP headers, the broker's PUBACK and the receipt with its own."""
TRY_BYTES = 1000
"""To ask a broker that does not let us in: TCP's packets and the first of TLS."""
OPEN_BYTES = 5000
"""What is to be added of one that does: both chains of certificates, the will, the subscriptions, and the greeting."""
FIRST_WORD_S = 0.3
"""Nothing is sent before the retained receipt had this time to come: it may show that numbers are used already."""
POLL_S = 5.0
"""The spool is looked at this often even if nobody says that it has something new."""


@dataclass(frozen=True, slots=True)
class UplinkTimes:
    """Waits and limits, in seconds (settings ``[uplink]``)."""

    window: int = 8
    retry_s: float = 15.0
    retry_max_s: float = 600.0
    silence_s: float = 300.0
    connect_timeout_s: float = 30.0
    backoff_s: float = 2.0
    backoff_max_s: float = 300.0
    drain_per_s: float = 4.0
    first_again_s: float = 60.0
    """Until the first broker is asked again while another serves; doubles up to ``backoff_max_s``."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open link, which of the brokers is at its other end, and what presence says of it."""

    link: Link
    turn: int
    session: str
    keepalive_s: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, how its messages are signed, and whose receipts it believes."""

    probe_id: str
    signing_key: Signer
    receipt_key: Verifier
    trust: Trust = field(default_factory=Trust)

    def topic(self, leaf: Leaf) -> str:
        return str(Topic(self.probe_id, leaf))


@dataclass(slots=True)
class UplinkState:
    """What status and doctor show."""

    connected: bool = False
    broker: str | None = None
    receipt_at: float | None = None
    """Unix time of the last receipt."""
    sent: int = 0
    resent: int = 0
    bytes_up: int = 0
    """Payload bytes published, headers not counted."""
    refused: int = 0
    """Acknowledgements in which the broker said that it had stored nothing."""
    error: str | None = None
    """Why the last connection failed or ended."""


class PlanTaker(Protocol):
    """Is offered the bytes of each plan that arrives."""

    def __call__(self, message: bytes, /) -> None: ...


class Uplink:
    """Run ``run`` as a task; ``stop`` takes leave."""

    def __init__(  # noqa: PLR0913 - what one delivery is made of, each given once, by name
        self,
        sender: Sender,
        brokers: tuple[BrokerEndpoint, ...],
        spool: Spool,
        clock: ClockLike,
        *,
        on_plan: PlanTaker,
        on_bytes: Callable[[int], None] = lambda _n: None,
        on_lost: Callable[[], None] = lambda: None,
        keepalive_s: Callable[[], int] = lambda: 60,
        times: UplinkTimes | None = None,
    ) -> None:
        self._sender = sender
        self._brokers = brokers
        self._spool = spool
        self._clock = clock
        self._on_plan = on_plan
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._keepalive_s = keepalive_s
        self._times = times or UplinkTimes()
        self._mine: Connection | None = None
        self._silences = 0
        self._out = Outstanding(self._times.window, self._times.retry_s, self._times.retry_max_s)
        self._wake = asyncio.Event()
        self.state = UplinkState()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Keep a connection and deliver over it, for ever. Never raises because a network is gone."""
        failures = 0
        turn = 0
        while True:
            began = time.monotonic()
            try:
                ended: str | Connection = await self._open(turn)
                while isinstance(ended, Connection):
                    turn = ended.turn
                    ended = await self._deliver_over(ended)
                reason = ended
            except (LinkError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
            self.state.connected = False
            self.state.error = reason
            at = self._at(turn)
            turn = (turn + 1) % len(self._brokers)
            # A connection that lived counts as a success, so the next try comes soon.
            failures = 1 if time.monotonic() - began > self._times.backoff_max_s else failures + 1
            tries_each = (failures - 1) // len(self._brokers)
            wait_s = min(self._times.backoff_max_s, self._times.backoff_s * 2 ** min(tries_each, 20))
            wait_s *= random.uniform(0.5, 1.5)  # noqa: S311 - jitter is no secret
            logger.info("uplink down broker=%s cause=%r again_in_s=%.1f", at, reason, wait_s)
            await asyncio.sleep(wait_s)

    async def stop(self) -> None:
        """Say that the agent takes leave, so that its silence is not read as an outage. ``run`` is cancelled before."""
        mine, self._mine = self._mine, None
        if mine is None:
            return
        try:
            async with asyncio.timeout(GOODBYE_S):
                mid = self._say(mine, PresenceState.STOPPED)
                while True:
                    match await mine.link.events.get():
                        case Acked(mid=acked) if acked == mid:
                            break
                        case Closed():
                            break
                        case _:
                            continue
        except (LinkError, TimeoutError):
            logger.debug("left without a word")
        await mine.link.close(GOODBYE_S / 2)
        self.state.connected = False

    # One connection.

    def _at(self, turn: int) -> str:
        return f"{self._brokers[turn].host}:{self._brokers[turn].port}"

    async def _open(self, turn: int) -> Connection:
        """Connect and subscribe. Raises LinkError, TimeoutError."""
        link = Link(self._sender.probe_id)
        mine = Connection(link, turn, secrets.token_hex(16), self._keepalive_s())
        will = Will(self._sender.topic(Leaf.PRESENCE), self._presence(mine, PresenceState.OFFLINE))
        self._on_bytes(TRY_BYTES)
        try:
            async with asyncio.timeout(self._times.connect_timeout_s):
                await link.connect(self._brokers[turn], self._sender.trust, will, mine.keepalive_s)
                await link.subscribe(self._sender.topic(Leaf.RECEIPT), self._sender.topic(Leaf.PLAN))
        except BaseException:
            link.drop()
            raise
        self._on_bytes(OPEN_BYTES)
        return mine

    async def _open_first(self) -> Connection:
        """A connection to the first broker, however many tries it takes."""
        wait_s = self._times.first_again_s
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            wait_s = min(2 * wait_s, self._times.backoff_max_s)
            try:
                return await self._open(0)
            except (LinkError, TimeoutError) as error:
                logger.debug("the first broker is still away: %s", error)

    async def _deliver_over(self, mine: Connection) -> str | Connection:
        """Greet and deliver until the connection ends; gives the reason, or the one that replaces it.

        Raises LinkError.
        """
        leaving = False
        better = asyncio.create_task(self._open_first()) if mine.turn else None
        if better is not None:
            better.add_done_callback(lambda _: self.wake())
        try:
            self._say(mine, PresenceState.ONLINE)
            self._mine = mine
            self.state.connected = True
            self.state.broker = self._at(mine.turn)
            self.state.error = None
            logger.info("uplink up broker=%s", self.state.broker)
            ended = await self._deliver(mine.link, better)
            if isinstance(ended, Connection):
                better = None
        except asyncio.CancelledError:
            # `stop` says good-bye over this link, if it came so far.
            leaving = self._mine is mine
            raise
        finally:
            self._out.disconnected()
            if better is not None:
                _let_go(better)
            if not leaving:
                self._mine = None
                mine.link.drop()
        return ended

    async def _deliver(self, link: Link, better: "asyncio.Task[Connection] | None") -> str | Connection:
        """Send and receive; gives why the connection ended, or what ``better`` has to replace it."""
        now = time.monotonic()
        times = self._times
        out = self._out
        pace = Pace(times.drain_per_s, times.window, now)
        heard_at = now
        listens_until = now + FIRST_WORD_S
        while better is None or not better.done():
            now = time.monotonic()
            if now >= listens_until:
                self._send(link, out, pace, now)
            if not out.awaits:
                heard_at = now
            silence_s = times.silence_s * 2 ** min(self._silences, 4)
            if now - heard_at > silence_s:
                # With the collector down this is nobody's fault here, so each time the patience doubles.
                self._silences += 1
                return f"no receipt for {silence_s:.0f} s"
            event = await self._next_event(link, self._wait_s(out, pace, now, listens_until))
            match event:
                case Received(topic=topic, payload=payload):
                    if self._received(topic, payload, out):
                        listens_until = heard_at = time.monotonic()
                        self._silences = 0
                case Acked():
                    self._acked(event, out)
                case Closed(reason=reason):
                    self._on_lost()
                    return f"connection lost: {reason}"
                case None:
                    pass
        return better.result()

    def _acked(self, event: Acked, out: Outstanding) -> None:
        if not event.stored:
            self.state.refused += 1
            logger.debug("not stored by the broker batch=%s reason=%d", out.batch_of(event.mid), event.reason)

    def _send(self, link: Link, out: Outstanding, pace: Pace, now: float) -> None:
        """Send again what is due, then fill the window."""
        pace.refill(now)
        for batch in out.due(now):
            self._publish(link, out, batch, now)
            self.state.resent += 1
        for number in out.parked_due(now):
            parked = self._spool.batch(number)
            if parked is None:
                out.forget(number)
            else:
                self._publish(link, out, parked, now)
                self.state.resent += 1
        if out.room > 0:
            waiting = self._spool.next_batches(out.room, without=out.numbers)
            batches = list(takewhile(pace.allows, waiting))
            if batches:
                self._spool.handed_out([batch.batch_seq for batch in batches])
            for batch in batches:
                self._publish(link, out, batch, now)
                self.state.sent += 1

    def _publish(self, link: Link, out: Outstanding, batch: Sealed, now: float) -> None:
        mid = link.publish(self._sender.topic(Leaf.BATCH), batch.message, content_type=CONTENT_TYPE)
        self.state.bytes_up += len(batch.message)
        self._on_bytes(len(batch.message) + OVERHEAD_BYTES)
        out.sent(batch, mid, now)

    def _wait_s(self, out: Outstanding, pace: Pace, now: float, listens_until: float) -> float:
        if now < listens_until:
            return listens_until - now
        waits = [POLL_S]
        due_at = out.next_due_at()
        if due_at is not None:
            waits.append(due_at - now)
        if out.room > 0 and pace.wait_s > 0:
            waits.append(pace.wait_s)
        return max(0.01, min(waits))

    async def _next_event(self, link: Link, wait_s: float) -> Event | None:
        """What happens next: an event of the link, a call of ``wake``, or nothing for so long."""
        if not link.events.empty():
            return link.events.get_nowait()
        getting = asyncio.ensure_future(link.events.get())
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({getting, waking}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if waking.done():
                self._wake.clear()
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()
            waking.cancel()

    def _received(self, topic: str, payload: bytes, out: Outstanding) -> bool:
        """Whether it was a good receipt."""
        if topic == self._sender.topic(Leaf.PLAN):
            # Retained, so it comes with each connection.
            self._on_bytes(len(payload))
            if payload:
                self._on_plan(payload)
            return False
        if topic != self._sender.topic(Leaf.RECEIPT):
            return False
        try:
            receipt = unpack_receipt(payload, self._sender.receipt_key)
        except WireError as error:
            logger.warning("receipt refused reason=%s cause=%r", error.reason, str(error))
            return False
        if receipt.probe_id != self._sender.probe_id:
            logger.warning("receipt refused reason=wrong_probe")
            return False
        self._spool.settle(receipt)
        out.settled(receipt.settles)
        self.state.receipt_at = time.time()
        return True

    # Presence.

    def _say(self, mine: Connection, state: PresenceState) -> int:
        return mine.link.publish(self._sender.topic(Leaf.PRESENCE), self._presence(mine, state), retain=True)

    def _presence(self, mine: Connection, state: PresenceState) -> bytes:
        now = self._clock.moment()
        presence = Presence(
            probe_id=self._sender.probe_id,
            state=state,
            boot_id=self._clock.boot_id,
            session=mine.session,
            at=now.at,
            clock_err_ms=now.err_ms,
            keepalive_s=mine.keepalive_s,
            agent=AGENT,
            broker=mine.turn,
        )
        return pack_presence(presence, self._sender.signing_key)


def _let_go(opening: "asyncio.Task[Connection]") -> None:
    """Stop opening a connection, and drop one that is open already."""
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        opening.result().link.drop()
    opening.cancel()
