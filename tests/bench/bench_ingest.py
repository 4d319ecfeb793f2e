"""How many measurements a second ingest commits, beside bare COPY into the same tables on the same machine.

Real Mosquitto and PostgreSQL, signed batches, receipts and acknowledgements. The batches wait in the broker's queue
when the collector starts, so that nothing but broker, collector and database works while the clock runs: from the
first message taken to the last commit. What each of the three spent is printed, the collector without its start.

Then the very rows that ingest made of them, read back and ready as Python tuples, go into an empty copy of the
database with psycopg's binary COPY: same columns, indexes and ``detail``, the batches' own rows too, as many to a
transaction as ingest takes, each synced to the disk. That is done three times, and the fastest is compared with.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from civobs_collector.commands.serve import serve
from civobs_collector.config import load
from civobs_collector.db.migrate import migrate
from civobs_lab.broker import Broker
from civobs_lab.postgres import Kind, PostgresServer, ServerError
from civobs_wire.batch import Batch, pack
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import (
    Check,
    ClockState,
    Dns,
    FamilyState,
    Http,
    HttpStage,
    Ladder,
    Ping,
    Tcp,
    Tls,
    TlsStage,
    Validity,
)
from civobs_wire.topics import Leaf, all_shards
from tests.collector.fix_ingest import Device, Wire

_COLUMNS = (
    "ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity, value, ms, failure, detail"
)
_TYPES = (
    *("timestamptz", "timestamptz", "int4", "int4", "int8", "int4", "int2", "int2", "int2", "int2"),
    *("float8", "float4", "int2", "jsonb"),
)
_BATCH_COLUMNS = (
    "probe_key, batch_seq, boot_id, sealed_at, received_at, n, first_seq, last_seq, clock, clock_err_ms, agent,"
    " plan_id, payload_sha256, archive_file, archive_offset"
)
_BATCH_TYPES = (
    *("int4", "int8", "uuid", "timestamptz", "timestamptz", "int4", "int8", "int8", "text", "int4", "text"),
    *("text", "bytea", "text", "int8"),
)
_COPIES = 3
_PROBES = """
INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, agent)
SELECT 'probe' || n, (SELECT household_key FROM household), sha256(n::text::bytea), '', 'ZZ', ''
FROM generate_series(1, %s) AS n
"""
"""What the batches' foreign key wants; a new database counts probes from 1, as the other did."""
_COPY_AT_ONCE = 10_000
_TARGETS = 10
"""With a row every 5 s a probe asks each kind and target about once in five minutes, as a default plan does."""
_FAILED_SHARE = 0.02


@dataclass(frozen=True)
class Load:
    """What is sent."""

    probes: int
    batches: int
    rows: int

    @property
    def total(self) -> int:
        return self.batches * self.rows


def _measurement(dice: random.Random, seq: int, at: datetime) -> Any:
    """One row of the mixture that a default plan makes."""
    failed = dice.random() < _FAILED_SHARE
    common: dict[str, Any] = {
        "seq": seq,
        "slot_at": at,
        "at": at + timedelta(milliseconds=dice.randrange(5000)),
        "mono_ms": seq * 5000,
        "clock_err_ms": 25,
        "duration_ms": round(dice.uniform(1, 400), 3),
        "family": dice.choice((4, 6)),
        "outcome": Outcome.FAILED if failed else Outcome.OK,
        "failure": Failure.GENERIC_TIMEOUT_ERROR if failed else None,
        "validity": Validity(clock=ClockState.SYNCED, ipv4=FamilyState.WORKING, ipv6=FamilyState.WORKING),
        "target": f"target-{dice.randrange(_TARGETS)}",
    }
    ms = [round(dice.uniform(1, 300), 3) for _ in range(4)]
    match seq % 6:
        case 0:
            ok = Outcome.OK
            checks = tuple(Check(id=f"anchor-{n}", outcome=ok, ms=ms[n]) for n in range(3))
            return Ladder(**common | {"target": "L4"}, rung=4, n=3, n_ok=3, checks=checks)
        case 1:
            return Ping(
                **common, address="192.0.2.1", sent=4, received=4, rtt_min_ms=ms[0], rtt_avg_ms=ms[1], rtt_max_ms=ms[2]
            )
        case 2:
            return Dns(
                **common, resolver="resolver", transport="udp", qname="example.org", qtype="A", answers=("192.0.2.7",)
            )
        case 3:
            return Tcp(**common, address="192.0.2.7", port=443)
        case 4:
            return Tls(
                **common,
                address="192.0.2.7",
                port=443,
                sni="example.org",
                stage=TlsStage.DONE,
                connect_ms=ms[0],
                handshake_ms=ms[1],
                version="TLSv1.3",
                cert_sha256="ab" * 32,
            )
        case _:
            return Http(
                **common,
                url="https://example.org/",
                address="192.0.2.7",
                stage=HttpStage.DONE,
                status=200,
                connect_ms=ms[0],
                tls_ms=ms[1],
                first_byte_ms=ms[2],
                body_bytes=1256,
            )


def _batches(load_: Load, devices: list[Device]) -> Iterator[tuple[Device, Batch]]:
    dice = random.Random(1)
    began = datetime.now(UTC) - timedelta(hours=6)
    for index in range(load_.batches):
        device, number = devices[index % load_.probes], index // load_.probes + 1
        first = (number - 1) * load_.rows + 1
        rows = tuple(
            _measurement(dice, seq, began + timedelta(seconds=5 * seq)) for seq in range(first, first + load_.rows)
        )
        yield device, device.batch(number, *rows)


@contextmanager
def _database(kind: Kind, folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(kind, folder, fsync=True)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _fresh(server: PostgresServer, name: str) -> str:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    dsn = server.dsn(name)
    migrate(dsn)
    return dsn


def _configure(folder: Path, dsn: str, broker: Broker, worker: int, workers: int) -> Path:
    shards = [shard for number, shard in enumerate(all_shards()) if number % workers == worker]
    path = folder / f"collector-{worker}.toml"
    path.write_text(
        f"[database]\ndsn = {json.dumps(dsn)}\n[broker]\nport = {broker.port}\n"
        f"[keys]\nreceipt_key = {json.dumps(str(folder / 'receipt.key'))}\n"
        f"[ingest]\ninstance = 'w{worker}'\narchive_dir = {json.dumps(str(folder / 'archive'))}\n"
        f"shards = {json.dumps(shards)}\n"
    )
    return path


def _receipt_key(folder: Path) -> None:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(folder / "receipt.key")], check=True)


class _Workers:
    """Ingest processes, one for each part of the shards."""

    def __init__(self, configs: list[Path]) -> None:
        self._configs = configs
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for config in self._configs:
            command = [sys.executable, "-m", "tests.bench.bench_ingest", "--worker", str(config)]
            self._processes.append(subprocess.Popen(command))

    def cpu_s(self) -> float:
        return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in self._processes)

    def stop(self) -> None:
        for one in self._processes:
            one.send_signal(signal.SIGTERM)
        for one in self._processes:
            one.wait(30)
        self._processes.clear()


def _cpu_s(pid: int) -> float:
    """User and system time of a process, its children, and those of them that have ended."""
    parent = psutil.Process(pid)
    return sum(parent.cpu_times()[:4]) + sum(sum(one.cpu_times()[:2]) for one in parent.children())


def _stored(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(
        "SELECT coalesce(sum(upper(part) - lower(part)), 0)::int8 FROM receipt, unnest(committed) AS part"
    ).fetchone()
    return int(row[0]) if row else 0


def _end_to_end(load_: Load, server: PostgresServer, folder: Path, workers: int) -> dict[str, Any]:
    dsn = _fresh(server, "endtoend")
    broker = Broker(folder / "mosquitto", max_queued=0)
    broker.start()
    devices = [Device() for _ in range(load_.probes)]
    for device in devices:
        device.enrol(dsn)
    _receipt_key(folder)
    crew = _Workers([_configure(folder, dsn, broker, number, workers) for number in range(workers)])
    crew.start()
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            while conn.execute("SELECT count(*) FROM collector_beat WHERE ok").fetchone() != (0,):
                time.sleep(0.1)
            _wait_for_sessions(broker, workers)
            starting = crew.cpu_s()
            crew.stop()
            sent = _fill(load_, broker, devices)
            before = {"broker": _cpu_s(broker.pid), "database": _cpu_s(server.pid)}
            crew.start()
            while _stored(conn) < load_.batches:
                time.sleep(0.05)
            ended = datetime.now(UTC)
            after = {"broker": _cpu_s(broker.pid), "database": _cpu_s(server.pid)}
            cpu = {"collector": crew.cpu_s() - starting} | {who: after[who] - before[who] for who in after}
            first = conn.execute("SELECT min(received_at) FROM batch").fetchone()
            (rows,) = conn.execute("SELECT count(*) FROM measurement").fetchone() or (0,)
            (refused,) = conn.execute("SELECT count(*) FROM rejected_batch").fetchone() or (0,)
    finally:
        crew.stop()
        broker.stop()
    seconds = (ended - first[0]).total_seconds() if first else 0.0
    return {"rows": rows, "refused": refused, "s": seconds, "packed_bytes": sent, "cpu_s": cpu}


def _wait_for_sessions(broker: Broker, workers: int) -> None:
    """Until each worker has subscribed once, so that the broker queues for it."""
    log = broker.folder / "mosquitto.log"
    while log.read_text(errors="replace").count("civobs-ingest-") < workers:
        time.sleep(0.05)
    time.sleep(1.0)


def _fill(load_: Load, broker: Broker, devices: list[Device]) -> int:
    wire, total = Wire(broker), 0
    try:
        for device, batch in _batches(load_, devices):
            message = pack(batch, device.key)
            total += len(message)
            wire._client.publish(device.topic(Leaf.BATCH), message, qos=1)
        wire.send("civobs/bench/last", b"")
        while wire._client._out_messages:
            time.sleep(0.05)
    finally:
        wire.close()
    return total


def _stored_rows(dsn: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Measurements and batches as ingest stored them, in the order it wrote them."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(f"SELECT {_COLUMNS} FROM measurement ORDER BY tableoid, ctid").fetchall()
        batches = conn.execute(f"SELECT {_BATCH_COLUMNS} FROM batch ORDER BY ctid").fetchall()
    ready = [(*row[:-1], None if row[-1] is None else Jsonb(row[-1], dumps=orjson.dumps)) for row in rows]
    return ready, batches


def _bare_copy(load_: Load, server: PostgresServer, source: str, number: int) -> float:
    """Copy what ``source`` holds, row by row, and give the seconds it took."""
    rows, batches = _stored_rows(source)
    dsn = _fresh(server, f"barecopy{number}")
    a_batch = max(1, _COPY_AT_ONCE // load_.rows)
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO household DEFAULT VALUES")
        conn.execute(_PROBES, (load_.probes,))
        for day in {row[0].date() for row in rows}:
            conn.execute("SELECT ensure_day(%s)", (day,))
        conn.commit()
        began = time.perf_counter()
        for turn, start in enumerate(range(0, len(rows), _COPY_AT_ONCE)):
            _copy(conn, "batch", _BATCH_COLUMNS, _BATCH_TYPES, batches[turn * a_batch : (turn + 1) * a_batch])
            _copy(conn, "measurement", _COLUMNS, _TYPES, rows[start : start + _COPY_AT_ONCE])
            conn.commit()
        return time.perf_counter() - began


def _copy(
    conn: psycopg.Connection[Any], table: str, columns: str, types: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    with conn.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(types)
        for one in rows:
            copy.write_row(one)


def measure(load_: Load, kind: Kind, workers: int) -> dict[str, Any]:
    """Run both and compare."""
    with tempfile.TemporaryDirectory(prefix="civobs-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _database(kind, folder / "pg") as server:
            ends = _end_to_end(load_, server, folder, workers)
            copied = [_bare_copy(load_, server, server.dsn("endtoend"), number) for number in range(_COPIES)]
    rate, bare_rate = ends["rows"] / ends["s"], ends["rows"] / min(copied)
    return {
        "database": kind.value,
        "processes": workers,
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "measurements": ends["rows"],
        "refused": ends["refused"],
        "packed_bytes_per_measurement": ends["packed_bytes"] / load_.total,
        **{f"{who}_cpu_us_per_measurement": spent / load_.total * 1e6 for who, spent in ends["cpu_s"].items()},
        "measurements_per_s": rate,
        "bare_copy_per_s": bare_rate,
        "ratio": rate / bare_rate,
    }


def _show(found: dict[str, Any]) -> None:
    table = Table("what", "measured", title="ingest")
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}" if isinstance(value, float) else f"{value}")
    Console().print(table)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench ingest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--batches", type=int, default=6000)
    parser.add_argument("--rows", type=int, default=50, help="measurements in a batch")
    parser.add_argument("--processes", type=int, default=1, help="ingest processes, the shards dealt out to them")
    parser.add_argument("--plain", action="store_true", help="plain PostgreSQL instead of TimescaleDB")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        asyncio.run(serve(load(arguments.worker), ("ingest",)))
        return 0
    kind = Kind.PLAIN if arguments.plain else Kind.TIMESCALE
    sent = Load(arguments.probes, arguments.batches, arguments.rows)
    try:
        found = measure(sent, kind, arguments.processes)
    except ServerError as error:
        if kind is Kind.PLAIN:
            raise
        sys.stderr.write(f"bench: {error}; plain PostgreSQL instead\n")
        found = measure(sent, Kind.PLAIN, arguments.processes)
    sys.stdout.write(json.dumps(found) + "\n") if arguments.json else _show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
