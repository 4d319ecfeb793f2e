"""What one run of a probe says of a target, layer by layer: the name, the connect, the handshake, the page, QUIC.

An agent reports facts and never says "blocked". Here each run becomes words such as ``tls.reset.sni`` (detection.md
§3.5): at which layer it failed, how, and what shows that it was the name. A lie of a resolver is an answer that went
well and leads to an address that is none of the target's (``target_addresses``); so a failure at such an address is the
name's, not the address's. Somebody else's certificate at an address at which nobody has met the target shows the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from civobs_collector.detect.target_addresses import Known
from civobs_wire.failure import Failure

Detail = Mapping[str, Any]
"""A row as the probe sent it."""

GIVEN = "resolver"
"""How rows name the resolver the household was given; its second is ``resolver.2``."""
_NAMES_BESIDE = 2
"""Handshakes of a run under a neutral name and under none."""


class Page(Enum):
    """What an HTTP exchange that went well brought."""

    USUAL = "usual"
    LIKELY_BLOCK = "likely_block"
    """A page that reads as if the request was forbidden."""
    BLOCK = "block"
    """A page that is known to say so."""
    UNKNOWN = "unknown"
    """Two pages of one status came within the hour, and only the first of each was kept whole."""


class Word(NamedTuple):
    """What a run says of one layer."""

    layer: str
    bad: bool
    how: str = ""
    sure: bool = False
    """The run itself shows that the line works: only the name failed, or the lie was told."""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of one probe, kind, target, family and slot."""

    kind: str
    n_ok: int
    failed: tuple[Detail, ...] = ()


def words(run: Run, known: Known, page: Page = Page.USUAL) -> list[Word]:
    """What a run says; nothing of layers it did not come to, or could not tell of."""
    match run.kind:
        case "tcp":
            return _tcp(run, known)
        case "tls":
            return _tls(run, known)
        case "http" | "reach":
            return _http(run, known, page)
        case "quic":
            return _quic(run, known)
        case _:
            return _dns(run)


def _tcp(run: Run, known: Known) -> list[Word]:
    lies = [row for row in run.failed if _is_lie(row, known)]
    honest = [row for row in run.failed if not _is_lie(row, known)]
    found = [_lie()] if lies else []
    if honest and len(honest) >= run.n_ok:
        return [*found, Word("tcp", True, _connect(honest[0]))]
    return [*found, Word("tcp", False)] if run.n_ok else found


def _tls(run: Run, known: Known) -> list[Word]:
    mine = [row for row in run.failed if row.get("named", "target") == "target"]
    beside = len(run.failed) - len(mine)
    if not mine:
        return [Word("tls", False), Word("tcp", False)] if run.n_ok else []
    lies = [row for row in mine if _is_lie(row, known)]
    honest = [row for row in mine if not _is_lie(row, known)]
    # Rows that went well do not say which name they carried; those beyond the other names' carried the target's.
    by_other_names = min(run.n_ok, max(0, _NAMES_BESIDE - beside))
    good = run.n_ok - by_other_names
    found = [_lie()] if lies else []
    if not honest or len(honest) < good:
        return [*found, Word("tls", False), Word("tcp", False)] if good else found
    row = honest[0]
    if row.get("stage") == "connect":
        return [*found, Word("tcp", True, _connect(row))]
    proof = bool(by_other_names)
    how = _how(row) + (".sni" if proof else "")
    return [*found, Word("tls", True, f"tls.{how}", proof), Word("tcp", False)]


def _http(run: Run, known: Known, page: Page) -> list[Word]:
    if not run.failed:
        return _answered(run, known, page) if run.n_ok else []
    row = run.failed[0]
    match row.get("stage"):
        case "resolve":
            return [Word("dns", True, _unresolved(row))] if _of_dns(row) else []
        case "connect" | "tls" if _is_lie(row, known):
            return [_lie()]
        case "connect":
            return [Word("tcp", True, _connect(row))]
        case "tls":
            return [Word("tls", True, f"tls.{_how(row)}"), Word("tcp", False), Word("dns", False)]
        case _:
            return [Word("http", True, f"http.{_how(row)}"), Word("tcp", False)]


def _answered(run: Run, known: Known, page: Page) -> list[Word]:
    if page in {Page.BLOCK, Page.LIKELY_BLOCK}:
        sure = page is Page.BLOCK
        return [Word("http", True, "http.blockpage" if sure else "http.replaced", sure), Word("tcp", False)]
    found = [Word("dns", False), Word("tcp", False)]
    if known.verified:
        found.append(Word("tls", False))
    # Of a request in the clear ``reach`` keeps no page: whose answer it was is not known.
    if page is Page.USUAL and (run.kind == "http" or known.verified):
        found.append(Word("http", False))
    return found


def _quic(run: Run, known: Known) -> list[Word]:
    mine = [row for row in run.failed if row.get("named", "target") == "target"]
    if not mine:
        return [Word("quic", False)] if run.n_ok else []
    row = mine[0]
    if row.get("stage") == "resolve" or known.is_strange(row.get("address")) or row.get("tcp_failure") is not None:
        return []
    return [Word("quic", True, f"quic.{_how(row)}" + (".sni" if run.n_ok else ""), True)]


def _dns(run: Run) -> list[Word]:
    asked = [
        row
        for row in run.failed
        if str(row.get("resolver", "")).startswith(GIVEN) and row.get("qtype") == "A" and row.get("transport") == "udp"
    ]
    if asked:
        return [Word("dns", True, _unresolved(asked[0]))]
    return []


def _is_lie(row: Detail, known: Known) -> bool:
    """Whether a failure shows that the address is none of the target's."""
    address = row.get("address")
    return known.is_lie(address) or (_how(row) == "mitm" and known.is_strange(address))


def _lie() -> Word:
    return Word("dns", True, "dns.injection", True)


def _of_dns(row: Detail) -> bool:
    failure = str(row.get("failure"))
    return failure.startswith("dns_") or failure == Failure.GENERIC_TIMEOUT_ERROR


_HOW: dict[str, str] = {
    Failure.GENERIC_TIMEOUT_ERROR: "timeout",
    Failure.CONNECTION_RESET: "reset",
    Failure.CONNECTION_ABORTED: "reset",
    Failure.CONNECTION_REFUSED: "reset",
    Failure.EOF_ERROR: "close",
    Failure.CONNECTION_ALREADY_CLOSED: "close",
    Failure.HOST_UNREACHABLE: "unreachable",
    Failure.NETWORK_UNREACHABLE: "unreachable",
    Failure.SSL_FAILED_HANDSHAKE: "alert",
    Failure.SSL_INVALID_HOSTNAME: "mitm",
    Failure.SSL_UNKNOWN_AUTHORITY: "mitm",
    # Expired or malformed: more often the site's own fault, or its server's for one country, than somebody else's.
    Failure.SSL_INVALID_CERTIFICATE: "certificate",
}


def _how(row: Detail) -> str:
    return _HOW.get(str(row.get("failure")), "other")


def _connect(row: Detail) -> str:
    how = _how(row)
    return "ip.unreachable" if how == "unreachable" else f"tcp.{how}"


_RESOLVED: dict[str, str] = {
    Failure.GENERIC_TIMEOUT_ERROR: "dns.timeout",
    Failure.DNS_NXDOMAIN_ERROR: "dns.nxdomain",
    Failure.DNS_REFUSED_ERROR: "dns.refused",
    Failure.DNS_SERVFAIL_ERROR: "dns.servfail",
    Failure.DNS_BOGON_ERROR: "dns.injection",
    Failure.DNS_WRONG_QUERY_ID: "dns.injection",
    Failure.DNS_NO_ANSWER: "dns.empty",
}


def _unresolved(row: Detail) -> str:
    return _RESOLVED.get(str(row.get("failure")), "dns.other")


def commonest(counts: Sequence[tuple[str, int]], least_share: float) -> tuple[str, ...]:
    """Mechanisms out of counted words: those not rare beside the commonest, each as exactly as it was said.

    ``tls.reset`` is left out where ``tls.reset.sni`` was said too: runs that had no other name to compare with; and so
    are connects that failed: a censor that has read a name it forbids keeps the two ends apart for minutes.
    """
    most = max((n for _, n in counts), default=0)
    kept = {word for word, n in counts if n >= least_share * most}
    if any(word.startswith("tls.") and word.endswith(".sni") for word in kept):
        kept = {word for word in kept if not word.startswith("tcp.")}
    return tuple(sorted(word for word in kept if not any(other.startswith(f"{word}.") for other in kept)))
