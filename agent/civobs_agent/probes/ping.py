"""ICMP echo to a target's host, three times."""

import asyncio

from civobs_agent.faults import Fault, MeasurementError
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.icmp import echo
from civobs_agent.probes.place import place_of, resolve, unresolved
from civobs_agent.tables import Timeout, table
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Ping
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("ping.reply", 3.0, "ping(8) waits two round trips; 3 s covers a satellite line under load"),
    Timeout("ping.spacing", 1.0, "ping(8), default interval"),
)
ECHOES = 3


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """One row for each family."""
    return [await _ping(target, family, context) for family in FAMILIES]


async def _ping(target: Target, family: IpFamily, context: Context) -> Ping:
    run = context.begin()
    address: str | None = None
    sent = 0
    times: list[float] = []
    fault = context.absent(family)
    if fault is None:
        try:
            address = await resolve(place_of(target.url), family, context)
            sent, times, fault = await _echoes(address, context)
        except MeasurementError as error:
            fault = unresolved(error.fault)
    fields: dict[str, object] = {"address": address, "sent": sent, "received": len(times)}
    if times:
        fields |= {"rtt_min_ms": min(times), "rtt_avg_ms": sum(times) / len(times), "rtt_max_ms": max(times)}
    return context.row(Ping, run, target.id, fields, family=family, fault=fault)


async def _echoes(address: str, context: Context) -> tuple[int, list[float], Fault | None]:
    """How many were sent, the times of those answered, and the last fault if none was."""
    times: list[float] = []
    fault: Fault | None = None
    for turn in range(ECHOES):
        if turn:
            await asyncio.sleep(context.timeout_s(TIMEOUTS["ping.spacing"]))
        try:
            times.append(await echo(address, context, timeout_s=context.timeout_s(TIMEOUTS["ping.reply"])))
        except MeasurementError as error:
            fault = error.fault
            if fault.failure is Failure.NO_PERMISSION:
                return 0, [], fault
    return ECHOES, times, None if times else fault
