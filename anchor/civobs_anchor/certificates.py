"""Certificates: the anchor's own, and for any other name one that is made when somebody asks for it.

A censor that looks for a name in the handshake sees that name and this address; under TLS 1.2 it sees the certificate
too, which is therefore for that name. Nobody is meant to trust it, and no probe verifies it.
"""

import os
import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from civobs_anchor import secure_port
from civobs_anchor.errors import CertificateError

MAX_MADE = 256
"""Names whose certificates are kept; about 40 KiB each."""
VALID = timedelta(days=30)


class Certificates:
    """What each name is shown."""

    def __init__(self, name: str, chain: Path | None = None, key: Path | None = None) -> None:
        self._name = name.lower().rstrip(".")
        self._key = ec.generate_private_key(ec.SECP256R1())
        """One for all names made here: a key of its own for each would cost time and gain nothing."""
        self._made: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._chain, self._chain_key = chain, key
        self.pem = self._self_signed(self._name, (self._name,)) if chain is None else b""
        """The own certificate with its key, where it was made here."""
        self.context = self._own()
        """What a port listens with. Handshakes begin with it and go on with what their name is shown."""
        self.context.sni_callback = self._choose
        self._shown = self.context

    def reload(self) -> None:
        """Read the own certificate again. Raises CertificateError, and goes on with the one it has."""
        self._shown = self._own()

    @contextmanager
    def files(self) -> Iterator[tuple[Path, Path | None]]:
        """Chain and key as files, for whoever cannot read them from memory."""
        if self._chain is not None:
            yield self._chain, self._chain_key
            return
        with _file(self.pem) as path:
            yield path, None

    def _own(self) -> ssl.SSLContext:
        with self.files() as (chain, key):
            return _loaded(chain, key)

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        """Called with the name of each ClientHello, None where it has none."""
        asked = (name or self._name).lower().rstrip(".")
        handshake.context = self._shown if asked == self._name else self._of(asked)

    def _of(self, name: str) -> ssl.SSLContext:
        made = self._made.get(name)
        if made is None:
            with _file(self._self_signed("Made on the fly", (name,))) as path:
                made = self._made[name] = _loaded(path, None)
            if len(self._made) > MAX_MADE:
                self._made.popitem(last=False)
        self._made.move_to_end(name)
        return made

    def _self_signed(self, subject: str, names: tuple[str, ...]) -> bytes:
        now = datetime.now(UTC)
        who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + VALID)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # In this order: aioquic looks for the key behind the certificate.
        return certificate.public_bytes(serialization.Encoding.PEM) + private


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """A file that is in memory only."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _loaded(chain: Path, key: Path | None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(list(secure_port.ALPN))
    try:
        made.load_cert_chain(chain, key)
    except ssl.SSLError as error:
        raise CertificateError(
            f"{chain} and {key} are no certificate with its key: {error.reason}",
            "name the PEM files of one certificate",
        ) from None
    except OSError as error:
        raise CertificateError(
            f"cannot read {chain} or {key}: {error.strerror}",
            "make the certificate first (docs/anchors.md), or let the anchor's user read both files",
        ) from None
    return made
