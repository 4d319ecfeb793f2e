"""One MQTT connection: paho's network thread on one side, the event loop on the other.

A new client object for each connection, because paho replays its own queue on a reconnect without regard to any
window (ingest.md §3.1): what is outstanding is the spool's business. Callbacks only hand over, and nothing they do
can raise into the network thread, which would die of it.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from civobs_agent.authorities import verifying_context
from civobs_agent.blocking import in_thread
from civobs_wire.enrol import BrokerEndpoint

logger = logging.getLogger(__name__)

NO_SUBSCRIBERS = 0x10
"""PUBACK "No matching subscribers": the broker has thrown the message away (MQTT v5 §3.4.2.1)."""
REFUSED_FROM = 0x80
"""Reason codes from here on are errors (MQTT v5 §2.4)."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker's word on a message; it says nothing about the collector."""

    mid: int
    reason: int

    @property
    def stored(self) -> bool:
        """False if the broker says itself that nobody has it."""
        return self.reason != NO_SUBSCRIBERS and self.reason < REFUSED_FROM


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over."""

    reason: str


Event = Received | Acked | Closed


class LinkError(Exception):
    """No connection came about; the text says why."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when it loses the probe."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """How TLS is verified, and the probe's own certificate where there is one."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 only: in 1.2 the client certificate, which names the probe, crosses the wire in clear."""
        context = verifying_context(self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if self.cert is not None and self.key is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class Link:
    """An open connection. Its events come out of ``events``; ``Closed`` is the last."""

    def __init__(self, client_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._open: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._dropped = False
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        client.suppress_exceptions = True
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._client = client

    async def connect(self, endpoint: BrokerEndpoint, trust: Trust, will: Will, keepalive_s: int) -> None:
        """Connect and be accepted. The caller sets the time limit. Raises LinkError."""
        client = self._client
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        try:
            if endpoint.tls:
                client.tls_set_context(trust.context())
            code = await in_thread("mqtt-connect", lambda: self._connect(endpoint, keepalive_s))
        except (OSError, ValueError) as error:
            raise LinkError(str(error) or type(error).__name__) from None
        if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"connect failed ({code.name})")
        client.loop_start()
        await self._open

    def _connect(self, endpoint: BrokerEndpoint, keepalive_s: int) -> MQTTErrorCode:
        code = self._client.connect(endpoint.host, endpoint.port, keepalive_s, clean_start=True)
        if self._dropped:
            # Too late: without a farewell the broker would publish the will of a session that never greeted.
            self._client.disconnect()
        return code

    async def subscribe(self, *topics: str) -> None:
        """Subscribe at QoS 1. Raises LinkError if the broker refuses one."""
        options = SubscribeOptions(qos=1)
        code, _ = self._client.subscribe([(topic, options) for topic in topics])
        if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"subscribe failed ({code.name})")
        await self._subscribed

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, content_type: str | None = None) -> int:
        """Send at QoS 1; gives the number that ``Acked`` will carry. Raises LinkError."""
        properties = None
        if content_type is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = content_type
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"publish failed ({MQTTErrorCode(info.rc).name})")
        return info.mid

    async def close(self, timeout_s: float) -> None:
        """Say good-bye (the will is not published then) and let go of the client, which is not used again."""
        self._client.disconnect()
        try:
            async with asyncio.timeout(timeout_s):
                await self._closed.wait()
        except TimeoutError:
            logger.debug("connection did not close in time")
        self.drop()

    def drop(self) -> None:
        """Let go of the client without waiting for it; a network thread that hangs is left behind."""
        self._dropped = True
        self._client.on_disconnect = None
        self._client.on_message = None
        self._client.on_publish = None
        self._client.disconnect()
        threading.Thread(target=self._client.loop_stop, name="mqtt-drop", daemon=True).start()

    # On paho's network thread: hand over and nothing else.

    def _hand_over(self, call: Callable[..., None], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *values)
        except RuntimeError:
            return  # the loop is closed: the agent is gone and this thread is about to be

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._hand_over(self._opened, str(reason), reason.is_failure)

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = next((str(reason) for reason in reasons if reason.is_failure), None)
        self._hand_over(self._subscription, refused)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._hand_over(self._lost, str(reason))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            event = Received(message.topic, bytes(message.payload))
        except UnicodeDecodeError:
            return
        self._hand_over(self.events.put_nowait, event)

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._hand_over(self.events.put_nowait, Acked(mid, reason.value))

    # On the event loop.

    def _opened(self, reason: str, failed: bool) -> None:  # noqa: FBT001 - called by the loop, positionally
        if self._open.done():
            return
        if failed:
            self._open.set_exception(LinkError(f"the broker refuses: {reason}"))
        else:
            self._open.set_result(None)

    def _subscription(self, refused: str | None) -> None:
        if self._subscribed.done():
            return
        if refused is not None:
            self._subscribed.set_exception(LinkError(f"the broker refuses the subscription: {refused}"))
        else:
            self._subscribed.set_result(None)

    def _lost(self, reason: str) -> None:
        self._closed.set()
        for future in (self._open, self._subscribed):
            if not future.done():
                future.set_exception(LinkError(f"connection lost: {reason}"))
                future.exception()  # it may be that nobody awaits it
        self.events.put_nowait(Closed(reason))
