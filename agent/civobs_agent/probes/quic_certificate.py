"""Verifies the chain that a QUIC handshake brought, by the roots that TLS over TCP is verified by.

aioquic tells every reason by the same alert, so the handshake is made without its verification, and this comes right
after it, before anything is sent. The reasons are OpenSSL's codes, which ``faults.VERIFY`` knows.
"""

from collections.abc import Sequence
from ipaddress import ip_address

import service_identity
from cryptography.x509 import Certificate
from OpenSSL import crypto
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from civobs_agent.authorities import places
from civobs_agent.faults import VERIFY, Fault
from civobs_agent.net import Roots
from civobs_wire.failure import Failure


def unverified(chain: Sequence[Certificate], host: str, roots: Roots) -> Fault | None:
    """Why this chain is not good for this name or address; None if it is.

    In OpenSSL's order: a chain that ends nowhere, then another name, then dates. Raises OSError if the roots cannot be
    read.
    """
    if not chain:
        return Fault(Failure.SSL_INVALID_CERTIFICATE, "no certificate")
    try:
        fault = _of_chain(chain, roots)
        if fault is not None and fault.failure is Failure.SSL_UNKNOWN_AUTHORITY:
            return fault
        return _of_name(chain[0], host) or fault
    except (ValueError, crypto.Error) as error:
        return Fault(Failure.SSL_INVALID_CERTIFICATE, f"cannot be parsed: {type(error).__name__}")


def _of_chain(chain: Sequence[Certificate], roots: Roots) -> Fault | None:
    """Raises ValueError, crypto.Error, OSError."""
    leaf, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(_store(roots), leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return Fault(VERIFY.get(error.errors[0], Failure.SSL_INVALID_CERTIFICATE), str(error))
    return None


def _of_name(leaf: Certificate, host: str) -> Fault | None:
    """Raises ValueError for extensions that cannot be parsed."""
    try:
        try:
            ip_address(host)
        except ValueError:
            verify_certificate_hostname(leaf, host)
        else:
            verify_certificate_ip_address(leaf, host)
    except (service_identity.VerificationError, service_identity.CertificateError):
        return Fault(Failure.SSL_INVALID_HOSTNAME, "hostname mismatch")
    return None


def _store(roots: Roots) -> crypto.X509Store:
    """The roots. Raises OSError."""
    store = crypto.X509Store()
    file, folder = places(roots.ca_file)
    if file is not None or folder is not None:
        try:
            store.load_locations(file, folder)
        except crypto.Error as error:
            raise OSError(f"cannot read the roots: {error}") from None
    return store
