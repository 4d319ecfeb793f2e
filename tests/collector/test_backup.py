"""Backups are whole or are none; what is brought back is what was there, and more where the archive has more."""

import fcntl
import json
from datetime import UTC, datetime

import psycopg
import pytest

from civobs_collector.db.fresh import load_extension
from civobs_collector.errors import BackupError
from civobs_collector.evidence import archive
from civobs_collector.keys import make_key
from civobs_collector.operate.manifest import MANIFEST, complete_backups, read_manifest, stamp
from civobs_lab.postgres import Kind, PostgresServer
from civobs_wire.topics import Leaf
from tests.collector.fix_ingest import Device, Wire, open_site, wait_for
from tests.collector.fix_operator import Operator, command_line
from tests.fix_db import fresh_database

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def site(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as one:
        one.ingest().start()
        yield one


@pytest.fixture
def desk(site, plain_server, tmp_path, monkeypatch, capsys):
    """An operator of the site, with the server's own programs."""
    set_up(site, site.dsn, monkeypatch)
    monkeypatch.setenv("CIVOBS_BACKUP__PROGRAMS_DIR", str(programs(tmp_path)))
    return Operator(tmp_path, command_line(capsys))


@pytest.fixture
def quiet(plain_dsn, tmp_path, monkeypatch, capsys):
    """An operator of a database in which nothing happens."""
    (tmp_path / "archive").mkdir()
    for name, value in {
        "DATABASE__DSN": plain_dsn,
        "KEYS__PLAN_KEY": tmp_path / "plan.key",
        "KEYS__RECEIPT_KEY": tmp_path / "receipt.key",
        "INGEST__ARCHIVE_DIR": tmp_path / "archive",
        "BACKUP__PROGRAMS_DIR": programs(tmp_path),
    }.items():
        monkeypatch.setenv(f"CIVOBS_{name}", str(value))
    one = Operator(tmp_path, command_line(capsys))
    assert one.civobs("plan", "keygen").code == 0
    return one


def programs(folder):
    return PostgresServer(Kind.PLAIN, folder / "pg").client_programs(folder / "programs")


def set_up(site, dsn, monkeypatch):
    for name, value in {
        "DATABASE__DSN": dsn,
        "BROKER__HOST": site.broker.host,
        "BROKER__PORT": site.broker.port,
        "KEYS__PLAN_KEY": site.folder / "receipt.pub",
        "KEYS__RECEIPT_KEY": site.folder / "receipt.key",
        "INGEST__ARCHIVE_DIR": site.folder / "archive",
    }.items():
        monkeypatch.setenv(f"CIVOBS_{name}", str(value))


def take_in(site, device, *numbers):
    for number in numbers:
        site.send(device, device.message(number))
        site.wait_for_receipt(device, number)


def backed_up(desk, *words):
    said = desk.civobs("backup", str(desk.folder / "backups"), "--json", *words)
    assert said.code == 0, said.err
    return said.json


def counts(dsn):
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "SELECT count(*), count(DISTINCT (probe_key, batch_seq)), (SELECT count(*) FROM measurement) FROM batch"
        ).fetchone()


def test_an_empty_database_takes_in_what_was_kept_and_what_the_archive_has_since(site, desk, plain_server, monkeypatch):
    device = site.device()
    take_in(site, device, 1, 2)
    made = backed_up(desk)
    assert made["counts"]["batch"] == 2
    stranger = site.device()
    take_in(site, device, 3, 4)
    take_in(site, stranger, 1)
    with fresh_database(plain_server, template="template0") as empty:
        set_up(site, empty, monkeypatch)
        said = desk.civobs("restore", str(desk.folder / "backups"), "--json")
        assert said.code == 0, said.err
        assert (said.json["replayed"], said.json["enrolled"], said.json["receipts"]) == (3, 1, 2)
        assert counts(empty) == counts(site.dsn) == (5, 5, 15)
        assert desk.civobs("archive", "replay", "--json").json["stored"] == 0
        assert counts(empty) == (5, 5, 15)
        with psycopg.connect(empty) as conn:
            before = conn.execute("SELECT received_at FROM batch ORDER BY received_at").fetchall()
            real = site.query("SELECT received_at FROM batch ORDER BY received_at")
            assert all(one <= other for (one,), (other,) in zip(before, real, strict=True)), "never later than it was"


def test_receipts_that_say_more_than_is_there_are_replaced(site, desk, plain_server, monkeypatch):
    device = site.device()
    take_in(site, device, 1)
    backed_up(desk)
    take_in(site, device, 2)
    site.close()
    for file in (desk.folder / "archive").rglob("*.pack"):
        file.unlink()
    with fresh_database(plain_server, template="template0") as empty:
        set_up(site, empty, monkeypatch)
        assert desk.civobs("restore", str(desk.folder / "backups"), "--json").json["archive_files"] == 1
    site.wire = Wire(site.broker)
    wait_for(lambda: device.topic(Leaf.RECEIPT) in site.wire.retained)
    receipt = site.receipt(device)
    assert receipt.settles(1)
    assert not receipt.settles(2), "its only copy is the probe's"


def test_a_database_that_is_not_empty_is_set_aside_only_when_told(site, desk, plain_server):
    device = site.device()
    take_in(site, device, 1)
    backed_up(desk)
    said = desk.civobs("restore", str(desk.folder / "backups"))
    assert said.code == 2
    assert "is not empty" in said.err
    site.close()
    said = desk.civobs("restore", str(desk.folder / "backups"), "--replace", "--json")
    assert said.code == 0, said.err
    assert counts(site.dsn) == (1, 1, 3)
    aside = plain_server.database(said.json["set_aside"])
    assert counts(aside) == (1, 1, 3)
    with psycopg.connect(plain_server.dsn, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE "{said.json["set_aside"]}" WITH (FORCE)')


def test_timescaledb_is_restored_in_its_version_by_a_superuser_only(timescale_dsn):
    with psycopg.connect(timescale_dsn, autocommit=True) as conn:
        with pytest.raises(BackupError, match=r"TimescaleDB 0\.1"):
            load_extension(conn, "0.1", create=False)
        conn.execute("SET ROLE civobs_publisher")
        with pytest.raises(BackupError, match="may not load"):
            load_extension(conn, "0.1", create=False)


def test_a_later_backup_takes_of_the_archive_only_what_is_new(site, desk):
    device = site.device()
    take_in(site, device, 1)
    first = backed_up(desk)["folder"]
    take_in(site, device, 2)
    copy = next((desk.folder / "backups" / "archive").rglob("*.pack"))
    before = copy.read_bytes()
    wait_a_second(first)
    (desk.folder / "backups" / "20260101T000000Z.partial").mkdir()  # one that was killed
    backed_up(desk, "--keep", "1")
    assert copy.read_bytes().startswith(before)
    assert len(list(archive.scan(copy))) == 2
    assert [str(one) for one in complete_backups(desk.folder / "backups")] != [first], "the first one went"
    assert not list((desk.folder / "backups").glob("*.partial"))
    assert desk.civobs("restore", str(desk.folder / "backups"), "--check").code == 0
    assert (desk.folder / "backups").stat().st_mode & 0o077 == 0


def wait_a_second(name):
    """Until a backup would not have the same name."""
    wait_for(lambda: stamp(datetime.now(UTC)) not in name)


def test_a_batch_without_its_bytes_makes_no_backup(site, desk):
    device = site.device()
    take_in(site, device, 1)
    for file in (desk.folder / "archive").rglob("*.pack"):
        file.rename(desk.folder / "elsewhere.pack")
    said = desk.civobs("backup", str(desk.folder / "backups"))
    assert said.code == 2
    assert "1 batches of the database" in said.err
    assert complete_backups(desk.folder / "backups") == []


def test_a_dump_that_is_empty_or_fails_makes_no_backup(quiet, monkeypatch):
    folder = quiet.folder / "broken"
    folder.mkdir()
    monkeypatch.setenv("CIVOBS_BACKUP__PROGRAMS_DIR", str(folder))
    program = folder / "pg_dump"
    for text, cause in (
        (None, "install postgresql-client-"),
        ("exit 0", "wrote nothing"),
        ("echo 'pg_dump: error: no' >&2; exit 1", "error: no"),
    ):
        if text is not None:
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        said = quiet.civobs("backup", str(quiet.folder / "backups"))
        assert (said.code, cause in said.err) == (2, True), said.err
        assert [one.name for one in (quiet.folder / "backups").iterdir()] == [".lock"]


def test_what_cannot_be_read_or_written_makes_no_backup(quiet, monkeypatch):
    said = quiet.civobs("backup", "/proc/nowhere")
    assert (said.code, "cannot write into" in said.err) == (2, True)
    monkeypatch.setenv("CIVOBS_BACKUP__ALSO", json.dumps([str(quiet.folder / "nowhere")]))
    said = quiet.civobs("backup", str(quiet.folder / "backups"))
    assert (said.code, "nowhere" in said.err) == (2, True)
    monkeypatch.setenv("CIVOBS_INGEST__ARCHIVE_DIR", str(quiet.folder / "nowhere"))
    said = quiet.civobs("backup", str(quiet.folder / "backups"))
    assert (said.code, "cannot read the archive" in said.err) == (2, True)
    assert complete_backups(quiet.folder / "backups") == []
    assert quiet.civobs("restore", str(quiet.folder / "backups")).code == 2


def test_an_older_backup_that_cannot_be_removed_is_named_and_costs_no_new_one(quiet):
    first = backed_up(quiet)["folder"]
    elsewhere, link = quiet.folder / "elsewhere", quiet.folder / "backups" / "20200101T000000Z"
    elsewhere.mkdir()
    (elsewhere / MANIFEST).write_text("{}")
    link.symlink_to(elsewhere)
    wait_a_second(first)
    said = quiet.civobs("backup", str(quiet.folder / "backups"), "--keep", "2")
    assert (said.code, f"is whole, but {link} cannot be removed" in said.err) == (2, True)
    assert len(complete_backups(quiet.folder / "backups")) == 3


def test_two_backups_at_once_are_refused(quiet):
    (quiet.folder / "backups").mkdir()
    with (quiet.folder / "backups" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = quiet.civobs("backup", str(quiet.folder / "backups"))
    assert said.code == 2
    assert "under way" in said.err


def test_a_backup_that_was_changed_is_not_restored(site, desk):
    device = site.device()
    take_in(site, device, 1)
    backup = desk.folder / backed_up(desk)["folder"]
    for path in (
        backup / "database.dump",
        backup / "manifest.json",
        next((desk.folder / "backups" / "archive").rglob("*.pack")),
        next((backup / "files").rglob("receipt.key")),
    ):
        sound = path.read_bytes()
        changed = bytearray(sound)
        changed[len(changed) // 2] ^= 0xFF
        path.write_bytes(changed)
        said = desk.civobs("restore", str(desk.folder / "backups"), "--check")
        assert (said.code, path.name in said.err) == (2, True), said.err
        path.write_bytes(sound)
    assert desk.civobs("restore", str(desk.folder / "backups"), "--check").code == 0


@pytest.mark.parametrize("path", ["../../etc/cron.d/x", "2026/../../x", "/etc/cron.d/x", "..", "a\0b"])
def test_a_manifest_that_names_files_outside_of_the_backup_is_not_read(tmp_path, path):
    note = {"path": "2026/11/22.a-1.pack", "size": 1, "sha256": ""}
    manifest = {
        "made_at": "2026-11-22T03:00:00Z",
        "program": "1",
        "server": "17",
        "timescale": None,
        "migrations": [],
        "counts": {},
        "dump": note,
        "archive": [note],
        "files": [],
        "settings": None,
        "keys": {},
    }
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert read_manifest(tmp_path).archive[0].path == note["path"]
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "archive": [{**note, "path": path}]}))
    with pytest.raises(BackupError, match="is no manifest"):
        read_manifest(tmp_path)


def test_another_key_than_the_backups_is_not_accepted(quiet, plain_server, monkeypatch):
    backed_up(quiet)
    for name in ("receipt.key", "receipt.pub"):
        (quiet.folder / name).unlink()
    make_key(quiet.folder / "receipt.key")
    with fresh_database(plain_server, template="template0") as empty:
        monkeypatch.setenv("CIVOBS_DATABASE__DSN", empty)
        said = quiet.civobs("restore", str(quiet.folder / "backups"))
    assert said.code == 2
    assert "another key" in said.err


def test_a_damaged_record_is_found_and_costs_itself_alone(site, desk, plain_server, monkeypatch):
    device = site.device()
    take_in(site, device, 1, 2)
    file = next((desk.folder / "archive").rglob("*.pack"))
    first = next(archive.scan(file))
    content = bytearray(file.read_bytes())
    content[first.offset + 40] ^= 0xFF
    file.write_bytes(content)
    said = desk.civobs("archive", "check")
    assert said.code == 1
    assert "at 0" in said.out
    with psycopg.connect(site.dsn) as conn:
        conn.execute("DELETE FROM measurement")
        conn.execute("DELETE FROM receipt")
        conn.execute("DELETE FROM batch")
    again = desk.civobs("archive", "replay", "--json").json
    assert (again["stored"], len(again["damaged"])) == (1, 1)


def test_ids_given_out_since_are_passed_over_and_a_broker_that_is_away_is_named(quiet, plain_server, monkeypatch):
    Device().enrol(quiet.settings.database.dsn, cc="KE")
    backed_up(quiet)
    with fresh_database(plain_server, template="template0") as empty:
        monkeypatch.setenv("CIVOBS_DATABASE__DSN", empty)
        monkeypatch.setenv("CIVOBS_BROKER__PORT", "1")
        said = quiet.civobs("restore", str(quiet.folder / "backups"), "--skip-ids", "7")
        assert said.code == 1
        assert "civobs archive replay" in said.out
        with psycopg.connect(empty) as conn:
            (last,) = conn.execute("SELECT max(public_id) FROM event").fetchone()
    assert last.endswith("-KE-0007")


def test_a_probe_that_was_shut_out_since_stays_out(site, desk, plain_server, monkeypatch):
    device = site.device()
    take_in(site, device, 1)
    backed_up(desk)
    with psycopg.connect(site.dsn) as conn:
        conn.execute("UPDATE probe SET status = 'revoked'")
    take_in_after_refresh(site)
    with fresh_database(plain_server, template="template0") as empty:
        set_up(site, empty, monkeypatch)
        assert desk.civobs("restore", str(desk.folder / "backups")).code == 0
        with psycopg.connect(empty) as conn:
            assert conn.execute("SELECT status FROM probe").fetchone() == ("revoked",)


def take_in_after_refresh(site):
    """A new probe's first batch has the roster written anew."""
    other = site.device()
    take_in(site, other, 1)
    roster = next((site.folder / "archive").glob("roster.*"))
    wait_for(lambda: b"revoked" in roster.read_bytes())
    assert roster.stat().st_mode & 0o007 == 0
