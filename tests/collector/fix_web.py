"""A realistic event record, a seeded database, the served application and a browser."""

import math
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright
from psycopg import sql
from psycopg.types.json import Jsonb

from civobs_collector.api.app import create_app
from civobs_collector.commands.serve import listen
from civobs_collector.config import ApiSettings, CollectorSettings, DatabaseSettings, KeySettings
from civobs_collector.detect.record import (
    Affected,
    Bounds,
    Cause,
    Confidence,
    ConfidenceLabel,
    Depth,
    EventKind,
    EventRecord,
    EvidenceSummary,
    Grid,
    GridRow,
    Level,
    Method,
    Scope,
    Severity,
    SignalTimes,
    Status,
    Transition,
)
from tests.fix_db import fresh_database

ONSET = datetime(2026, 11, 22, 5, 9, 30, tzinfo=UTC)
END = datetime(2026, 11, 22, 9, 41, 0, tzinfo=UTC)
GRID_START = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
BIN = timedelta(minutes=2)
KEY = UUID("019aa9a0-0000-7000-8000-000000000001")

NETWORKS = {33771: "Safaricom", 36926: "Airtel Kenya", 37061: "Telkom Kenya", 36866: "Jamii Telecommunications"}
HOUSEHOLDS = {33771: 6, 36926: 4, 37061: 3, 36866: 2}
SPARED = 36866


def grid_row(label: str, asn: int | None, members: Sequence[int], *, closed: bool = True) -> GridRow:
    """One network's households over time: ``members`` are seconds by which each went down after the onset, -1 never."""
    up, down, unknown, state = [], [], [], []
    bins = int(timedelta(hours=7) / BIN)
    for index in range(bins):
        at = GRID_START + BIN * index
        n_down = sum(
            1 for lag in members if lag >= 0 and at >= ONSET + timedelta(seconds=lag) and (not closed or at < END)
        )
        away = 20 <= index < 24
        n_down = 0 if away else n_down
        up.append(0 if away else len(members) - n_down)
        down.append(n_down)
        unknown.append(len(members) if away else 0)
        share = n_down / len(members)
        state.append("?" if away else "d" if share >= 0.6 else "g" if share > 0 else "u")
    return GridRow(
        label=label,
        asn=asn,
        n=len(members),
        up=tuple(up),
        down=tuple(down),
        unknown=tuple(unknown),
        state="".join(state),
    )


def shutdown_record(**changes) -> EventRecord:
    """Three of four networks of Kenya go dark for four and a half hours; the observatory itself was away before it."""
    closed = changes.get("status", Status.CLOSED) is not Status.OPEN
    lags = {asn: [-1] * n if asn == SPARED else [40 * number for number in range(n)] for asn, n in HOUSEHOLDS.items()}
    rows = [grid_row("Kenya", None, [lag for some in lags.values() for lag in some], closed=closed)]
    rows += [grid_row(f"{NETWORKS[asn]} (AS{asn})", asn, some, closed=closed) for asn, some in lags.items()]
    values = {
        "event_key": KEY,
        "kind": EventKind.SHUTDOWN_SUSPECTED,
        "status": Status.CLOSED,
        "provisional": False,
        "depth": Depth.INTERNATIONAL_ONLY,
        "scope": Scope(
            level=Level.COUNTRY,
            cc="KE",
            asns=(33771, 36926, 37061),
            asns_observed=(33771, 36866, 36926, 37061),
            country="Kenya",
            names=NETWORKS,
        ),
        "onset": Transition(
            earliest=ONSET - timedelta(seconds=30),
            latest=ONSET + timedelta(seconds=45),
            t10=ONSET,
            t50=ONSET + timedelta(seconds=80),
            t90=ONSET + timedelta(seconds=200),
        ),
        "resolution": Transition(earliest=END - timedelta(seconds=60), latest=END + timedelta(seconds=60))
        if closed
        else None,
        "per_signal": (
            SignalTimes(
                signal="presence",
                onset=Bounds(earliest=ONSET, latest=ONSET + timedelta(seconds=90)),
                resolution=Bounds(earliest=END, latest=END + timedelta(seconds=150)) if closed else None,
                value=0.13,
                baseline=1.0,
            ),
            SignalTimes(
                signal="ladder.L4",
                onset=Bounds(earliest=ONSET - timedelta(seconds=30), latest=ONSET + timedelta(seconds=30)),
                resolution=Bounds(earliest=END - timedelta(seconds=60), latest=END) if closed else None,
                value=0.13,
                baseline=0.98,
            ),
        ),
        "affected": Affected(
            n_probes=14, n_households=13, n_observed=15, n_down=13, fraction_lo=0.6, fraction_hi=0.98, user_share=None
        ),
        "severity": Severity(depth=0.87, hours=4.53, area=0.87 * 4.53 * 0.79),
        "hypotheses": {"shutdown": 0.93, "power": 0.01, "collector": 0.02, "chance": math.exp(-12)},
        "likeliest": "international_only",
        "confidence": Confidence(
            label=ConfidenceLabel.PROBABLE,
            posterior=0.997,
            families=("presence", "inside_out"),
            reasons=(
                "13 of 15 households in 3 networks lost the Internet within 4 minutes.",
                "Tests stored by the probes while they were cut off agree with their absence.",
            ),
        ),
        "cause": Cause(),
        "coverage_note": "15 households in 4 networks of Kenya. Mobile access was not observed. "
        "The share of the country's users in these networks is not known.",
        "limits": (
            "Probes are in volunteers' homes on fixed lines: nothing can be said about mobile networks.",
            "Networks without a probe were not observed.",
        ),
        "method": Method(
            detector_version="1.0.0",
            params_id="2026-11-01 sha256:9f2b6c01",
            rules=("SHUT-1 two networks together", "DEPTH-2 domestic answers"),
        ),
        "grid": Grid(start=GRID_START, bin_s=BIN.total_seconds(), rows=tuple(rows)),
        "evidence": EvidenceSummary(
            n_measurements=18412,
            n_batches=391,
            query="/api/v1/measurements?cc=KE&asn=33771&asn=36926&asn=37061&kind=ladder"
            "&from=2026-11-22T04:00:00Z&to=2026-11-22T11:00:00Z",
            backfill=1.0,
        ),
    }
    return EventRecord.model_validate(values | changes)


PUBLIC_ID = "CIV-2026-KE-0001"
OPEN_ID = "CIV-2026-UG-0002"
HOUSEHOLD_ID = "CIV-2026-KE-0003"
HOSTILE = "<script>alert(1)</script>&\"'<img src=x onerror=alert(2)>"
PROBE_ID = "7k3m9qxp4a2bc5d%d"


def seed(conn: psycopg.Connection, now: datetime) -> None:
    """Kenya with four networks and an event of two versions, Uganda with an open one, Fiji without any data."""
    conn.execute(
        "INSERT INTO network (asn, name, cc, user_share) SELECT a, n, c, s"
        " FROM unnest(%s::int8[], %s::text[], %s::text[], %s::real[]) x (a, n, c, s)",
        (
            [*NETWORKS, 64510, 64520],
            [*NETWORKS.values(), HOSTILE, "=HYPERLINK(1)"],
            ["KE"] * 4 + ["UG", "FJ"],
            [0.62, None, None, None, None, None],
        ),
    )
    places = [("KE", asn) for asn, n in HOUSEHOLDS.items() for _ in range(n)]
    for number, (cc, asn) in enumerate([*places, ("UG", 64510), ("UG", 64510), ("FJ", 64520)]):
        _seed_probe(conn, number, cc, asn, heard=cc != "FJ", now=now)
    conn.execute(
        "INSERT INTO collector_beat (at, role, instance, ok)"
        " SELECT %s, role, 'a', true FROM unnest(ARRAY['ingest', 'detect']) role",
        (now,),
    )
    conn.execute("INSERT INTO target (name) VALUES ('L4'), ('L0')")
    _seed_coverage(conn, now)
    _seed_measurements(conn)
    first = shutdown_record(status=Status.OPEN, resolution=None, provisional=True, depth=Depth.UNKNOWN)
    add_event(conn, PUBLIC_ID, [("new", "detected", first), ("closed", "late_data", shutdown_record())])
    add_event(conn, OPEN_ID, [("new", "detected", hostile_record())])
    household = shutdown_record(
        event_key=uuid4(), scope=Scope(level=Level.PROBE, cc="KE", asns=(33771,), probe_id=PROBE_ID % 0)
    )
    add_event(conn, HOUSEHOLD_ID, [("new", "detected", household)])
    conn.execute(
        "INSERT INTO rejected_batch (received_at, last_at, n, topic, reason, detail, payload_sha256, receipted)"
        " VALUES (now(), now(), 3, 't', 'wrong_signature', 'd', '\\x00', false)"
    )


def hostile_record() -> EventRecord:
    """An outage of one network, still going on, whose name is an attack on the page."""
    label = f"{HOSTILE} (AS64510)"
    return shutdown_record(
        event_key=uuid4(),
        kind=EventKind.OUTAGE,
        status=Status.OPEN,
        provisional=True,
        depth=Depth.FULL,
        scope=Scope(
            level=Level.NETWORK,
            cc="UG",
            asns=(64510,),
            asns_observed=(64510,),
            country="Uganda",
            names={64510: HOSTILE},
        ),
        affected=Affected(n_probes=2, n_households=2, n_observed=2, n_down=2, fraction_lo=0.22, fraction_hi=1.0),
        grid=Grid(start=GRID_START, bin_s=BIN.total_seconds(), rows=(grid_row(label, 64510, [0, 30], closed=False),)),
        coverage_note=f"2 households in {HOSTILE}.",
        confidence=Confidence(
            label=ConfidenceLabel.UNCONFIRMED, posterior=0.9, families=("presence",), reasons=(HOSTILE,)
        ),
    )


def add_event(conn: psycopg.Connection, public_id: str, versions: Sequence[tuple[str, str, EventRecord]]) -> None:
    """Store an event with its versions, ten minutes apart."""
    key = versions[0][2].event_key
    cc = versions[0][2].scope.cc
    conn.execute("INSERT INTO event (event_key, public_id, cc) VALUES (%s, %s, %s)", (key, public_id, cc))
    for number, (change_kind, reason, record) in enumerate(versions, start=1):
        add_version(conn, number, change_kind, reason, record)


def add_version(conn: psycopg.Connection, number: int, change_kind: str, reason: str, record: EventRecord) -> None:
    """Publish a version of the event that the record belongs to."""
    end = record.resolution
    values = {
        "event_key": record.event_key,
        "version": number,
        "published_at": END + timedelta(minutes=10 * number),
        "change_kind": change_kind,
        "reason": reason,
        "detector_version": record.method.detector_version,
        "status": record.status,
        "kind": record.kind,
        "level": record.scope.level,
        "cc": record.scope.cc,
        "onset_earliest": record.onset.earliest,
        "onset_latest": record.onset.latest,
        "resolution_earliest": end.earliest if end else None,
        "resolution_latest": end.latest if end else None,
        "record": Jsonb(record.model_dump(mode="json")),
    }
    conn.execute(
        sql.SQL("INSERT INTO event_version ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        ),
        values,
    )


def _seed_probe(conn: psycopg.Connection, number: int, cc: str, asn: int, *, heard: bool, now: datetime) -> None:
    (key,) = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone() or (0,)
    row = conn.execute(
        "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at)"
        " VALUES (%s, %s, %s, '', %s, %s, 'civobs-agent/0.1', %s) RETURNING probe_key",
        (f"7k3m9qxp4a2bc{number:03d}", key, number.to_bytes(32), cc, asn, now - timedelta(days=40)),
    ).fetchone()
    if heard:
        conn.execute(
            "INSERT INTO batch VALUES (%s, 1, %s, %s, %s, 1, 1, 1, 'synced', 5, 'a', 'p', %s, 'f', 0)",
            (row[0], uuid4(), now, now - timedelta(minutes=2), bytes(32)),
        )


def _seed_coverage(conn: psycopg.Connection, now: datetime) -> None:
    """A week of hours for all but Fiji, with six empty hours two days ago."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    conn.execute(
        "INSERT INTO coverage_month SELECT probe_key, month::date,"
        " bit_or(set_bit(0::bit(744), (extract(epoch FROM at - month) / 3600)::int4, 1))"
        " FROM probe CROSS JOIN generate_series(%s::timestamptz, %s::timestamptz, interval '1 hour') h"
        " CROSS JOIN LATERAL (SELECT h AT TIME ZONE 'UTC' AS at, date_trunc('month', h AT TIME ZONE 'UTC') AS month) m"
        " WHERE cc <> 'FJ' AND NOT h BETWEEN %s AND %s GROUP BY 1, 2",
        (
            hour - timedelta(days=8),
            hour - timedelta(hours=1),
            hour - timedelta(hours=54),
            hour - timedelta(hours=49),
        ),
    )


def _seed_measurements(conn: psycopg.Connection) -> None:
    conn.execute("SELECT ensure_day(%s)", (ONSET.date(),))
    conn.execute(
        "INSERT INTO measurement SELECT %s + interval '1 minute' * s, %s, probe_key, 1, s, 0, NULL, 12, 1, 6, 1, 4, 0,"
        ' \'{"n": 4, "n_ok": 0, "seq": 7, "note": "192.168.1.7", "mono_ms": 99}\''
        " FROM probe CROSS JOIN generate_series(1, 5) s WHERE cc = 'KE'",
        (ONSET, ONSET),
    )


@dataclass(frozen=True, slots=True)
class Site:
    """The application on a port of this machine."""

    url: str
    client: httpx.Client
    dsn: str


def settings_for(dsn: str, folder: Path, url: str = "http://127.0.0.1") -> CollectorSettings:
    return CollectorSettings(
        database=DatabaseSettings(dsn=dsn),
        api=ApiSettings(public_url=url),
        keys=KeySettings(**{f"{name}_key": folder / f"{name}.key" for name in ("plan", "receipt", "desk")}),
    )


@pytest.fixture(scope="module")
def site(plain_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application with the seeded database, for tests that only read."""
    with fresh_database(plain_server) as dsn:
        yield from _seeded(dsn, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def own_site(plain_dsn: str, tmp_path: Path) -> Iterator[Site]:
    """The same for a test that writes."""
    yield from _seeded(plain_dsn, tmp_path)


def _seeded(dsn: str, folder: Path) -> Iterator[Site]:
    with psycopg.connect(dsn) as conn:
        seed(conn, datetime.now(UTC))
    yield from served_at(dsn, folder)


def served_at(dsn: str, folder: Path) -> Iterator[Site]:
    """Serve on a free port until the test ends."""
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_app(settings_for(dsn, folder, url))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Site(url, client, dsn)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")  # its event loop runs in the test's thread as long as it is open
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "install chromium: the pages are tested in a real browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
