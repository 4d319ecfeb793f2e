"""Real parts for the agent's tests: a clock that is turned by hand, rows, a Mosquitto, and a collector's receipts."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from civobs_wire.batch import Batch, unpack
from civobs_wire.enrol import CONTEXT, TIME_CONTEXT, BrokerEndpoint, EnrolRequest, EnrolResponse, TimeResponse
from civobs_wire.envelope import key_hex, open_sealed, peek, public_key, seal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import ClockState, Ladder, Tcp, Validity
from civobs_wire.presence import Presence, unpack_presence
from civobs_wire.receipt import Receipt, pack_receipt
from civobs_wire.scalars import INT4_MAX
from civobs_wire.topics import Leaf, Topic

PROBE_ID = "0123456789abcdef"
BOOT = UUID("0b5c4b3e-0000-4000-8000-000000000001")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Instant:
    at: datetime
    mono_ms: int
    state: ClockState
    err_ms: int


@dataclass
class HandClock:
    """A clock for what takes one (``ClockLike``): its time is what the test says."""

    boot_id: UUID = BOOT
    mono_ms: int = 1_000
    started_at: datetime = NOON
    state: ClockState = ClockState.SYNCED
    err_ms: int = 5
    seconds: float = 0.0

    def turn(self, seconds):
        self.mono_ms += round(seconds * 1000)
        self.seconds += seconds

    def monotonic(self):
        return self.seconds

    def moment(self):
        return self.reanchor(self.mono_ms)

    def reanchor(self, mono_ms):
        at = self.started_at + timedelta(milliseconds=mono_ms)
        return Instant(at, mono_ms, self.state, INT4_MAX if self.state is ClockState.UNKNOWN else self.err_ms)

    def become_known(self, started_at):
        self.state = ClockState.SYNCED
        self.started_at = started_at


def tcp_row(clock, target="https://example.org"):
    now = clock.moment()
    return Tcp(
        seq=1,
        target=target,
        slot_at=now.at,
        at=now.at,
        mono_ms=now.mono_ms,
        clock_err_ms=now.err_ms,
        duration_ms=12.5,
        family=4,
        outcome=Outcome.OK,
        validity=Validity(clock=now.state),
        address="192.0.2.1",
        port=443,
    )


def ladder_row(clock, rung=4, *, ok=True):
    now = clock.moment()
    return Ladder(
        seq=1,
        target=f"L{rung}",
        slot_at=now.at,
        at=now.at,
        mono_ms=now.mono_ms,
        clock_err_ms=now.err_ms,
        duration_ms=30.0,
        family=4,
        outcome=Outcome.OK if ok else Outcome.FAILED,
        failure=None if ok else Failure.TOO_FEW_ANSWERS,
        validity=Validity(clock=now.state),
        rung=rung,
        n=4,
        n_ok=4 if ok else 0,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Mosquitto:
    """A broker of the test's own, which can be killed and started again on the same port."""

    folder: Path
    port: int = field(default_factory=free_port)
    extra: str = ""
    process: subprocess.Popen | None = None

    def start(self):
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{self.extra}")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.folder / "broker.log").open("a") as log:
            self.process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            assert self.process.poll() is None, (self.folder / "broker.log").read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    mosquitto = Mosquitto(folder)
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


class Receiver:
    """What an agent speaks with: verifies batches as the collector does and answers with signed receipts."""

    def __init__(self, port, probe_key, *, answering=True):
        self.key = Ed25519PrivateKey.generate()
        self.answering = answering
        self.deaf_to: frozenset[int] = frozenset()
        """Batches that get no receipt."""
        self._probe_key = probe_key
        self._lock = threading.Lock()
        self.batches: dict[int, Batch] = {}
        self.raw: dict[int, set[bytes]] = {}
        self.order: list[int] = []
        self.presence: list[Presence] = []
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "receiver", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(str(Topic(PROBE_ID, Leaf.BATCH)), 1), (str(Topic(PROBE_ID, Leaf.PRESENCE)), 1)])
        assert subscribed.wait(5)

    def _on_message(self, client, data, message):
        if message.topic.endswith("/presence"):
            self.presence.append(unpack_presence(message.payload, self._probe_key.public_key()))
            return
        batch = unpack(message.payload, self._probe_key.public_key())
        with self._lock:
            self.raw.setdefault(batch.batch_seq, set()).add(message.payload)
            self.batches[batch.batch_seq] = batch
            self.order.append(batch.batch_seq)
        if self.answering:
            self.answer()

    def receipt(self, key=None, probe_id=PROBE_ID):
        with self._lock:
            numbers = sorted(self.batches.keys() - self.deaf_to)
        ranges: list[tuple[int, int]] = []
        for number in numbers:
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        return pack_receipt(Receipt(probe_id=probe_id, committed=tuple(ranges), at=datetime.now(UTC)), key or self.key)

    def answer(self, key=None, probe_id=PROBE_ID):
        self.publish(Leaf.RECEIPT, self.receipt(key, probe_id))

    def publish(self, leaf, payload):
        self._client.publish(str(Topic(PROBE_ID, leaf)), payload, qos=1, retain=True)

    @property
    def rows(self):
        return [row for number in sorted(self.batches) for row in self.batches[number].measurements]

    @property
    def said(self):
        return [str(presence.state) for presence in self.presence]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def hand_clock():
    return HandClock()


@pytest.fixture
def probe_key():
    return Ed25519PrivateKey.generate()


class Observatory:
    """Enrolment and time over real HTTP, answering as the contract says."""

    def __init__(self, brokers):
        self.plan_key = Ed25519PrivateKey.generate()
        self.receipt_key = Ed25519PrivateKey.generate()
        self.brokers = brokers
        self.plan: bytes | None = None
        self.requests: list[EnrolRequest] = []
        self.refuse_with: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.enrol(self)

            def do_GET(self):
                outer.tell_time(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def enrol(self, exchange):
        body = exchange.rfile.read(int(exchange.headers["Content-Length"]))
        if self.refuse_with is not None:
            self._answer(exchange, self.refuse_with, json.dumps({"detail": "the code was used"}).encode())
            return
        request = EnrolRequest.model_validate_json(peek(CONTEXT, body))
        open_sealed(public_key(request.signing_key), CONTEXT, body)
        self.requests.append(request)
        response = EnrolResponse(
            probe_id=PROBE_ID,
            plan_key=key_hex(self.plan_key.public_key()),
            receipt_key=key_hex(self.receipt_key.public_key()),
            brokers=self.brokers,
            plan=None if self.plan is None else base64.b64encode(self.plan).decode(),
        )
        self._answer(exchange, 200, response.model_dump_json().encode())

    def tell_time(self, exchange):
        nonce = exchange.path.partition("nonce=")[2]
        told = TimeResponse(nonce=nonce, at=datetime.now(UTC))
        self._answer(exchange, 200, seal(self.receipt_key, TIME_CONTEXT, told.model_dump_json().encode()))

    @staticmethod
    def _answer(exchange, status, body):
        exchange.send_response(status)
        exchange.send_header("Content-Length", str(len(body)))
        exchange.end_headers()
        exchange.wfile.write(body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def observatory(broker):
    made = Observatory((BrokerEndpoint(host="127.0.0.1", port=broker.port, tls=False),))
    yield made
    made.close()
