"""What is said of blocked and slowed services: what, where on the way it failed, and how.

A mechanism is where, what and by what, joined by dots (detection.md §3.5). "Blocked" needs a trace that only
interference leaves, and more than one kind of evidence or household behind it; below that the words are "suspected",
because readers keep labels and drop qualifiers.
"""

from collections.abc import Sequence
from enum import StrEnum

from civobs_collector.detect.record import ConfidenceLabel, EventKind, EventRecord
from civobs_collector.publish.times import count, listing
from civobs_collector.publish.words import KINDS

SERVICE_KINDS = frozenset({EventKind.BLOCKING, EventKind.THROTTLING_TARGETED, EventKind.THROTTLING_GENERAL})
"""Kinds of event in which the line stands."""

NAMED = 3
"""So many targets are named in a sentence; more are counted, and stand in the list."""

LAYERS: dict[str, tuple[str, str]] = {
    "dns": ("the look-up of the name (DNS)", "a name is turned into an address"),
    "ip": ("the route to the address (IP)", "packets find their way to the server"),
    "tcp": ("the connection (TCP)", "the server is asked for a connection"),
    "tls": ("the encrypted handshake (TLS)", "the name of the service is sent and keys are agreed"),
    "http": ("the web page (HTTP)", "the page is asked for and comes"),
    "quic": ("the newer encrypted connection (QUIC)", "the same over UDP, as HTTP/3 does"),
}
"""Where on the way to a service something fails, and what happens there."""

SLOW_LAYERS: dict[str, tuple[str, str]] = {
    "tls": ("transfers over the usual connection (TCP with TLS)", "as most pages and pictures come"),
    "quic": ("transfers over the newer connection (QUIC)", "the same over UDP, as HTTP/3 does"),
}
"""What is slow, of a name that is slowed: the handshake is where the name is read, and not what is slow."""

_WHAT: dict[str, str] = {
    "injection": "a forged answer came",
    "nxdomain": "the answer said that the name does not exist",
    "timeout": "no answer came",
    "reset": "the connection was cut off by a reset",
    "close": "the other side hung up",
    "alert": "the other side broke the handshake off",
    "mitm": "somebody else's certificate came",
    "certificate": "a certificate came that has expired or cannot be read",
    "refused": "the request was refused",
    "servfail": "the resolver said that it could not find out",
    "empty": "the answer held no address",
    "other": "it failed in another way",
    "unreachable": "the answer was that there is no way to it",
    "throttle": "the transfer was held to a low speed",
    "blockpage": "a page came that says that the service is blocked",
    "replaced": "a page came that reads as if the service were blocked; it is not a known one",
}

_BY: dict[str, str] = {
    "sni": "it depends on the name in the handshake: the same server answers under another name",
    "blockpage": "the forged address shows a page that says that the service is blocked",
}

_TRACES = frozenset({"injection", "blockpage", "sni", "mitm"})
"""Parts of a mechanism that are traces of interference: a forged answer or certificate, a block page, one name treated
unlike another on the same server. Silence and resets alone are not: a broken server does that too."""


class Finding(StrEnum):
    """The short answer, in the vocabulary of OONI's ontology of 2026."""

    BLOCKED = "blocked"
    LIKELY_BLOCKED = "likely_blocked"
    IMPAIRED = "impaired"
    DOWN = "down"


def finding(record: EventRecord) -> Finding:
    """Return the short answer; ``blocked`` only with a trace, and not while the event is unconfirmed."""
    if record.kind is EventKind.BLOCKING:
        sure = record.confidence.label is not ConfidenceLabel.UNCONFIRMED
        return Finding.BLOCKED if sure and has_trace(record.scope.mechanisms) else Finding.LIKELY_BLOCKED
    return Finding.IMPAIRED if record.kind in SERVICE_KINDS else Finding.DOWN


def has_trace(mechanisms: Sequence[str]) -> bool:
    """Tell whether one of the mechanisms is such that only interference makes it."""
    return any(part in _TRACES for mechanism in mechanisms for part in mechanism.split(".")[1:])


def services_title(record: EventRecord) -> str:
    """Say what happened to what: ``Blocking of telegram.example``, with "suspected" as long as it is no more."""
    words = KINDS[record.kind].title
    sure = finding(record) is not Finding.LIKELY_BLOCKED
    if record.kind is not EventKind.BLOCKING:
        sure = record.confidence.label is not ConfidenceLabel.UNCONFIRMED
    words = words if sure else f"Suspected {words[0].lower()}{words[1:]}"
    return words.replace("{what}", services(record.scope.targets))


def services_lost(record: EventRecord) -> str:
    """Say what households met, for ``12 households …``."""
    return KINDS[record.kind].lost.replace("{what}", services(record.scope.targets))


def services(targets: Sequence[str]) -> str:
    """Name a few targets, count many."""
    if not targets:
        return "services"
    return listing(targets) if len(targets) <= NAMED else count(len(targets), "service")


def layer_words(record: EventRecord, layer: str) -> tuple[str, str]:
    """Name a layer and say what happens there, or what is slow there."""
    if record.kind is EventKind.THROTTLING_TARGETED and layer in SLOW_LAYERS:
        return SLOW_LAYERS[layer]
    return LAYERS.get(layer, (layer, ""))


def layers_text(record: EventRecord) -> str:
    """Say where on the way it failed or was slow; empty where that is not told."""
    names = [layer_words(record, layer)[0] for layer in record.scope.layers]
    verb = "was slow" if record.kind is EventKind.THROTTLING_TARGETED else "failed"
    return f"What {verb}: {listing(names)}." if names else ""


def mechanism_text(mechanism: str) -> str:
    """Say in words what a mechanism's name says in letters; a part without words goes by its own name."""
    where, *rest = mechanism.split(".")
    named = LAYERS | SLOW_LAYERS if rest[:1] == ["throttle"] else LAYERS
    layer = named[where][0] if where in named else where
    words = [_WHAT.get(rest[0], rest[0])] if rest else []
    words += [_BY.get(part, part) for part in rest[1:]]
    return f"{layer[0].upper()}{layer[1:]}: {'; '.join(words)}." if words else f"{layer[0].upper()}{layer[1:]}."
