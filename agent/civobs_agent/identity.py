"""The probe's own keys and what the observatory made of them.

Both keys are made on the device at the first start and never leave it. Nothing about them, and nothing in the probe's
id, follows from a serial number or a MAC address.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from civobs_agent.durable import write_durably
from civobs_agent.errors import IdentityError
from civobs_wire.enrol import EnrolResponse
from civobs_wire.envelope import key_hex

FOLDER = "identity"
SIGNING_KEY = "signing.key"
TLS_KEY = "tls.key"
TLS_CHAIN = "tls.crt"
ENROLMENT = "enrolment.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """The keys of one probe, and the folder they are in."""

    folder: Path
    signing_key: Ed25519PrivateKey
    tls_key: EllipticCurvePrivateKey

    @property
    def public_hex(self) -> str:
        """The key that batches verify with, as the wire writes it."""
        return key_hex(self.signing_key.public_key())

    @property
    def tls_key_path(self) -> Path:
        return self.folder / TLS_KEY

    @property
    def tls_chain_path(self) -> Path | None:
        """The client certificate, where the observatory gave one."""
        path = self.folder / TLS_CHAIN
        return path if path.exists() else None

    def csr_pem(self) -> str:
        """A certificate request for the TLS key. Its subject says nothing: the id is the observatory's to give."""
        # Needed once in a probe's life, and two megabytes.
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import NameOID

        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "civobs-probe")])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.tls_key, hashes.SHA256())
        return request.public_bytes(Encoding.PEM).decode("ascii")

    def enrolment(self) -> EnrolResponse | None:
        """What the observatory answered; None before the enrolment. Raises IdentityError."""
        path = self.folder / ENROLMENT
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IdentityError(f"cannot read {path}: {error.strerror}", "run as the user that owns it") from None
        try:
            return EnrolResponse.model_validate_json(content)
        except ValidationError:
            raise IdentityError(
                f"{path} is damaged", f"remove {path} and enrol again with the same claim code, or ask for a new one"
            ) from None

    def enrolled(self, response: EnrolResponse) -> None:
        """Keep the answer of the observatory. Raises IdentityError."""
        try:
            if response.cert_chain is not None:
                write_durably(self.folder / TLS_CHAIN, response.cert_chain.encode("ascii"))
            write_durably(self.folder / ENROLMENT, response.model_dump_json(indent=2).encode())
        except OSError as error:
            raise IdentityError(f"cannot write to {self.folder}: {error.strerror}", "free some space there") from None


def load_or_make(state_dir: Path) -> Identity:
    """The identity of a state folder, made if there is none. Raises IdentityError."""
    folder = state_dir / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        signing = _key(folder / SIGNING_KEY, Ed25519PrivateKey.generate)
        tls = _key(folder / TLS_KEY, lambda: generate_private_key(SECP256R1()))
    except OSError as error:
        raise IdentityError(
            f"cannot use {folder}: {error.strerror}", "run as the user that owns it, or name another state_dir"
        ) from None
    if not isinstance(signing, Ed25519PrivateKey) or not isinstance(tls, EllipticCurvePrivateKey):
        raise IdentityError(
            f"a key in {folder} is of the wrong kind", f"restore {folder} from a copy, or remove it and enrol again"
        )
    return Identity(folder, signing, tls)


def _key(path: Path, make: Callable[[], Ed25519PrivateKey | EllipticCurvePrivateKey]) -> object:
    """Read a key, or make and keep one. Raises IdentityError, OSError."""
    if not path.exists():
        key = make()
        write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise IdentityError(f"{path} is open to other users (mode {mode:04o})", f"run: chmod 600 {path}")
    try:
        return load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        raise IdentityError(
            f"{path} is not a private key in PEM", f"restore {path} from a copy, or remove it and enrol again"
        ) from None


def board() -> str | None:
    """What device this is, in the words of its device tree; None where there is none."""
    try:
        text = Path("/proc/device-tree/model").read_bytes().rstrip(b"\x00").decode("utf-8", "replace")
    except OSError:
        return None
    return text[:200] or None
