"""Gathers what the status file says from the parts of the agent."""

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from civobs_agent import AGENT
from civobs_agent.budget import Cost, Meter
from civobs_agent.clock import Clock
from civobs_agent.config import AgentSettings
from civobs_agent.plan_store import PlanStore
from civobs_agent.spool import Spool
from civobs_agent.status import KindCost, Status, write
from civobs_agent.uplink import Uplink
from civobs_wire.failure import Outcome
from civobs_wire.measurement import AnyMeasurement, Ladder

logger = logging.getLogger(__name__)

_RANK = {Outcome.OK: 2, Outcome.FAILED: 1, Outcome.NOT_RUN: 0}


class Reporter:
    """What is known for the status."""

    def __init__(self, settings: AgentSettings, clock: Clock, spool: Spool, plans: PlanStore, meter: Meter) -> None:
        self._settings = settings
        self._clock = clock
        self._spool = spool
        self._plans = plans
        self._meter = meter
        self._started_at = clock.moment().at
        self._probe_id: str | None = None
        self._enrolment: str | None = "not enrolled yet"
        self._rungs: dict[str, dict[int, Outcome]] = {}
        self._rows = 0
        self._last_row_at: datetime | None = None
        self._writable = True
        self.costs: Mapping[str, Cost] = {}
        """By kind, as the schedule counts them."""
        self.problems: dict[str, str] = {}
        self.hanging: tuple[str, ...] = ()
        self.stopped = False

    def saw(self, rows: Sequence[AnyMeasurement]) -> None:
        """Rows were recorded."""
        for row in rows:
            self._rows += 1
            self._last_row_at = row.at
            if isinstance(row, Ladder):
                self._rungs.setdefault(row.target, {})[row.family] = row.outcome

    def enrolled(self, probe_id: str) -> None:
        self._probe_id, self._enrolment = probe_id, None

    def not_enrolled(self, why: str) -> None:
        self._enrolment = why

    def is_paused(self) -> bool:
        """Whether the household has paused the probe."""
        return self._settings.paused or self._settings.pause_file.exists()

    def write(self, uplink: Uplink | None) -> str:
        """Write the status file; gives the state in words. A file that cannot be written stops nothing."""
        status = self._status(uplink)
        try:
            self._settings.runtime_dir.mkdir(parents=True, exist_ok=True)
            write(self._settings.status_file, status)
        except OSError as error:
            if self._writable:
                logger.warning("status not written cause=%r", error.strerror)
            self._writable = False
        else:
            self._writable = True
        return status.state

    def _status(self, uplink: Uplink | None) -> Status:
        now = self._clock.moment()
        spool = self._spool.state()
        plan = self._plans.current
        sent = uplink.state if uplink is not None else None
        return Status(
            at=datetime.now(UTC),
            pid=os.getpid(),
            agent=AGENT,
            started_at=self._started_at,
            state=self._state(uplink),
            probe_id=self._probe_id,
            enrolment=self._enrolment,
            plan_id=None if plan is None else plan.plan_id,
            plan_expires_at=None if plan is None else plan.expires_at,
            clock=now.state,
            clock_err_ms=now.err_ms,
            rungs={rung: _best(outcomes) for rung, outcomes in self._rungs.items()},
            last_row_at=self._last_row_at,
            rows=self._rows,
            last_seq=spool.last_seq,
            rows_waiting=spool.rows_waiting,
            batches=spool.batches,
            spool_bytes=spool.bytes,
            oldest_at=spool.oldest_at,
            disk=spool.disk,
            settled=spool.settled,
            rejected=spool.rejected,
            problems=(*self.problems.values(), *(f"{part} hangs" for part in self.hanging)),
            sends=self._settings.uplink.send,
            spent_today=self._meter.spent,
            spent_month=self._meter.spent_before + self._meter.spent,
            kinds={
                kind: KindCost(
                    runs=cost.runs,
                    seconds=round(cost.seconds, 3),
                    bytes=cost.bytes,
                    cpu_s=round(cost.cpu_s, 3),
                    peak_kib=cost.peak_kib,
                )
                for kind, cost in self.costs.items()
            },
            connected=sent is not None and sent.connected,
            broker=None if sent is None else sent.broker,
            uplink_error=None if sent is None else sent.error,
            receipt_at=None
            if sent is None or sent.receipt_at is None
            else datetime.fromtimestamp(sent.receipt_at, UTC),
            sent=0 if sent is None else sent.sent,
            resent=0 if sent is None else sent.resent,
            bytes_up=0 if sent is None else sent.bytes_up,
        )

    def _state(self, uplink: Uplink | None) -> str:
        if self.stopped:
            return "stopped"
        if self.is_paused():
            return "paused"
        if not self._settings.uplink.send:
            return "measuring, sending nothing"
        if self._probe_id is None:
            return "needs claim"
        return "measuring" if uplink is not None and uplink.state.connected else "offline, measuring"


def _best(outcomes: dict[int, Outcome]) -> str:
    """A rung works if it does in either family."""
    return max(outcomes.values(), key=_RANK.__getitem__).value
