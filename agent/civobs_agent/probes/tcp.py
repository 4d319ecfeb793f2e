"""A TCP connect to a target's host and port, and nothing more."""

import asyncio

from civobs_agent.faults import MeasurementError, fault_of
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.place import place_of, resolve, unresolved
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.measurement import AnyMeasurement, Tcp
from civobs_wire.plan import Target

TIMEOUTS = table(Timeout("tcp.connect", 10.0, "OONI web_connectivity; three tries of the kernel's SYN (1, 3, 7 s)"))


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family."""
    return list(await asyncio.gather(*(_connect(target, family, context) for family in FAMILIES)))


async def _connect(target: Target, family: IpFamily, context: Context) -> Tcp:
    run = context.begin()
    place = place_of(target.url)
    address: str | None = None
    took_ms: float | None = None
    fault = context.absent(family)
    if fault is None:
        try:
            address = await resolve(place, family, context)
            run = context.begin()
            async with asyncio.timeout(context.timeout_s(TIMEOUTS["tcp.connect"])):
                async with await Stream.connect(address, place.port, context) as stream:
                    took_ms = stream.connect_ms
        except MeasurementError as error:
            fault = unresolved(error.fault)
        except OSError as error:
            fault = fault_of(error)
    fields: dict[str, object] = {"address": address, "port": place.port}
    return context.row(Tcp, run, target.id, fields, family=family, fault=fault, duration_ms=took_ms)
