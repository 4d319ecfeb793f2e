"""Whether signatures of the DNS verify, from the root's keys down to a name, by our own reckoning (RFC 4035 §5).

Who lies in an answer cannot sign it, so where a zone is signed a lie is found out without a second resolver. Needs
cryptography, so only the ``resolver`` kind, which runs in a program of its own, loads it.
"""

from collections.abc import Awaitable, Callable, Iterable

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.DS
import dns.rrset

from civobs_agent.faults import MeasurementError
from civobs_wire.failure import Failure

MAX_ZONES = 8
"""Between the root and a name; names in use have three or four."""
MAX_RECORDS = 16
"""Keys or signatures of one set. More would cost a small processor seconds (KeyTrap, CVE-2023-50387)."""

# https://data.iana.org/root-anchors/root-anchors.xml, in the form of RFC 9718: key tag, algorithm, digest type, digest.
KSK_2017 = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
"""Valid from 2017-02-02."""
KSK_2024 = "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"
"""Valid from 2024-07-18."""
ROOT_ANCHORS = (KSK_2017, KSK_2024)

Ask = Callable[[dns.name.Name, str], Awaitable[dns.message.Message]]
"""Get a name's records of a type with their signatures. Raises MeasurementError."""


class UntrustedError(Exception):
    """What was handed out does not verify."""


class UnsignedError(Exception):
    """No signature was handed out: there is nothing to verify."""


class Trust:
    """What one resolver hands out, verified. ``now`` is seconds since 1970, ``anchors`` are DS records of the root."""

    def __init__(self, ask: Ask, anchors: Iterable[str], now: float) -> None:
        self._ask = ask
        self._anchors = [dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DS, anchor) for anchor in anchors]
        self._now = now
        self._keys: dict[dns.name.Name, dns.rrset.RRset] = {}

    async def root(self) -> None:
        """Verify the root's keys. Raises UntrustedError, UnsignedError, MeasurementError."""
        await self._enter(dns.name.root, self._anchors)

    async def name(self, text: str) -> None:
        """Verify a name's addresses, once the root's keys are known. Raises the same."""
        try:
            name = dns.name.from_text(text)
        except dns.exception.DNSException:
            raise MeasurementError(Failure.DNS_NON_RECOVERABLE_FAILURE, "not a name that can be asked for") from None
        response = await self._ask(name, "A")
        records = _records(response, name, "A")
        zone = _signer(_signatures(response, records), name)
        delegations: list[tuple[dns.message.Message, dns.rrset.RRset]] = []
        while zone != dns.name.root:
            if len(delegations) == MAX_ZONES:
                raise UntrustedError("too many zones")
            delegation = await self._ask(zone, "DS")
            entrusted = _records(delegation, zone, "DS")
            delegations.append((delegation, entrusted))
            zone = _signer(_signatures(delegation, entrusted), zone.parent())
        for delegation, entrusted in reversed(delegations):
            self._verify(delegation, entrusted, self._keys)
            await self._enter(entrusted.name, entrusted)
        self._verify(response, records, self._keys)

    async def _enter(self, zone: dns.name.Name, entrusted: Iterable[dns.rdata.Rdata]) -> None:
        """Take over a zone's keys if one of them that is entrusted from above has signed them."""
        response = await self._ask(zone, "DNSKEY")
        keys = _records(response, zone, "DNSKEY")
        trusted = [key for key in keys if any(_digest(zone, key, one) == one for one in entrusted)]
        if not trusted:
            raise UntrustedError("no key that is trusted")
        self._verify(response, keys, {zone: dns.rrset.from_rdata_list(zone, keys.ttl, trusted)})
        self._keys[zone] = keys

    def _verify(
        self, response: dns.message.Message, records: dns.rrset.RRset, keys: dict[dns.name.Name, dns.rrset.RRset]
    ) -> None:
        try:
            dns.dnssec.validate(records, _signatures(response, records), keys, now=self._now)  # type: ignore[arg-type]
        except (dns.exception.DNSException, ValueError) as error:
            raise UntrustedError(str(error)) from None


def _records(response: dns.message.Message, name: dns.name.Name, rdtype: str) -> dns.rrset.RRset:
    found = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.from_text(rdtype))
    if found is None:
        raise MeasurementError(Failure.DNS_NO_ANSWER, f"no {rdtype} records")
    if len(found) > MAX_RECORDS:
        raise UntrustedError("too many records")
    return found


def _signatures(response: dns.message.Message, records: dns.rrset.RRset) -> dns.rrset.RRset:
    found = response.get_rrset(response.answer, records.name, records.rdclass, dns.rdatatype.RRSIG, records.rdtype)
    if found is None:
        raise UnsignedError
    if len(found) > MAX_RECORDS:
        raise UntrustedError("too many signatures")
    return found


def _signer(signatures: dns.rrset.RRset, lowest: dns.name.Name) -> dns.name.Name:
    """The zone that signed, which must be at this name or above it."""
    signer: dns.name.Name = signatures[0].signer
    if not lowest.is_subdomain(signer):
        raise UntrustedError("signed by another zone")
    return signer


def _digest(zone: dns.name.Name, key: dns.rdata.Rdata, like: dns.rdata.Rdata) -> dns.rdata.Rdata | None:
    """The key's digest, of the type that the other one has; None where that is no good."""
    if not isinstance(like, dns.rdtypes.ANY.DS.DS):
        return None
    try:
        return dns.dnssec.make_ds(zone, key, like.digest_type, validating=True)
    except (dns.exception.DNSException, ValueError):
        return None
