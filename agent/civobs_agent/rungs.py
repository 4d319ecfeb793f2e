"""The single questions that the ladder's rungs are made of, each answered by a ``Check`` and never by an exception."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address

from civobs_agent import neighbours
from civobs_agent.faults import Fault, MeasurementError, fault_of, rcode_fault
from civobs_agent.host import Route
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.icmp import echo
from civobs_agent.probes.question import Server, ask
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import Check
from civobs_wire.plan import Anchor

RESOLVER = "resolver"
"""The question of L2 to the resolver that the device was given."""
TIMEOUTS = table(
    Timeout("ladder.gateway", 2.0, "a router in the same room answers in milliseconds, over bad Wi-Fi in one second"),
    Timeout("ladder.hop", 2.0, "traceroute(8) waits 5 s; the first hop of a provider is near"),
    Timeout("ladder.icmp", 3.0, "as ping.reply"),
    Timeout("ladder.tcp", 6.0, "two SYNs of the kernel, at 0 and 1 s, and a slow satellite line"),
    Timeout("ladder.service", 25.0, "leaves half a minute to the next climb of an interval of one"),
)
TRIES = 2
"""One lost packet is no finding."""
HOP = 2
"""Time to live that runs out behind the home's gateway."""


async def check(name: str, question: Callable[[], Awaitable[float]]) -> Check:
    """Ask for the milliseconds of an answer, or note why there was none."""
    try:
        return Check(id=name, outcome=Outcome.OK, ms=await question())
    except MeasurementError as error:
        return failed(name, error.fault)
    except (OSError, EOFError) as error:
        return failed(name, fault_of(error))


def failed(name: str, fault: Fault) -> Check:
    """A check that did not end well."""
    return Check(id=name, outcome=fault.outcome, failure=fault.failure)


def known(name: str, failure: Failure | None) -> Check:
    """A check the kernel answers by itself."""
    return Check(id=name, outcome=Outcome.OK) if failure is None else failed(name, Fault(failure))


async def link(family: IpFamily, context: Context) -> tuple[Check, ...]:
    """L1: carrier, address, default route, and a gateway that answers."""
    facts = context.host.facts(family)
    checks = [
        known("carrier", None if context.host.carrier else Failure.LINK_DOWN),
        known("address", None if facts.has_address else Failure.NO_ADDRESS),
        known("route", None if facts.routes else Failure.NO_ADDRESS),
    ]
    gateways = [route for route in facts.routes if route.gateway]
    if gateways:
        checks.append(await check("gateway", partial(_gateway, gateways, family, context)))
    return tuple(checks)


async def _gateway(routes: Sequence[Route], family: IpFamily, context: Context) -> float:
    """Milliseconds to the first gateway that answers a ping; one that drops pings may still answer ARP."""
    address = routes[0].gateway
    timeout_s = context.timeout_s(TIMEOUTS["ladder.gateway"])
    try:
        return await _twice(address, context, timeout_s)
    except MeasurementError:
        seen = neighbours.reachable(family)
        if any(route.gateway.partition("%")[0] in seen for route in routes):
            return 0.0
        raise


async def access(family: IpFamily, anchors: Sequence[Anchor], context: Context) -> tuple[Check, ...]:
    """L2: the hop behind the gateway, and the resolver the device was given."""
    questions = []
    towards = [anchor.address for anchor in anchors if anchor.family == family and not refused(anchor, context)]
    if towards:
        questions.append(check("hop", partial(_hop, towards, context)))
    given = [address for address in context.resolvers if (":" in address) == (family == 6)]
    if given:
        questions.append(check(RESOLVER, partial(_resolver, given, context)))
    return tuple(await asyncio.gather(*questions))


async def _hop(towards: Sequence[str], context: Context) -> float:
    """Any answer to a packet that dies behind the gateway: of the hop there, or of the host itself."""
    timeout_s = context.timeout_s(TIMEOUTS["ladder.hop"])
    fault: MeasurementError | None = None
    for address in towards[:TRIES]:
        try:
            return await echo(address, context, timeout_s=timeout_s, ttl=HOP)
        except MeasurementError as error:
            fault = error
    raise fault or MeasurementError(Failure.NOTHING_TO_ASK)


async def _resolver(given: Sequence[str], context: Context) -> float:
    """Milliseconds until a given resolver has answered for a name that nobody has asked before.

    A router's cache would go on answering for a line that is dead. The name of a random address in the reverse tree
    is an ordinary question and is in no cache.
    """
    fault: Fault = Fault(Failure.GENERIC_TIMEOUT_ERROR)
    for address in given:
        try:
            reply = await ask(Server(address, context.resolver_port), fresh_name(context), "PTR", context)
        except MeasurementError as error:
            fault = error.fault
            continue
        told = rcode_fault(reply.rcode)
        if told is None or told.failure is Failure.DNS_NXDOMAIN_ERROR:
            return reply.ms
        fault = told
    raise MeasurementError(fault.failure, fault.note)


def fresh_name(context: Context, rng: random.Random | None = None) -> str:
    """The reverse name of a random public IPv4 address."""
    source = rng or random.SystemRandom()
    while True:
        address = IPv4Address(source.getrandbits(32))
        if context.refusal.refuses(str(address)) is None:
            return f"{address.reverse_pointer}."


def refused(anchor: Anchor, context: Context) -> bool:
    """Whether this device does not speak to the anchor."""
    return context.refusal.refuses(anchor.address) is not None


async def ask_anchor(anchor: Anchor, context: Context) -> Check:
    """L3, L4: one anchor, by address, with the method of the plan."""
    if refused(anchor, context):
        return failed(anchor.id, Fault(Failure.TARGET_REFUSED))
    return await check(anchor.id, partial(_by_method, anchor, context))


async def _by_method(anchor: Anchor, context: Context) -> float:
    match anchor.method:
        case "icmp":
            return await _twice(anchor.address, context, context.timeout_s(TIMEOUTS["ladder.icmp"]))
        case "tcp":
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["ladder.tcp"])):
                async with await Stream.connect(anchor.address, anchor.port, context) as stream:
                    return stream.connect_ms
        case "dns":
            # Any answer that fits counts: a ccTLD's server refuses this question, and that shows the path as well.
            return (await ask(Server(anchor.address, anchor.port or 53), ".", "NS", context)).ms


async def _twice(address: str, context: Context, timeout_s: float) -> float:
    """A ping, and a second one if the first is not answered."""
    for _ in range(TRIES - 1):
        try:
            return await echo(address, context, timeout_s=timeout_s)
        except MeasurementError as error:
            if error.fault.outcome is Outcome.NOT_RUN:
                raise
    return await echo(address, context, timeout_s=timeout_s)
