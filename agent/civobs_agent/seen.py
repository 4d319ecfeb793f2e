"""Says in sentences what the rows of one target show: facts, and what one home cannot know.

No sentence says "blocked": a page that does not come can be down, moved or broken, and a single run cannot tell.
"""

import re
from collections.abc import Iterator, Sequence

from civobs_agent.words import answer, failed_words, not_asked, size
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import AnyMeasurement, Dns, Http, HttpStage, Quic, Tcp, Tls

LIMIT = "One run from one home: whether others see the same, and why, only a comparison can tell."
_TAG = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<[^<>]*>?", re.DOTALL | re.IGNORECASE)
MOST_WORDS = 120
"""Characters."""
_AT = {
    HttpStage.RESOLVE: "looking up the name",
    HttpStage.CONNECT: "connecting",
    HttpStage.TLS: "setting up TLS",
    HttpStage.REQUEST: "sending the request",
    HttpStage.HEADERS: "waiting for the answer",
    HttpStage.BODY: "reading the page",
}
_NAMES = {"target": "with its own name", "neutral": "with a neutral name", "none": "without a name"}
_ORDER = {named: number for number, named in enumerate(_NAMES)}


def sentences(rows: Sequence[AnyMeasurement]) -> list[str]:
    """What was seen, in the order of the stages."""
    here = [row for row in rows if row.failure is not Failure.FAMILY_ABSENT]
    return [
        *_names([row for row in here if isinstance(row, Dns)]),
        *_connects([row for row in here if isinstance(row, Tcp)]),
        *_handshakes([row for row in here if isinstance(row, Tls)]),
        *_merged("Over {} {}", [(f"IPv{row.family}", _came(row)) for row in here if isinstance(row, Http)]),
        *_quic([row for row in here if isinstance(row, Quic)]),
        LIMIT,
    ]


def ended(rows: Sequence[AnyMeasurement]) -> list[str]:
    """Where the way to the page ended, in each family."""
    return [f"IPv{row.family}: {_end(row)}." for row in rows if isinstance(row, Http)]


def _end(row: Http) -> str:
    if row.outcome is Outcome.OK:
        return f"an answer came, status {row.status}"
    if row.outcome is Outcome.NOT_RUN:
        return not_asked(row.failure)
    return f"{_AT[row.stage]}: {failed_words(row.failure)}"


def _names(rows: Sequence[Dns]) -> Iterator[str]:
    """Who gave the same as the given resolver, who gave something else, who gave nothing."""
    asked = [row for row in rows if row.outcome is not Outcome.NOT_RUN and row.transport == "udp"]
    same = []
    for qtype, family in (("A", "IPv4"), ("AAAA", "IPv6")):
        said = {row.resolver: frozenset(row.answers) for row in asked if row.qtype == qtype and row.answers}
        groups = {answers: [name for name in said if said[name] == answers] for answers in said.values()}
        if len(groups) == 1 and len(said) > 1:
            who = "both" if len(said) == 2 else f"all {len(said)}"
            same.append((family, f"addresses are the same from {who} resolvers that gave any."))
        elif len(groups) > 1:
            told = "; ".join(
                f"{_listed(names)} gave {', '.join(map(answer, sorted(one)))}" for one, names in groups.items()
            )
            yield f"Resolvers differ in {family} addresses: {told}."
    yield from _merged("{} {}", same)
    wrong = [row for row in asked if row.outcome is Outcome.FAILED and row.failure is not Failure.DNS_NO_ANSWER]
    yield from _merged("{}: {}", [(f"{row.resolver} ({row.qtype})", f"{failed_words(row.failure)}.") for row in wrong])
    doubled = [(f"{row.resolver} ({row.qtype})", f"{len(row.others) + 1} answers.") for row in asked if row.others]
    yield from _merged("To one question to {} came {}", doubled)


def _connects(rows: Sequence[Tcp]) -> Iterator[str]:
    tried = [row for row in rows if row.outcome is not Outcome.NOT_RUN]
    good = [row for row in tried if row.outcome is Outcome.OK]
    if tried:
        yield f"{len(good)} of {len(tried)} addresses took a connection on port {tried[0].port}."
    failed = [(str(row.address), f"{failed_words(row.failure)}.") for row in tried if row.outcome is Outcome.FAILED]
    yield from _merged("No connection with {}: {}", failed)


def _handshakes(rows: Sequence[Tls]) -> Iterator[str]:
    """For each address, with which names TLS came about and with which not."""
    tried = sorted((row for row in rows if row.outcome is not Outcome.NOT_RUN), key=lambda row: _ORDER[row.named])
    told = []
    for address in dict.fromkeys(row.address for row in rows):
        here = [row for row in tried if row.address == address]
        if here:
            told.append((str(address), _with_names(here)))
    yield from _merged("TLS with {} {}", told)


def _with_names(rows: Sequence[Tls]) -> str:
    good = [_NAMES[row.named] for row in rows if row.outcome is Outcome.OK]
    failed = [row for row in rows if row.outcome is Outcome.FAILED]
    bad = [f"{_NAMES[row.named]} ({failed_words(row.failure)})" for row in failed]
    if not bad:
        return f"came about {_listed(good)}."
    if good:
        return f"came about {_listed(good)}, but not {_listed(bad)}."
    if len({row.failure for row in failed}) == 1 < len(failed):
        return f"did not come about, whatever the name: {failed_words(failed[0].failure)}."
    return f"did not come about {_listed(bad)}."


def _came(row: Http) -> str:
    if row.outcome is Outcome.NOT_RUN:
        return f"the page was {not_asked(row.failure)}."
    n_led = len(row.redirects)
    told = f" after {n_led} redirect{'s' * (n_led > 1)}, to {row.redirects[-1]}," if n_led else ""
    if row.outcome is Outcome.FAILED:
        return f"the way to the page ended{told} while {_AT[row.stage]}: {failed_words(row.failure)}."
    title = f", titled “{row.title}”" if row.title else ""
    trust = {True: "over verified TLS", None: "in the clear", False: "over TLS that did not verify"}[row.verified]
    return f"an answer came{told} {trust}: status {row.status}, {size(row.body_bytes or 0)}{title}.{_beginning(row)}"


def _beginning(row: Http) -> str:
    """The first words of a page that is none of success."""
    if row.sample is None or row.status in range(200, 300):
        return ""
    words = " ".join(_TAG.sub(" ", row.sample).split())
    return f" It begins: “{words[:MOST_WORDS]}{'…' if len(words) > MOST_WORDS else ''}”" if words else ""


def _quic(rows: Sequence[Quic]) -> Iterator[str]:
    told = []
    for row in sorted(rows, key=lambda row: _ORDER[row.named]):
        if row.outcome is Outcome.NOT_RUN:
            continue
        came = "came about" if row.outcome is Outcome.OK else f"did not come about ({failed_words(row.failure)})"
        status = f", status {row.status} by HTTP/3" if row.status is not None else ""
        beside = ""
        if row.tcp_failure is not None or row.tcp_ms is not None:
            tcp = "came about" if row.tcp_failure is None else f"did not ({failed_words(row.tcp_failure)})"
            beside = f"; TLS over TCP at the same time {tcp}"
        told.append((f"IPv{row.family}", f"{_NAMES[row.named]} {came}{status}{beside}."))
    yield from _merged("QUIC over {} {}", told)


def _merged(sentence: str, told: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One sentence for all of whom the same is said."""
    for said in dict.fromkeys(words for _, words in told):
        yield sentence.format(_listed([who for who, words in told if words == said]), said)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
