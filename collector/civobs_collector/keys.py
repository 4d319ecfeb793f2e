"""The observatory's Ed25519 keys: PEM files that only their owner can read.

The plan key may stay on another machine. Where only its public half is needed, ``[keys] plan_key`` may name the
public file, and building plans then fails with the words that say so.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from civobs_collector.errors import KeyFileError

_OTHERS = 0o077
_MAKE = "make it with: civobs plan keygen"


def make_key(path: Path) -> Ed25519PrivateKey:
    """Write a new key, mode 0600, and its public half as ``.pub``. Never overwrites. Raises KeyFileError."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, private, 0o600)
        _write_new(path.with_suffix(".pub"), public, 0o644)
    except FileExistsError as error:
        raise KeyFileError(
            f"{error.filename} exists already", "a key in use is never overwritten: move it away"
        ) from None
    except OSError as error:
        raise KeyFileError(
            f"cannot write {error.filename}: {error.strerror}", "run as the user of [keys], or name other files there"
        ) from None
    return key


def read_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key. Raises KeyFileError, also when others could have read it."""
    data = _read(path)
    if b"PUBLIC KEY" in data:
        raise KeyFileError(f"{path} is only the public half", "sign where the private key is kept")
    _refuse_open(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds no Ed25519 key in PEM", _MAKE)
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """The public half of a key file, which may hold either half. Raises KeyFileError."""
    data = _read(path)
    if b"PUBLIC KEY" not in data:
        return read_private(path).public_key()
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} holds no Ed25519 key in PEM", _MAKE)
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"there is no key {path}", _MAKE) from None
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}", "run as the user that owns the key") from None


def _refuse_open(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & _OTHERS:
        raise KeyFileError(f"{path} has mode {mode:04o}: others can read it", f"chmod 600 {path}, or make a new key")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that did not exist, with its mode from the first moment, and make it last."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
