"""From a message of the broker to something that can be stored: a sound batch, a statement of presence, or a refusal.

The order is the defence: topic, allow-list, size, signature, and only then is anything unpacked, within limits. The
function is pure: what it needs to know of probes is handed in, and "now" is the moment of arrival.
"""

import hashlib
import logging
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from civobs_collector.ingest.twins import parse_quickly
from civobs_wire.batch import CONTEXT, Batch, unpacked
from civobs_wire.envelope import peek
from civobs_wire.errors import EnvelopeError, WireError
from civobs_wire.limits import MAX_PACKED_BYTES
from civobs_wire.presence import Presence, unpack_presence
from civobs_wire.scalars import INT4_MAX, INT8_MAX
from civobs_wire.topics import Leaf, parse_topic

logger = logging.getLogger(__name__)

_NUMBER = re.compile(rb'"batch_seq"\s*:\s*(\d{1,19})\b')
UNBOUNDED_MS = INT4_MAX
"""The largest error a row can state means that nothing bounds it (``civobs_wire.measurement``)."""
_HEAD_BYTES = 4096
"""Where a batch's number stands if the text itself cannot be parsed: the schema's writer puts it third."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came; ``generation`` and ``mid`` are what its acknowledgement needs."""

    generation: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    received_at: datetime
    late: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """A probe of the allow-list."""

    probe_key: int
    probe_id: str
    status: str
    cc: str
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Window:
    """Which times of rows are accepted, measured from the moment of arrival."""

    oldest: timedelta
    newest: timedelta


@dataclass(frozen=True, slots=True)
class Sound:
    """A batch that may be stored, or its twin (``twins.py``). ``text`` is its JSON, unpacked."""

    arrived: Arrived
    sender: Sender
    batch: Batch
    text: bytes
    sha256: bytes
    undated: frozenset[int] = frozenset()
    """Which measurements, counted from 0, have a time that says nothing: they are stored under the time of arrival."""

    @property
    def number(self) -> tuple[int, int]:
        """The key of the inbox."""
        return self.sender.probe_key, self.batch.batch_seq


@dataclass(frozen=True, slots=True)
class Heard:
    """A statement of presence."""

    arrived: Arrived
    sender: Sender
    presence: Presence


@dataclass(frozen=True, slots=True)
class Refused:
    """What goes to quarantine. ``settles`` is the probe's batch number if its own signature vouches for it."""

    arrived: Arrived
    reason: str
    detail: str
    sha256: bytes
    probe_id: str | None = None
    probe_key: int | None = None
    batch_seq: int | None = None
    verified: bool = False


Judged = Sound | Heard | Refused


def judge(arrived: Arrived, senders: Mapping[str, Sender], window: Window) -> Judged:
    """Decide what a message is. Never raises: a fault of ours costs this message, not the queue."""
    digest = hashlib.sha256(arrived.payload).digest()
    try:
        return _judge(arrived, digest, senders, window)
    except WireError as error:
        return Refused(arrived, error.reason, str(error), digest)
    except Exception as error:
        logger.exception("fault while decoding topic=%s sha256=%s", arrived.topic, digest.hex())
        return Refused(arrived, "internal_error", type(error).__name__, digest)


def _judge(arrived: Arrived, digest: bytes, senders: Mapping[str, Sender], window: Window) -> Judged:
    topic = parse_topic(arrived.topic)
    sender = senders.get(topic.probe_id)
    if sender is None:
        return Refused(arrived, "unknown_probe", "not on the allow-list", digest, topic.probe_id)
    if sender.status == "revoked":
        return Refused(arrived, "revoked", "the enrolment is revoked", digest, topic.probe_id, sender.probe_key)
    if topic.leaf is Leaf.PRESENCE:
        return _judge_presence(arrived, digest, sender)
    if topic.leaf is not Leaf.BATCH:
        return Refused(arrived, "wrong_topic", f"a probe does not write {topic.leaf}", digest, topic.probe_id)
    return _judge_batch(arrived, digest, sender, window)


def _judge_presence(arrived: Arrived, digest: bytes, sender: Sender) -> Judged:
    try:
        presence = unpack_presence(arrived.payload, sender.key)
    except WireError as error:
        return Refused(arrived, error.reason, str(error), digest, sender.probe_id, sender.probe_key)
    if presence.probe_id != sender.probe_id:
        return Refused(arrived, "wrong_topic", f"speaks for {presence.probe_id}", digest, sender.probe_id)
    return Heard(arrived, sender, presence)


def _judge_batch(arrived: Arrived, digest: bytes, sender: Sender, window: Window) -> Judged:
    def refused(reason: str, detail: str, *, number: int | None = None, verified: bool = True) -> Refused:
        return Refused(arrived, reason, detail, digest, sender.probe_id, sender.probe_key, number, verified)

    text = b""
    try:
        text = unpacked(arrived.payload, sender.key)
        batch = parse_quickly(text)
    except WireError as error:
        verified = not isinstance(error, EnvelopeError) and len(arrived.payload) <= MAX_PACKED_BYTES
        number = _number_in(text, arrived.payload, sender.probe_id) if verified else None
        return refused(error.reason, str(error), number=number, verified=verified)
    if batch.probe_id != sender.probe_id:
        return refused("wrong_topic", f"speaks for {batch.probe_id}", verified=False)
    undated, fault = _date(batch, arrived.received_at, window)
    if fault is not None:
        return refused(*fault, number=batch.batch_seq)
    return Sound(arrived, sender, batch, text, digest, undated)


def _date(batch: Batch, now: datetime, window: Window) -> tuple[frozenset[int], tuple[str, str] | None]:
    """Give the rows whose time says nothing, and the first whose time, give or take its error, is outside the window.

    A device that was off for weeks and never met a time server does not know its error (``UNBOUNDED_MS``). Such a row
    is no fault: it is true that it was measured, only not when.
    """
    oldest, newest = now - window.oldest, now + window.newest
    times = [row.at for row in batch.measurements]
    times += [row.slot_at for row in batch.measurements]
    if oldest <= min(times) and max(times) <= newest:
        return frozenset(), None
    undated: set[int] = set()
    for index, row in enumerate(batch.measurements):
        if oldest <= row.at <= newest and oldest <= row.slot_at <= newest:
            continue
        if row.clock_err_ms >= UNBOUNDED_MS:
            if not oldest <= row.at <= newest:
                undated.add(index)
            continue
        slack = timedelta(milliseconds=row.clock_err_ms)
        for moment in (row.at, row.slot_at):
            if moment + slack < oldest:
                return frozenset(), ("too_old", f"row {row.seq} of {moment.isoformat()}")
            if moment - slack > newest:
                return frozenset(), ("too_new", f"row {row.seq} of {moment.isoformat()}")
    return frozenset(undated), None


def _number_in(text: bytes, message: bytes, probe_id: str) -> int | None:
    """Read the number of a batch that its probe signed but that does not validate."""
    document: Any = None
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        match = _NUMBER.search((text or _first_bytes(message))[:_HEAD_BYTES])
        number: Any = int(match[1]) if match else None
    else:
        if not isinstance(document, dict) or document.get("probe_id") != probe_id:
            return None
        number = document.get("batch_seq")
    return number if type(number) is int and 1 <= number <= INT8_MAX else None


def _first_bytes(message: bytes) -> bytes:
    """Unpack the beginning of a body that was refused for its length or its end."""
    try:
        return zlib.decompressobj().decompress(peek(CONTEXT, message), _HEAD_BYTES)
    except zlib.error:
        return b""


def utc_now() -> datetime:
    """The collector's clock."""
    return datetime.now(UTC)
