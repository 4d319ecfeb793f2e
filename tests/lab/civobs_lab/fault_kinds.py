"""The vocabulary of a scenario's timeline: every kind of fault with its parameters, as they are written in TOML.

Here is only what may be said; ``faults.py`` does it. A scope is a country (``XA``), a region (``XA/North``), a network
(``AS64500``), a household (``xa-64500-1``) or a host (``xa-news``).
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from civobs_lab.censor.rule import FASTEST_KBIT, Direction, Layer, Method, Protocol, Rule
from civobs_lab.spans import Span
from civobs_lab.strict_toml import wrong

Scopes = tuple[Literal["country", "region", "network", "household", "host"], ...]


class _Fault(BaseModel):
    """What all faults have."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scopes: ClassVar[Scopes]
    """What the scope may name."""
    scope: str
    id: Annotated[str, Field(min_length=1)] | None = None
    """For truths to refer to."""
    start: Span
    """From the moment at which every probe has delivered its first rows."""
    end: Span | None = None
    """Left out, it lasts until the run is over."""
    every: Span | None = None
    """It comes back so long after each start…"""
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    """…until it has happened so many times."""

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise wrong("the end is not after the start", "write a later end", "end")
        if (self.every is None) != (self.times == 1):
            raise wrong(
                "`every` and `times` belong together", "write both or neither", "every" if self.every else "times"
            )
        if self.every is not None and (self.end is None or self.end - self.start > self.every):
            raise wrong("it comes back before it has ended", "write an end less than `every` after the start", "every")
        return self


class NationalShutdown(_Fault):
    """Customers of a country's providers lose everything beyond their provider, without an answer."""

    scopes: ClassVar[Scopes] = ("country",)
    kind: Literal["national_shutdown"]
    access: Literal["fixed", "mobile", "both"] = "both"
    """Which providers."""


class InternationalCut(_Fault):
    """The line between a country's gateway and the world is down; routers say so."""

    scopes: ClassVar[Scopes] = ("country",)
    kind: Literal["international_cut"]


class Whitelist(_Fault):
    """At the gateway, only packets from and to the allowed hosts pass."""

    scopes: ClassVar[Scopes] = ("country",)
    kind: Literal["whitelist"]
    allowed: tuple[str, ...]
    """Hosts abroad."""


class NetworkDown(_Fault):
    """A network loses its line to the exchange."""

    scopes: ClassVar[Scopes] = ("network",)
    kind: Literal["network_down"]


class HomeDown(_Fault):
    """A home router loses its line to the provider."""

    scopes: ClassVar[Scopes] = ("household",)
    kind: Literal["home_down"]


class RouterDead(_Fault):
    """A home router is off: no line, no home network, no carrier at the probe."""

    scopes: ClassVar[Scopes] = ("household",)
    kind: Literal["router_dead"]


class Flapping(_Fault):
    """A home's line comes and goes."""

    scopes: ClassVar[Scopes] = ("household",)
    kind: Literal["flapping"]
    up: Span
    down: Span

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if not (self.up and self.down):
            key = "down" if self.up else "up"
            raise wrong(f"`{key}` takes no time", "write a span longer than 0s", key)
        return self


class Ipv6Broken(_Fault):
    """A network goes on handing out IPv6 addresses and carries no IPv6 packet."""

    scopes: ClassVar[Scopes] = ("network",)
    kind: Literal["ipv6_broken"]


class CaptivePortal(_Fault):
    """The home router sends plain HTTP to a portal, lets names be resolved, and drops the rest until somebody logs in.

    The portal is the topology's host that serves it."""

    scopes: ClassVar[Scopes] = ("household",)
    kind: Literal["captive_portal"]


class PowerCut(_Fault):
    """Probes and home routers lose power; the probes come back with a new boot id."""

    scopes: ClassVar[Scopes] = ("country", "region", "network", "household")
    kind: Literal["power_cut"]
    spread: Span = 0.0
    """Homes go one after the other over so long, as batteries drain; the first at the start."""
    return_spread: Span = 0.0
    """And come back over so long; the first at the end."""
    clock_error: Span = 0.0
    """Without a clock battery: the probe's clock is so far behind when it comes back…"""
    clock_known_after: Span | None = None
    """…until time is known so much later; left out, as soon as the collector's word tells it."""

    @model_validator(mode="after")
    def _homes_return_after_they_went(self) -> Self:
        if self.end is not None and self.spread >= self.end - self.start:
            raise wrong("a home would return before it went", "write a `spread` shorter than the power cut", "spread")
        if self.every is not None and self.end is not None and self.end + self.return_spread > self.start + self.every:
            raise wrong("homes would go again before they returned", "write a shorter `return_spread`", "return_spread")
        if self.clock_known_after is not None and not self.clock_error:
            raise wrong("`clock_known_after` needs a `clock_error`", "write both, or neither", "clock_known_after")
        return self


class CollectorBlocked(_Fault):
    """A country or a network cannot reach the observatory's brokers and enrolment; all else works."""

    scopes: ClassVar[Scopes] = ("country", "network")
    kind: Literal["collector_blocked"]
    by: Literal["address", "port"] = "address"
    brokers: Literal["first", "all"] = "all"


class ObservatoryDown(_Fault):
    """Parts of the observatory are killed, and started again at the end. The scope is its host."""

    scopes: ClassVar[Scopes] = ("host",)
    kind: Literal["observatory_down"]
    parts: tuple[Literal["broker", "collector", "database"], ...] = ("broker", "collector", "database")


class ForgedProbes(_Fault):
    """An adversary enrols identities in a network and tells of an outage that is none."""

    scopes: ClassVar[Scopes] = ("network",)
    kind: Literal["forged_probes"]
    count: Annotated[int, Field(ge=1, le=200)] = 20
    habit: Span = 1200.0
    """For how long before the start they have already been telling that all is well."""


class Server(_Fault):
    """A host's servers misbehave, for everybody."""

    scopes: ClassVar[Scopes] = ("host",)
    kind: Literal["server"]
    does: Literal[
        "silent",
        "refuse",
        "reset",
        "slow",
        "error",
        "close",
        "wrong_certificate",
        "expired_certificate",
        "nxdomain",
        "servfail",
        "lie",
    ]
    """``docs/lab.md`` says which server can do what."""


class ResolverDead(_Fault):
    """The resolver that a network gives to its customers does not answer."""

    scopes: ClassVar[Scopes] = ("network",)
    kind: Literal["resolver_dead"]


class Congestion(_Fault):
    """A network's line to the exchange carries so little that everything queues, whatever its name or address."""

    scopes: ClassVar[Scopes] = ("network",)
    kind: Literal["congestion"]
    rate_kbit: Annotated[float, Field(gt=0, le=FASTEST_KBIT)]
    queue_ms: Annotated[float, Field(gt=0, le=10_000)] = 400.0


class NameMoves(_Fault):
    """A name leads to another host, in the countries named or for everybody; as when a CDN moves its customers."""

    scopes: ClassVar[Scopes] = ("host",)
    kind: Literal["name_moves"]
    name: str
    countries: tuple[str, ...] = ()


class Censor(_Fault):
    """A censor at a country's providers, at its gateway, or at one network. Takes every selector of a rule."""

    scopes: ClassVar[Scopes] = ("country", "network")
    kind: Literal["censor"]
    at: Literal["providers", "gateway"] = "providers"
    """For a country: the boxes at all its providers, or the one on the way abroad."""
    method: Method
    names: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    hosts: tuple[str, ...] = ()
    """Hosts of the topology, by all their addresses."""
    addresses: tuple[str, ...] = ()
    """Prefixes, besides the hosts."""
    protocol: Protocol | None = None
    ports: tuple[int, ...] = ()
    family: Literal[4, 6] | None = None
    households: tuple[str, ...] = ()
    """Only these customers; left out is everybody."""
    direction: Direction = Direction.BOTH
    residual: Span = 0.0
    on_path: bool = False
    rate_kbit: float | None = None
    burst_kbyte: float = 16.0
    after_kbyte: float | None = None
    loss_percent: float | None = None
    delay_ms: float | None = None
    answers: tuple[str, ...] = ()
    redirect: str | None = None
    truth_late_ms: float = 0.0

    def rule(self, **resolved: object) -> Rule:
        """The censor's rule; ``resolved`` are ``addresses``, ``customers`` and ``residual`` in the clock's seconds."""
        same = {
            "method",
            "names",
            "layers",
            "protocol",
            "ports",
            "family",
            "direction",
            "on_path",
            "answers",
            "redirect",
        }
        same |= {"rate_kbit", "burst_kbyte", "after_kbyte", "loss_percent", "delay_ms", "truth_late_ms"}
        return Rule.model_validate(self.model_dump(include=same) | resolved)


Fault = Annotated[
    NationalShutdown
    | InternationalCut
    | Whitelist
    | NetworkDown
    | HomeDown
    | RouterDead
    | Flapping
    | Ipv6Broken
    | CaptivePortal
    | PowerCut
    | CollectorBlocked
    | ObservatoryDown
    | ForgedProbes
    | Server
    | ResolverDead
    | Congestion
    | NameMoves
    | Censor,
    Field(discriminator="kind"),
]
"""Any of them; ``kind`` says which."""
