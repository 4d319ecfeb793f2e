"""A target's name, asked of the resolver the device was given and of the plan's own, side by side.

The difference between them, seen from several networks, is what shows tampering; the agent only writes down what each
said (measurement.md §1.1).
"""

import asyncio

from civobs_agent.faults import Fault, MeasurementError, rcode_fault
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.place import RECORD_TYPES, place_of
from civobs_agent.probes.question import Reply, Server, ask
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Dns
from civobs_wire.plan import Target

GIVEN = "resolver"
"""How rows name the resolver the device was given: its address is an address of the home."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each resolver and record type; ``family`` is that of the resolver's address."""
    servers = [(resolver.id, Server(resolver.address, resolver.port)) for resolver in context.plan_resolvers]
    if context.host.resolvers:
        servers.insert(0, (GIVEN, Server(context.host.resolvers[0], context.resolver_port)))
    if not servers:
        run = context.begin()
        fields = _fields(GIVEN, target.url, "A", None)
        fault = Fault(Failure.NOTHING_TO_ASK, "no resolver, neither given nor in the plan")
        return [context.row(Dns, run, target.id, fields, fault=fault)]
    return list(
        await asyncio.gather(
            *(_question(target, name, server, family, context) for name, server in servers for family in FAMILIES)
        )
    )


async def _question(target: Target, name: str, server: Server, wanted: IpFamily, context: Context) -> Dns:
    run = context.begin()
    place = place_of(target.url)
    reply: Reply | None = None
    refuse = context.refusal.refuses_own if name == GIVEN else context.refusal.refuses
    refusal = refuse(server.address)
    fault = Fault(Failure.TARGET_REFUSED, refusal) if refusal else context.absent(server.family)
    if fault is None and place.literal is not None:
        fault = Fault(Failure.NOTHING_TO_ASK, "the target is an address, not a name")
    if fault is None:
        try:
            reply = await ask(server, place.host, RECORD_TYPES[wanted], context)
            fault = _judge(reply, context)
        except MeasurementError as error:
            fault = error.fault
    fields = _fields(name, place.host, RECORD_TYPES[wanted], reply)
    fields["answers"] = () if reply is None else tuple(map(context.refusal.shown, reply.answers))
    took_ms = None if reply is None else reply.ms
    return context.row(Dns, run, target.id, fields, family=server.family, fault=fault, duration_ms=took_ms)


def _judge(reply: Reply, context: Context) -> Fault | None:
    """What the answer itself says: an error code, nothing, or an address that cannot be on the public Internet."""
    fault = rcode_fault(reply.rcode)
    if fault is None and not reply.answers:
        return Fault(Failure.DNS_NO_ANSWER)
    if fault is None:
        bogon = next((ranges for ranges in map(context.refusal.refuses, reply.answers) if ranges), None)
        return Fault(Failure.DNS_BOGON_ERROR, bogon) if bogon else None
    return fault


def _fields(resolver: str, qname: str, qtype: str, reply: Reply | None) -> dict[str, object]:
    return {
        "resolver": resolver,
        "transport": "udp" if reply is None else reply.transport,
        "qname": qname[:200],
        "qtype": qtype,
        "rcode": None if reply is None else reply.rcode_name,
    }
