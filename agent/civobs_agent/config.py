"""The agent's settings: one frozen model from a TOML file and ``CIVOBS_AGENT_*`` variables.

Variables win over the file: ``CIVOBS_AGENT_OBSERVATORY__URL`` sets ``[observatory] url``. Nothing else in the agent
reads the environment. They are laid over the file by hand: pydantic-settings would do it too, and is one more thing to
install and to load on a small device.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from civobs_agent.allowed import Household, QuietHours, span_of
from civobs_agent.errors import ConfigError
from civobs_agent.refusal import LAB_BUILD
from civobs_agent.spool import SpoolLimits
from civobs_agent.uplink import UplinkTimes
from civobs_wire.enrol import ClaimCode, Consent
from civobs_wire.plan import Tier
from civobs_wire.scalars import Name, PublicKey, UtcTime

DEFAULT_PATH = Path("/etc/civobs/agent.toml")
ENV_PREFIX = "CIVOBS_AGENT_"
STATE_DIR = Path("/var/lib/civobs-agent")
RUNTIME_DIR = Path("/run/civobs-agent")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of the file; an unknown key is an error, because it is a typing error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ObservatorySettings(Section):
    """Where the probe enrols and asks the time."""

    url: str | None = None
    """Base of the enrolment service, such as ``https://observatory.example``."""
    claim: ClaimCode | None = None
    """Single-use claim code; of no meaning once the probe is enrolled."""
    plan_key: PublicKey | None = None
    """Pins the key that plans are signed with: an enrolment that names another is refused."""
    ca: Path | None = None
    """Certificates to trust for ``url`` instead of the system's."""
    timeout_s: Seconds = 20.0

    @field_validator("url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("begins with https:// (or http:// in a laboratory)")
        return None if value is None else value.rstrip("/")


class BrokerSettings(Section):
    """Another broker than those named at enrolment: for a laboratory, or while an address is blocked."""

    host: Name | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    tls: bool = True
    ca: Path | None = None
    """Certificates to trust for the broker instead of the system's."""


class SpoolSettings(Section):
    """What is kept until it is receipted."""

    max_mb: Annotated[float, Field(ge=1)] = 200.0
    write_interval_s: Annotated[float, Field(ge=0)] = 60.0
    """Rows are in memory for at most so long; 0 writes each at once and wears the card."""
    seal_interval_s: Seconds = 60.0
    memory_rows: Annotated[int, Field(ge=100)] = 5_000


class UplinkSettings(Section):
    """How batches are sent (ingest.md §5)."""

    send: bool = True
    """False: measure and keep, and send nothing at all, not even that the probe is there."""
    window: Annotated[int, Field(ge=1, le=64)] = 8
    """Batches sent and not yet receipted."""
    retry_s: Seconds = 15.0
    """First wait for a receipt before a batch is sent again; doubles with each try."""
    retry_max_s: Seconds = 600.0
    silence_s: Seconds = 300.0
    """Without any receipt for so long while batches wait, the connection is taken for dead and made anew."""
    connect_timeout_s: Seconds = 30.0
    backoff_s: Seconds = 2.0
    """First wait after a failed connection; doubles with each."""
    backoff_max_s: Seconds = 300.0
    first_again_s: Seconds = 60.0
    """First wait, while another broker serves, until the first is asked again; doubles with each, to backoff_max_s."""
    drain_per_s: Seconds = 4.0
    """After an outage, batches other than the ladder's leave at this rate."""


class ClockSettings(Section):
    """Where the time comes from."""

    ask_observatory: bool = True
    """Ask the observatory for a signed time while nobody keeps the system's clock."""
    ask_every_s: Seconds = 3600.0


class LimitSettings(Section):
    """What the household allows, besides the plan's own budget: the lower one counts."""

    daily_mb: Annotated[float, Field(gt=0)] | None = None
    monthly_mb: Annotated[float, Field(gt=0)] | None = None
    quiet_hours: tuple[str, ...] = ()
    """Such as ``18:00-23:00``: nothing heavy runs then."""
    time_zone: str | None = None
    """Of the quiet hours, such as ``Africa/Nairobi``; the system's own if left out."""
    throughput_tests: bool = False
    """Kinds that cost much data."""
    mlab_tests: bool = False
    """These may also go to M-Lab's servers. M-Lab publishes every test with the address it came from."""

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                span_of(text)
            except ValueError:
                raise ValueError(f"{text!r} is not a time from and until, as 18:00-23:00") from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None:
            _zone_of(value)
        return value


class ConsentSettings(Section):
    """What the household agreed to, and when."""

    version: Name | None = None
    tier: Tier = 0
    accepted_at: UtcTime | None = None
    without: tuple[Name, ...] = ()
    """Categories of targets that are not measured from here (Citizen Lab codes)."""

    @field_validator("without")
    @classmethod
    def _categories(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """A misspelt code would have measured what the household wants left out."""
        from civobs_wire.categories import CATEGORIES

        codes = tuple(code.strip().upper() for code in value)
        for code in codes:
            if code not in CATEGORIES:
                raise ValueError(f"no category {code!r}; there are {', '.join(sorted(CATEGORIES))}")
        return codes

    @property
    def given(self) -> Consent | None:
        """As the enrolment carries it; None where nothing was agreed to."""
        if self.version is None or self.accepted_at is None:
            return None
        return Consent(version=self.version, tier=self.tier, accepted_at=self.accepted_at)


class LabSettings(Section):
    """For a laboratory only: an installed probe refuses to start with any of it."""

    enabled: bool = False
    time_scale: Seconds = 1.0
    """How many times faster than life the agent's own intervals pass."""
    lab_ranges: bool = False
    """Measure against documentation and benchmarking addresses."""
    clock_offset_s: float = 0.0
    trust_system_clock: bool = False
    roots: Path | None = None
    """Certificates that targets' names are verified with, instead of the system's."""
    boot_id_path: Path | None = None
    """A file to read the boot id from, so that a power cut can be played."""

    @model_validator(mode="after")
    def _only_in_a_laboratory(self) -> Self:
        if self != LabSettings.model_construct() and not self.enabled:
            raise ValueError("laboratory settings need enabled = true")
        if self.enabled and not LAB_BUILD:
            raise ValueError("this is an installed probe, not a laboratory: remove the section")
        return self


class AgentSettings(Section):
    """Everything."""

    state_dir: Path = Path()
    """Keys, plan, spool. Default: ``/var/lib/civobs-agent``, or ``~/.local/state/civobs-agent`` for a user."""
    runtime_dir: Path = Path()
    """The status file. Default: ``/run/civobs-agent`` where it can be written, otherwise ``state_dir``."""
    paused: bool = False
    """Measure nothing; the record says so. A file ``pause`` in ``state_dir`` does the same at once."""
    observatory: ObservatorySettings = ObservatorySettings()
    broker: BrokerSettings = BrokerSettings()
    spool: SpoolSettings = SpoolSettings()
    uplink: UplinkSettings = UplinkSettings()
    clock: ClockSettings = ClockSettings()
    limits: LimitSettings = LimitSettings()
    consent: ConsentSettings = ConsentSettings()
    lab: LabSettings = LabSettings()

    @property
    def pause_file(self) -> Path:
        return self.state_dir / "pause"

    @property
    def status_file(self) -> Path:
        return self.runtime_dir / "status.json"

    def household(self, paused: Callable[[], bool]) -> Household:
        """What it allows. ``paused`` is asked for every slot."""
        limits = self.limits
        zone = None if limits.time_zone is None else _zone_of(limits.time_zone)
        return Household(
            paused=paused,
            tier=self.consent.tier,
            without=frozenset(self.consent.without),
            throughput_tests=limits.throughput_tests,
            mlab_tests=limits.mlab_tests,
            quiet=QuietHours(spans=tuple(span_of(text) for text in limits.quiet_hours), zone=zone),
            daily_bytes=_bytes(limits.daily_mb),
            monthly_bytes=_bytes(limits.monthly_mb),
        )

    @property
    def spool_limits(self) -> SpoolLimits:
        """The spool's limits, in seconds of the laboratory's clock."""
        scale = self.lab.time_scale
        standard = SpoolLimits()
        return SpoolLimits(
            write_interval_s=self.spool.write_interval_s / scale,
            seal_interval_s=self.spool.seal_interval_s / scale,
            max_bytes=round(self.spool.max_mb * 1_000_000),
            memory_rows=self.spool.memory_rows,
            unknown_clock_s=standard.unknown_clock_s / scale,
            around_change_s=standard.around_change_s / scale,
        )

    @property
    def uplink_times(self) -> UplinkTimes:
        """The uplink's waits, in seconds of the laboratory's clock."""
        scale = self.lab.time_scale
        mine = self.uplink
        return UplinkTimes(
            window=mine.window,
            retry_s=mine.retry_s / scale,
            retry_max_s=mine.retry_max_s / scale,
            silence_s=mine.silence_s / scale,
            connect_timeout_s=mine.connect_timeout_s,
            backoff_s=mine.backoff_s / scale,
            backoff_max_s=mine.backoff_max_s / scale,
            drain_per_s=mine.drain_per_s * scale,
            first_again_s=mine.first_again_s / scale,
        )


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else round(megabytes * 1_000_000)


def _zone_of(name: str) -> tzinfo:
    """Raises ValueError for one that this system does not know."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r} on this system (apt install tzdata?)") from None


def load(path: Path | None) -> AgentSettings:
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
    _lay_over(values, os.environ)
    try:
        settings = AgentSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"setting {where}: {first['msg'].removeprefix('Value error, ')}",
            f"correct it in {file} or in CIVOBS_AGENT_{where.replace('.', '__').upper()}",
        ) from None
    return _with_folders(settings)


def _lay_over(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put ``CIVOBS_AGENT_SECTION__KEY`` into the table of its section. Lists are written as JSON."""
    for name, text in environment.items():
        if not name.startswith(ENV_PREFIX):
            continue
        *sections, key = name.removeprefix(ENV_PREFIX).lower().split("__")
        table = values
        for section in sections:
            inner = table.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"setting {section} is not a table", f"remove {name} from the environment")
            table = inner
        table[key] = _parsed(text)


def _parsed(text: str) -> object:
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _with_folders(settings: AgentSettings) -> AgentSettings:
    state = settings.state_dir if settings.state_dir != Path() else _default_state_dir()
    runtime = settings.runtime_dir
    if runtime == Path():
        own_state = settings.state_dir == Path() or settings.state_dir == STATE_DIR
        runtime = RUNTIME_DIR if own_state and os.access(RUNTIME_DIR, os.W_OK) else state
    return settings.model_copy(update={"state_dir": state, "runtime_dir": runtime})


def _default_state_dir() -> Path:
    if os.geteuid() == 0 or os.access(STATE_DIR, os.R_OK | os.X_OK):
        return STATE_DIR
    return Path.home() / ".local/state/civobs-agent"
