"""Where a target is: its URL taken apart, its name resolved, and the first address that may be spoken to.

What is checked here is the address that is then connected to: a name that resolves to something else a moment later
(DNS rebinding) changes nothing.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from civobs_agent.faults import Fault, MeasurementError, rcode_fault
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.dns_servers import given
from civobs_agent.probes.question import Reply, ask
from civobs_wire.failure import Failure, Outcome
from civobs_wire.limits import MAX_NAME

DEFAULT_PORTS = {"http": 80, "https": 443}
RECORD_TYPES: dict[IpFamily, str] = {4: "A", 6: "AAAA"}


@dataclass(frozen=True, slots=True)
class Place:
    """A URL's scheme, host, port and the path with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def literal(self) -> IpFamily | None:
        """The family, if the host is an address; None if it is a name."""
        try:
            return 4 if ipaddress.ip_address(self.host).version == 4 else 6
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """Host and port as a request names them: the scheme's own port is left out (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def place_of(url: str) -> Place:
    """Take a URL apart. Raises ValueError if it is none that can be measured."""
    parts = urlsplit(url)
    port = parts.port
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an http or https URL with a host: {url[:200]!r}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        ipaddress.ip_address(parts.hostname)
        host = parts.hostname
    except ValueError:
        host = parts.hostname.encode("idna").decode("ascii")
    if len(host) > MAX_NAME or not all("!" <= character <= "~" for character in host + path):
        raise ValueError(f"not a URL as it may travel: {url[:200]!r}")
    return Place(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port, path)


async def resolve(place: Place, family: IpFamily, context: Context) -> str:
    """The first address of this family that may be spoken to.

    Raises MeasurementError: the resolver's failure, ``no_address_resolved`` where the name has no such record, or
    ``target_refused``.
    """
    if place.literal is None:
        addresses = (await told(place.host, RECORD_TYPES[family], context)).answers
    else:
        addresses = (place.host,)
    refusals = [context.refusal.refuses(address) for address in addresses]
    if not addresses or (place.literal not in {None, family} and refusals == [None]):
        raise MeasurementError(Failure.NO_ADDRESS_RESOLVED)
    for address, refusal in zip(addresses, refusals, strict=True):
        if refusal is None:
            return address
    raise MeasurementError(Failure.TARGET_REFUSED, refusals[0])


async def told(host: str, qtype: str, context: Context) -> Reply:
    """What the given resolvers say. Raises as ``told_by``."""
    _, reply = await told_by(host, qtype, context)
    return reply


async def told_by(host: str, qtype: str, context: Context) -> tuple[str, Reply]:
    """The given resolvers, asked in turn as the C library does: the next only if one is silent or cannot say.

    The id of the one that answered, and what it said. Raises MeasurementError with what the last said that was asked.
    """
    fault = Fault(Failure.DNS_TEMPORARY_FAILURE, "the device was given no resolver that it can ask")
    for one in given(context):
        if one.fault is not None:
            continue  # why it is not asked says nothing of the name, nor of the target's family
        try:
            reply = await ask(one.server, host, qtype, context)
        except MeasurementError as error:
            fault = error.fault
            continue
        said = rcode_fault(reply.rcode)
        if said is None:
            return one.id, reply
        fault = said
        if fault.failure is Failure.DNS_NXDOMAIN_ERROR:
            break
    raise MeasurementError(fault.failure, fault.note)


def unresolved(fault: Fault) -> Fault:
    """The same fault, told of a kind that does not measure the name: then it could not run for want of an address.

    The resolver's own words go into the note; the ``dns`` row of the target is where that failure is measured.
    """
    if fault.outcome is Outcome.NOT_RUN:
        return fault
    return Fault(Failure.NO_ADDRESS_RESOLVED, fault.failure if fault.note is None else f"{fault.failure}: {fault.note}")
