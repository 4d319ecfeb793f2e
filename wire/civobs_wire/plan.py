"""The plan: which measurements run when, against what, signed by the observatory.

An agent runs nothing that is not in a plan it could verify. A plan never makes an agent speak to a private address:
that refusal is the agent's own (architecture.md §5).
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from civobs_wire.envelope import Signer, Verifier, open_sealed, seal
from civobs_wire.errors import ContentError, SizeError
from civobs_wire.limits import MAX_PLAN_BYTES, MAX_RUNS_PER_S, MIN_INTERVAL_S
from civobs_wire.measurement import KINDS, Family, Frozen
from civobs_wire.scalars import Asn, Count2, Count8, CountryCode, HostName, Name, Sequence, Text, UtcTime

CONTEXT = "civobs.plan/1"
NEUTRAL_NAME = "www.example.com"
"""A name that nobody objects to: RFC 2606 keeps it."""

AIMED = frozenset({"ping", "dns", "tcp", "tls", "http", "quic", "path", "throttling", "reach"})
"""Kinds that are measured against targets; the others against the plan's resolvers, servers and time servers."""

Tier = Annotated[int, Field(ge=0, le=3)]
"""Risk tier a household consented to: 0 link, anchors and time, up to 3 what local law may make risky."""


class Anchor(Frozen):
    """A host that a rung asks, by address, so that a dead resolver is not read as a dead network."""

    id: Name
    rung: Literal[3, 4]
    address: Name
    family: Family
    method: Literal["icmp", "tcp", "dns"]
    """ICMP echo; TCP connect to ``port``; or a DNS question for the root's name servers over UDP."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    cc: CountryCode = "ZZ"
    asn: Asn = 0


class Resolver(Frozen):
    """An independent resolver that dns measurements may ask beside the one the host was given."""

    id: Name
    address: Name
    port: Annotated[int, Field(ge=1, le=65535)] = 53
    dot_name: HostName | None = None
    """The name its certificate is for; left out, DNS over TLS (RFC 7858) is not tried."""
    doh_url: Text | None = None
    """Left out, DNS over HTTPS (RFC 8484) is not tried."""


class TimeServer(Frozen):
    """An NTP server."""

    id: Name
    address: Name
    port: Annotated[int, Field(ge=1, le=65535)] = 123


class Server(Frozen):
    """A host of the observatory that runs ``civobs-anchor``: throughput, STUN, echo, TLS with any name."""

    id: Name
    name: HostName
    """Its own name, which its certificate is for."""
    address: Name | None = None
    address6: Name | None = None
    https_port: Annotated[int, Field(ge=1, le=65535)] = 443
    """TLS over TCP, and QUIC over UDP."""
    http_port: Annotated[int, Field(ge=1, le=65535)] = 80
    """Echo and the page whose content is known."""
    stun_port: Annotated[int, Field(ge=1, le=65535)] = 3478
    cc: CountryCode = "ZZ"
    asn: Asn = 0

    def address_of(self, family: Literal[4, 6]) -> str | None:
        """Its address of this family; None if it has none."""
        return self.address if family == 4 else self.address6


class DnsNames(Frozen):
    """Names that resolvers are examined with. What is left out is not asked."""

    signed: Name | None = None
    """One whose zone is signed."""
    bogus: Name | None = None
    """One whose signature is broken on purpose: a resolver that validates refuses it."""
    whoami: Name | None = None
    """One whose answer is the address that asked for it."""


class Target(Frozen):
    """Something to measure against. Its ``id`` is what rows carry."""

    id: Name
    url: Text
    """``https://host/path``, ``http://host/path``; ``tcp``, ``tls``, ``dns`` and ``ping`` use its host and port."""
    tier: Tier = 0
    category: Name = "CTRL"
    """Citizen Lab category code."""


class Task(Frozen):
    """One kind of measurement at one interval against some of the targets."""

    kind: Name
    targets: tuple[Name, ...] = ()
    interval_s: Annotated[float, Field(ge=MIN_INTERVAL_S, le=604800, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _kind_is_measurable(self) -> Self:
        # A newer plan may name kinds not known here: the agent says so slot by slot instead of refusing the plan.
        if self.kind == "agent":
            raise ValueError("kind agent is not scheduled")
        return self

    @property
    def known(self) -> bool:
        """Whether this version of the wire has such a kind."""
        return self.kind in KINDS


class LadderPlan(Frozen):
    """How often the ladder runs and what a rung needs to be called ok."""

    interval_s: Annotated[float, Field(ge=MIN_INTERVAL_S, le=3600, allow_inf_nan=False)] = 300.0
    trouble_interval_s: Annotated[float, Field(ge=MIN_INTERVAL_S, le=3600, allow_inf_nan=False)] = 60.0
    quorum: Annotated[int, Field(ge=1, le=16)] = 1
    """Checks of L3 or L4 that must succeed: one answer from abroad shows a path abroad."""
    service: Name | None = None
    """The target that L5 goes through end to end: name, connect, TLS, HTTP."""


class Budget(Frozen):
    """What a probe may spend, up and down together."""

    bytes_per_day: Count8 = 25_000_000


class Plan(Frozen):
    """A whole plan."""

    v: Literal[1] = 1
    plan_id: Name
    serial: Sequence
    """Rises with each plan for a country; an agent refuses one lower than it has."""
    cc: CountryCode
    """The country it was made for; ``ZZ`` serves any."""
    issued_at: UtcTime
    expires_at: UtcTime
    ladder: LadderPlan = LadderPlan()
    anchors: Annotated[tuple[Anchor, ...], Field(max_length=64)] = ()
    resolvers: Annotated[tuple[Resolver, ...], Field(max_length=16)] = ()
    servers: Annotated[tuple[Server, ...], Field(max_length=16)] = ()
    ndt7_locate: Text | None = None
    """M-Lab's Locate API, v2 (``https://locate.measurementlab.net/v2/nearest/ndt/ndt7``): throughput is then measured
    against their servers too. They publish each test with the address it came from, so a device passes over this
    unless its household has agreed to it (``[limits] mlab_tests``)."""
    time_servers: Annotated[tuple[TimeServer, ...], Field(max_length=16)] = ()
    dns_names: DnsNames = DnsNames()
    neutral_name: HostName = NEUTRAL_NAME
    """For handshakes that are compared with the target's."""
    targets: Annotated[tuple[Target, ...], Field(max_length=2000)] = ()
    tasks: Annotated[tuple[Task, ...], Field(max_length=200)] = ()
    budget: Budget = Budget()
    keepalive_s: Annotated[Count2, Field(ge=1)] = 60

    @model_validator(mode="after")
    def _asks_for_no_more_than_a_device_can_do(self) -> Self:
        per_s = sum(max(1, len(task.targets)) / task.interval_s for task in self.tasks)
        if per_s > MAX_RUNS_PER_S:
            raise ValueError(f"asks for {per_s:.0f} runs a second, at most {MAX_RUNS_PER_S:.0f} are allowed")
        return self

    @model_validator(mode="after")
    def _refers_only_to_itself(self) -> Self:
        known = {target.id for target in self.targets}
        if len(known) != len(self.targets):
            raise ValueError("two targets have the same id")
        for task in self.tasks:
            missing = set(task.targets) - known
            if missing:
                raise ValueError(f"task {task.kind} names unknown target {min(missing)}")
        if self.ladder.service is not None and self.ladder.service not in known:
            raise ValueError(f"the ladder names unknown target {self.ladder.service}")
        if self.expires_at <= self.issued_at:
            raise ValueError("expires before it was issued")
        return self


def pack_plan(plan: Plan, key: Signer) -> bytes:
    """Serialise and sign."""
    message = seal(key, CONTEXT, plan.model_dump_json().encode())
    if len(message) > MAX_PLAN_BYTES:
        raise SizeError(f"{len(message)} bytes, limit {MAX_PLAN_BYTES}")
    return message


def unpack_plan(message: bytes, key: Verifier) -> Plan:
    """Verify and validate. Raises a WireError."""
    if len(message) > MAX_PLAN_BYTES:
        raise SizeError(f"{len(message)} bytes, limit {MAX_PLAN_BYTES}")
    try:
        return Plan.model_validate_json(open_sealed(key, CONTEXT, message))
    except ValidationError as error:
        raise ContentError(str(error.errors(include_url=False)[0]["msg"])) from None
