"""What a resolver is and does, apart from any target."""

from typing import Annotated, Literal

from pydantic import Field

from civobs_wire.limits import MAX_CHECKS
from civobs_wire.row import Check, MeasurementBase
from civobs_wire.scalars import Millis, Name


class ResolverFacts(MeasurementBase):
    """One resolver: the device's own (``resolver``), one of the plan, or an address where there is none."""

    kind: Literal["resolver"] = "resolver"
    resolver: Name = "-"
    checks: Annotated[tuple[Check, ...], Field(max_length=MAX_CHECKS)] = ()
    """What was asked and how it ended: ``udp``, ``udp.plain`` (without mixed letters), ``tcp``, ``dot``, ``doh``,
    ``id.server``, ``hostname.bind``, ``version.bind``, ``whoami.A``, ``whoami.AAAA``, ``signed``, ``bogus``,
    ``bogus.unchecked`` (checking disabled), ``root_dnskey``, ``signatures`` (of the signed name)."""
    reply_ms: Millis | None = None
    case_kept: bool | None = None
    """It answers a question in letters of mixed case, and repeats them."""
    nsid: Name | None = None
    """Which of its machines answered (RFC 5001); ``home``, as in the next two, for whatever one at home says."""
    server_id: Name | None = None
    """CHAOS ``id.server`` or ``hostname.bind`` (RFC 4892)."""
    version: Name | None = None
    """CHAOS ``version.bind``."""
    egress: Name | None = None
    """Prefix, /24 or /48, from which it asks others; ``home`` if that is the household's own."""
    validates: bool | None = None
    """It hands out the signed name and refuses the one whose signature is broken, until told not to check."""
    root_signed: bool | None = None
    """The root's keys verify against the trust anchors built in here. None where none came with a signature."""
    name_signed: bool | None = None
    """The signed name's records verify up to those anchors, by our own reckoning."""
    no_resolver_answered: bool | None = None
    """An address of the observatory where no resolver is gave an answer: somebody on the way takes questions."""
