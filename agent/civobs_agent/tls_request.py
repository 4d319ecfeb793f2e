"""Makes the probe's TLS key and its certificate request: ``python -m civobs_agent.tls_request FILE``.

A program of its own, run once in a probe's life: ``cryptography`` with its X.509 would otherwise stay in the memory of
the agent (``keys.py``). The key is read from FILE, or made and kept there; the request goes to standard output.
"""

import sys
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from civobs_agent.durable import write_durably

NOT_A_KEY = 3
"""Exit code: FILE holds no P-256 key."""
UNREADABLE = 4
"""Exit code: FILE cannot be read or written."""


def request(path: Path) -> bytes:
    """The request in PEM. Its subject says nothing: the id is the observatory's to give. Raises ValueError, OSError."""
    if not path.exists():
        made = generate_private_key(SECP256R1())
        write_durably(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError("not a key on an elliptic curve")  # noqa: TRY004 - what a file holds is a value
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "civobs-probe")])
    made_request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return made_request.public_bytes(Encoding.PEM)


def main(path: Path) -> int:
    """Write the request to standard output; the exit code says what was wrong."""
    try:
        sys.stdout.buffer.write(request(path))
    except ValueError:
        return NOT_A_KEY
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
