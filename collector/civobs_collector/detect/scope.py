"""How far it reached, as far as probes could see: bounds of a fraction, and what must be said beside it."""

from collections.abc import Mapping, Sequence

from scipy.stats import beta

from civobs_collector.detect import access

LIMITS: tuple[str, ...] = (
    "Times, scope and counts speak of the households observed, not of all users.",
    "The cause is not known from measurements; it is only ever taken from a named source.",
)
END_UNKNOWN = (
    "Its end is not known: the households that were down have been away for so long that they are no longer counted "
    "as observed. Hours and area reach only as far as they were."
)
NAMES_ONLY = (
    "Addresses on the Internet went on answering. What failed was the provider's look-up of names, without which most "
    "services cannot be found; another resolver may have worked."
)
FIRST_BROKER_ONLY = (
    "Households reached the observatory by another of its brokers meanwhile, and what they measured kept coming. What "
    "they could not reach is the first."
)
PRESENCE_ONLY = (
    "Known from lost connections to the observatory alone until the stored records arrive: "
    "the way to the observatory itself may have failed."
)


def fraction_bounds(down: int, n: int) -> tuple[float, float]:
    """95 % bounds of the affected fraction, from ``down`` of ``n`` households (detection.md §3.7)."""
    if n <= 0:
        return 0.0, 1.0
    if down >= n:
        return round(0.05 ** (1 / (n + 1)), 4), 1.0
    law = beta(down + 1, n - down + 1)
    return round(float(law.ppf(0.025)), 4), round(float(law.ppf(0.975)), 4)


def user_share(asns: Sequence[int], shares: Mapping[int, float]) -> float | None:
    """Users in these networks as a share of the country's; None where no share is known."""
    known = [shares[asn] for asn in asns if asn in shares]
    return round(min(1.0, sum(known)), 4) if known else None


def coverage_note(
    households: int, asns: Sequence[int], known_networks: int, share: float | None, kinds: access.Kinds
) -> str:
    """What the observatory could see at the time; ``kinds`` of access are the country's."""
    of = f" of {known_networks}" if known_networks > len(asns) else ""
    users = f", {share:.0%} of users" if share is not None else ", share of users not known"
    networks = f"{len(asns)}{of} {'network' if len(asns) == 1 else 'networks'}" if asns else "networks not known"
    note = f"Observed: {_n(households, 'household')} in {networks}{users}."
    if households == 1:
        note += " A single household cannot tell an outage of its country or network from one of its own line."
    return " ".join((note, *access.unseen(kinds)))


def _n(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
