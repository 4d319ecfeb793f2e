"""The agent as a whole: every part a named task of one group, none of which can take the others down.

A part that breaks is logged, said in the status, and started again. Nothing here ever reboots the device or touches
its network: during a shutdown that would destroy the evidence (volunteers.md §0.1).
"""

import asyncio
import base64
import binascii
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence

from civobs_agent.absence import Absence, look_back_s
from civobs_agent.config import AgentSettings
from civobs_agent.enrol import enrol_patiently, observatory
from civobs_agent.errors import EnrolmentError
from civobs_agent.identity import Identity, load_or_make
from civobs_agent.keys import PublicKey
from civobs_agent.link import Trust
from civobs_agent.notify import Notifier, Pulse
from civobs_agent.plan_store import Adopted, PlanStore, Refused
from civobs_agent.report import Reporter
from civobs_agent.schedule import Schedule
from civobs_agent.self_report import agent_row
from civobs_agent.spool import Spool
from civobs_agent.surroundings import clock_of, net_of
from civobs_agent.uplink import Sender, Uplink
from civobs_wire.enrol import BrokerEndpoint, EnrolResponse
from civobs_wire.measurement import AgentEvent, AnyMeasurement, ClockState
from civobs_wire.plan import Plan

logger = logging.getLogger(__name__)

RESTART_S = 5.0
"""Wait before a part that broke is started again."""
SPOOL_TICK_S = 2.0
REPORT_S = 5.0
MIN_REPORT_S = 2.0
"""However fast the clock of a lab runs. Writing the status is most of what an idle agent costs."""
STAMP_S = 300.0
"""Signs of life on the card: they bound how long a power cut was (detection.md §3.1)."""
FAREWELL_S = 1.0
"""How long a stop waits for the last batches to be receipted; what is not is sent after the next start."""


async def run(settings: AgentSettings) -> int:
    """Run until SIGTERM or SIGINT. Raises CivobsAgentError only for what no waiting can mend."""
    await Agent(settings, load_or_make(settings.state_dir)).run()
    return 0


class Agent:
    """One probe, from its state folder."""

    def __init__(self, settings: AgentSettings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._scale = settings.lab.time_scale
        self._clock = clock_of(settings)
        self._spool = Spool(settings.state_dir, self._clock, identity.signing_key, settings.spool_limits)
        self._absence = Absence(self._spool, look_back_s(self._scale))
        known = identity.enrolment()
        key = settings.observatory.plan_key or (None if known is None else known.plan_key)
        # From the first moment on: the slots that went by while the agent was down are those of this plan.
        self._plans = PlanStore(settings.state_dir, None if key is None else PublicKey.from_hex(key))
        if self._plans.current is not None:
            self._spool.plan_id = self._plans.current.plan_id
        net = net_of(settings, self._clock)
        self._meter = net.meter
        self._pulse = Pulse()
        self._notifier = Notifier()
        self._uplink: Uplink | None = None
        self._reporter = Reporter(settings, self._clock, self._spool, self._plans, net.meter)
        self._started = self._clock.moment()
        self._schedule = Schedule(
            net,
            self._take,
            # The key, not the probe's id: slots stay where they are when the probe is enrolled.
            seed=identity.public_hex,
            plan=self._plan_in_force,
            household=settings.household(self._reporter.is_paused),
        )

        self._reporter.costs = self._schedule.costs

    async def run(self) -> None:
        """Run all parts until told to stop, then end them in order within five seconds."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._absence.begin()
        self._spool.record([agent_row(AgentEvent.START, self._clock.moment())])
        self._reporter.write(None)
        async with asyncio.TaskGroup() as group:

            def start(name: str, part: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
                return group.create_task(self._keep_alive(name, part), name=name)

            spooling = start("spool", self._keep_spool)
            measuring = [start("schedule", self._schedule.run), start("missed slots", self._account_for_absence)]
            uplink = start("uplink", self._deliver)
            others = [start("clock", self._keep_time), start("stamps", self._stamp), start("report", self._report)]
            self._notifier.ready()
            await stop.wait()
            logger.info("stopping")
            self._notifier.stopping()
            await _end(*measuring, *others, spooling)
            self._spool.record([agent_row(AgentEvent.STOP, self._clock.moment())])
            self._spool.flush()
            await self._last_batches()
            await _end(uplink)
        if self._uplink is not None:
            await self._uplink.stop()
        self._close()

    async def _last_batches(self) -> None:
        """Give the last rows a moment to be receipted."""
        uplink = self._uplink
        if uplink is None or not uplink.state.connected:
            return
        uplink.wake()
        for _ in range(round(FAREWELL_S / 0.05)):
            if not self._spool.state().batches:
                return
            await asyncio.sleep(0.05)

    def _close(self) -> None:
        self._spool.close()
        try:
            self._clock.stamp()
            self._meter.save()
        except OSError as error:
            logger.warning("cannot write on stopping cause=%r", error.strerror)
        self._reporter.stopped = True
        self._reporter.write(self._uplink)

    async def _keep_alive(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """A task's edge: what breaks is said, and begun again."""
        while True:
            try:
                await part()
            except Exception as error:
                logger.exception("part broke name=%s", name)
                self._reporter.problems[name] = broken(name, error)
                await asyncio.sleep(RESTART_S)
            else:
                return

    # Measuring.

    def _take(self, rows: Sequence[AnyMeasurement]) -> None:
        self._spool.record(rows)
        self._reporter.saw(rows)
        if self._uplink is not None:
            self._uplink.wake()

    def _plan_in_force(self) -> Plan | None:
        # The schedule asks at every look, at least every few seconds: that is its sign of life.
        self._pulse.beat("schedule", 60.0)
        return self._plans.current

    async def _account_for_absence(self) -> None:
        """Rows for the slots of the time in which the agent was not running, once the clock is known."""
        while self._clock.moment().state is ClockState.UNKNOWN:  # noqa: ASYNC110 - moments are told only when asked
            await asyncio.sleep(SPOOL_TICK_S)
        await self._absence.tell(self._clock.reanchor(self._started.mono_ms).at, self._schedule.missed_slots)

    async def _keep_spool(self) -> None:
        while True:
            before = self._spool.state().batches
            self._spool.tick()
            if self._clock.became_known:
                self._spool.flush()
                self._clock.settle()
            if self._uplink is not None and self._spool.state().batches > before:
                self._uplink.wake()
            self._pulse.beat("spool", 60.0)
            await asyncio.sleep(max(0.05, SPOOL_TICK_S / self._scale))

    # Delivering.

    async def _deliver(self) -> None:
        if not self._settings.uplink.send:
            if (known := self._identity.enrolment()) is not None:
                self._belong(known)
            return
        response = await self._enrolment()
        self._belong(response)
        if response.plan is not None:
            try:
                self._offered(base64.b64decode(response.plan, validate=True))
            except binascii.Error:
                logger.warning("the plan of the enrolment is not base64")
        self._spool.flush()
        self._reporter.write(None)
        settings = self._settings
        chain = self._identity.tls_chain_path
        trust = Trust(settings.broker.ca, chain, None if chain is None else self._identity.tls_key_path)
        self._uplink = Uplink(
            Sender(response.probe_id, self._identity.signing_key, PublicKey.from_hex(response.receipt_key), trust),
            self._brokers(response),
            self._spool,
            self._clock,
            on_plan=self._offered,
            on_bytes=self._meter.spend,
            # A connection that breaks is often the first sign of an outage: a climb now dates its start to seconds.
            on_lost=self._schedule.climb_soon,
            keepalive_s=lambda: self._plans.current.keepalive_s if self._plans.current is not None else 60,
            times=settings.uplink_times,
        )
        await self._uplink.run()

    def _belong(self, response: EnrolResponse) -> None:
        """Be the probe that the observatory has enrolled."""
        self._plans.trust(PublicKey.from_hex(self._settings.observatory.plan_key or response.plan_key))
        self._spool.identify(response.probe_id)
        self._reporter.enrolled(response.probe_id)

    async def _enrolment(self) -> EnrolResponse:
        """The observatory's answer, however long it takes; ``civobs-agent enrol`` may bring it too."""
        known = self._identity.enrolment()
        if known is not None:
            return known
        asking = asyncio.ensure_future(enrol_patiently(self._identity, self._settings, say=self._reporter.not_enrolled))
        try:
            while True:
                if asking.done() and (response := asking.result()) is not None:
                    return response
                if (response := self._identity.enrolment()) is not None:
                    return response
                await asyncio.sleep(RESTART_S / self._scale)
        finally:
            asking.cancel()

    def _brokers(self, response: EnrolResponse) -> tuple[BrokerEndpoint, ...]:
        mine = self._settings.broker
        if mine.host is None:
            return response.brokers
        return (BrokerEndpoint(host=mine.host, port=mine.port, tls=mine.tls),)

    def _offered(self, message: bytes) -> None:
        """A plan has come: follow it or not, and say so in the record."""
        match self._plans.offer(message):
            case Adopted(plan=plan):
                self._spool.plan_id = plan.plan_id
                logger.info("plan adopted plan=%s serial=%d", plan.plan_id, plan.serial)
                self._said(AgentEvent.PLAN_ADOPTED, plan.plan_id, plan.serial)
            case Refused(reason=reason):
                self._said(AgentEvent.PLAN_REFUSED, reason, 0)
            case None:
                if self._plans.current is not None:
                    self._spool.plan_id = self._plans.current.plan_id

    def _said(self, event: AgentEvent, note: str, n: int) -> None:
        self._spool.record([agent_row(event, self._clock.moment(), n=n, note=note)])

    # Time, signs of life, status.

    async def _keep_time(self) -> None:
        """Ask the observatory for the time while nobody keeps the system's clock."""
        settings = self._settings
        if not (settings.clock.ask_observatory and settings.uplink.send) or settings.observatory.url is None:
            return
        asked = observatory(settings)
        wait_s = settings.uplink.backoff_s
        while True:
            response = self._identity.enrolment()
            if response is not None and self._clock.moment().state is not ClockState.SYNCED:
                try:
                    told = await asked.time(PublicKey.from_hex(response.receipt_key))
                    self._clock.learn(told.at, told.err_ms, "observatory", told.mono_ms)
                except (EnrolmentError, ValueError) as error:
                    logger.info("time not learned cause=%r", str(error))
                    wait_s = min(wait_s * 2, settings.clock.ask_every_s)
                else:
                    logger.info("time learned err_ms=%d", told.err_ms)
                    wait_s = settings.uplink.backoff_s
            await asyncio.sleep(wait_s / self._scale)

    async def _stamp(self) -> None:
        while True:
            try:
                self._clock.stamp()
                self._meter.save()
            except OSError as error:
                logger.warning("no sign of life written cause=%r", error.strerror)
            await asyncio.sleep(max(1.0, STAMP_S / self._scale))

    async def _report(self) -> None:
        while True:
            silent = self._pulse.silent()
            for part in silent:
                logger.error("part hangs name=%s", part)
            if not silent:
                self._notifier.alive()
            self._reporter.hanging = tuple(silent)
            self._notifier.status(self._reporter.write(self._uplink))
            await asyncio.sleep(max(MIN_REPORT_S, REPORT_S / self._scale))


def broken(name: str, error: Exception) -> str:
    """For the status: not the error's words, which may name an address. The device's own log has them."""
    return f"{name} broke: {type(error).__name__}"


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
