"""Where a heavy test goes: one of the plan's servers over one of the families that the device has, drawn by lot.

All servers and both families in every run would cost a household several times the bytes. Drawn anew each time, each is
measured as often in the long run, and no rhythm of the line or of a server coincides with the choice.
"""

from dataclasses import dataclass

from civobs_agent.faults import MeasurementError
from civobs_agent.net import FAMILIES, Context, IpFamily
from civobs_agent.probes.place import Place, resolve
from civobs_wire.failure import Failure
from civobs_wire.plan import Server


@dataclass(frozen=True, slots=True)
class Door:
    """A server as one run meets it."""

    id: str
    name: str
    """What its certificate is for."""
    port: int
    family: IpFamily
    address: str | None
    """As the plan has it; None where the name has to be resolved."""

    async def open_address(self, context: Context) -> str:
        """The address to connect to, checked. Raises MeasurementError."""
        host = self.name if self.address is None else self.address
        return await resolve(Place("https", host, self.port, "/"), self.family, context)


def family_of(context: Context) -> IpFamily:
    """One of those the device has. Raises MeasurementError."""
    present = [family for family in FAMILIES if context.absent(family) is None]
    if not present:
        raise MeasurementError(Failure.FAMILY_ABSENT)
    return context.rng.choice(present)


def door_of(server: Server, context: Context) -> Door:
    """A server over one of the families that both it and the device have. Raises MeasurementError."""
    by_family = {family: server.address_of(family) for family in FAMILIES}
    named = any(by_family.values())
    present = [
        family for family in FAMILIES if context.absent(family) is None and (by_family[family] is not None or not named)
    ]
    if not present:
        raise MeasurementError(Failure.FAMILY_ABSENT)
    family = context.rng.choice(present)
    return Door(server.id, server.name, server.https_port, family, by_family[family])
