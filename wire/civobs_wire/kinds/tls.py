"""A TLS handshake at one address, with the target's name, with a neutral one, or with none."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHAIN, MAX_RESOLVERS
from civobs_wire.row import Frozen, MeasurementBase, Named, Port
from civobs_wire.scalars import Count4, Count8, Millis, Name, Sha256, UtcTime


class TlsStage(StrEnum):
    """How far a TLS connection came."""

    CONNECT = "connect"
    HANDSHAKE = "handshake"
    VERIFY = "verify"
    DONE = "done"


Answer = Literal["hello", "alert", "other"]
"""What the first record was that came back: a ServerHello, an alert, or no TLS at all."""


class Certificate(Frozen):
    """One certificate of a chain. Times before 2020 and after 2199 are left out."""

    sha256: Sha256
    subject: Name
    """Common name, or else organisation, or else "-"."""
    issuer: Name
    not_before: UtcTime | None = None
    not_after: UtcTime | None = None


class Tls(MeasurementBase):
    """A TLS handshake with one name at one address and port."""

    kind: Literal["tls"] = "tls"
    address: Name | None = None
    port: Port
    sni: Name
    """The name in the ClientHello; "-" for none."""
    named: Named = "target"
    resolvers: Annotated[tuple[Name, ...], Field(max_length=MAX_RESOLVERS)] = ()
    """Who gave this address: ids of resolvers of the plan, ``resolver`` for the given one. Empty for a literal."""
    stage: TlsStage
    """The stage it ended in; ``done`` when it verified. A handshake without the target's name is ok from ``verify`` on:
    a certificate came, whomever it is for."""
    connect_ms: Millis | None = None
    handshake_ms: Millis | None = None
    version: Name | None = None
    cipher: Name | None = None
    alpn: Name | None = None
    cert_sha256: Sha256 | None = None
    """Digest of the leaf certificate in DER."""
    received: Count8 | None = None
    """Bytes that came after the ClientHello was sent; None if it was not sent, 0 where nothing answered it."""
    answer: Answer | None = None
    alert: Name | None = None
    """The TLS alert that ended it, by OpenSSL's name: ``handshake_failure``, ``unrecognized_name``."""
    chain: Annotated[tuple[Certificate, ...], Field(max_length=MAX_CHAIN)] = ()
    """As the server sent it, leaf first."""
    n_names: Count4 | None = None
    """Names in the leaf certificate."""
    covers: bool | None = None
    """One of them is the target's, whatever name was sent."""
    root: Name | None = None
    """Subject of the known root the chain ends at; None if it ends at none."""
    root_sha256: Sha256 | None = None
