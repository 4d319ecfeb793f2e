"""Which of a target's addresses are spoken to: not all of them, but the first that each resolver gave among them."""

from civobs_agent.faults import MeasurementError
from civobs_agent.net import Context, IpFamily
from civobs_agent.probes.addresses import Given, addresses_of
from civobs_agent.probes.place import Place
from civobs_wire.failure import Failure


async def chosen(place: Place, family: IpFamily, most: int, context: Context) -> tuple[Given, ...]:
    """Up to ``most`` addresses of a family that may be spoken to, with the resolvers that gave them.

    Raises MeasurementError: the resolver's failure, ``no_address_resolved``, or ``target_refused`` if all are refused.
    """
    if place.literal is None:
        given = await addresses_of(place.host, family, context)
    else:
        given = ((place.host, ()),) if place.literal == family else ()
    if not given:
        raise MeasurementError(Failure.NO_ADDRESS_RESOLVED)
    refusals = [context.refusal.refuses(address) for address, _ in given]
    allowed = [one for one, refusal in zip(given, refusals, strict=True) if refusal is None]
    if not allowed:
        raise MeasurementError(Failure.TARGET_REFUSED, refusals[0])
    return _some(allowed, most)


def _some(given: list[Given], most: int) -> tuple[Given, ...]:
    """The first of each resolver, then the others, in the order in which they were given."""
    heard: set[str] = set()
    firsts: list[Given] = []
    for one in given:
        if not firsts or not heard.issuperset(one[1]):
            firsts.append(one)
            heard.update(one[1])
    return (*firsts, *(one for one in given if one not in firsts))[:most]
