"""Failures, answers and sizes as a person reads them."""

from civobs_wire.failure import FAILURES, Failure

PLAIN = {
    Failure.GENERIC_TIMEOUT_ERROR: "no answer in time",
    Failure.NETWORK_UNREACHABLE: "no way there from here",
    Failure.HOST_UNREACHABLE: "reported as unreachable",
    Failure.CONNECTION_REFUSED: "refused",
    Failure.CONNECTION_RESET: "cut off by a reset",
    Failure.EOF_ERROR: "closed too early",
    Failure.NO_PERMISSION: "this user may not send pings; root and the installed service may",
    Failure.LINK_DOWN: "nothing is connected",
    Failure.NO_ADDRESS: "none",
    Failure.PLAN_MISSING: "no plan has arrived yet",
    Failure.BUDGET_EXHAUSTED: "its share of the day's or the month's bytes is used",
    Failure.NOTHING_TO_ASK: "the plan names nothing for this",
    Failure.DNS_NXDOMAIN_ERROR: "no such name",
    Failure.DNS_NO_ANSWER: "no such record",
    Failure.DNS_BOGON_ERROR: "an address that cannot be on the Internet",
    Failure.SSL_INVALID_HOSTNAME: "a certificate for another name",
    Failure.SSL_UNKNOWN_AUTHORITY: "a certificate nobody vouches for",
    Failure.SSL_INVALID_CERTIFICATE: "an invalid certificate",
    Failure.SSL_FAILED_HANDSHAKE: "the handshake failed",
    Failure.NO_ADDRESS_RESOLVED: "the name gave no address",
}
"""Failures a volunteer is likely to meet, in plain words; the others in the vocabulary's own."""
_MEANINGS = {row.name: row.meaning for row in FAILURES} | PLAIN


def failed_words(failure: Failure | None) -> str:
    """Why something did not end well."""
    return "no reason given" if failure is None else _MEANINGS[failure]


def not_asked(failure: Failure | None) -> str:
    """Why something was not tried."""
    return f"not asked: {failed_words(failure)}"


def size(n_bytes: int) -> str:
    """Bytes with their thousands apart."""
    return f"{n_bytes:,} bytes" if n_bytes != 1 else "1 byte"


def answer(text: str) -> str:
    """An address as a row names it; one that is refused stands there by its range."""
    refused = text.removeprefix("refused:")
    return text if refused == text else f"a {refused.replace('_', '-')} address"
