"""One measurement, one row: the union of the kinds, told apart by ``kind``."""

import re
from typing import Annotated, get_args

from pydantic import ConfigDict, Field, TypeAdapter

from civobs_wire.kinds.agent import Agent, AgentEvent
from civobs_wire.kinds.dns import Dns, DnsReply
from civobs_wire.kinds.echo import Alteration, Echo, EchoTry
from civobs_wire.kinds.http import Header, Http, HttpStage
from civobs_wire.kinds.ipv6 import Ipv6
from civobs_wire.kinds.ladder import Ladder
from civobs_wire.kinds.nat import Nat, NatBehaviour
from civobs_wire.kinds.ntp import Ntp
from civobs_wire.kinds.path import Hop, Path
from civobs_wire.kinds.ping import Ping
from civobs_wire.kinds.portal import Portal
from civobs_wire.kinds.quic import Quic, QuicStage
from civobs_wire.kinds.reach import Reach
from civobs_wire.kinds.resolver import ResolverFacts
from civobs_wire.kinds.responsiveness import Responsiveness
from civobs_wire.kinds.tcp import Tcp
from civobs_wire.kinds.throttling import Throttling
from civobs_wire.kinds.throughput import Throughput
from civobs_wire.kinds.tls import Certificate, Tls, TlsStage
from civobs_wire.row import (
    Check,
    ClockState,
    Family,
    FamilyState,
    Frozen,
    LinkKind,
    MeasurementBase,
    Named,
    Received,
    Validity,
)

__all__ = [
    "KINDS",
    "KIND_CODES",
    "MEASUREMENT",
    "Agent",
    "AgentEvent",
    "Alteration",
    "AnyMeasurement",
    "Certificate",
    "Check",
    "ClockState",
    "Dns",
    "DnsReply",
    "Echo",
    "EchoTry",
    "Family",
    "FamilyState",
    "Frozen",
    "Header",
    "Hop",
    "Http",
    "HttpStage",
    "Ipv6",
    "Ladder",
    "LinkKind",
    "Measurement",
    "MeasurementBase",
    "Named",
    "Nat",
    "NatBehaviour",
    "Ntp",
    "Path",
    "Ping",
    "Portal",
    "Quic",
    "QuicStage",
    "Reach",
    "Received",
    "ResolverFacts",
    "Responsiveness",
    "Tcp",
    "Throttling",
    "Throughput",
    "Tls",
    "TlsStage",
    "Validity",
]

AnyMeasurement = (
    Ladder
    | Ping
    | Dns
    | Tcp
    | Tls
    | Http
    | Quic
    | ResolverFacts
    | Ipv6
    | Nat
    | Portal
    | Echo
    | Path
    | Throughput
    | Responsiveness
    | Throttling
    | Reach
    | Ntp
    | Agent
)
Measurement = Annotated[AnyMeasurement, Field(discriminator="kind")]
MEASUREMENT: TypeAdapter[AnyMeasurement] = TypeAdapter(Measurement, config=ConfigDict(defer_build=True))

KIND_CODES: dict[str, int] = {
    "ladder": 1,
    "ping": 2,
    "dns": 3,
    "tcp": 4,
    "tls": 5,
    "http": 6,
    "quic": 7,
    "resolver": 8,
    "ipv6": 9,
    "nat": 10,
    "portal": 11,
    "echo": 12,
    "path": 13,
    "throughput": 14,
    "responsiveness": 15,
    "throttling": 16,
    "reach": 17,
    "ntp": 18,
    "agent": 100,
}
"""What the database stores for a kind: never reuse or renumber one."""

KINDS: dict[str, type[MeasurementBase]] = {
    model.model_fields["kind"].default: model for model in get_args(AnyMeasurement)
}

_KIND = re.compile(r'"kind":"([a-z0-9]+)"')


def parse_row(text: str) -> AnyMeasurement:
    """Read one row as its own model writes it, without building those of all kinds. Raises ValueError."""
    # What all kinds share comes first in the text and has no field of this name.
    found = _KIND.search(text)
    if found is None or (model := KINDS.get(found[1])) is None:
        raise ValueError("a row of no known kind")
    row: AnyMeasurement = model.model_validate_json(text)  # type: ignore[assignment] # KINDS has no others
    return row
