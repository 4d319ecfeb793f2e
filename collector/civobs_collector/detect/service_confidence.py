"""How sure a finding on targets is, and why (detection.md §3.5, §3.8). A machine never says ``confirmed``."""

from collections.abc import Sequence
from dataclasses import dataclass

from civobs_collector.detect.blocking import Blocking
from civobs_collector.detect.confidence import stated
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import Confidence, ConfidenceLabel, EventKind

_ARTEFACTS = {
    "dns.injection": "resolvers gave addresses that are none of the service's",
    "http.blockpage": "a page that says that the request was forbidden came in its place",
    "sni": "the same addresses answered to another name",
    "mitm": "somebody else's certificate came at the service's own addresses",
}
"""What shows that somebody acts on the name, by a mechanism or its last word."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whose word a finding is."""

    weight: float
    """Of the households that failed; new ones, and those whose line comes and goes, count half."""
    elders: frozenset[int]
    """Households that had taken part for longer than ``confidence.new_age`` when it began."""


def artefacts(mechanisms: Sequence[str]) -> tuple[str, ...]:
    """What was seen that a fault of the way cannot leave behind."""
    found = {_ARTEFACTS.get(word) or _ARTEFACTS.get(word.rpartition(".")[2]) for word in mechanisms}
    return tuple(sorted(text for text in found if text is not None))


def known_networks(one: Blocking) -> int:
    """How many networks it was seen in; households of none that is known may be of any of them."""
    return len([asn for asn in one.asns if asn])


def confidence_of(
    kind: EventKind, one: Blocking, mechanisms: Sequence[str], standing: Standing, params: Params
) -> Confidence:
    """The label, with the counts behind it as sentences."""
    slowed = kind is EventKind.THROTTLING_TARGETED
    proofs = () if slowed else artefacts(mechanisms)
    against = _obstacles(one, standing, params)
    if slowed and not any(word.endswith("throttle.sni") for word in mechanisms):
        against.append("in no test enough pairs of transfers came back to one speed")
    if not slowed and not proofs and known_networks(one) < params["rule.country_networks"]:
        against.append("nothing shows that the name was acted on: a fault between one network and the site looks alike")
    return Confidence(
        label=ConfidenceLabel.UNCONFIRMED if against else ConfidenceLabel.PROBABLE,
        posterior=stated(one.posterior, params),
        families=("inside_out", *(("control",) if one.out_n else ())),
        reasons=(*_reasons(one, slowed=slowed), *proofs, *against),
    )


def _reasons(one: Blocking, *, slowed: bool) -> list[str]:
    verb = "found it slow beside a neutral name" if slowed else "could not use it"
    networks = f"{len(one.asns)} network{'' if len(one.asns) == 1 else 's'}"
    found = [f"{one.n_down} of {one.n_observed} observed households {verb}, in {networks}"]
    if one.out_n:
        found.append(f"elsewhere {one.out_bad} of {one.out_n} votes of the same hours failed")
    return found


def _obstacles(one: Blocking, standing: Standing, params: Params) -> list[str]:
    """Why it is not probable; none means that it is."""
    found = []
    known, down = len(one.observed & standing.elders), len(one.down & standing.elders)
    if one.posterior < params["confidence.probable"]:
        found.append(f"posterior under {params['confidence.probable']:.2f}")
    if standing.weight < params["confidence.households"]:
        found.append("too few households, where one enrolled within 14 days or on an unsteady line counts half")
    if known_networks(one) < params["rule.country_networks"] and not down:
        found.append("only newly enrolled households of one network")
    # A crowd enrolled for the purpose may report what it likes: those known for longer have to bear it out.
    if down < params["rule.majority"] * known:
        found.append(f"most of the {known} households that have taken part for longer than 14 days could use it")
    if not one.out_n:
        found.append("nobody elsewhere measured the same targets in the same hours")
    return found


def hypotheses_of(kind: EventKind, one: Blocking) -> dict[str, float]:
    """How the finding compares with the site's own failure, by its Bayes factor alone."""
    name = "blocking" if kind is EventKind.BLOCKING else "throttling"
    odds = 10.0 ** min(max(one.log10_bf, -6.0), 6.0)
    chance = odds / (1 + odds)
    return {name: round(chance, 4), "site_failure": round(1 - chance, 4)}
