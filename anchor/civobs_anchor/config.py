"""The anchor's settings: one frozen model from one TOML file, nothing from the environment.

The defaults serve the loopback on ports that need no privilege, with a certificate the anchor makes itself.
"""

import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from civobs_anchor.errors import ConfigError
from civobs_wire.anchor import MAX_BYTES
from civobs_wire.scalars import Name

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of the file; an unknown key is an error, because it is a typing error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PortSettings(Section):
    """Where it listens. Probes expect 443, 80 and 3478; the defaults need no privilege."""

    https: Port = 8443
    """TLS over TCP, QUIC over UDP."""
    http: Port = 8080
    """Echo, the known page, the client's address."""
    stun: Port = 3478
    stun_other: Port = 3479
    """RFC 5780 wants a second port."""


class LimitSettings(Section):
    """What one client may take. A client is a network: /24 of IPv4, /48 of IPv6."""

    bytes_per_request: Count = MAX_BYTES
    bytes_per_day: Count = 4_000_000_000
    connections: Count = 512
    connections_per_client: Count = 64
    connection_s: Seconds = 120.0
    """The longest that one connection may last."""
    idle_s: Seconds = 20.0
    """How long a client may take for its next bytes, sent or received."""
    handshake_s: Seconds = 10.0
    datagrams_per_s: Count = 50
    """STUN answers to one client: what a forged source address can be sent."""


class MetricsSettings(Section):
    """Counters for Prometheus, without anything about clients. Off unless a port is given."""

    port: Port | None = None
    address: str = "127.0.0.1"


class AnchorSettings(Section):
    """Everything."""

    name: Name = "localhost"
    """Its own name, which the certificate is for and the plan carries."""
    addresses: Annotated[tuple[str, ...], Field(min_length=1)] = ("127.0.0.1", "::1")
    """At most one of each family, as the world reaches them."""
    second_addresses: tuple[str, ...] = ()
    """For STUN: how a NAT filters is only seen with a second address of the same family."""
    certificate: Path | None = None
    """PEM, the whole chain. Left out, the anchor makes one that nobody trusts."""
    key: Path | None = None
    ports: PortSettings = PortSettings()
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings = MetricsSettings()

    @field_validator("addresses", "second_addresses")
    @classmethod
    def _usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parsed = [ip_address(each) for each in value]
        for each in parsed:
            if each.is_unspecified or each.is_multicast:
                raise ValueError(f"{each} is not one address: STUN has to name the address it answers from")
        if len({each.version for each in parsed}) != len(parsed):
            raise ValueError("at most one address of IPv4 and one of IPv6")
        return tuple(str(each) for each in parsed)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or neither")
        first = {ip_address(each).version for each in self.addresses}
        if not {ip_address(each).version for each in self.second_addresses} <= first:
            raise ValueError("a second address needs a first one of its family")
        if set(self.addresses) & set(self.second_addresses):
            raise ValueError("the second address has to be another one than the first")
        if self.ports.stun == self.ports.stun_other or self.ports.http == self.ports.https:
            raise ValueError("two ports are the same")
        return self

    def stun_addresses(self) -> list[tuple[str, ...]]:
        """Of each family its address, and its second where it has one."""
        return [
            (first, *(each for each in self.second_addresses if ip_address(each).version == ip_address(first).version))
            for first in self.addresses
        ]


def load(path: Path | None) -> AnchorSettings:
    """Read the settings; without a path, the defaults. Raises ConfigError."""
    if path is None:
        return AnchorSettings()
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "name a readable file with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "mend the line it names") from None
    try:
        return AnchorSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError(
            f"setting {where}: {first['msg'].removeprefix('Value error, ')}",
            f"correct it in {path}; deploy/anchor.example.toml has every key",
        ) from None
