"""How sure, and why. A machine never says ``confirmed``: a named reviewer does (detection.md §3.8)."""

from collections.abc import Sequence
from dataclasses import dataclass

from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Confidence, ConfidenceLabel, Level

NOT_KNOWN = "networks not known"


@dataclass(frozen=True, slots=True)
class Support:
    """What an event rests on."""

    level: Level
    posterior: float
    chance: float
    n_down: int
    n_observed: int
    weight: float
    """Households down, new ones counted half."""
    asns: Sequence[int]
    established: int
    """Households down that are no longer new."""
    elders_down: int
    elders_known: int
    """Households of the group that are no longer new: down at the peak, of those whose state was known."""
    presence: int
    """Households down by presence."""
    inside_out: int
    """Households whose stored rows tell of the loss."""
    suspects: int
    """Losses at the time that were blamed on the collector."""


def confidence_of(support: Support, params: Params) -> Confidence:
    """The label, with the counts behind it as sentences."""
    families = tuple(name for name, n in (("presence", support.presence), ("inside_out", support.inside_out)) if n > 0)
    obstacles = _obstacles(support, params)
    label = ConfidenceLabel.UNCONFIRMED if obstacles else ConfidenceLabel.PROBABLE
    return Confidence(
        label=label,
        posterior=stated(support.posterior, params),
        families=families,
        reasons=(*_reasons(support, params), *obstacles),
    )


def stated(posterior: float, params: Params) -> float:
    """What is published of the filter's belief, never surer than experience allows.

    The filter takes every bin for fresh evidence, though one bad hour of two homes fills many: it is soon certain that
    they are out, and knows nothing of whether one thing took them.
    """
    return round(min(posterior, params["confidence.most"]), 4)


def _reasons(support: Support, params: Params) -> list[str]:
    networks = f"{len(support.asns)} network{'' if len(support.asns) == 1 else 's'}" if support.asns else NOT_KNOWN
    found = [f"{support.n_down} of {support.n_observed} observed households down at the peak, in {networks}"]
    if support.presence:
        found.append(f"{support.presence} lost their connection to the observatory")
    if support.inside_out:
        found.append(f"{support.inside_out} recorded the loss in their own measurements")
    if support.chance < params["burst.alarm"]:
        found.append("so many losses together happen by chance less than once a year")
    return found


def _obstacles(support: Support, params: Params) -> list[str]:
    """Why it is not probable; none means that it is."""
    found = []
    if support.level is Level.PROBE:
        found.append("one household only")
    if support.posterior < params["confidence.probable"]:
        found.append(f"posterior under {params['confidence.probable']:.2f}")
    if support.weight < params["confidence.households"]:
        found.append("too few households, where one enrolled within 14 days counts half")
    if len(support.asns) < 2 and support.established == 0:
        found.append("only newly enrolled households of one network")
    # A crowd enrolled for the purpose may report what it likes: those known for longer have to bear it out.
    if support.elders_down < params["rule.majority"] * support.elders_known:
        found.append(
            f"most of the {support.elders_known} households that have taken part for longer than 14 days were not down"
        )
    if support.inside_out == 0:
        found.append("no stored record has arrived yet: one kind of evidence only")
    if support.suspects:
        found.append("the collector lost probes elsewhere at the same time")
    return found
