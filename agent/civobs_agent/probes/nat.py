"""How addresses are translated on the way out, by the tests of RFC 5780, and who translates them.

All mapping tests ask from one socket: another socket is another mapping (crust#1003). Filtering is tried from a second
one (RFC 5780 §4.5 allows it), because an answer that a router drops leaves a trace in Linux's NAT that changes the
mapping of what is asked next. What a server does not show, by OTHER-ADDRESS and by the place its answers come from, is
not known: one that ignores CHANGE-REQUEST would make every NAT look open (miniupnp#825).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address, ip_network

from civobs_agent.builtin import ANCHORS
from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.binding import Heard, Mouth, gateways_address, own_address
from civobs_agent.probes.lifetime import lifetime
from civobs_agent.probes.stun import CHANGE_BOTH, CHANGE_PORT, Endpoint
from civobs_agent.rungs import failed
from civobs_wire.failure import Failure, Outcome
from civobs_wire.kinds.nat import NatBehaviour
from civobs_wire.measurement import AnyMeasurement, Check, Nat
from civobs_wire.plan import Server, Target

SERVERS_TRIED = 3
HOPS = 4
"""A home's router, a second one, a provider's access router, its NAT: what is private lies within."""
CARRIER_NAT = IPv4Network("100.64.0.0/10")
"""RFC 6598."""
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
"""RFC 1918, RFC 4193."""


@dataclass(slots=True)
class Seen:
    """What is found out in one run."""

    checks: list[Check] = field(default_factory=list)
    server: Server | None = None
    own: Endpoint | None = None
    mapped: Endpoint | None = None
    other: Endpoint | None = None
    """The server's other address and port; None where it has none that may be spoken to."""
    mapping: NatBehaviour | None = None
    filtering: NatBehaviour | None = None
    inbound: bool | None = None
    hops: tuple[str | None, ...] = ()
    gateway: str | None = None
    """Its address outside."""
    lasted_s: int | None = None
    ended_s: int | None = None

    @property
    def translated(self) -> bool | None:
        return None if self.mapped is None else self.mapped != self.own


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family."""
    return list(await asyncio.gather(*(_family(target, family, context) for family in FAMILIES)))


async def _family(target: Target, family: IpFamily, context: Context) -> Nat:
    run = context.begin()
    seen = Seen()
    fault = context.absent(family)
    if fault is None:
        try:
            await _examine(family, seen, context)
        except MeasurementError as error:
            fault = error.fault
        except OSError as error:
            fault = fault_of(error)
    return context.row(Nat, run, target.id, _fields(seen), family=family, fault=fault)


async def _examine(family: IpFamily, seen: Seen, context: Context) -> None:
    """Fill in what can be seen. Raises MeasurementError or OSError where not even a mapping can."""
    servers = [(server, where) for server in context.servers if (where := _endpoint(server, family)) is not None]
    if not servers:
        raise MeasurementError(Failure.NOTHING_TO_ASK, "the plan has no server of this family")
    context.rng.shuffle(servers)
    with Mouth(family, context) as mouth:
        main = await _first_binding(mouth, servers[:SERVERS_TRIED], seen, context)
        waiting: list[Awaitable[None]] = [_mapping_and_filtering(mouth, main, seen, context)]
        if family == 4:
            waiting += [_hops(main, seen, context), _gateway(seen, context)]
        if seen.translated:
            waiting.append(_lifetime(family, main, seen, context))
        await asyncio.gather(*waiting)


async def _first_binding(
    mouth: Mouth, servers: list[tuple[Server, Endpoint]], seen: Seen, context: Context
) -> Endpoint:
    """Ask one server after the other for the mapping; give the one that answers. Raises MeasurementError."""
    fault = Fault(Failure.GENERIC_TIMEOUT_ERROR)
    for server, where in servers:
        seen.server = server
        try:
            heard = await mouth.ask(where)
        except MeasurementError as error:
            fault = error.fault
        else:
            mapped = heard.answer.mapped
            if mapped is not None and heard.source == where and _may_be_home(mapped[0], mouth.family, context):
                seen.checks.append(Check(id=server.id, outcome=Outcome.OK, ms=heard.ms))
                seen.own, seen.mapped = (own_address(where), mouth.port), mapped
                context.known.mapped[mouth.family] = mapped[0]
                seen.other = _usable(heard.answer.other, where, seen, context)
                return where
            fault = Fault(Failure.UNEXPECTED_ANSWER, "no mapped address, or from another place")
        seen.checks.append(failed(server.id, fault))
    raise MeasurementError(fault.failure, fault.note)


def _may_be_home(address: str, family: IpFamily, context: Context) -> bool:
    """Whether an answer may be right in this: of the family asked over, and nobody whom the plan has us ask.

    An answer is easily forged, and what is taken for the home's address is asked nothing from then on.
    """
    plan = context.plan
    asked = {anchor.address for anchor in (*ANCHORS, *(() if plan is None else plan.anchors))}
    asked |= {resolver.address for resolver in context.plan_resolvers}
    asked |= {server.address for server in (() if plan is None else plan.time_servers)}
    asked |= {address for server in context.servers for address in map(server.address_of, FAMILIES) if address}
    at = ip_address(address)
    others = {ip_address(one) for one in asked if context.refusal.refuses(one) != "not_an_address"}
    return at.version == family and at not in others


def _usable(other: Endpoint | None, main: Endpoint, seen: Seen, context: Context) -> Endpoint | None:
    """The other address a server names, if it is one and may be spoken to."""
    if other is None:
        return None
    refusal = context.refusal.refuses(other[0])
    if refusal is not None:
        seen.checks.append(failed("other_address", Fault(Failure.TARGET_REFUSED)))
        return None
    same_family = (":" in other[0]) == (":" in main[0])
    return other if same_family and other[0] != main[0] and other[1] not in {0, main[1]} else None


async def _mapping_and_filtering(mouth: Mouth, main: Endpoint, seen: Seen, context: Context) -> None:
    """RFC 5780 §4.3 and §4.4."""
    other = seen.other
    if other is None:
        return
    second = await _asked("mapping_address", mouth.ask((other[0], main[1])), seen)
    third = await _asked("mapping_port", mouth.ask(other), seen)
    seen.mapping = _mapping(seen, second, third)
    with Mouth(mouth.family, context) as fresh:
        try:
            await fresh.ask(main)
        except MeasurementError:
            return
        both = await _asked("filtering_address", fresh.ask(main, change=CHANGE_BOTH), seen)
        if both is not None:
            seen.filtering, seen.inbound = ("endpoint_independent", True) if _from(both, other) else (None, None)
            return
        if third is None or seen.checks[-1].failure is not Failure.GENERIC_TIMEOUT_ERROR:
            return  # the place that was to answer does not do so even when it is asked itself
        seen.inbound = False
        port = (main[0], other[1])
        only_port = await _asked("filtering_port", fresh.ask(main, change=CHANGE_PORT), seen)
        if only_port is not None:
            seen.filtering = "address_dependent" if _from(only_port, port) else None
        elif await _asked("server_port", mouth.ask(port), seen) is not None:
            seen.filtering = "address_and_port_dependent"


def _from(heard: Heard, place: Endpoint) -> bool:
    """Whether an answer came from where it was asked to come from, and the server says so too."""
    return heard.source == place and heard.answer.error is None and heard.answer.origin in {None, place}


def _mapping(seen: Seen, second: Heard | None, third: Heard | None) -> NatBehaviour | None:
    at_second = None if second is None else second.answer.mapped
    at_third = None if third is None else third.answer.mapped
    if at_second is None:
        return None
    if at_second == seen.mapped:
        return "endpoint_independent"
    if at_third is None:
        return None
    return "address_dependent" if at_third == at_second else "address_and_port_dependent"


async def _asked(name: str, question: Awaitable[Heard], seen: Seen) -> Heard | None:
    """The answer, noted as a check."""
    try:
        heard = await question
    except MeasurementError as error:
        seen.checks.append(failed(name, error.fault))
        return None
    seen.checks.append(Check(id=name, outcome=Outcome.OK, ms=heard.ms))
    return heard


async def _hops(main: Endpoint, seen: Seen, context: Context) -> None:
    """Who is on the way out of the home. Nothing is addressed to them."""

    async def at(ttl: int) -> str | None:
        for _ in range(2):
            with Mouth(4, context, ttl=ttl) as short, contextlib.suppress(MeasurementError):
                return await short.hop(main)
        return None

    seen.hops = tuple(await asyncio.gather(*(at(ttl) for ttl in range(1, HOPS + 1))))


async def _gateway(seen: Seen, context: Context) -> None:
    gateway = next((route.gateway for route in context.host.v4.routes if route.gateway), None)
    if gateway is None:
        return
    began = time.perf_counter()
    try:
        seen.gateway = await gateways_address(gateway, context)
    except MeasurementError as error:
        seen.checks.append(failed("gateway", error.fault))
    else:
        took_ms = (time.perf_counter() - began) * 1000
        seen.checks.append(Check(id="gateway", outcome=Outcome.OK, ms=took_ms))


async def _lifetime(family: IpFamily, main: Endpoint, seen: Seen, context: Context) -> None:
    if seen.mapped is not None:
        seen.lasted_s, seen.ended_s = await lifetime(family, main, seen.mapped[0], context)


def _evidence(seen: Seen) -> tuple[str, ...]:
    """What says that the provider translates as well."""
    found = []
    if seen.own is not None and _in_carrier_nat(seen.own[0]):
        found.append("own_address")
    second = seen.hops[1] if len(seen.hops) > 1 else None
    if second is not None and (_in_carrier_nat(second) or _private(second)):
        found.append("second_hop" if _in_carrier_nat(second) else "second_hop_private")
    if seen.gateway is not None and (_in_carrier_nat(seen.gateway) or _private(seen.gateway)):
        found.append("gateway_private")
    elif seen.gateway is not None and seen.mapped is not None and seen.gateway != seen.mapped[0]:
        found.append("gateway_differs")
    return tuple(found)


def _carrier_nat(seen: Seen, evidence: tuple[str, ...]) -> bool | None:
    """Whether the provider translates; None where nothing speaks for it and nothing against it."""
    if seen.translated is None:
        return None
    if not seen.translated or (seen.mapped is not None and seen.gateway == seen.mapped[0]):
        return False
    if evidence:
        return True
    return False if len(seen.hops) > 1 and seen.hops[1] is not None else None


def _private_hops(seen: Seen) -> int | None:
    """Hops before the first public one; one that stays silent between two private ones counts with them."""
    if not any(seen.hops):
        return None
    last = 0
    for number, address in enumerate(seen.hops, 1):
        if address is None:
            continue
        if not (_private(address) or _in_carrier_nat(address)):
            break
        last = number
    return last


def _in_carrier_nat(address: str) -> bool:
    return ":" not in address and ip_address(address) in CARRIER_NAT


def _private(address: str) -> bool:
    parsed = ip_address(address.partition("%")[0])
    return any(parsed.version == network.version and parsed in network for network in PRIVATE)


def _endpoint(server: Server, family: IpFamily) -> Endpoint | None:
    address = server.address_of(family)
    return None if address is None else (address, server.stun_port)


def _fields(seen: Seen) -> dict[str, object]:
    """What may be told: behaviours and ranges, no address."""
    evidence = _evidence(seen)
    return {
        "server": "-" if seen.server is None else seen.server.id,
        "translated": seen.translated,
        "port_kept": None if seen.mapped is None or seen.own is None else seen.mapped[1] == seen.own[1],
        "mapping": seen.mapping if seen.translated is not False else "none",
        "filtering": seen.filtering,
        "home_nat": None if seen.own is None else bool(seen.translated) and _private(seen.own[0]),
        "carrier_nat": _carrier_nat(seen, evidence),
        "carrier_evidence": evidence,
        "private_hops": _private_hops(seen),
        "inbound": seen.inbound,
        "lifetime_s": seen.lasted_s,
        "lifetime_below_s": seen.ended_s,
        "checks": tuple(seen.checks),
    }
