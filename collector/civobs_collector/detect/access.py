"""Kinds of access: which of them the households observed tell of, and what has to be said of the others.

Where no household has a mobile line, a shutdown of mobile networks leaves no trace: that is not "no shutdown".
"""

from collections.abc import Iterable
from enum import StrEnum

from civobs_collector.detect.inputs import ProbeInfo


class Access(StrEnum):
    """How a household's line reaches its network."""

    FIXED = "fixed"
    MOBILE = "mobile"


class Sight(StrEnum):
    """Whether anything can be said of a kind of access."""

    OBSERVED = "observed"
    """A household has it."""
    NOT_KNOWN = "not_known"
    """No household is known to have it, and of some it is not known what they have."""
    NOT_OBSERVABLE = "not_observable"
    """Every household has something else."""


Kinds = Iterable[str | None]
"""What households have; None where nobody knows."""

_NAMES = {Access.FIXED: "Fixed lines", Access.MOBILE: "Mobile networks"}
_NOTHING_KNOWN = (
    "Whether the households observed are on fixed lines or on mobile networks is not known: nothing can be said about "
    "either by itself."
)


def sights(kinds: Kinds) -> dict[Access, Sight]:
    """Of each kind, whether anything can be said of it; of a kind of which it is not known, nothing is."""
    there = frozenset(kinds)
    otherwise = Sight.NOT_KNOWN if None in there else Sight.NOT_OBSERVABLE
    return {one: Sight.OBSERVED if one in there else otherwise for one in Access}


def unseen(kinds: Kinds) -> tuple[str, ...]:
    """Sentences that say what cannot be seen."""
    there = frozenset(kinds)
    if there == {None}:
        return (_NOTHING_KNOWN,)
    return tuple(_sentence(one, sight) for one, sight in sights(there).items() if sight is not Sight.OBSERVED)


def _sentence(one: Access, sight: Sight) -> str:
    if sight is Sight.NOT_OBSERVABLE:
        return f"{_NAMES[one]} are not observed here: nothing can be said about them."
    return f"{_NAMES[one]} are not known to be observed here: nothing can be said about them."


def in_country(probes: Iterable[ProbeInfo], cc: str) -> frozenset[str | None]:
    """What the households of a country have."""
    return frozenset(one.access for one in probes if one.active and not one.is_anchor and one.cc == cc)


def of_homes(probes: Iterable[ProbeInfo], homes: Iterable[int]) -> str:
    """``fixed``, ``mobile``, ``both`` or ``unknown``: what these households have, as far as it is known."""
    wanted = frozenset(homes)
    there = {one.access for one in probes if one.household in wanted} - {None}
    return "both" if len(there) > 1 else next(iter(there), None) or "unknown"
