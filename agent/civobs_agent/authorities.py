"""The authorities that TLS is verified by: one file's, or the system's.

Of the system's, OpenSSL is given the folder by choice: it then reads the one certificate a chain ends at. The file
beside it holds the same hundred and more, and each connection's settings would keep all of them, a megabyte a time.
"""

import re
import ssl
from pathlib import Path

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""How ``openssl rehash`` names what can be found without reading everything."""


def verifying_context(ca_file: Path | None) -> ssl.SSLContext:
    """Settings of a client that verifies chain and name. Raises OSError, ssl.SSLError."""
    if ca_file is not None:
        settings = ssl.create_default_context(cafile=str(ca_file))
    else:
        settings = ssl.create_default_context(capath=_system_folder())
    # From 3.13 on Python refuses chains that browsers and itself before took; what a probe finds must not depend on it.
    settings.verify_flags &= ~(ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)
    return settings


def places(ca_file: Path | None) -> tuple[str | None, str | None]:
    """The file or the folder they are in, for a library that is no ``ssl``. Both None where the system has none."""
    if ca_file is not None:
        return str(ca_file), None
    folder = _system_folder()
    return (None, folder) if folder is not None else (ssl.get_default_verify_paths().cafile, None)


def _system_folder() -> str | None:
    """The folder of hashed certificates; None where there is none, or the environment names a file instead."""
    paths = ssl.get_default_verify_paths()
    if paths.capath is None or paths.cafile not in {None, paths.openssl_cafile}:
        return None
    return paths.capath if any(_HASHED.fullmatch(path.name) for path in Path(paths.capath).iterdir()) else None
