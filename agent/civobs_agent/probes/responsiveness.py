"""Latency while the line is busy, in round trips a minute (draft-ietf-ippm-responsiveness), down and up.

Connections are added until they fill the line no better; meanwhile small questions are asked beside them, on new
connections and on the busy ones. It ends when the figure comes to rest, or with its bytes or its time; the confidence
says which.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

import h11

from civobs_agent.faults import Fault, MeasurementError, fault_of, words_of
from civobs_agent.net import Context
from civobs_agent.probes.door import Door, door_of
from civobs_agent.probes.load import ALPN, Direction, Load
from civobs_agent.probes.rpm import PARAMETERS, Foreign, Judge, pairs_per_s
from civobs_agent.probes.stream import Stream
from civobs_agent.tables import Timeout, table
from civobs_wire.anchor import BYTES_PATH
from civobs_wire.failure import Failure
from civobs_wire.measurement import AnyMeasurement, Responsiveness
from civobs_wire.plan import Target

TIMEOUTS = table(
    Timeout("responsiveness.probe", 10.0, "as http.connect, for all of a connect, a handshake and an exchange"),
    Timeout("responsiveness.connect", 10.0, "as http.connect and http.tls together: the line may be full already"),
    Timeout("responsiveness.direction", 20.0, "the draft: ten seconds for each of two stages"),
)
WHOLE = 30_000_000
"""Bytes of both directions: 12 Mbit/s for ten seconds each way. Faster lines are full for less time, which the
confidence then says."""
LEAST = 1_000_000
"""Of both: a line of 1 Mbit/s is full for four seconds each way."""
IDLE_PROBES = 3
"""Before the load; the quickest counts, as of a line that nobody else happens to use."""
MAX_OPEN = 16
"""Probes of a sort under way at once: on a line that answers after seconds, more would be a load of their own."""
MAX_ANSWER = 16_384
"""Bytes of an answer whose body is one byte; h11's own bound of a head."""
LOOK_S = 0.05
"""Between two looks at the bytes spent: 600 kB on a line of 100 Mbit/s."""
DIRECTIONS: tuple[Direction, Direction] = ("download", "upload")


@dataclass(slots=True)
class _Course:
    """How far one direction came, filled in as it goes."""

    door: Door
    direction: Direction
    stage: Literal["resolve", "idle", "load"] = "resolve"
    address: str = ""
    most: int = 0
    """What the meter may have counted when it is over."""
    idle_ms: float | None = None
    judge: Judge = field(default_factory=Judge)
    loads: list[Load] = field(default_factory=list)
    loading: asyncio.Event = field(default_factory=asyncio.Event)
    foreign: list[Foreign] = field(default_factory=list)
    """Probes that came back since the last interval."""
    loaded_ms: list[float] = field(default_factory=list)
    n_foreign: int = 0
    n_loaded: int = 0
    late_ms: list[float] = field(default_factory=list)

    @property
    def moved(self) -> int:
        return sum(load.moved for load in self.loads)


async def measure(target: Target, context: Context) -> list[AnyMeasurement]:
    """Two rows, one a direction."""
    granted = context.afford(WHOLE, LEAST)
    fault = None
    if granted is None:
        fault = Fault(Failure.BUDGET_EXHAUSTED)
    elif not context.servers:
        fault = Fault(Failure.NOTHING_TO_ASK)
    else:
        try:
            door = door_of(context.rng.choice(context.servers), context)
            return [await _one(_Course(door, each), granted, target, context) for each in DIRECTIONS]
        except MeasurementError as error:
            fault = error.fault
    run = context.begin()
    return [context.row(Responsiveness, run, target.id, {"direction": each}, fault=fault) for each in DIRECTIONS]


async def _one(course: _Course, granted: int, target: Target, context: Context) -> AnyMeasurement:
    run, fault = context.begin(), None
    course.most = context.meter.spent + granted // len(DIRECTIONS)
    try:
        course.address = await course.door.open_address(context)
        course.stage = "idle"
        course.idle_ms = await _idle_ms(course, context)
        course.stage = "load"
        await _load(course, context)
        fault = _unanswered(course, context)
    except (MeasurementError, OSError, EOFError) as error:
        fault = fault_of(error)
    fields = _fields(course, context) | {"stage": None if fault is None else course.stage}
    if granted < WHOLE:
        fields["shrunk"] = True
    return context.row(Responsiveness, run, target.id, fields, family=course.door.family, fault=fault)


def _unanswered(course: _Course, context: Context) -> Fault | None:
    """What it is called that not one probe of each sort came back."""
    if course.judge.score() is not None:
        return None
    if context.meter.spent >= course.most:
        return Fault(Failure.TOO_FEW_ANSWERS, "the bytes were gone before a probe came back")
    return Fault(Failure.GENERIC_TIMEOUT_ERROR, "no probe came back")


def _fields(course: _Course, context: Context) -> dict[str, object]:
    judge, score = course.judge, course.judge.score()
    fields: dict[str, object] = {
        "server": course.door.id,
        "address": context.refusal.shown(course.address) if course.address else None,
        "direction": course.direction,
        "idle_ms": course.idle_ms,
    }
    if not course.loads:
        return fields
    fields |= {
        # The last one is nought where the bytes were spent before the time.
        "goodput_bps": max(judge.goodputs, default=None),
        "flows": len(course.loads),
        "n_foreign": course.n_foreign,
        "n_loaded": course.n_loaded,
        "bytes": course.moved,
        "late_ms": fmean(course.late_ms) if course.late_ms else None,
    }
    if score is None:
        return fields
    return fields | {
        "rpm": score.rpm,
        "rpm_foreign": score.foreign,
        "rpm_loaded": score.loaded,
        "tcp_ms": score.tcp_ms,
        "tls_ms": score.tls_ms,
        "http_ms": score.http_ms,
        "loaded_ms": score.loaded_ms,
        "confidence": judge.confidence,
    }


async def _idle_ms(course: _Course, context: Context) -> float:
    probes = [await _foreign(course, context) for _ in range(IDLE_PROBES)]
    return min((each.tcp_ms + each.tls_ms + each.http_ms) / 3 for each in probes)


async def _foreign(course: _Course, context: Context) -> Foreign:
    """A new connection and one byte over it. Raises OSError, EOFError, MeasurementError."""
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["responsiveness.probe"])):
        async with _connected(course, "http/1.1", context) as stream:
            round_trips = 2 if stream.tls is not None and stream.tls.version() == "TLSv1.2" else 1
            asked = time.perf_counter()
            await _one_byte(stream, course.door.name)
            http_ms = (time.perf_counter() - asked) * 1000
            return Foreign(stream.connect_ms, stream.handshake_ms / round_trips, http_ms)


@contextlib.asynccontextmanager
async def _connected(course: _Course, alpn: str, context: Context) -> AsyncIterator[Stream]:
    """A connection with TLS on it. Raises OSError, EOFError."""
    async with asyncio.timeout(context.timeout_s(TIMEOUTS["responsiveness.connect"])):
        stream = await Stream.connect(course.address, course.door.port, context)
        try:
            await stream.start_tls(context.roots.verifying(), course.door.name, (alpn,))
        except BaseException:
            stream.close()
            raise
    async with stream:
        yield stream


async def _one_byte(stream: Stream, name: str) -> None:
    """One exchange of HTTP/1.1. Raises MeasurementError, OSError, EOFError."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", name), ("accept-encoding", "identity"), ("connection", "close")]
    request = connection.send(h11.Request(method="GET", target=f"{BYTES_PATH}?n=1", headers=headers))
    await stream.send(request or b"")
    before = stream.received
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                if stream.received - before > MAX_ANSWER:
                    raise MeasurementError(Failure.UNEXPECTED_ANSWER, f"more than {MAX_ANSWER} bytes instead of one")
                connection.receive_data(await stream.receive())
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise MeasurementError(Failure.HTTP_UNEXPECTED_STATUS_CODE, f"status {event.status_code}")
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError
    except h11.RemoteProtocolError as error:
        raise MeasurementError(Failure.HTTP_REQUEST_FAILED, words_of(error)) from None


async def _load(course: _Course, context: Context) -> None:
    """Fill the line and ask beside it, until the figure rests or bytes or time are up.

    Raises what a load-generating connection ends with: the draft ends the test then.
    """
    working: set[asyncio.Task[None]] = set()
    probing = asyncio.create_task(_probe(course, context), name="probes")
    try:
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["responsiveness.direction"])) as limit:
            for number in range(int(PARAMETERS["INP"].value)):
                working.add(asyncio.create_task(_generate(course, context), name=f"load {number}"))
            while not course.judge.stable and context.meter.spent < course.most:
                await _interval(course, working, context)
                if len(working) < PARAMETERS["MNP"].value:
                    working.add(asyncio.create_task(_generate(course, context), name=f"load {len(working)}"))
    except TimeoutError:
        if not limit.expired():
            raise
    finally:
        for task in (probing, *working):
            task.cancel()
        await asyncio.gather(probing, *working, return_exceptions=True)


async def _generate(course: _Course, context: Context) -> None:
    async with _connected(course, ALPN, context) as stream:
        if stream.tls is None or stream.tls.selected_alpn_protocol() != ALPN:
            raise MeasurementError(Failure.UNEXPECTED_ANSWER, "the server does not speak HTTP/2")
        load = Load(stream, course.door.name, course.direction, lambda: context.meter.spent >= course.most)
        course.loads.append(load)
        course.loading.set()
        await load.run()


async def _interval(course: _Course, working: set[asyncio.Task[None]], context: Context) -> None:
    """Let ID pass, or less if the bytes are up, and judge what it brought. Raises what a connection ends with."""
    began, before = time.perf_counter(), course.moved
    end = began + PARAMETERS["ID"].value / max(1.0, context.time_scale)
    while (now := time.perf_counter()) < end and context.meter.spent < course.most:
        done, _ = await asyncio.wait(working, timeout=min(LOOK_S, end - now), return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    foreign, course.foreign = course.foreign, []
    loaded, course.loaded_ms = course.loaded_ms, []
    course.judge.interval(course.moved - before, time.perf_counter() - began, foreign, loaded)


async def _probe(course: _Course, context: Context) -> None:
    """Ask a pair of questions at a time, as often as the line can carry; those that fail are left out."""
    under_way: set[asyncio.Task[None]] = set()
    await course.loading.wait()
    try:
        while True:
            if len(under_way) < 2 * MAX_OPEN:
                for asking in (_ask_anew(course, context), _ask_beside(course, context)):
                    task = asyncio.create_task(asking, name="probe")
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
            goodput = course.judge.goodputs[-1] if course.judge.goodputs else None
            pause_s = 1 / (pairs_per_s(goodput) * max(1.0, context.time_scale))
            due = time.perf_counter() + pause_s
            await asyncio.sleep(pause_s)
            course.late_ms.append((time.perf_counter() - due) * 1000)
    finally:
        for task in under_way:
            task.cancel()


async def _ask_anew(course: _Course, context: Context) -> None:
    with contextlib.suppress(MeasurementError, OSError, EOFError):
        course.foreign.append(await _foreign(course, context))
        course.n_foreign += 1


async def _ask_beside(course: _Course, context: Context) -> None:
    with contextlib.suppress(MeasurementError, OSError):
        async with asyncio.timeout(context.timeout_s(TIMEOUTS["responsiveness.probe"])):
            course.loaded_ms.append(await context.rng.choice(course.loads).probe_ms())
            course.n_loaded += 1
