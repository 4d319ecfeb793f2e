"""The status file: what the agent is doing, for ``civobs-agent status``, a status page, or an LED.

It is written every few seconds to the runtime folder, which is in memory on a probe, and says nothing that the owner
of the device may not know. It never holds an address.
"""

import os
import time
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from civobs_agent.errors import NotFoundError


class KindCost(BaseModel):
    """What the runs of one kind have cost since the start."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    runs: int
    seconds: float
    """All runs together; light ones may run at the same time."""
    bytes: int
    cpu_s: float
    """Of the programs beside the agent, where the kind has them."""
    peak_kib: int
    """The most memory that one of these had."""


class Status(BaseModel):
    """One look at the agent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = 1
    at: AwareDatetime
    pid: int
    agent: str
    started_at: AwareDatetime
    state: str
    """``needs claim``, ``measuring``, ``offline, measuring``, ``measuring, sending nothing``, ``paused`` or
    ``stopped``."""
    probe_id: str | None = None
    enrolment: str | None = None
    """Why the probe is not enrolled; None when it is."""
    plan_id: str | None = None
    plan_expires_at: AwareDatetime | None = None
    clock: str
    clock_err_ms: int
    rungs: dict[str, str] = {}
    """Last outcome of each rung of the ladder."""
    last_row_at: AwareDatetime | None = None
    rows: int = 0
    """Rows recorded since the start."""
    last_seq: int = 0
    """Number of the last row this probe ever recorded."""
    rows_waiting: int = 0
    batches: int = 0
    spool_bytes: int = 0
    oldest_at: AwareDatetime | None = None
    disk: str = "ok"
    sends: bool = True
    """False: the household wants nothing to leave the device."""
    spent_today: int = 0
    """Bytes since midnight UTC, up and down."""
    spent_month: int = 0
    kinds: dict[str, KindCost] = {}
    connected: bool = False
    broker: str | None = None
    uplink_error: str | None = None
    receipt_at: AwareDatetime | None = None
    settled: int = 0
    rejected: int = 0
    sent: int = 0
    resent: int = 0
    bytes_up: int = 0
    problems: tuple[str, ...] = ()
    """Parts that have ended or hang, in words."""

    @property
    def running(self) -> bool:
        """Whether the process that wrote this still lives."""
        if self.state == "stopped":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def write(path: Path, status: Status) -> None:
    """Replace the status file in one step; it need not survive a power cut. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(status.model_dump_json(indent=1) + "\n")
    beside.chmod(0o644)
    beside.replace(path)


def read(path: Path) -> Status:
    """The last status. Raises NotFoundError."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            f"no status at {path}: the agent has not run here yet", "start it with: civobs-agent run"
        ) from None
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}", "run as root or as the agent's user") from None
    except ValidationError:
        raise NotFoundError(f"{path} is not a status file", "restart the agent: it writes a new one") from None


def table(status: Status) -> str:
    """For a person: one fact a line."""
    now = time.time()
    lines: list[tuple[str, str]] = [
        (
            "state",
            status.state if status.running else f"not running (last seen {_ago(status.at, now)}: {status.state})",
        ),
        ("probe", status.probe_id or (status.enrolment if status.sends else None) or "not enrolled"),
        ("agent", f"{status.agent}, started {_ago(status.started_at, now)}"),
        ("clock", f"{status.clock}, wrong by at most {_milliseconds(status.clock_err_ms)}"),
        ("plan", _plan(status, now)),
        ("ladder", "  ".join(f"{rung} {outcome}" for rung, outcome in sorted(status.rungs.items())) or "no row yet"),
        ("rows", f"{status.rows} since the start, last {_ago(status.last_row_at, now)}"),
        ("waiting", _waiting(status, now)),
        ("uplink", _uplink(status, now)),
        ("delivered", f"{status.settled} batches receipted, {status.rejected} refused, {status.bytes_up} bytes sent"),
        ("data", f"{status.spent_today / 1e6:.1f} MB today, {status.spent_month / 1e6:.1f} MB this month"),
    ]
    if status.disk != "ok":
        lines.append(("disk", f"cannot be written: {status.disk}"))
    lines += [("problem", problem) for problem in status.problems]
    return "\n".join(f"{name:<10} {text}" for name, text in lines)


def _plan(status: Status, now: float) -> str:
    if status.plan_id is None or status.plan_expires_at is None:
        return "none yet: only the ladder's own rungs run"
    left_s = status.plan_expires_at.timestamp() - now
    return f"{status.plan_id}, " + (f"valid for {_duration(left_s)}" if left_s > 0 else "expired")


def _waiting(status: Status, now: float) -> str:
    if not status.rows_waiting and not status.batches:
        return "nothing: all is delivered"
    size = f"{status.spool_bytes / 1_000_000:.1f} MB"
    oldest = _ago(status.oldest_at, now)
    return f"{status.batches} batches and {status.rows_waiting} rows not yet sealed, {size}, oldest {oldest}"


def _uplink(status: Status, now: float) -> str:
    if not status.sends:
        return "switched off: nothing leaves this device ([uplink] send = false)"
    if status.connected:
        return f"connected to {status.broker}, last receipt {_ago(status.receipt_at, now)}"
    return f"not connected ({status.uplink_error or 'not tried yet'}); measuring goes on"


def _ago(at: datetime | None, now: float) -> str:
    return "never" if at is None else f"{_duration(max(0.0, now - at.timestamp()))} ago"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _milliseconds(ms: int) -> str:
    return f"{ms} ms" if ms < 2_000 else _duration(ms / 1000)
