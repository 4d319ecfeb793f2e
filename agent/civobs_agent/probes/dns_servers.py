"""Which resolvers a device may ask: those it was given, and the plan's independent ones.

Rows name them by id, because a given resolver's address is most often one of the home.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from civobs_agent.faults import Fault
from civobs_agent.net import Context
from civobs_agent.probes.question import Server
from civobs_agent.probes.scrub import tells_of
from civobs_wire.failure import Failure
from civobs_wire.plan import Resolver

GIVEN = ("resolver", "resolver.2", "resolver.3")
"""How rows name the resolvers the device was given; resolv.conf(5) allows three."""
MOST_EXAMINED = 2
"""Of those; of a third one no more is learnt."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One resolver."""

    id: str
    server: Server
    fault: Fault | None
    """Why it is not asked from here: refused by its address, or of a family the device does not have."""
    planned: Resolver | None = None
    """What the plan says of it; None for a given one."""


def given(context: Context) -> Iterator[Listed]:
    """The resolvers the device was given, in their order."""
    for name, address in zip(GIVEN, context.host.resolvers, strict=False):
        server = Server(address, context.resolver_port)
        yield Listed(name, server, _fault(server, context.refusal.refuses_own(address), context))


def independent(context: Context) -> Iterator[Listed]:
    """Those of the plan."""
    for resolver in context.plan_resolvers:
        server = Server(resolver.address, resolver.port)
        yield Listed(resolver.id, server, _fault(server, context.refusal.refuses(resolver.address), context), resolver)


def drawn(listed: Sequence[Listed], most: int, context: Context) -> Sequence[Listed]:
    """As many as there are bytes for: the first in any case, and of those it is compared with some by lot."""
    if len(listed) <= most:
        return listed
    first, *others = listed
    return [first, *context.rng.sample(others, max(0, most - 1))]


def _fault(server: Server, refusal: str | None, context: Context) -> Fault | None:
    return Fault(Failure.TARGET_REFUSED, refusal) if refusal else context.absent(server.family)


def shown(address: str, context: Context) -> str:
    """How rows name an address from an answer: the home's own, which the world sees, is ``home``."""
    return "home" if address in context.known.mapped.values() else context.refusal.shown(address)


def identity(text: str | None, one: Listed, context: Context) -> str | None:
    """What a resolver calls itself, fit to be written down: one at home may be called after those who live there."""
    at_home = context.refusal.refuses(one.server.address) is not None
    return None if text is None else "home" if at_home else name_shown(text, context)


def name_shown(name: str, context: Context) -> str:
    """How rows name a host that an answer names: who forges answers knows whom, and may write it into a name."""
    return "home" if tells_of(name, context.of_home) else name
