"""The probe's own keys and what the observatory made of them.

Both keys are made on the device, the one for TLS with the first request to enrol, and never leave it. Nothing about
them, and nothing in the probe's id, follows from a serial number or a MAC address.
"""

import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from civobs_agent.durable import write_durably
from civobs_agent.errors import IdentityError
from civobs_agent.keys import PrivateKey
from civobs_wire.enrol import EnrolResponse
from civobs_wire.envelope import key_hex

FOLDER = "identity"
SIGNING_KEY = "signing.key"
TLS_KEY = "tls.key"
TLS_CHAIN = "tls.crt"
ENROLMENT = "enrolment.json"
REQUEST_S = 60.0
"""A Pi's first model, busy starting, takes a fifth of it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The keys of one probe, and the folder they are in."""

    folder: Path
    signing_key: PrivateKey

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
        """A certificate request for the TLS key, made if there is none. Takes seconds. Raises IdentityError."""
        path = self.tls_key_path
        if path.exists():
            _check_mode(path)
        words = [sys.executable, "-m", "civobs_agent.tls_request", str(path)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=REQUEST_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise IdentityError(f"cannot make a certificate request: {error}", "start the agent again") from None
        if done.returncode != 0:
            raise IdentityError(
                f"cannot make a certificate request from {path}: {done.stderr.strip() or 'it is not a P-256 key'}",
                f"restore {path} from a copy, or remove it; it is then made anew",
            )
        return done.stdout

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
        return Identity(folder, _signing_key(folder / SIGNING_KEY))
    except OSError as error:
        raise IdentityError(
            f"cannot use {folder}: {error.strerror}", "run as the user that owns it, or name another state_dir"
        ) from None


def _signing_key(path: Path) -> PrivateKey:
    """Read the key, or make and keep one. Raises IdentityError, OSError."""
    if not path.exists():
        write_durably(path, PrivateKey.generate().pem())
    _check_mode(path)
    try:
        return PrivateKey.from_pem(path.read_bytes())
    except ValueError:
        raise IdentityError(
            f"{path} is not an Ed25519 key in PEM", f"restore {path} from a copy, or remove it and enrol again"
        ) from None


def _check_mode(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise IdentityError(f"{path} is open to other users (mode {mode:04o})", f"run: chmod 600 {path}")


def board() -> str | None:
    """What device this is, in the words of its device tree; None where there is none."""
    try:
        text = Path("/proc/device-tree/model").read_bytes().rstrip(b"\x00").decode("utf-8", "replace")
    except OSError:
        return None
    return text[:200] or None
