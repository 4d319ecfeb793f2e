"""Every address that some resolver gives for a name, with who gave it.

An address that only one resolver knows is no lie yet: content networks lead each resolver elsewhere. Whether the name's
own server is there, a TLS handshake tells (measurement.md §1.1, rule 2), so each of them is offered to one.
"""

import asyncio
from itertools import islice

from civobs_agent.faults import Fault, MeasurementError, rcode_fault
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.dns_servers import GIVEN, Listed, independent
from civobs_agent.probes.place import RECORD_TYPES, told_by
from civobs_agent.probes.question import ask
from civobs_wire.failure import Failure
from civobs_wire.limits import MAX_RESOLVERS

INDEPENDENT = 2
"""Resolvers of the plan that are asked beside the given one: two agree or do not."""

Given = tuple[str, tuple[str, ...]]
"""An address, and the ids of the resolvers that gave it."""
Said = tuple[str, tuple[str, ...] | Fault]
"""A resolver's id, and what it answered."""


async def addresses_of(host: str, family: IpFamily, context: Context) -> tuple[Given, ...]:
    """The addresses of a name, those of the given resolver first.

    None of them has been checked: the caller asks ``context.refusal`` before it speaks to one. Raises MeasurementError
    with what the first resolver said if no resolver gave an address.
    """
    others = islice(independent(context), INDEPENDENT)
    said = await asyncio.gather(
        _of_given(host, family, context), *(_of_one(other, host, family, context) for other in others)
    )
    by_address: dict[str, list[str]] = {}
    for name, answer in said:
        for address in () if isinstance(answer, Fault) else answer:
            by_address.setdefault(address, []).append(name)
    if not by_address:
        faults = (answer for _, answer in said if isinstance(answer, Fault))
        fault = next(faults, Fault(Failure.NO_ADDRESS_RESOLVED))
        raise MeasurementError(fault.failure, fault.note)
    return tuple((address, tuple(names[:MAX_RESOLVERS])) for address, names in by_address.items())


async def _of_given(host: str, family: IpFamily, context: Context) -> Said:
    try:
        name, reply = await told_by(host, RECORD_TYPES[family], context)
    except MeasurementError as error:
        return GIVEN[0], error.fault
    return name, reply.answers


async def _of_one(one: Listed, host: str, family: IpFamily, context: Context) -> Said:
    if one.fault is not None:
        return one.id, one.fault
    try:
        reply = await ask(one.server, host, RECORD_TYPES[family], context)
    except MeasurementError as error:
        return one.id, error.fault
    return one.id, rcode_fault(reply.rcode) or reply.answers
