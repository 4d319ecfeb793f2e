"""The closed vocabulary of failures: what a measurement says when it did not end well.

A failed measurement is data. The strings are those of OONI's df-007, so that others can read them; the few that
df-007 lacks are named with their source. The numeric codes are what the database stores: never reuse or renumber one.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a measurement ended."""

    OK = "ok"
    FAILED = "failed"
    NOT_RUN = "not_run"


class Failure(StrEnum):
    """Why it failed (``Outcome.FAILED``) or could not run (``Outcome.NOT_RUN``)."""

    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_ABORTED = "connection_aborted"
    CONNECTION_ALREADY_CLOSED = "connection_already_closed"
    EOF_ERROR = "eof_error"
    GENERIC_TIMEOUT_ERROR = "generic_timeout_error"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    NETWORK_DOWN = "network_down"
    NETWORK_RESET = "network_reset"
    INTERRUPTED = "interrupted"
    DNS_NXDOMAIN_ERROR = "dns_nxdomain_error"
    DNS_REFUSED_ERROR = "dns_refused_error"
    DNS_SERVFAIL_ERROR = "dns_servfail_error"
    DNS_SERVER_MISBEHAVING = "dns_server_misbehaving"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_BOGON_ERROR = "dns_bogon_error"
    DNS_TEMPORARY_FAILURE = "dns_temporary_failure"
    DNS_NON_RECOVERABLE_FAILURE = "dns_non_recoverable_failure"
    DNS_WRONG_QUERY_ID = "dns_reply_with_wrong_query_id"
    SSL_FAILED_HANDSHAKE = "ssl_failed_handshake"
    SSL_INVALID_HOSTNAME = "ssl_invalid_hostname"
    SSL_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    SSL_INVALID_CERTIFICATE = "ssl_invalid_certificate"
    QUIC_INCOMPATIBLE_VERSION = "quic_incompatible_version"
    HTTP_REQUEST_FAILED = "http_request_failed"
    HTTP_UNEXPECTED_STATUS_CODE = "http_unexpected_status_code"
    HTTP_UNEXPECTED_REDIRECT_URL = "http_unexpected_redirect_url"
    HTTP_INVALID_REDIRECT_LOCATION = "http_invalid_redirect_location_host"
    JSON_PARSE_ERROR = "json_parse_error"
    LINK_DOWN = "link_down"
    NO_ADDRESS = "no_address"
    TOO_FEW_ANSWERS = "too_few_answers"
    UNEXPECTED_ANSWER = "unexpected_answer"
    UNKNOWN_FAILURE = "unknown_failure"
    PLAN_MISSING = "plan_missing"
    PLAN_EXPIRED = "plan_expired"
    TARGET_REFUSED = "target_refused"
    NO_PERMISSION = "no_permission"
    BUDGET_EXHAUSTED = "budget_exhausted"
    PAUSED = "paused"
    AGENT_DOWN = "agent_down"
    OVERRUN = "overrun"
    FAMILY_ABSENT = "family_absent"
    NO_ADDRESS_RESOLVED = "no_address_resolved"
    SHUTTING_DOWN = "shutting_down"
    NOTHING_TO_ASK = "nothing_to_ask"
    QUIET_HOURS = "quiet_hours"
    SWITCHED_OFF = "switched_off"
    TIER_NOT_AGREED = "tier_not_agreed"


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One line of the vocabulary."""

    code: int
    name: Failure
    outcome: Outcome
    source: str
    meaning: str


_DF007 = "OONI df-007"
_OURS = "civobs"


def _failed(code: int, name: Failure, meaning: str, source: str = _DF007) -> FailureRow:
    return FailureRow(code, name, Outcome.FAILED, source, meaning)


def _not_run(code: int, name: Failure, meaning: str) -> FailureRow:
    return FailureRow(code, name, Outcome.NOT_RUN, _OURS, meaning)


FAILURES: tuple[FailureRow, ...] = (
    _failed(1, Failure.CONNECTION_REFUSED, "the other side answered the connect with a reset (ECONNREFUSED)"),
    _failed(2, Failure.CONNECTION_RESET, "an established connection was reset (ECONNRESET)"),
    _failed(3, Failure.CONNECTION_ABORTED, "the connection was aborted locally (ECONNABORTED)"),
    _failed(4, Failure.CONNECTION_ALREADY_CLOSED, "used after it had been closed"),
    _failed(5, Failure.EOF_ERROR, "the other side closed before the answer was complete"),
    _failed(6, Failure.GENERIC_TIMEOUT_ERROR, "no answer within the time of its stage"),
    _failed(7, Failure.HOST_UNREACHABLE, "EHOSTUNREACH, or the ICMP message that says so"),
    _failed(8, Failure.NETWORK_UNREACHABLE, "ENETUNREACH: no route from here, or the ICMP message that says so"),
    _failed(9, Failure.NETWORK_DOWN, "ENETDOWN"),
    _failed(10, Failure.NETWORK_RESET, "ENETRESET"),
    _failed(11, Failure.INTERRUPTED, "stopped before it could end"),
    _failed(20, Failure.DNS_NXDOMAIN_ERROR, "the resolver says that the name does not exist"),
    _failed(21, Failure.DNS_REFUSED_ERROR, "the resolver refuses to answer"),
    _failed(22, Failure.DNS_SERVFAIL_ERROR, "the resolver could not find out"),
    _failed(23, Failure.DNS_SERVER_MISBEHAVING, "an answer that is no DNS message, or with another error code"),
    _failed(24, Failure.DNS_NO_ANSWER, "no error and no record of the type asked for"),
    _failed(25, Failure.DNS_BOGON_ERROR, "an answer with an address that cannot be on the public Internet"),
    _failed(26, Failure.DNS_TEMPORARY_FAILURE, "EAI_AGAIN of the system's resolver"),
    _failed(27, Failure.DNS_NON_RECOVERABLE_FAILURE, "EAI_FAIL of the system's resolver"),
    _failed(28, Failure.DNS_WRONG_QUERY_ID, "an answer to a question that was not asked"),
    _failed(40, Failure.SSL_FAILED_HANDSHAKE, "the handshake ended with an alert or an error"),
    _failed(41, Failure.SSL_INVALID_HOSTNAME, "a valid certificate for another name"),
    _failed(42, Failure.SSL_UNKNOWN_AUTHORITY, "a chain that ends at no root known here"),
    _failed(43, Failure.SSL_INVALID_CERTIFICATE, "expired, not yet valid, or malformed"),
    _failed(50, Failure.QUIC_INCOMPATIBLE_VERSION, "the other side speaks no version of QUIC that we do"),
    _failed(60, Failure.HTTP_REQUEST_FAILED, "an answer that is not HTTP"),
    _failed(61, Failure.HTTP_UNEXPECTED_STATUS_CODE, "a status other than the one needed"),
    _failed(62, Failure.HTTP_UNEXPECTED_REDIRECT_URL, "a redirect that leads round, or too many"),
    _failed(63, Failure.HTTP_INVALID_REDIRECT_LOCATION, "a redirect to no valid host"),
    _failed(70, Failure.JSON_PARSE_ERROR, "an answer that should have been JSON"),
    _failed(80, Failure.LINK_DOWN, "no carrier on any interface", _OURS),
    _failed(81, Failure.NO_ADDRESS, "a link, but no address or no default route", _OURS),
    _failed(82, Failure.TOO_FEW_ANSWERS, "fewer checks of a rung succeeded than its quorum", _OURS),
    _failed(83, Failure.UNEXPECTED_ANSWER, "an answer that the protocol does not allow here", _OURS),
    _failed(99, Failure.UNKNOWN_FAILURE, "none of the above; the text is in `note`"),
    _not_run(200, Failure.PLAN_MISSING, "no plan that could be verified has arrived yet"),
    _not_run(201, Failure.PLAN_EXPIRED, "the last good plan has expired"),
    _not_run(202, Failure.TARGET_REFUSED, "a private, loopback, link-local, multicast or carrier-NAT address"),
    _not_run(203, Failure.NO_PERMISSION, "the system does not let the agent open the socket it needs"),
    _not_run(204, Failure.BUDGET_EXHAUSTED, "the byte budget of the day or month is spent"),
    _not_run(205, Failure.PAUSED, "the volunteer has paused the probe"),
    _not_run(206, Failure.AGENT_DOWN, "the agent or the device was not running at the time of the slot"),
    _not_run(207, Failure.OVERRUN, "the run before it had not ended"),
    _not_run(208, Failure.FAMILY_ABSENT, "the device has no address of this family"),
    _not_run(209, Failure.NO_ADDRESS_RESOLVED, "the name had no address to test"),
    _not_run(210, Failure.SHUTTING_DOWN, "the agent was stopping"),
    _not_run(211, Failure.NOTHING_TO_ASK, "the plan names nothing for this rung or kind"),
    _not_run(212, Failure.QUIET_HOURS, "the household wants nothing heavy at this hour"),
    _not_run(213, Failure.SWITCHED_OFF, "the household has not agreed to this kind"),
    _not_run(214, Failure.TIER_NOT_AGREED, "the target's or the kind's risk tier is above the one agreed to"),
)

FAILURE_CODES: dict[Failure, int] = {row.name: row.code for row in FAILURES}
NOT_RUN_REASONS: frozenset[Failure] = frozenset(r.name for r in FAILURES if r.outcome is Outcome.NOT_RUN)
