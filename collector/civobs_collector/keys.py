"""The observatory's keys: files that only their owner can read. Those that sign are Ed25519, in PEM.

The plan key may stay on another machine. Where only its public half is needed, ``[keys] plan_key`` may name the
public file, and building plans then fails with the words that say so.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from civobs_collector.errors import KeyFileError

_OTHERS = 0o077
_MAKE = "make it with: civobs plan keygen"
_BOX_BYTES = 32


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


def make_box_key(path: Path) -> bytes:
    """Write a new key that seals what lies in the database, in hexadecimal. Never overwrites. Raises KeyFileError."""
    key = secrets.token_bytes(_BOX_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, f"{key.hex()}\n".encode(), 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already", "a key in use is never overwritten: move it away") from None
    except OSError as error:
        raise KeyFileError(
            f"cannot write {path}: {error.strerror}", "run as the user of [keys], or name another file there"
        ) from None
    return key


def read_box_key(path: Path) -> bytes:
    """Read such a key. Raises KeyFileError, also when others could have read it."""
    data = _read(path, "make the first member of staff, and the key with it: civobs staff add")
    _refuse_open(path)
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _BOX_BYTES:
        raise KeyFileError(f"{path} holds no key of {_BOX_BYTES} bytes in hexadecimal", "put the right file back")
    return key


def read_secret(path: Path) -> str:
    """Read a password or the like: the file's text without the end of its line. Raises KeyFileError."""
    data = _read(path, "write the secret there, with mode 0600", "file")
    _refuse_open(path)
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise KeyFileError(f"{path} holds no text in UTF-8", "write the secret there, in one line")
    return text


def _read(path: Path, make: str = _MAKE, what: str = "key") -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"there is no {what} {path}", make) from None
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}", f"run as the user that owns the {what}") from None


def _refuse_open(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & _OTHERS:
        raise KeyFileError(f"{path} has mode {mode:04o}: others can read it", f"chmod 600 {path}, or make a new one")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that did not exist, with its mode from the first moment, and make it last."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
