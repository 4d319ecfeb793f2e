"""The connection to the broker: one paho client a connection, and nothing kept from one to the next.

MQTT acknowledges a bare message number. After a broker lost its session the numbers begin again, so an acknowledgement
kept from before would make it forget a message nobody has looked at (ingest.md §3.1). Hence each connection is a
*generation* with a client object of its own, and a message is only acknowledged to the generation it came by.

Callbacks run in paho's network thread, which also keeps the connection alive: they only queue. What bounds the queue
is MQTT's Receive Maximum: the broker holds back what has not been acknowledged; if it does not, reading slows down.

*Marks.* After each subscription the collector publishes a mark to itself and waits for it to come back. Mosquitto
delivers a client's messages in order, so all that came before the mark may have waited while the collector was away:
it is ``late``, and its arrival says nothing about when it was sent. The same holds from the moment the window is full
until a new mark is back. Marks go on being sent: while one has been under way for too long the connection is stalled,
and what comes then, or behind a mark that took too long, may have waited just as long. One that does not return at all
means that the connection is dead, whatever paho believes.
"""

import functools
import logging
import secrets
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from civobs_collector.config import BrokerSettings
from civobs_collector.errors import ConfigError
from civobs_collector.ingest.decode import Arrived, utc_now
from civobs_collector.metrics import IngestMetrics
from civobs_wire.topics import ROOT

logger = logging.getLogger(__name__)

SESSION_S = 86_400
"""How long the broker keeps our session and its queue when we are gone (ingest.md §5)."""
DROPPED_TOPIC = "$SYS/broker/publish/messages/dropped"
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to connect; the last one repeats. Short: the broker is ours and near."""
_CONNACK_S = 10.0
"""A broker that has not let us in and subscribed us by then is given up, and asked again."""
_MARK_REFUSED_S = 5.0
"""Where the broker lets us publish no marks, what comes this long after subscribing is taken as live."""
_MARK_EVERY_S = 2.5
"""How long after one mark the next is sent."""
LATE_S = 5.0
"""A mark takes milliseconds on a broker and a connection that work. So what is not late came within this and
``_MARK_EVERY_S``."""
_STUCK_S = 60.0
"""A mark that has not come back by then, with nothing else under way, means that the connection is dead."""
_DRAIN_S = 2.0
"""How long a farewell waits for what is still on its way."""
_MOST_UNDER_WAY = 5_000
_MOST_BYTES_UNDER_WAY = 32 * 2**20
"""Publications the broker has not confirmed, and their payload; beyond either the writer waits, so that they cannot
pile up in memory. A plan alone may have 256 KiB."""
_HOLD_S = 1.0
"""How long reading pauses for each message beyond twice the window."""

_P = ParamSpec("_P")


@dataclass(eq=False)
class _Session:
    """One connection. The counters are written by one thread each: ``taken`` by paho's, ``acked`` by the writer."""

    generation: int
    began: float
    client: mqtt.Client | None = None
    subscribed: bool = False
    live: bool = False
    """All that waited while we were away has come; what comes now was just sent."""
    ended: bool = False
    mark: str = ""
    marked: float = 0.0
    marks_refused: bool = False
    taken: int = 0
    acked: int = 0
    sent: int = 0
    confirmed: int = 0
    sent_bytes: int = 0
    confirmed_bytes: int = 0
    sizes: deque[int] = field(default_factory=deque)
    """Payload bytes of what is not confirmed, in the order of sending, which is that of confirming (MQTT 5, 4.6)."""
    awaited: bool = False
    """The writer waits for confirmations, which come behind the messages that the broker has already sent."""
    pending: dict[int, str] = field(default_factory=dict)

    @property
    def unacked(self) -> int:
        return self.taken - self.acked

    @property
    def crowded(self) -> bool:
        """Whether too much is under way to the broker."""
        waiting_bytes = self.sent_bytes - self.confirmed_bytes
        return self.sent - self.confirmed > _MOST_UNDER_WAY or waiting_bytes > _MOST_BYTES_UNDER_WAY

    def send(self, topic: str, payload: bytes, *, retain: bool) -> mqtt.MQTTMessageInfo:
        """Publish with QoS 1 and count it; only while there is a client."""
        assert self.client is not None  # noqa: S101 - both callers have looked
        self.sent += 1
        self.sent_bytes += len(payload)
        self.sizes.append(len(payload))
        return self.client.publish(topic, payload, qos=1, retain=retain)


def _guarded(
    callback: Callable[Concatenate["Link", _Session, _P], None],
) -> Callable[..., None]:
    """Log what a callback raises, because paho would end its thread with it; and let no former connection speak."""

    @functools.wraps(callback)
    def guarded(self: "Link", _client: mqtt.Client, session: _Session, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            if session is self._session:
                callback(self, session, *args, **kwargs)
        except Exception:
            logger.exception("fault in callback=%s", callback.__name__)

    return guarded


class Link:
    """Keeps one subscribed connection and queues what comes. All but the callbacks belongs to the writer's thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        filters: tuple[str, ...],
        *,
        receive_maximum: int,
        metrics: IngestMetrics,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._filters = filters
        self._receive_maximum = receive_maximum
        self._metrics = metrics
        self._mark_topic = f"{ROOT}/collector/{client_id}"
        self._tls = tls_context(settings)
        self._password = broker_password(settings)
        self._session: _Session | None = None
        self._generation = 0
        self._attempts = 0
        self._next_attempt = 0.0
        self._said = ""
        self.queue: SimpleQueue[Arrived] = SimpleQueue()

    @property
    def generation(self) -> int:
        """The connection that is subscribed now, 0 when there is none."""
        session = self._session
        return session.generation if session is not None and session.subscribed and not session.ended else 0

    @property
    def live(self) -> bool:
        """Whether what comes now was just sent: subscribed, and no backlog."""
        session = self._session
        return bool(self.generation) and session is not None and session.live

    @property
    def unacked(self) -> int:
        """Messages taken by this connection and not acknowledged."""
        return 0 if self._session is None else self._session.unacked

    @property
    def quiet_s(self) -> float:
        """For how long a mark has been under way although we keep the broker waiting for nothing."""
        session = self._session
        if session is None or not session.mark or session.unacked > 0:
            return 0.0
        return time.monotonic() - session.marked

    def tend(self) -> None:
        """Connect, reconnect, give up what is stuck. Call it often; it blocks for no more than one TCP connect."""
        now = time.monotonic()
        session = self._session
        if session is None or session.ended:
            # Each connection brings its window again, also while nothing can be committed: not before there is room.
            if now >= self._next_attempt and self.queue.qsize() < self._receive_maximum:
                self._connect(now)
        elif not session.subscribed:
            if now - session.began > _CONNACK_S:
                self._say("broker did not let us in")
                self._drop()
        elif self.quiet_s > _STUCK_S:
            self._say("broker sends nothing although the connection stands")
            self._drop()
        elif not session.live:
            if session.marks_refused:
                session.live = now - session.marked > _MARK_REFUSED_S
            elif not session.mark and session.unacked <= self._receive_maximum // 2:
                self._send_mark(session)
        elif now - session.marked > _MARK_EVERY_S:
            self.probe()

    def probe(self) -> None:
        """Send a mark, to find out whether the connection still carries anything."""
        session = self._session
        if self.generation and session is not None and not session.mark and not session.marks_refused:
            self._send_mark(session)

    def ack(self, arrived: Arrived) -> bool:
        """Acknowledge; False, and counted, if the connection it came by is gone."""
        if arrived.qos == 0:
            return True
        session = self._session
        if session is None or session.client is None or session.ended or session.generation != arrived.generation:
            self._metrics.stale_acks.inc()
            return False
        session.acked += 1
        return session.client.ack(arrived.mid, arrived.qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish a retained message with QoS 1; False if there is no connection, or none that takes it."""
        session = self._session
        if not self.generation or session is None or session.client is None:
            return False
        end = time.monotonic() + _STUCK_S
        while session.crowded and not session.ended and time.monotonic() < end:
            session.awaited = True
            time.sleep(0.01)
        session.awaited = False
        if session.crowded:
            return False
        return session.send(topic, payload, retain=True).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """Let what is under way arrive, then say goodbye; the broker keeps our session and queues for it."""
        session = self._session
        if session is None or session.client is None:
            return
        end = time.monotonic() + _DRAIN_S
        while session.sent > session.confirmed and not session.ended and time.monotonic() < end:
            time.sleep(0.01)
        session.client.disconnect()
        while not session.ended and time.monotonic() < end:
            time.sleep(0.01)
        self._drop()

    def _connect(self, now: float) -> None:
        self._drop()
        self._generation += 1
        session = self._session = _Session(self._generation, now)
        client = session.client = self._make_client(session)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = self._receive_maximum
        try:
            client.connect(
                self._settings.host,
                self._settings.port,
                self._settings.keepalive_s,
                clean_start=False,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            # ValueError: paho's word for a host name it cannot use.
            session.ended = True
            self._say(f"broker is away: {error}")
        else:
            client.loop_start()
        self._next_attempt = now + _BACKOFF_S[min(self._attempts, len(_BACKOFF_S) - 1)]
        self._attempts += 1

    def _make_client(self, session: _Session) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            userdata=session,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _drop(self) -> None:
        """Leave a connection at once, also one that hangs."""
        session, self._session = self._session, None
        if session is None or session.client is None:
            return
        session.ended = True
        transport: Any = session.client.socket()
        if transport is not None:
            with suppress(OSError):
                transport.shutdown(socket.SHUT_RDWR)
        session.client.loop_stop()

    def _send_mark(self, session: _Session) -> None:
        if session.client is None:
            return
        # In this order: paho's thread reads the time of a mark that it sees.
        session.marked = time.monotonic()
        session.mark = secrets.token_hex(8)
        info = session.send(self._mark_topic, session.mark.encode(), retain=False)
        session.pending[info.mid] = session.mark

    def _say(self, what: str) -> None:
        """Log a change of state once, not at each attempt."""
        if what != self._said:
            self._said = what
            level = logging.INFO if what == "subscribed" else logging.WARNING
            logger.log(level, "broker=%s:%d state=%r", self._settings.host, self._settings.port, what)

    @_guarded
    def _on_connect(
        self, session: _Session, _flags: mqtt.ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure or session.client is None:
            self._say(f"broker refuses us: {code}")
            session.ended = True
            return
        options = SubscribeOptions(qos=1)
        quick = SubscribeOptions(qos=0)
        session.client.subscribe(
            [*((one, options) for one in self._filters), (self._mark_topic, options), (DROPPED_TOPIC, quick)]
        )

    @_guarded
    def _on_subscribe(
        self, session: _Session, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = [one for one, code in zip(self._filters, codes, strict=False) if code.is_failure]
        if refused:
            self._say(f"broker refuses our subscription to {refused[0]}")
            session.ended = True
            return
        self._attempts = 0
        session.subscribed = True
        self._say("subscribed")
        if codes[len(self._filters)].is_failure:
            self._refuse_marks(session)
        else:
            self._send_mark(session)

    @_guarded
    def _on_message(self, session: _Session, message: mqtt.MQTTMessage) -> None:
        topic = message.topic
        if topic == DROPPED_TOPIC:
            self._count_dropped(bytes(message.payload))
            return
        session.taken += message.qos > 0
        if session.unacked >= self._receive_maximum:
            # The broker holds back what comes now, so its arrival will say nothing about when it was sent.
            session.live = False
        stalled = bool(session.mark) and time.monotonic() - session.marked > LATE_S
        if stalled:
            session.live = False
        late = message.retain or not session.live
        if topic == self._mark_topic and message.payload == session.mark.encode():
            session.mark = ""
            session.live = session.unacked < self._receive_maximum and not stalled
        self.queue.put(
            Arrived(session.generation, message.mid, message.qos, topic, bytes(message.payload), utc_now(), late)
        )
        self._hold_back(session)

    def _hold_back(self, session: _Session) -> None:
        """Read no further while twice the window waits, so that TCP makes the broker wait.

        Mosquitto 2.0.11 sends on while acknowledgements flow, whatever Receive Maximum says. Never for long at once:
        this thread also keeps the connection alive. And not while the writer waits for what only this thread can read:
        each would wait for the other.
        """
        end = time.monotonic() + _HOLD_S
        while session.unacked >= 2 * self._receive_maximum and not session.awaited:
            if session.ended or time.monotonic() >= end:
                return
            time.sleep(0.002)

    @_guarded
    def _on_publish(self, session: _Session, mid: int, code: ReasonCode, _properties: Properties) -> None:
        session.confirmed += 1
        session.confirmed_bytes += session.sizes.popleft()
        if session.pending.pop(mid, None) is not None and code.is_failure:
            self._refuse_marks(session)
        elif code.is_failure:
            logger.error("broker refuses a publication reason=%r", str(code))

    @_guarded
    def _on_disconnect(
        self, session: _Session, _flags: mqtt.DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        session.ended = True
        self._say(f"disconnected: {code}")

    def _refuse_marks(self, session: _Session) -> None:
        session.marks_refused, session.mark, session.marked = True, "", time.monotonic()
        logger.error(
            "the broker's access list does not let us write and read topic=%s/#: presence cannot be dated as well",
            f"{ROOT}/collector",
        )

    def is_mark(self, arrived: Arrived) -> bool:
        """Whether a message is one of our own marks, which only wants its acknowledgement."""
        return arrived.topic == self._mark_topic

    def _count_dropped(self, payload: bytes) -> None:
        self._metrics.broker_dropped.set(int(payload))


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """TLS 1.3 with the observatory's own authority. Raises ConfigError."""
    if settings.tls_ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.tls_ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {settings.tls_ca}: {error}", "set broker.tls_ca to a PEM file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def broker_password(settings: BrokerSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {settings.password_file}: {error}", "set broker.password_file to a readable file"
        ) from None
