"""The first files of an observatory: settings, keys, passwords, and what the broker needs.

All are made or none: a file that is there already is in use, and nothing is written beside it.
"""

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from civobs_collector.errors import ConfigError, ResourceError
from civobs_collector.keys import make_box_key, make_key

_BROKER_USER = "collector"
_PASSWORD_BYTES = 24
_MOSQUITTO_ROUNDS = 101
"""What mosquitto_passwd takes: the password is 192 random bits, which no number of rounds makes safer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the observatory is to be like."""

    folder: Path
    url: str
    """Base of permanent links."""
    broker: str
    """The name under which probes reach the broker."""
    compose: bool
    """In containers, by deploy/compose.yaml; otherwise on this machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are, on a bare machine or within containers."""

    folder: str
    dsn: str
    broker_host: str
    api_host: str
    archive: str
    backups: str
    also: str
    inside: str
    """What the inner listener binds to, with a blank before it; nothing for all addresses of a container."""
    passwords: str
    acl: str
    certificate: str
    key: str
    state: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """One file to write; ``owner`` is a user of a container, None for whoever runs the command."""

    path: Path
    text: str = field(repr=False)
    owner: int | None = None
    mode: int = 0o600


_CIVOBS, _POSTGRES, _GRAFANA = 10_001, 70, 472
"""User ids in the images of deploy/compose.yaml."""


def make_first_files(wanted: Wanted) -> list[Path]:
    """Write everything and give the files. Raises ConfigError or ResourceError, having overwritten nothing."""
    _check(wanted)
    files, keys = _files(wanted), [wanted.folder / name for name in ("plan.key", "receipt.key", "desk.key")]
    there = [path for path in (*(one.path for one in files), *keys) if path.exists()]
    if there:
        raise ResourceError(
            f"{there[0]} is there already" + (f", and {len(there) - 1} more" if len(there) > 1 else ""),
            "an observatory in use is not set up again: name another folder, or move these files away",
        )
    try:
        for one in files:
            one.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            _write(one)
        for path in keys:
            (make_box_key if path.stem == "desk" else make_key)(path)
            if wanted.compose and os.geteuid() == 0:
                os.chown(path, _CIVOBS, _CIVOBS)
    except OSError as error:
        raise ResourceError(
            f"cannot write {error.filename}: {error.strerror}",
            "run as a user who may write there, or name another folder",
        ) from None
    return [one.path for one in files] + keys


def _check(wanted: Wanted) -> None:
    parts = urlsplit(wanted.url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(f"--url {wanted.url} is no address of a site", "write it as https://observatory.example")
    if not wanted.broker or any(letter.isspace() or letter in "\"'/:$" for letter in wanted.broker):
        raise ConfigError(f"--broker {wanted.broker} is no name of a machine", "write it as broker.observatory.example")


def _files(wanted: Wanted) -> list[File]:
    place = _in_containers(wanted) if wanted.compose else _on_this_machine(wanted)
    values: Mapping[str, str] = {name: str(getattr(place, name)) for name in Place.__dataclass_fields__} | {
        "url": wanted.url.rstrip("/"),
        "broker": wanted.broker,
    }
    password, folder = secrets.token_urlsafe(_PASSWORD_BYTES), wanted.folder
    mine = _CIVOBS if wanted.compose else None
    files = [
        File(folder / "collector.toml", _template("collector.toml", values), mine, 0o640),
        File(folder / "broker.password", f"{password}\n", mine),
        File(folder / "mosquitto" / "mosquitto.conf", _template("mosquitto.conf", values), mode=0o644),
        File(folder / "mosquitto" / "probes.acl", _template("probes.acl", values), mode=0o644),
        File(folder / "mosquitto" / "passwords", f"{_BROKER_USER}:{_mosquitto_hash(password)}\n"),
    ]
    return files + (_container_secrets(folder / "secrets") if wanted.compose else [])


def _on_this_machine(wanted: Wanted) -> Place:
    certificates = f"/etc/mosquitto/certs/{wanted.broker}"
    return Place(
        folder=str(wanted.folder.absolute()),
        dsn="host=/var/run/postgresql dbname=civobs",
        broker_host="127.0.0.1",
        api_host="127.0.0.1",
        archive="/var/lib/civobs/archive",
        backups="/var/backups/civobs",
        also=f'"{wanted.folder.absolute()}/mosquitto"',
        inside=" 127.0.0.1",
        passwords="/etc/mosquitto/civobs.passwords",
        acl="/etc/mosquitto/civobs.acl",
        certificate=f"{certificates}/fullchain.pem",
        key=f"{certificates}/privkey.pem",
        state="/var/lib/mosquitto",
    )


def _in_containers(wanted: Wanted) -> Place:
    issued = f"/caddy/caddy/certificates/acme-v02.api.letsencrypt.org-directory/{wanted.broker}/{wanted.broker}"
    return Place(
        folder="/etc/civobs",
        dsn="host=database dbname=civobs user=civobs passfile=/etc/civobs/secrets/pgpass",
        broker_host="broker",
        api_host="0.0.0.0",  # noqa: S104 # of a container that only Caddy reaches
        archive="/var/lib/civobs/archive",
        backups="/var/backups/civobs",
        # What the collector's user may read. The passwords of the others are made anew with a new database.
        also='"/etc/civobs/mosquitto/mosquitto.conf", "/etc/civobs/mosquitto/probes.acl"',
        inside="",
        passwords="/mosquitto/config/passwords",
        acl="/mosquitto/config/probes.acl",
        certificate=f"{issued}.crt",
        key=f"{issued}.key",
        state="/mosquitto/data",
        user="# Caddy's certificates are for root alone.\nuser root",
    )


def _container_secrets(folder: Path) -> list[File]:
    """Two containers that need one secret have a file each, because each file belongs to one user."""
    database, grafana, admin = (secrets.token_urlsafe(_PASSWORD_BYTES) for _ in range(3))
    return [
        File(folder / "database_password", database, _POSTGRES),
        File(folder / "pgpass", f"database:5432:*:civobs:{database}\n", _CIVOBS),
        File(folder / "database_grafana", grafana, _POSTGRES),
        File(folder / "grafana_db_password", grafana, _GRAFANA),
        File(folder / "grafana_admin_password", admin, _GRAFANA),
        # Another's secret: empty until the operator writes it there.
        File(folder / "grafana_smtp_password", "", _GRAFANA),
    ]


def _template(name: str, values: Mapping[str, str]) -> str:
    text = (resources.files("civobs_collector.operate") / "first" / name).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _mosquitto_hash(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _MOSQUITTO_ROUNDS)
    return f"$7${_MOSQUITTO_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _write(one: File) -> None:
    descriptor = os.open(one.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, one.mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, one.mode)
        if one.owner is not None and os.geteuid() == 0:
            os.fchown(descriptor, one.owner, one.owner)
        file.write(one.text)
