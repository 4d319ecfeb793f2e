"""How much goes through, down and up: ndt7 against one of the observatory's anchors, or a server of M-Lab's.

Two transfers, one after the other. What they may take is asked of the budget first: with less than the whole, both get
smaller; with too little for a figure that means anything, none is begun.
"""

from dataclasses import dataclass

import h11

from civobs_agent.faults import Fault, MeasurementError, fault_of, words_of
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.door import door_of, family_of
from civobs_agent.probes.locate import locate
from civobs_agent.probes.ndt7 import Direction, Transfer, transfer
from civobs_agent.probes.place import Place, resolve
from civobs_wire.anchor import NDT7_DOWNLOAD_PATH, NDT7_UPLOAD_PATH
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Throughput
from civobs_wire.plan import Plan, Server, Target
from civobs_wire.version import VERSION

WHOLE = 50_000_000
"""Bytes of both directions: 20 Mbit/s for ten seconds each way. A faster line is measured in less time."""
LEAST = 1_000_000
"""Less says nothing of a line of 1 Mbit/s or more: slow start alone takes some 100 kB."""
OVERHEAD = 0.93
"""Payload's share of what goes over the line: TLS, TCP/IPv6 headers, acknowledgements (measured; with IPv4 more)."""
DIRECTIONS: tuple[Direction, Direction] = ("download", "upload")
_METADATA = f"client_name=civobs-agent&client_version={VERSION}"
"""ndt7 asks clients to say who they are in the query; the device is not named."""


@dataclass(frozen=True, slots=True)
class _Course:
    """A server and how it is reached for each direction."""

    server: str
    family: IpFamily
    places: dict[Direction, Place]
    address: str | None = None
    """As the plan has it."""


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """Two rows, one a direction."""
    granted = context.afford(WHOLE, LEAST)
    run = context.begin()
    if granted is None:
        fault = Fault(Failure.BUDGET_EXHAUSTED)
        return [context.row(Throughput, run, target.id, {"direction": each}, fault=fault) for each in DIRECTIONS]
    try:
        course = await _course(context)
    except (MeasurementError, OSError, EOFError, h11.RemoteProtocolError, ValueError) as error:
        fault = _fault(error)
        told: list[dict[str, object]] = [{"direction": each, "stage": "locate"} for each in DIRECTIONS]
        return [context.row(Throughput, run, target.id, fields, fault=fault) for fields in told]
    return [await _one(course, each, granted, target, context) for each in DIRECTIONS]


async def _one(course: _Course, direction: Direction, granted: int, target: Target, context: Context) -> AnyMeasurement:
    run, to = context.begin(), Transfer(direction)
    fields: dict[str, object] = {"server": course.server, "direction": direction}
    fault = address = None
    try:
        place = course.places[direction]
        asked = place if course.address is None else Place("https", course.address, place.port, "/")
        address = await resolve(asked, course.family, context)
        await transfer(to, address, place, int(granted / len(DIRECTIONS) * OVERHEAD), context)
    except (MeasurementError, OSError, EOFError) as error:
        fault = fault_of(error)
        fields["stage"] = "resolve" if address is None else to.stage
    fields["address"] = None if address is None else context.refusal.shown(address)
    if granted < WHOLE:
        fields["shrunk"] = True
    return context.row(Throughput, run, target.id, fields | _found(to), family=course.family, fault=fault)


def _found(to: Transfer) -> dict[str, object]:
    if to.bytes is None or to.seconds is None:
        return {}
    return {
        "bytes": to.bytes,
        "seconds": to.seconds,
        "goodput_bps": to.bytes * 8 / to.seconds if to.seconds else None,
        "rtt_min_ms": to.rtt_min_ms,
        "rtt_ms": to.rtt_ms,
        "lost_bytes": to.lost_bytes,
        "samples": to.samples,
        "ended": to.ended,
    }


async def _course(context: Context) -> _Course:
    """One of the plan's servers, or M-Lab's of the moment, drawn by lot."""
    plan = context.plan
    choices: list[Server | str] = [] if plan is None else [*plan.servers, *_mlab(plan)]
    if not choices:
        raise MeasurementError(Failure.NOTHING_TO_ASK)
    chosen = context.rng.choice(choices)
    if isinstance(chosen, str):
        family = family_of(context)
        located = await locate(chosen, family, context)
        return _Course(located.machine, family, {"download": located.download, "upload": located.upload})
    door = door_of(chosen, context)
    paths: dict[Direction, str] = {"download": NDT7_DOWNLOAD_PATH, "upload": NDT7_UPLOAD_PATH}
    places = {way: Place("https", door.name, door.port, f"{path}?{_METADATA}") for way, path in paths.items()}
    return _Course(door.id, door.family, places, door.address)


def _mlab(plan: Plan) -> tuple[str, ...]:
    return () if plan.ndt7_locate is None else (plan.ndt7_locate,)


def _fault(error: Exception) -> Fault:
    if isinstance(error, h11.RemoteProtocolError):
        return Fault(Failure.HTTP_REQUEST_FAILED, words_of(error))
    return fault_of(error)
