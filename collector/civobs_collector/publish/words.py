"""The plain words for every term of the record: tables, so that pages, JSON and sentences say the same thing."""

from dataclasses import dataclass

from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind, Level, Status


@dataclass(frozen=True, slots=True)
class KindWords:
    """How an event of one kind is spoken of."""

    title: str
    lost: str
    """What the households did, for ``12 households …``."""
    meaning: str


KINDS: dict[EventKind, KindWords] = {
    EventKind.OUTAGE: KindWords(
        "Internet outage", "lost the Internet", "Households in a network could not use the Internet."
    ),
    EventKind.SHUTDOWN_SUSPECTED: KindWords(
        "Suspected Internet shutdown",
        "lost the Internet",
        "Several networks of a country lost the Internet together. The name describes this pattern. "
        "It does not say who or what caused it.",
    ),
    EventKind.COLLECTOR_BLOCKED: KindWords(
        "Probes cut off from the observatory",
        "could not reach the observatory",
        "Probes could not deliver, while their stored measurements say that the Internet worked.",
    ),
    EventKind.POWER: KindWords("Power loss", "lost power", "The devices that measure had no electricity."),
    EventKind.THROTTLING_TARGETED: KindWords(
        "Throttling of services",
        "saw services slowed down",
        "Named services were slow while a neutral control was not.",
    ),
    EventKind.THROTTLING_GENERAL: KindWords(
        "General slow-down", "saw the Internet slowed down", "All measured connections were slow."
    ),
    EventKind.BLOCKING: KindWords(
        "Blocking of services", "could not reach services", "Named services could not be reached."
    ),
}

DEPTHS: dict[Depth, tuple[str, str]] = {
    Depth.FULL: ("Everything", "Nothing beyond the provider answered."),
    Depth.INTERNATIONAL_ONLY: (
        "Connections abroad",
        "Destinations in other countries could not be reached; destinations within the country could.",
    ),
    Depth.WHITELIST: ("All but selected services", "Only selected services could be reached."),
    Depth.PARTIAL: ("A part", "Some destinations could not be reached, others could."),
    Depth.UNKNOWN: ("Not known", "The stored measurements do not say yet how much was lost."),
}

DEPTH_LOST: dict[Depth, str] = {
    Depth.INTERNATIONAL_ONLY: "lost the connections to other countries",
    Depth.WHITELIST: "lost all but selected services",
    Depth.PARTIAL: "lost a part of the Internet",
}
"""What households lost, where the depth says more than the kind does."""

STATUSES: dict[Status, tuple[str, str]] = {
    Status.OPEN: ("Ongoing", "No end has been seen yet."),
    Status.CLOSED: ("Ended", "The end has been seen."),
    Status.RETRACTED: ("Retracted", "The observatory no longer stands by this event."),
}

LAPSED = ("Closed, end not known", "The households that were down are no longer counted as observed.")
"""In place of "Ended", where no end was seen."""

CONFIDENCES: dict[ConfidenceLabel, tuple[str, str]] = {
    ConfidenceLabel.UNCONFIRMED: (
        "unconfirmed",
        "Only one kind of evidence supports it so far, or the evidence is weak. Do not report it as established.",
    ),
    ConfidenceLabel.PROBABLE: ("probable", "Independent kinds of evidence agree. No person has reviewed it yet."),
    ConfidenceLabel.CONFIRMED: ("confirmed", "A named reviewer of the observatory has checked the evidence."),
}

LEVELS: dict[Level, str] = {Level.NETWORK: "one network", Level.COUNTRY: "country", Level.PROBE: "one household"}

FAMILIES: dict[str, str] = {
    "presence": "probes vanished, as the observatory saw it",
    "inside_out": "tests that the probes stored meanwhile",
    "external": "a source outside the observatory",
    "human": "a person who reviewed the evidence",
}

SIGNALS: dict[str, tuple[str, str]] = {
    "presence": ("Line to the observatory", "whether the probe's connection to the observatory stood"),
    "ladder.L0": ("Power", "whether the device had electricity"),
    "ladder.L1": ("Home network", "whether the device had a link and an address"),
    "ladder.L2": ("Access line", "whether the provider's first devices answered"),
    "ladder.L3": ("Within the country", "whether destinations in the same country answered"),
    "ladder.L4": ("Abroad", "whether destinations in other countries answered"),
    "ladder.L5": ("Services", "whether well-known services answered"),
}

STATES: dict[str, tuple[str, str]] = {
    "u": ("up", "the Internet worked"),
    "g": ("degraded", "some households were without Internet, or it worked in part"),
    "d": ("down", "the Internet did not work"),
    "?": ("not known", "no data: nothing has arrived, or the observatory itself was away"),
}

CHANGES: dict[str, str] = {
    "new": "First publication",
    "extended": "More networks, households or time",
    "closed": "Closed",
    "corrected": "Corrected",
    "reclassified": "Given another kind",
    "retracted": "Retracted",
}

REASONS: dict[str, str] = {
    "detected": "found in the data as it arrived",
    "late_data": "measurements arrived that probes had stored while they were cut off",
    "human_review": "a person reviewed the evidence",
    "detector_version": "the method was changed and the same data were read again",
}

ACCESS: dict[str, str] = {
    "fixed": "fixed lines at home; mobile access was not observed",
    "mobile": "mobile access; fixed lines were not observed",
    "both": "fixed and mobile access",
}

HYPOTHESES: dict[str, str] = {
    "power": "the electricity at the homes",
    "home_network": "the home networks",
    "isp": "one provider",
    "national": "the networks of the country together",
    "international_only": "the connections out of the country",
    "collector": "the observatory, or the way to it",
}
"""Where a fault may lie; ``undetermined`` has no words, because then there is nothing to say."""

LICENCE_ID = "CC-BY-4.0"
LICENCE_URL = "https://creativecommons.org/licenses/by/4.0/"
LICENCE_NAME = "Creative Commons Attribution 4.0 International"
PUBLISHER = "Core Internet Values Observatory"


def signal_words(signal: str) -> tuple[str, str]:
    """Return a signal's name and meaning; a signal without words yet goes by its own name."""
    return SIGNALS.get(signal, (signal, ""))
