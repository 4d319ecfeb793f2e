"""What a censor does: what it looks for, what it does then, and to whom.

Every selector may be combined with every method that can act on it; what is left out selects everything.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from civobs_lab.spans import Span
from civobs_lab.strict_toml import wrong


class Method(StrEnum):
    """What is done to the traffic that a rule selects."""

    DROP = "drop"
    """Swallowed without a word."""
    REJECT = "reject"
    """Answered with an ICMP error that says it is forbidden."""
    RESET = "reset"
    """Forged TCP resets, to both ends or to the one that ``direction`` names."""
    POLICE = "police"
    """Packets above ``rate_kbit`` are dropped once ``burst_kbyte`` is used up."""
    SHAPE = "shape"
    """Packets above ``rate_kbit`` wait in a queue."""
    SLOW_AFTER = "slow_after"
    """A connection is policed to ``rate_kbit`` once it has carried ``after_kbyte``."""
    LOSS = "loss"
    """``loss_percent`` of the packets are dropped at random."""
    DELAY = "delay"
    """Packets are held for ``delay_ms``."""
    INJECT_DNS = "inject_dns"
    """Questions for the names are answered with ``answers`` (empty: with NXDOMAIN)."""
    BLOCK_PAGE = "block_page"
    """Plain HTTP requests for the names are answered with a page that says it is forbidden."""
    REWRITE = "rewrite"
    """Headers of plain HTTP requests are altered on the way, in letters and in case."""


class Layer(StrEnum):
    """Where a name is read."""

    DNS = "dns"
    TLS = "tls"
    HTTP = "http"
    QUIC = "quic"


class Protocol(StrEnum):
    """What carries the packet."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


class Direction(StrEnum):
    """Seen from the customers: towards the world, back from it, or both."""

    BOTH = "both"
    OUT = "out"
    IN = "in"


FASTEST_KBIT = 10_000_000.0
"""Ten gigabits a second: no line of the lab carries more, so a higher rate would not be felt."""
NAMED_ONLY = frozenset({Method.INJECT_DNS, Method.BLOCK_PAGE})
RATED = frozenset({Method.POLICE, Method.SHAPE, Method.SLOW_AFTER})


class Rule(BaseModel):
    """One rule of a censor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    names: tuple[str, ...] = ()
    """Names and all names below them, read in the ``layers``."""
    layers: tuple[Layer, ...] = ()
    """Where names are read; empty is everywhere the method can act."""
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    """Servers beyond the box."""
    protocol: Protocol | None = None
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Ports of the servers."""
    family: Annotated[int, Field(ge=4, le=6)] | None = None
    """4 or 6; left out is both."""
    customers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whom it concerns; empty is everybody behind the box."""
    direction: Direction = Direction.BOTH
    residual: Span = 0.0
    """After a trigger, seconds for which every packet between the two ends suffers the same (180 s is common).

    Seconds of the clock: whoever plays a scenario divides by its time scale."""
    on_path: bool = False
    """Beside the way and not in it: it can add packets and take none away, so true answers come too, later."""

    rate_kbit: Annotated[float, Field(gt=0, le=FASTEST_KBIT)] | None = None
    burst_kbyte: Annotated[float, Field(gt=0, le=FASTEST_KBIT)] = 16.0
    after_kbyte: Annotated[float, Field(gt=0, le=FASTEST_KBIT)] | None = None
    loss_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    delay_ms: Annotated[float, Field(gt=0, le=10_000)] | None = None
    answers: tuple[IPv4Address | IPv6Address, ...] = ()
    redirect: str | None = None
    """Where a block page sends its reader, by a redirection; left out, it says 403 itself."""
    truth_late_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """On the path: for how long true answers are held, so that the forged one wins by so much."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for method, needed, value in (
            (Method.LOSS, "loss_percent", self.loss_percent),
            (Method.DELAY, "delay_ms", self.delay_ms),
            (Method.SLOW_AFTER, "after_kbyte", self.after_kbyte),
        ):
            if self.method is method and value is None:
                raise _lacks(method, needed)
        if self.method in RATED and self.rate_kbit is None:
            raise _lacks(self.method, "rate_kbit")
        if self.method in NAMED_ONLY and not self.names:
            raise _lacks(self.method, "names")
        return self


def _lacks(method: Method, needed: str) -> PydanticCustomError:
    return wrong(f"method {method} needs {needed}", f"write {needed} = …", "method")
