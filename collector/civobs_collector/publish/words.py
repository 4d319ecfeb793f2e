"""The plain words for every term of the record: tables, so that pages, JSON and sentences say the same thing."""

from dataclasses import dataclass

from civobs_collector.detect.record import ConfidenceLabel, Depth, EventKind, Level, Status


@dataclass(frozen=True, slots=True)
class KindWords:
    """How an event of one kind is spoken of."""

    title: str
    """The heading without the place; ``{what}`` stands for the services."""
    lost: str
    """What the households met, for ``12 households …``."""
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
        "Probes could not reach the observatory as they used to, while what they measured says the Internet worked.",
    ),
    EventKind.POWER: KindWords("Power loss", "lost power", "The devices that measure had no electricity."),
    EventKind.THROTTLING_TARGETED: KindWords(
        "Throttling of {what}",
        "found {what} slow",
        "A service is called throttled when transfers under its name were slow again and again, while a neutral "
        "transfer to the same server in the same minutes was not. The name does not say who slowed it down.",
    ),
    EventKind.THROTTLING_GENERAL: KindWords(
        "General slow-down",
        "found the Internet slow",
        "All measured transfers were slower than in the same hours of other weeks. Crowded lines slow down too.",
    ),
    EventKind.BLOCKING: KindWords(
        "Blocking of {what}",
        "could not reach {what}",
        "A service is called blocked when it failed here again and again and answered elsewhere at the same time. "
        "The name does not say who blocked it.",
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
    ConfidenceLabel.PROBABLE: (
        "probable",
        "Several households, or independent kinds of evidence, agree. No person has reviewed it yet.",
    ),
    ConfidenceLabel.CONFIRMED: ("confirmed", "A named reviewer of the observatory has checked the evidence."),
}

LEVELS: dict[Level, str] = {
    Level.COUNTRY: "country",
    Level.REGION: "one region",
    Level.NETWORK: "one network",
    Level.PROBE: "one household",
}

FAMILIES: dict[str, str] = {
    "presence": "probes vanished, as the observatory saw it",
    "inside_out": "tests that the probes stored meanwhile",
    "control": "the same services elsewhere in the same hours",
    "external": "a source outside the observatory",
    "human": "a person who reviewed the evidence",
}

SERVICE_FAMILIES: dict[str, str] = {"inside_out": "tests of the services from homes"}
"""The same of services, where it reads otherwise."""

SIGNALS: dict[str, tuple[str, str]] = {
    "presence": ("Line to the observatory", "whether the probe's connection to the observatory stood"),
    "ladder.L0": ("Power", "whether the device had electricity"),
    "ladder.L1": ("Home network", "whether the device had a link and an address"),
    "ladder.L2": ("Access line", "whether the provider's first devices answered"),
    "ladder.L3": ("Within the country", "whether destinations in the same country answered"),
    "ladder.L4": ("Abroad", "whether destinations in other countries answered"),
    "ladder.L5": ("Names", "whether the provider's look-up of names found a well-known service"),
    "dns": ("Look-up of names (DNS)", "whether names led to true addresses"),
    "ip": ("Route (IP)", "whether there was a way to the server"),
    "tcp": ("Connection (TCP)", "whether the server took the connection"),
    "tls": ("Encrypted handshake (TLS)", "whether the handshake under the service's name went through"),
    "http": ("Web page (HTTP)", "whether the page came as it is"),
    "quic": ("QUIC", "whether the handshake over UDP went through"),
    "throughput": ("Speed", "whether transfers were as fast as usual at that hour of the week"),
}

SPEED_SIGNALS: dict[str, tuple[str, str]] = {
    "tls": ("Speed over TCP (TLS)", "whether transfers under the service's name were as fast as neutral ones"),
    "quic": ("Speed over QUIC", "whether transfers under the service's name were as fast as neutral ones"),
}
"""The same of a name that is slowed, where they read otherwise."""

_NOT_KNOWN = ("not known", "not known: no data")
STATES: dict[str, tuple[str, str]] = {
    "u": ("up", "up"),
    "g": ("degraded", "degraded: a part of the households down"),
    "d": ("down", "down"),
    "?": _NOT_KNOWN,
}
"""Of a line: the word for a table, and the line of the legend."""

BLOCKING_STATES: dict[str, tuple[str, str]] = {
    "u": ("reached", "reached"),
    "g": ("failed in part", "failed in a part of the households"),
    "d": ("failed", "failed in half of them or more"),
    "?": _NOT_KNOWN,
}

SPEED_STATES: dict[str, tuple[str, str]] = {
    "u": ("as fast as usual", "as fast as usual"),
    "g": ("slow in part", "slow in a part of the households"),
    "d": ("slow", "slow in half of them or more"),
    "?": _NOT_KNOWN,
}

CHANGES: dict[str, str] = {
    "new": "First publication",
    "extended": "More networks, households or time",
    "closed": "Closed",
    "corrected": "Corrected",
    "reclassified": "Given another kind",
    "retracted": "Retracted",
    "reviewed": "Reviewed",
}

REASONS: dict[str, str] = {
    "detected": "found in the data as it arrived",
    "late_data": "measurements arrived that probes had stored while they were cut off",
    "human_review": "a person reviewed the evidence",
    "detector_version": "the method was changed and the same data were read again",
}

ACCESS: dict[str, str] = {
    "fixed": "fixed lines at home",
    "mobile": "mobile access",
    "both": "fixed and mobile access",
    "unknown": "lines of which it is not known whether they are fixed or mobile",
}

HYPOTHESES: dict[str, str] = {
    "power": "the electricity at the homes",
    "home_network": "the home networks",
    "isp": "one provider",
    "national": "the networks of the country together",
    "international_only": "the connections out of the country",
    "whitelist": "a filter that lets only selected services through",
    "mobile_only": "mobile networks only",
    "dns": "the provider's look-up of names",
    "flapping": "a line that comes and goes",
    "collector": "the way to the observatory",
    "collector_fault": "the observatory itself",
    "blocking": "the way to the services, within the country",
    "throttling": "the way to the services, within the country",
    "congestion": "crowded lines",
    "site_failure": "the services themselves",
    "common_cause": "a change that many countries share",
}
"""Where a fault may lie; ``undetermined`` has no words, because then there is nothing to say."""

CROSS_CHECKS: dict[str, str] = {
    "cusum.nats": "Sum of surprise (CUSUM), nats",
    "cusum.after_s": "Seconds until that sum alone would have raised an alarm (at 7 nats)",
    "kleinberg.level": "Level of the burst of losses (Kleinberg; from 6 on a burst, under 3 any day)",
}
"""What other detectors make of the same data (detection.md §3.3 e)."""

LICENCE_ID = "CC-BY-4.0"
LICENCE_URL = "https://creativecommons.org/licenses/by/4.0/"
LICENCE_NAME = "Creative Commons Attribution 4.0 International"
PUBLISHER = "Core Internet Values Observatory"


def states(kind: EventKind) -> dict[str, tuple[str, str]]:
    """Return the words for the states of an event's grid."""
    if kind is EventKind.BLOCKING:
        return BLOCKING_STATES
    return SPEED_STATES if kind in (EventKind.THROTTLING_TARGETED, EventKind.THROTTLING_GENERAL) else STATES


def hypothesis_words(name: str) -> str:
    """Say where a hypothesis puts the fault; one without words yet goes by its own name."""
    return HYPOTHESES.get(name, name.replace("_", " "))
