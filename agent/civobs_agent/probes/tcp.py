"""A TCP connect to a target's port at some of its addresses, and nothing more.

Refused, reset, silent and forbidden are four failures. Which ICMP message it was, and whether it was one at all, the
kernel knows: "refused" is a reset as well as a "port unreachable", and "unreachable" may be this device's own word.
"""

import asyncio
import socket

from civobs_agent.faults import Fault, MeasurementError, fault_of
from civobs_agent.net import FAMILIES, HEADER_BYTES, TCP_BYTES, TCP_OPEN_CLOSE_PACKETS, Context, IpFamily
from civobs_agent.probes.addresses import Given
from civobs_agent.probes.choice import chosen
from civobs_agent.probes.error_queue import Told, errors_of, listen_for_errors
from civobs_agent.probes.place import Place, place_of, unresolved
from civobs_agent.probes.stream import numeric_socket
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Tcp
from civobs_wire.plan import Target

TIMEOUTS = table(Timeout("tcp.connect", 10.0, "OONI web_connectivity; three tries of the kernel's SYN (1, 3, 7 s)"))
MOST_ADDRESSES = 3
"""Of a family: what the given resolver and two independent ones say first."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each address, or for a family that has none."""
    place = place_of(target.url)
    families = await asyncio.gather(*(_family(target, place, family, context) for family in FAMILIES))
    return [row for rows in families for row in rows]


async def _family(target: Target, place: Place, family: IpFamily, context: Context) -> list[Tcp]:
    run = context.begin()
    fault = context.absent(family)
    if fault is None:
        try:
            given = await chosen(place, family, MOST_ADDRESSES, context)
            return list(await asyncio.gather(*(_connect(target, place, one, family, context) for one in given)))
        except MeasurementError as error:
            fault = unresolved(error.fault)
    return [context.row(Tcp, run, target.id, {"port": place.port}, family=family, fault=fault)]


async def _connect(target: Target, place: Place, given: Given, family: IpFamily, context: Context) -> Tcp:
    address, resolvers = given
    run = context.begin()
    refusal = context.refusal.refuses(address)
    fault, told = (Fault(Failure.TARGET_REFUSED, refusal), None) if refusal else await _reach(address, place, context)
    fields: dict[str, object] = {
        "address": context.refusal.shown(address),
        "port": place.port,
        "resolvers": resolvers,
        "icmp_type": None if told is None else told.kind,
        "icmp_code": None if told is None else told.code,
    }
    return context.row(Tcp, run, target.id, fields, family=family, fault=fault)


async def _reach(address: str, place: Place, context: Context) -> tuple[Fault | None, Told | None]:
    """What went wrong, and the ICMP message that said so, if one did."""
    handle, where = numeric_socket(address, place.port, socket.SOCK_STREAM)
    family: IpFamily = 6 if handle.family == socket.AF_INET6 else 4
    with handle:
        listen_for_errors(handle, family)
        context.spend(TCP_OPEN_CLOSE_PACKETS * (HEADER_BYTES[family] + TCP_BYTES))
        try:
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["tcp.connect"])):
                await asyncio.get_running_loop().sock_connect(handle, where)
        except OSError as error:
            return fault_of(error), next(errors_of(handle, family), None)
    return None, None
