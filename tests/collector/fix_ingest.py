"""A collector's ingest in this process, against a real broker and database, and devices that speak to it."""

import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import paho.mqtt.client as mqtt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from prometheus_client import CollectorRegistry

from civobs_collector.config import CollectorSettings
from civobs_collector.ingest.role import build_writer
from civobs_collector.ingest.writer import Writer
from civobs_collector.keys import make_key
from civobs_collector.metrics import IngestMetrics
from civobs_lab.broker import Broker
from civobs_wire.batch import Batch, pack
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import ClockState, FamilyState, Ping, Validity
from civobs_wire.presence import Presence, PresenceState, pack_presence
from civobs_wire.receipt import Receipt, unpack_receipt
from civobs_wire.topics import Leaf, Topic

WAIT_S = 20.0
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALIDITY = Validity(clock=ClockState.SYNCED, ipv4=FamilyState.WORKING, ipv6=FamilyState.ABSENT)


def wait_for(look: Callable[[], Any], seconds: float = WAIT_S) -> Any:
    """Return the first true thing that ``look`` returns."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.03)
    return found


def row(seq: int, at: datetime, **other: Any) -> Ping:
    """A ping that was answered, unless ``other`` says otherwise."""
    values: dict[str, Any] = {
        "seq": seq,
        "target": "anchor-1",
        "slot_at": at,
        "at": at,
        "mono_ms": seq * 1000,
        "clock_err_ms": 20,
        "duration_ms": 12.5,
        "family": 4,
        "outcome": Outcome.OK,
        "validity": _VALIDITY,
        "sent": 4,
        "received": 3,
        "rtt_avg_ms": 20.0,
    }
    return Ping(**(values | other))


def failed_row(seq: int, at: datetime) -> Ping:
    """A ping that was not answered."""
    return row(seq, at, outcome=Outcome.FAILED, failure=Failure.GENERIC_TIMEOUT_ERROR, received=0, rtt_avg_ms=None)


@dataclass
class Device:
    """What a probe is to the collector: a key and an id."""

    probe_id: str = field(default_factory=lambda: "".join(secrets.choice(_ALPHABET) for _ in range(16)))
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    boot_id: UUID = field(default_factory=uuid4)

    def batch(self, number: int, *rows: Any, **other: Any) -> Batch:
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "probe_id": self.probe_id,
            "batch_seq": number,
            "boot_id": self.boot_id,
            "sealed_at": now,
            "clock": ClockState.SYNCED,
            "clock_err_ms": 20,
            "nonce": secrets.token_hex(16),
            "agent": "test 1",
            "measurements": rows or tuple(row(number * 100 + step, now) for step in range(3)),
        }
        return Batch(**(values | other))

    def message(self, number: int, *rows: Any, **other: Any) -> bytes:
        return pack(self.batch(number, *rows, **other), self.key)

    def presence(self, state: PresenceState, session: str, broker: int | None = None) -> bytes:
        said = Presence(
            probe_id=self.probe_id,
            state=state,
            boot_id=self.boot_id,
            session=session,
            at=datetime.now(UTC),
            clock_err_ms=20,
            keepalive_s=60,
            agent="test 1",
            broker=broker,
        )
        return pack_presence(said, self.key)

    def topic(self, leaf: Leaf) -> str:
        return str(Topic(self.probe_id, leaf))

    def enrol(self, dsn: str, cc: str = "KE", status: str = "active") -> int:
        """Put it on the allow-list; returns its key there."""
        with psycopg.connect(dsn) as conn:
            household = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
            assert household is not None
            found = conn.execute(
                "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, agent, status)"
                " VALUES (%s, %s, %s, '', %s, 'test 1', %s) RETURNING probe_key",
                (self.probe_id, household[0], self.key.public_key().public_bytes_raw(), cc, status),
            ).fetchone()
            assert found is not None
            return int(found[0])


class Wire:
    """A connection to the broker that publishes for devices and keeps what is retained for them."""

    def __init__(self, broker: Broker) -> None:
        self.retained: dict[str, bytes] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._keep
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe([("civobs/v1/+/+/receipt", 1), ("civobs/v1/+/+/plan", 1)])

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.retained[message.topic] = bytes(message.payload)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Ingest:
    """The writer in a thread of its own, as the role runs it."""

    def __init__(self, settings: CollectorSettings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self.writer: Writer = build_writer(settings, IngestMetrics(self.registry))

    def start(self, *, live: bool = True) -> "Ingest":
        """Begin; ``live`` waits until it hears what is sent, because a broker keeps nothing for a stranger."""
        self._thread = threading.Thread(target=self.writer.run, args=(self._halt,), name="ingest.writer")
        self._thread.start()
        if live:
            wait_for(lambda: self.writer._link.live)
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self._halt.set()
            self._thread.join(WAIT_S + 10)
            assert not self._thread.is_alive()
            self._thread = None

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"civobs_{name}", labels) or 0.0


class Site:
    """A broker, a database, an archive, and as many ingests over them as a test wants."""

    def __init__(self, broker: Broker, dsn: str, folder: Path) -> None:
        self.broker, self.dsn, self.folder = broker, dsn, folder
        self.receipt_key = make_key(folder / "receipt.key")
        self.wire = Wire(broker)
        self._ingests: list[Ingest] = []

    def settings(self, **ingest: Any) -> CollectorSettings:
        return CollectorSettings(
            database={"dsn": self.dsn},
            broker={"host": self.broker.host, "port": self.broker.port},
            ingest={"archive_dir": self.folder / "archive", "flush_ms": 50} | ingest,
            keys={"receipt_key": self.folder / "receipt.key"},
            detect={"time_scale": 60.0},
        )

    def ingest(self, **options: Any) -> Ingest:
        one = Ingest(self.settings(**options))
        self._ingests.append(one)
        return one

    def device(self, **options: Any) -> Device:
        one = Device()
        one.enrol(self.dsn, **options)
        return one

    def send(self, device: Device, message: bytes) -> None:
        self.wire.send(device.topic(Leaf.BATCH), message)

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(text, values).fetchall()  # type: ignore[call-overload, no-any-return]

    def receipt(self, device: Device) -> Receipt | None:
        message = self.wire.retained.get(device.topic(Leaf.RECEIPT))
        return None if message is None else unpack_receipt(message, self.receipt_key.public_key())

    def wait_for_receipt(self, device: Device, number: int) -> Receipt:
        def settled() -> Receipt | None:
            found = self.receipt(device)
            return found if found is not None and found.settles(number) else None

        found: Receipt = wait_for(settled)
        return found

    def close(self) -> None:
        self.wire.close()
        for one in self._ingests:
            one.stop()


@contextmanager
def open_site(broker: Broker, dsn: str, folder: Path) -> Iterator[Site]:
    """A site that is closed whatever happens."""
    site = Site(broker, dsn, folder)
    try:
        yield site
    finally:
        site.close()


def days_ago(days: float) -> datetime:
    """So many days before now."""
    return datetime.now(UTC) - timedelta(days=days)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
