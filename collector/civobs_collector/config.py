"""The collector's settings: one frozen model from a TOML file and ``CIVOBS_*`` variables.

Variables win over the file: ``CIVOBS_DATABASE__DSN`` sets ``[database] dsn``. Everything works on localhost as it is;
nothing else in the program reads the environment.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from civobs_collector.errors import ConfigError
from civobs_collector.grafana.settings import GrafanaSettings
from civobs_collector.notify.settings import MailSettings, NotifySettings
from civobs_collector.section import Section
from civobs_wire.enrol import BrokerEndpoint
from civobs_wire.scalars import CountryCode
from civobs_wire.topics import all_shards

DEFAULT_PATH = Path("/etc/civobs/collector.toml")


class DatabaseSettings(Section):
    """Where the database is."""

    dsn: str = "host=/var/run/postgresql dbname=civobs"
    """A libpq connection string. Give the password by ``passfile=`` or a service file, not here."""
    statement_timeout_s: Annotated[float, Field(gt=0)] = 30.0


class BrokerSettings(Section):
    """How the collector reaches the broker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    tls_ca: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    keepalive_s: Annotated[int, Field(ge=1, le=65535)] = 60


class IngestSettings(Section):
    """How much is taken at once and what is accepted (ingest.md §5)."""

    instance: str = "a"
    """Tells ingest processes apart: part of the MQTT client id and of the archive's file names."""
    shards: tuple[str, ...] = all_shards()
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1000
    flush_rows: Annotated[int, Field(ge=1)] = 10_000
    flush_batches: Annotated[int, Field(ge=1)] = 500
    flush_ms: Annotated[int, Field(ge=1)] = 250
    archive_dir: Path = Path("/var/lib/civobs/archive")
    oldest_d: Annotated[float, Field(gt=0)] = 14.0
    """Older rows are quarantined: a clock wrong by years would scatter rows over thousands of chunks."""
    newest_s: Annotated[float, Field(gt=0)] = 600.0
    quarantine_bytes: Annotated[int, Field(ge=0)] = 1_000_000_000
    """Payload bytes kept in quarantine; beyond that a refused message is counted with its reason and digest only.
    A tenth is for messages that anybody could have sent."""

    @field_validator("shards")
    @classmethod
    def _known_shards(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(value) - set(all_shards())
        if unknown or not value:
            raise ValueError(f"shards are 00 to {all_shards()[-1]}, not {sorted(unknown)}")
        return value


class DetectSettings(Section):
    """When the detector runs. Its thresholds are a table of their own (``detect/params.py``)."""

    tick_s: Annotated[float, Field(gt=0)] = 30.0
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    """Seconds of detector time in one second of the clock: a lab that runs 30 times too fast says 30."""
    window_d: Annotated[float, Field(gt=0)] = 30.0


class PublishSettings(Section):
    """What is not published before a person has looked."""

    hold_countries: tuple[CountryCode, ...] = ()
    """New events there are held until somebody releases them: where naming one may endanger people."""


class WatchSettings(Section):
    """What the collector looks at besides itself, once a minute: more than the archive's disk and ``broker.tls_ca``."""

    certificates: tuple[Path, ...] = ()
    """PEM files whose first end is told: those of broker, pages and anchors."""
    crls: tuple[Path, ...] = ()
    """PEM files of revoked certificates: an expired one makes a broker refuse everybody."""
    folders: tuple[Path, ...] = ()
    """Each on a disk whose free room is told: the database's, the broker's."""
    backup_dir: Path | None = None
    """Where backups are made; without it nobody is told that none was."""


class ApiSettings(Section):
    """Where pages, API and enrolment are served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    public_url: str = "http://127.0.0.1:8080"
    """Base of permanent links, as readers type it."""


class EnrolSettings(Section):
    """What a new probe is told."""

    brokers: tuple[BrokerEndpoint, ...] = (BrokerEndpoint(host="127.0.0.1", port=1883, tls=False),)


class KeySettings(Section):
    """Files with the observatory's private keys, mode 0600."""

    plan_key: Path = Path("/etc/civobs/plan.key")
    receipt_key: Path = Path("/etc/civobs/receipt.key")
    desk_key: Path = Path("/etc/civobs/desk.key")
    """Seals the staff's secrets of one-time codes. Where it is not, there is no desk."""


class BackupSettings(Section):
    """What ``civobs backup`` takes besides database, archive, settings and the files that the settings name."""

    programs_dir: Path | None = None
    """Where pg_dump and pg_restore are; by default those of the server's version, then those on PATH."""
    also: tuple[Path, ...] = ()
    """Files and folders: the broker's state and passwords, Grafana's database, certificates."""


class CollectorSettings(BaseSettings):
    """Everything."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="CIVOBS_", env_nested_delimiter="__")

    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    detect: DetectSettings = DetectSettings()
    publish: PublishSettings = PublishSettings()
    watch: WatchSettings = WatchSettings()
    api: ApiSettings = ApiSettings()
    enrol: EnrolSettings = EnrolSettings()
    keys: KeySettings = KeySettings()
    notify: NotifySettings = NotifySettings()
    mail: MailSettings = MailSettings()
    backup: BackupSettings = BackupSettings()
    grafana: GrafanaSettings = GrafanaSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables before the file, which comes in as keyword arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def file_in_use(path: Path | None) -> Path | None:
    """The file that ``load`` reads; None where there are only variables."""
    return path or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)


def load(path: Path | None) -> CollectorSettings:
    """Read the settings. Without a path the default file is read if it is there. Raises ConfigError."""
    values: dict[str, Any] = {}
    file = path or DEFAULT_PATH
    if path is not None or DEFAULT_PATH.exists():
        try:
            values = tomllib.loads(file.read_text())
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {error.strerror}", "name a readable file with --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not TOML: {error}", "mend the line it names") from None
    try:
        return CollectorSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"setting {where}: {first['msg'].removeprefix('Value error, ')}",
            f"correct it in {file} or in CIVOBS_{where.replace('.', '__').upper()}",
        ) from None
