"""Scenarios of the lab told in rows: what real homes, broker and roles would have stored, minute by minute.

No probe runs. Presence, batches, ladder rows, signs of life and gauges are written as the lab's homes leave them; the
detector itself judges them, at its ticks, as of the moment of each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from civobs_collector.config import CollectorSettings, DatabaseSettings, DetectSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect_role import detect_once
from civobs_lab.fault_kinds import NationalShutdown, ObservatoryDown
from civobs_lab.scenario import Scenario
from civobs_lab.scenario_file import SCENARIOS, load

ZERO = datetime(2026, 3, 2, tzinfo=UTC)
"""The timeline's zero, a Monday."""
BEFORE = timedelta(hours=10)
"""How long all has been well by then."""
MINUTE = timedelta(minutes=1)
_AROUND = timedelta(minutes=15)
_STEPS = {False: (MINUTE, timedelta(minutes=15)), True: (timedelta(minutes=5), timedelta(hours=4))}
"""How often the detector looks for so long after a change and otherwise, when nothing new is known. A story of days is
told in larger steps."""
_LADDER_S = 300.0
_WINDOW_D = 2.0
"""What is over for two days is not looked at anew: by default it is for thirty, which takes longer."""
_OK, _FAILED, _TIMEOUT = 0, 1, 8


@dataclass(frozen=True, slots=True)
class Home:
    """A household with a probe."""

    probe_key: int
    cc: str
    number: int

    @property
    def after(self) -> timedelta:
        """How long after a change the broker hears of it: everybody has a pace of their own."""
        return timedelta(seconds=7 * self.number % 30)


@dataclass(frozen=True, slots=True)
class Span:
    """A fault's time, from the timeline's zero, and whom it keeps from the broker; None is the observatory itself."""

    start: datetime
    end: datetime
    cc: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """A scenario with the times of its faults."""

    name: str
    scenario: Scenario
    spans: tuple[Span, ...]
    homes: tuple[tuple[str, int], ...]
    """Country and network of each."""

    @property
    def start(self) -> datetime:
        return ZERO - BEFORE

    @property
    def end(self) -> datetime:
        last = max((span.end for span in self.spans), default=ZERO)
        length = timedelta(seconds=self.scenario.length or 0)
        return max(last, ZERO + length) + timedelta(seconds=self.scenario.settle)

    @property
    def ladder(self) -> timedelta:
        return timedelta(seconds=self.scenario.plan.intervals.get("ladder", _LADDER_S))

    def away(self, cc: str) -> Iterator[Span]:
        """When homes of a country could not reach the broker."""
        return (span for span in self.spans if span.cc in {cc, None})


def read_story(name: str, times: int | None = None) -> Story:
    """The lab's scenario of this name. ``times`` replaces how often its faults come again."""
    loaded = load(SCENARIOS / f"{name}.toml")
    spans = []
    for fault in loaded.scenario.fault:
        assert isinstance(fault, NationalShutdown | ObservatoryDown), f"no story is told of {fault.kind}"
        assert fault.end is not None
        scope = fault.scope if isinstance(fault, NationalShutdown) else None
        for number in range(times or fault.times):
            zero = ZERO + timedelta(seconds=number * (fault.every or 0))
            spans.append(Span(zero + timedelta(seconds=fault.start), zero + timedelta(seconds=fault.end), scope))
    homes = tuple((one.network.cc, one.network.asn) for one in loaded.topology.households())
    return Story(name, loaded.scenario, tuple(spans), homes)


def play(story: Story, dsn: str, after: Callable[[datetime], None] = lambda _: None) -> None:
    """Store what the story leaves and run the detector through it. Rows of homes that are cut off come later.

    ``after`` is called after each run of the detector, with its time.
    """
    settings = CollectorSettings(database=DatabaseSettings(dsn=dsn), detect=DetectSettings(window_d=_WINDOW_D))
    with psycopg.connect(dsn) as conn:
        homes = [_enrol(conn, number, *place) for number, place in enumerate(story.homes, start=1)]
        _sign(conn, story)
        for home in homes:
            _speak(conn, home, story)
            _measure(conn, home, story)
        conn.commit()
        # The spools are emptied when the homes are back.
        late = sorted(((span.end + MINUTE, span) for span in story.spans if span.cc), key=lambda one: one[0])
        with connect(settings.database, "detect") as detector:
            for now in _ticks(story):
                while late and late[0][0] <= now:
                    _deliver(conn, homes, late.pop(0)[1], story)
                    conn.commit()
                detect_once(detector, settings, now, services=False)
                after(now)
        _judge(conn, story)


def _enrol(conn: psycopg.Connection, number: int, cc: str, asn: int) -> Home:
    """A household and its probe, of three months before."""
    conn.execute(
        "INSERT INTO country VALUES (%s, %s) ON CONFLICT DO NOTHING", (cc, {"XA": "Arland"}.get(cc, "Borland"))
    )
    (key,) = conn.execute(
        "WITH home AS (INSERT INTO household DEFAULT VALUES RETURNING household_key)"
        " INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, access, enrolled_at)"
        " SELECT %s, household_key, %s, '', %s, %s, 'test', 'fixed', %s FROM home RETURNING probe_key",
        (f"{number:016d}", number.to_bytes(32, "big"), cc, asn, ZERO - timedelta(days=90)),
    ).fetchone() or (0,)
    return Home(key, cc, number)


def _sign(conn: psycopg.Connection, story: Story) -> None:
    """Signs of life and gauges of roles that work, each minute that the observatory is up."""
    down = [(span.start, span.end) for span in story.spans if span.cc is None]
    values = {
        "start": story.start,
        "end": story.end,
        "from": [start for start, _ in down],
        "to": [end for _, end in down],
    }
    conn.execute(
        """
        WITH up AS (
          SELECT at FROM generate_series(%(start)s::timestamptz, %(end)s, interval '1 minute') at
           WHERE NOT EXISTS (SELECT FROM unnest(%(from)s::timestamptz[], %(to)s::timestamptz[]) d (a, b)
                              WHERE at >= a AND at < b)
        ), beat AS (
          INSERT INTO collector_beat SELECT at + s, 'ingest', 'a', true
            FROM up CROSS JOIN unnest('{0 s,30 s}'::interval[]) s
        )
        INSERT INTO gauge_sample
        SELECT at, role, 'a', name, label, value
          FROM up CROSS JOIN (VALUES
            ('ingest', 'broker_connected', '', 1), ('ingest', 'broker_dropped', '', 7),
            ('ingest', 'queue_depth', '', 0), ('ingest', 'unacked', '', 0), ('ingest', 'last_commit_age_s', '', 900),
            ('ingest', 'batch_age_p99_s', '', 4), ('ingest', 'disk_free_share', '/var/lib/civobs', 0.6),
            ('ingest', 'certificate_left_s', 'broker.pem', 5e6), ('ingest', 'crl_left_s', 'broker.crl', 2e6),
            ('ingest', 'backup_age_s', '', 40000), ('ingest', 'notices_dead', '', 0),
            ('detect', 'tick_s', '', 0.4), ('detect', 'services_judged_age_s', '', 200)) g (role, name, label, value)
        """,
        values,
    )


def _speak(conn: psycopg.Connection, home: Home, story: Story) -> None:
    """Presence. A home that is cut off is missed by its broker; of a broker that is away nobody says anything."""
    session = 1
    said = [(story.start + home.after, "online", session)]
    for span in sorted(story.away(home.cc), key=lambda span: span.start):
        if span.cc is not None:
            # Within one and a half of the keepalive.
            said.append((span.start + MINUTE + home.after, "offline", session))
        session += 1
        said.append((span.end + timedelta(seconds=10) + home.after, "online", session))
    conn.cursor().executemany(
        "INSERT INTO presence VALUES (%s, %s, %s, %s, %s, %s, 0, 60, false)",
        [
            (home.probe_key, at, state, f"{home.number}-{session}", UUID(int=home.number), at)
            for at, state, session in said
        ],
    )


def _measure(conn: psycopg.Connection, home: Home, story: Story) -> None:
    """Ladder rows, and the batches that bring them, while the broker can be reached."""
    times = [at for at in _slots(story, home) if not any(one.start <= at < one.end for one in story.away(home.cc))]
    _store(conn, home, [(at, 4, _OK) for at in times] + [(at, 3, _OK) for at in times])
    _seal(conn, home, [(at, at + timedelta(seconds=2)) for at in times])


def _deliver(conn: psycopg.Connection, homes: list[Home], span: Span, story: Story) -> None:
    """What homes recorded while they were cut off: nothing beyond the provider."""
    for home in homes:
        if home.cc == span.cc:
            times = [at for at in _slots(story, home) if span.start <= at < span.end]
            _store(conn, home, [(at, rung, _FAILED) for at in times for rung in (3, 4)])
            _seal(conn, home, [(at, span.end + MINUTE) for at in times])


def _slots(story: Story, home: Home) -> list[datetime]:
    first = story.start + timedelta(seconds=11 * home.number % 60)
    return [first + story.ladder * number for number in range((story.end - first) // story.ladder)]


def _store(conn: psycopg.Connection, home: Home, rows: list[tuple[datetime, int, int]]) -> None:
    """Rows of rungs, as (time, rung, outcome)."""
    for day in sorted({at.date() for at, _, _ in rows}):
        conn.execute("SELECT ensure_day(%s)", (day,))
    conn.execute("INSERT INTO target (name) VALUES ('L3'), ('L4') ON CONFLICT DO NOTHING")
    conn.cursor().executemany(
        "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, failure, outcome,"
        " family, validity) SELECT %s, %s, %s, target_key, %s, 10, 1, %s, %s, 4, 0 FROM target WHERE name = %s",
        [
            (at, at, home.probe_key, number, _TIMEOUT if outcome else None, outcome, f"L{rung}")
            for number, (at, rung, outcome) in enumerate(rows, start=1)
        ],
    )


def _seal(conn: psycopg.Connection, home: Home, batches: list[tuple[datetime, datetime]]) -> None:
    """Batches, as (sealed, received)."""
    conn.cursor().executemany(
        "INSERT INTO batch SELECT %s, coalesce(max(batch_seq), 0) + 1, %s, %s, %s, 1, 1, 1, 'synced', 10, 'test', NULL,"
        " %s, 'f', 0 FROM batch WHERE probe_key = %s",
        [
            (home.probe_key, UUID(int=home.number), sealed, received, bytes(32), home.probe_key)
            for sealed, received in batches
        ],
    )


def _ticks(story: Story) -> Iterator[datetime]:
    """When the detector looks: not while it is away with the rest of the observatory."""
    now = ZERO
    changes = [moment for span in story.spans for moment in (span.start, span.end)]
    while now < story.end:
        if not any(span.cc is None and span.start <= now < span.end for span in story.spans):
            yield now
        near, far = _STEPS[story.end - ZERO > timedelta(days=1)]
        coming = min((change for change in changes if change > now), default=story.end)
        just = any(change <= now < change + _AROUND for change in changes)
        now = min(now + (near if just else far), coming)


def _judge(conn: psycopg.Connection, story: Story) -> None:
    """The detector's signs of life between those ticks."""
    conn.execute(
        "INSERT INTO collector_beat SELECT at, 'detect', 'a', true FROM collector_beat"
        " WHERE role = 'ingest' AND at < %s ON CONFLICT DO NOTHING",
        (story.end,),
    )
    conn.execute("ANALYZE")
    conn.commit()
