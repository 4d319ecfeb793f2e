"""What is wrong with this observatory, and what to do about each thing.

Each check is a function of what it looks at and gives results, never an exception: one broken part must not hide
the others. Limits stand in ``limits.py``.
"""

import os
import secrets
import shutil
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from civobs_collector.config import BrokerSettings, CollectorSettings
from civobs_collector.db.connect import connect, database_errors
from civobs_collector.errors import CivobsCollectorError, ConfigError
from civobs_collector.keys import read_private, read_public
from civobs_collector.limits import LIMITS


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """Works, but will not for long, or not as well as it could."""
    FAILED = "failed"
    NOT_CHECKED = "not_checked"
    """Something it needs is missing; that has a result of its own."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the report."""

    check: str
    state: State
    text: str
    remedy: str | None = None


OTHER_CHECKS = (
    "settings",
    "receipt_key",
    "plan_key",
    "secrets",
    "database",
    "broker",
    "archive",
    "disk",
    "certificates",
    "crls",
    "backup",
)
"""Those that need no database; the rest are ``DATABASE_CHECKS``."""


def run_checks(settings: CollectorSettings, now: datetime | None = None) -> Iterator[Result]:
    """All checks in order, each as soon as it is done."""
    # They need the names above.
    from civobs_collector.doctor_database import DATABASE_CHECKS, database_results
    from civobs_collector.doctor_machine import check_backup, check_certificates, check_secrets

    moment = now or datetime.now(UTC)
    yield from check_keys(settings)
    yield from check_secrets(settings)
    try:
        with database_errors(), connect(settings.database, "doctor", autocommit=True) as conn:
            yield Result("database", State.OK, "answers")
            yield from database_results(conn, settings, moment)
    except CivobsCollectorError as error:
        yield Result("database", State.FAILED, error.cause, error.remedy)
        for name in DATABASE_CHECKS:
            yield Result(name, State.NOT_CHECKED, "needs the database")
    yield check_broker(settings.broker)
    yield from check_archive(settings.ingest.archive_dir)
    yield from check_certificates(settings, moment)
    yield check_backup(settings, moment)


def check_keys(settings: CollectorSettings) -> Iterator[Result]:
    """Both keys are there, are keys, and nobody else can read them."""
    try:
        read_private(settings.keys.receipt_key)
    except CivobsCollectorError as error:
        yield Result("receipt_key", State.FAILED, error.cause, error.remedy)
    else:
        yield Result("receipt_key", State.OK, f"{settings.keys.receipt_key}, readable by its owner only")
    try:
        read_public(settings.keys.plan_key)
    except CivobsCollectorError as error:
        yield Result("plan_key", State.FAILED, error.cause, error.remedy)
    else:
        yield Result("plan_key", State.OK, f"{settings.keys.plan_key}")


def check_broker(settings: BrokerSettings) -> Result:
    """One connection by MQTT v5 with a fresh session, and leave."""
    where = f"{settings.host}:{settings.port}"
    answers: list[ReasonCode] = []
    answered = threading.Event()

    def on_connect(
        _client: mqtt.Client,
        _userdata: None,
        _flags: mqtt.ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        answers.append(code)
        answered.set()

    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"civobs-doctor-{secrets.token_hex(4)}",
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.on_connect = on_connect
    client.connect_timeout = LIMITS["broker_answer"].value
    try:
        _set_credentials(client, settings)
        client.connect(settings.host, settings.port, settings.keepalive_s)
    except ConfigError as error:
        return Result("broker", State.FAILED, error.cause, error.remedy)
    except ssl.SSLError as error:
        return Result(
            "broker", State.FAILED, f"{where}: {error.reason}", "check tls_ca in [broker] and the certificate"
        )
    except OSError as error:
        return Result("broker", State.FAILED, f"{where}: {error}", "start the broker, or correct [broker]")
    client.loop_start()
    answered.wait(LIMITS["broker_answer"].value)
    client.disconnect()
    client.loop_stop()
    if not answers:
        return Result("broker", State.FAILED, f"{where} accepts but does not answer", "is it an MQTT v5 broker?")
    if answers[0].is_failure:
        return Result(
            "broker", State.FAILED, f"{where} refuses: {answers[0]}", "check username and password in [broker]"
        )
    return Result("broker", State.OK, f"{where} answers by MQTT v5")


def _set_credentials(client: mqtt.Client, settings: BrokerSettings) -> None:
    if settings.tls_ca is not None:
        try:
            client.tls_set(ca_certs=str(settings.tls_ca))
        except OSError as error:
            raise ConfigError(f"tls_ca {settings.tls_ca}: {error.strerror}", "name a file of certificates") from None
    if settings.username is not None:
        client.username_pw_set(settings.username, _password(settings.password_file))


def _password(path: Path | None) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() if path else None
    except OSError as error:
        raise ConfigError(f"password_file {path}: {error.strerror}", "name a file this user can read") from None


def check_archive(folder: Path) -> Iterator[Result]:
    """Batches can be written where they are kept, and there is room."""
    trial = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except FileNotFoundError:
        yield Result("archive", State.FAILED, f"there is no {folder}", "make it, or correct archive_dir in [ingest]")
        return
    except OSError as error:
        remedy = f"let user {os.geteuid()} write there, or correct archive_dir in [ingest]"
        yield Result("archive", State.FAILED, f"{folder} cannot be written: {error.strerror}", remedy)
        return
    yield Result("archive", State.OK, f"{folder} can be written")
    disk = shutil.disk_usage(folder)
    yield disk_result(disk.free, disk.total)


def disk_result(free: int, total: int) -> Result:
    """Judge the room that is left, in bytes."""
    text = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    if free < LIMITS["disk_free_least"].value * total:
        return Result("disk", State.FAILED, text, "free space or add a disk: ingest stops when the archive is full")
    if free < LIMITS["disk_free"].value * total:
        return Result("disk", State.WARNING, text, "free space or add a disk soon")
    return Result("disk", State.OK, text)
