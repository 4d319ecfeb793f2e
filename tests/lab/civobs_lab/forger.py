"""An adversary: identities that really enrol, and send what a probe would send, signed as it should be, and untrue.

At first they tell that all is well. At ``OUTAGE`` they leave their connections together without a word, so that the
broker says of each that it is lost, and go on recording ladders that fail; at ``OVER`` they come back, deliver those,
and are well again. Run in the network they pretend to measure from, as ``python -m civobs_lab.forger FILE``.
"""

import asyncio
import base64
import itertools
import json
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from civobs_agent import AGENT
from civobs_lab.network import UPLINK, LabNetwork
from civobs_lab.processes import Program, command_in
from civobs_lab.topology import Attachment, Network
from civobs_wire import enrol
from civobs_wire.batch import CONTENT_TYPE, Batch, pack
from civobs_wire.enrol import Consent, EnrolRequest, EnrolResponse
from civobs_wire.envelope import key_hex, public_key, seal
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import Check, ClockState, Family, FamilyState, Ladder, Validity
from civobs_wire.plan import Plan, unpack_plan
from civobs_wire.presence import Presence, PresenceState, pack_presence
from civobs_wire.receipt import Receipt, unpack_receipt
from civobs_wire.topics import Leaf, Topic

OUTAGE = signal.SIGUSR1
OVER = signal.SIGUSR2
READY = "enrolled"
"""Said when the identities are, and signals are heard."""
ENROL_TIMEOUT_S = 20.0
GOODBYE_S = 2.0
_FAMILIES: tuple[Family, ...] = (4, 6)


def start(
    network: LabNetwork, where: Network, folder: Path, claims: Sequence[str], url: str, time_scale: float
) -> Program:
    """Start one at a server of a network; an identity for each claim code."""
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "forger.json"
    lines = [str(line) for line in _lines(network, where, len(claims))]
    description.write_text(json.dumps({"claims": list(claims), "lines": lines, "url": url, "time_scale": time_scale}))
    words = [sys.executable, "-m", "civobs_lab.forger", str(description)]
    place = network[where.hosts[0].name].namespace
    return Program(f"forger AS{where.asn}", command_in(place, words), folder.parent / "log" / folder.name)


def _lines(network: LabNetwork, where: Network, count: int) -> list[IPv4Address]:
    """Addresses of a network that nobody has, given to the server: to the world each is a customer's line.

    The observatory enrols so many from one line only. Where there are few, they are shared.
    """
    server, link = network[where.hosts[0].name], Attachment(where, 0)
    router = network[f"as{where.asn}"]
    taken = {address for place in network.places.values() for _, address, _ in place.addresses}
    taken |= {via for place in network.places.values() for _, via in place.routes}
    free = [address for address in list(where.prefix)[1:-1] if address not in taken]
    # From the end: the links are counted from the beginning, and each has two addresses of its own besides.
    lines = free[-count:] if len(free) > 2 * count else []
    server.addresses += [(UPLINK, line, 32) for line in lines]
    router.routes += [(IPv4Network(line), link.address) for line in lines]
    server.configure()
    router.configure()
    return lines or [link.address]


@dataclass(slots=True)
class Identity:
    """One of them: its keys, what the observatory made of it, and what it has not got a receipt for."""

    line: str
    """The address it speaks from."""
    key: Ed25519PrivateKey
    response: EnrolResponse
    plan: Plan
    boot_id: UUID = field(default_factory=uuid4)
    seq: int = 1
    batch_seq: int = 1
    waiting: dict[int, bytes] = field(default_factory=dict)
    client: Client | None = None
    session: str = ""

    def topic(self, leaf: Leaf) -> str:
        return str(Topic(self.response.probe_id, leaf))

    def connect(self) -> None:
        """Greet, and deliver what waits."""
        broker = self.response.brokers[0]
        client = Client(
            CallbackAPIVersion.VERSION2,
            self.response.probe_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self.session = secrets.token_hex(16)
        client.will_set(self.topic(Leaf.PRESENCE), self._presence(PresenceState.OFFLINE), qos=1, retain=True)
        client.on_connect = lambda *_: self._greet(client)
        client.on_message = self._receipt
        client.connect(broker.host, broker.port, self.plan.keepalive_s, bind_address=self.line, clean_start=True)
        self.client = client
        client.loop_start()

    def vanish(self) -> None:
        """Leave without a word."""
        client, self.client = self.client, None
        if client is not None:
            line = client.socket()
            if isinstance(line, socket.socket):
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
            client.loop_stop()

    def take_leave(self) -> None:
        """Say that the agent stops, as one does that is switched off in order."""
        client, self.client = self.client, None
        if client is not None and client.is_connected():
            said = client.publish(self.topic(Leaf.PRESENCE), self._presence(PresenceState.STOPPED), qos=1, retain=True)
            with suppress(RuntimeError, ValueError):
                said.wait_for_publish(GOODBYE_S)
            client.disconnect()
            client.loop_stop()

    def climb(self, *, well: bool) -> None:
        """Record one ladder, and send it if there is a connection."""
        now = datetime.now(UTC)
        rows = tuple(_ladder(self.plan, self.seq, now, well=well))
        batch = Batch(
            probe_id=self.response.probe_id,
            batch_seq=self.batch_seq,
            boot_id=self.boot_id,
            sealed_at=now,
            clock=ClockState.SYNCED,
            clock_err_ms=0,
            nonce=secrets.token_hex(16),
            agent=AGENT,
            plan_id=self.plan.plan_id,
            measurements=rows,
        )
        self.waiting[self.batch_seq] = message = pack(batch, self.key)
        self.seq += len(rows)
        self.batch_seq += 1
        if self.client is not None:
            self._send(self.client, message)

    # On paho's network thread.

    def _greet(self, client: Client) -> None:
        client.subscribe(self.topic(Leaf.RECEIPT), qos=1)
        client.publish(self.topic(Leaf.PRESENCE), self._presence(PresenceState.ONLINE), qos=1, retain=True)
        for message in list(self.waiting.values()):
            self._send(client, message)

    def _receipt(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        receipt: Receipt = unpack_receipt(bytes(message.payload), public_key(self.response.receipt_key))
        for number in [each for each in list(self.waiting) if receipt.settles(each)]:
            self.waiting.pop(number, None)

    def _send(self, client: Client, message: bytes) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = CONTENT_TYPE
        client.publish(self.topic(Leaf.BATCH), message, qos=1, properties=properties)

    def _presence(self, state: PresenceState) -> bytes:
        said = Presence(
            probe_id=self.response.probe_id,
            state=state,
            boot_id=self.boot_id,
            session=self.session,
            at=datetime.now(UTC),
            clock_err_ms=0,
            keepalive_s=self.plan.keepalive_s,
            agent=AGENT,
        )
        return pack_presence(said, self.key)


def register(url: str, claim: str, line: str) -> Identity:
    """Enrol with a claim code, from an address. Raises OSError if that does not succeed."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "civobs-probe")])
    csr = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(generate_private_key(SECP256R1()), SHA256())
    )
    asked = EnrolRequest(
        claim=claim,
        signing_key=key_hex(key.public_key()),
        csr_pem=csr.public_bytes(Encoding.PEM).decode(),
        agent=AGENT,
        consent=Consent(version="lab", tier=0, accepted_at=datetime(2026, 1, 1, tzinfo=UTC)),
    )
    envelope = seal(key, enrol.CONTEXT, asked.model_dump_json().encode())
    asking = HTTPConnection(urlsplit(url).netloc, timeout=ENROL_TIMEOUT_S, source_address=(line, 0))
    with closing(asking):
        asking.request("POST", "/enrol/v1", envelope, {"Content-Type": "application/octet-stream"})
        answer = asking.getresponse()
        text = answer.read()
    if answer.status != HTTPStatus.OK:
        raise OSError(f"the observatory answers {answer.status} to an enrolment: {text[:300]!r}")
    response = EnrolResponse.model_validate_json(text)
    if response.plan is None:
        raise OSError("the observatory gave no plan")
    plan = unpack_plan(base64.b64decode(response.plan), public_key(response.plan_key))
    return Identity(line, key, response, plan)


def _ladder(plan: Plan, seq: int, at: datetime, *, well: bool) -> Iterator[Ladder]:
    """Rows of one climb. In the outage everything beyond the home router is silent."""
    rungs: list[tuple[int, Family]] = [
        (0, 0),
        *((rung, family) for rung in (1, 2, 3, 4) for family in _FAMILIES),
        (5, 0),
    ]
    for number, (rung, family) in enumerate(rungs):
        ok = well or rung < 2
        names = _checks(plan, rung, family)
        checks = tuple(
            Check(id=name, outcome=Outcome.OK, ms=random.uniform(4.0, 40.0))
            if ok
            else Check(id=name, outcome=Outcome.FAILED, failure=Failure.GENERIC_TIMEOUT_ERROR)
            for name in names
        )
        state = FamilyState.WORKING if well else FamilyState.BROKEN
        yield Ladder(
            seq=seq + number,
            target=f"L{rung}",
            slot_at=at,
            at=at,
            mono_ms=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
            clock_err_ms=0,
            duration_ms=random.uniform(5.0, 60.0) if ok else 5000.0,
            family=family,
            outcome=Outcome.OK if ok else Outcome.FAILED,
            failure=None if ok else Failure.GENERIC_TIMEOUT_ERROR,
            validity=Validity(clock=ClockState.SYNCED, ipv4=state, ipv6=state),
            rung=rung,
            n=max(1, len(checks)),
            n_ok=max(1, len(checks)) if ok else 0,
            checks=checks,
        )


def _checks(plan: Plan, rung: int, family: Family) -> tuple[str, ...]:
    match rung:
        case 0:
            return ()
        case 1:
            return ("carrier", "gateway")
        case 2:
            return ("resolver",)
        case 5:
            return ("name", "connect", "tls", "http")
        case _:
            return tuple(anchor.id for anchor in plan.anchors if anchor.rung == rung and anchor.family == family)


async def behave(identities: Sequence[Identity], time_scale: float) -> None:
    """Do as the signals say until SIGTERM."""
    loop = asyncio.get_running_loop()
    signs: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for sign in (OUTAGE, OVER, signal.SIGTERM):
        loop.add_signal_handler(sign, signs.put_nowait, sign)
    print(READY, flush=True)
    for each in identities:
        each.connect()
    well = True
    while True:
        for each in identities:
            each.climb(well=well)
        ladder = identities[0].plan.ladder
        wait_s = (ladder.interval_s if well else ladder.trouble_interval_s) / time_scale
        try:
            async with asyncio.timeout(wait_s):
                sign = await signs.get()
        except TimeoutError:
            continue
        if sign == signal.SIGTERM:
            break
        if well != (sign == OVER):
            well = sign == OVER
            for each in identities:
                each.connect() if well else each.vanish()
    for each in identities:
        each.take_leave()


def main(description: Path) -> None:
    """Enrol, and behave."""
    told = json.loads(description.read_text())
    lines = itertools.cycle(told["lines"])
    identities = [register(told["url"], claim, next(lines)) for claim in told["claims"]]
    asyncio.run(behave(identities, told["time_scale"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
