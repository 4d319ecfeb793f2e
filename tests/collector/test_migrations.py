"""The migrations of this program, each from the state before it, and the runner with files of a test's own."""

import threading

import psycopg
import pytest
from psycopg import conninfo

from civobs_collector.db.migrate import migrate, migration_state, read_migrations, require_current
from civobs_collector.errors import DatabaseError
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db


def _nothing_yet(conn):
    """Before 0001 there is no table."""


def _spine_takes_a_row(conn):
    conn.execute("SELECT ensure_day('2026-11-22')")
    conn.execute("""
        INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family, validity)
        VALUES ('2026-11-22T12:00Z', '2026-11-22T12:00Z', 1, 1, 1, 0, 1, 0, 4, 0)""")
    assert conn.execute("SELECT count(*) FROM measurement").fetchone() == (1,)


def _a_year_of_rollups(conn):
    conn.execute("""
        INSERT INTO rollup_1h SELECT h, probe_key, 1, target_key, 0, 60, 60, 0, 1, 2, 3, '{}'
        FROM generate_series('2026-01-01Z'::timestamptz, '2026-12-31Z', interval '1 hour') h,
             generate_series(1, 4) probe_key, generate_series(1, 4) target_key""")


def _one_probe_is_found_by_the_index(conn):
    assert conn.execute("SELECT count(*) FROM rollup_1h").fetchone() == (16 * (364 * 24 + 1),)
    conn.execute("ANALYZE rollup_1h")
    plan = conn.execute("""
        EXPLAIN SELECT bucket FROM rollup_1h
        WHERE target_key = 1 AND probe_key = 1 AND kind = 1 AND n > n_not_run
              AND bucket BETWEEN '2026-02-01Z' AND '2026-02-08Z'""").fetchall()
    assert "rollup_1h_ran" in str(plan)


def _an_event_whose_public_id_was_changed(conn):
    _an_event(conn)
    conn.execute("UPDATE event SET public_id = 'CIV-2026-KE-0002'")


def _an_event_keeps_its_public_id(conn):
    for statement in ("UPDATE event SET public_id = NULL", "DELETE FROM event", "TRUNCATE event CASCADE"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"), conn.transaction():
            conn.execute(statement)
    conn.execute("INSERT INTO event VALUES ('01900000-0000-7000-8000-000000000002', 'CIV-2026-KE-0003', 'KE')")
    assert conn.execute("SELECT min(public_id), count(*) FROM event").fetchone() == ("CIV-2026-KE-0002", 2)


def _an_event(conn):
    conn.execute("INSERT INTO event VALUES ('01900000-0000-7000-8000-000000000001', 'CIV-2026-KE-0001', 'KE')")


def _a_pattern_is_stored_once_and_withdrawn_rather_than_changed(conn):
    insert = """
        INSERT INTO fingerprint (source, fingerprint_id, role, scope, location, form, pattern)
        VALUES ('list', 'one', %s, 'isp', 'header.server', 'contains', %s)"""
    conn.execute(insert, ("block", "x" * 4096))
    for role, pattern in (("block", "x" * 4096), ("other", "y"), ("block", ""), ("block", "x" * 4097)):
        with pytest.raises(psycopg.IntegrityError), conn.transaction():
            conn.execute(insert, (role, pattern))
    conn.execute(insert, ("innocent", "x" * 4096))
    assert conn.execute("SELECT count(*), count(withdrawn_at) FROM fingerprint").fetchone() == (2, 0)


def _two_days_of_measurements(conn):
    for day in ("2026-11-20", "2026-11-22"):
        conn.execute("SELECT ensure_day(%s)", (day,))
        conn.execute(
            "INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, clock_err_ms, kind, outcome, family,"
            " validity) VALUES (%(at)s, %(at)s, 1, 1, 1, 0, 1, 0, 4, 0)",
            {"at": f"{day}T12:00Z"},
        )


def _one_who_owns_nothing_drops_the_first_day_and_makes_another(conn):
    conn.execute("CREATE ROLE day_dropper; GRANT civobs_publisher TO day_dropper; SET LOCAL ROLE day_dropper")
    assert len(conn.execute("SELECT drop_days('2026-11-22T00:00Z')").fetchall()) == 1
    conn.execute("SELECT ensure_day('2026-11-23')")
    conn.execute("RESET ROLE; DROP ROLE day_dropper")
    assert conn.execute("SELECT min(ts)::date::text FROM measurement").fetchone() == ("2026-11-22",)
    assert conn.execute("SELECT to_regclass('event_version_campaign')").fetchone() == ("event_version_campaign",)


def _a_month_s_end_in_rollups(conn):
    conn.execute("""
        INSERT INTO target (name) VALUES ('L5'), ('L0');
        INSERT INTO kind VALUES (1, 'ladder') ON CONFLICT DO NOTHING;
        INSERT INTO rollup_1h SELECT h, probe_key, 1, 2, 0, 2, 0, n_not_run, 1, 2, 3, '{}'
        FROM generate_series('2026-01-31T22:00Z'::timestamptz, '2026-02-01T01:00Z', interval '1 hour') h,
             (VALUES (1, 1), (2, 2)) probe (probe_key, n_not_run);
        INSERT INTO rollup_1h SELECT '2026-01-01Z', 3, kind, target_key, 0, 2, 0, 0, 1, 2, 3, '{}'
        FROM (VALUES (2, 2), (1, 1)) other (kind, target_key)""")


def _the_hours_are_bits_of_two_months(conn):
    rows = conn.execute("SELECT probe_key, month::text, hours::text FROM coverage_month ORDER BY 1, 2").fetchall()
    assert rows == [(1, "2026-01-01", "0" * 742 + "11"), (1, "2026-02-01", "11" + "0" * 742)]


def _a_statement_of_presence(conn):
    (home,) = conn.execute("INSERT INTO household DEFAULT VALUES RETURNING household_key").fetchone()
    conn.execute(
        "INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, agent)"
        " VALUES ('7k3m9qxp4a2bc5de', %s, %s, '', 'KE', 'test')",
        (home, bytes(32)),
    )
    conn.execute(
        "INSERT INTO presence SELECT probe_key, now(), 'online', 's', gen_random_uuid(), now(), 0, 60, false FROM probe"
    )


def _it_does_not_say_by_which_broker(conn):
    assert conn.execute("SELECT broker FROM presence").fetchall() == [(None,)]


def _nobody_has_said_what_the_line_is(conn):
    assert conn.execute("SELECT access FROM probe").fetchall() == [(None,)]
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        conn.execute("UPDATE probe SET access = 'satellite'")
    conn.execute("UPDATE probe SET access = 'mobile'")


def _an_hour_of_a_probe_can_be_folded_once(conn):
    insert = "INSERT INTO {} VALUES (1, '2026-11-22T12:00Z', 7, %s, %s, %s, %s, %s, %s, %s, %s)"
    for table in ("ladder_1h", "ladder_1d"):
        conn.execute(insert.format(table), [[]] * 8)
        with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
            conn.execute(insert.format(table), [[]] * 8)


def _an_event_of_a_region_is_stored_and_of_a_town_is_not(conn):
    insert = """
        INSERT INTO event_version VALUES (
          '01900000-0000-7000-8000-000000000001', 1, now(), 'new', 'detected', '1', 'open', 'power', %s, 'KE', NULL,
          now(), now(), NULL, NULL, '{}')"""
    with pytest.raises(psycopg.IntegrityError), conn.transaction():
        conn.execute(insert, ("town",))
    conn.execute(insert, ("region",))
    assert conn.execute("SELECT level FROM event_current").fetchone() == ("region",)


def _many_events_of_three_versions(conn):
    conn.execute("""
        INSERT INTO event SELECT md5(n::text)::uuid, CASE WHEN n < 20 THEN 'CIV-2026-KE-' || 1000 + n END, 'KE', now()
        FROM generate_series(1, 2000) n;
        INSERT INTO event_version (event_key, version, published_at, change_kind, reason, detector_version, status,
                                   kind, level, cc, onset_earliest, onset_latest, record)
        SELECT event_key, v, now(), 'new', 'detected', '1', CASE v WHEN 3 THEN 'closed' ELSE 'open' END, 'outage',
               'probe', cc, now(), now(), '{}' FROM event, generate_series(1, 3) v;
        ANALYZE event, event_version""")


def _the_newest_versions_are_found_by_their_keys(conn):
    assert conn.execute("SELECT status, version, count(*) FROM event_current GROUP BY 1, 2").fetchall() == [
        ("closed", 3, 2000)
    ]
    for condition, index in (("= 'CIV-2026-KE-1001'", "event_public_id_key"), ("IS NOT NULL", "event_public")):
        rows = conn.execute(f"EXPLAIN SELECT * FROM event_current WHERE cc = 'KE' AND public_id {condition}").fetchall()
        plan = str(rows)
        assert index in plan
        assert "event_version_pkey" in plan
        assert "Seq Scan" not in plan
    assert conn.execute("SELECT to_regclass('collector_beat_at')").fetchone() == ("collector_beat_at",)


def _the_last_statement_of_a_probe_is_found_by_its_index(conn):
    conn.execute("""
        INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, agent)
        SELECT n, household_key, sha256(n::text::bytea), '', 'KE', 'test' FROM household, generate_series(1, 900) n;
        INSERT INTO presence
        SELECT probe_key, now() - interval '1 day' * n, 'online', n, gen_random_uuid(), now(), 0, 60, false
        FROM probe, generate_series(1, 40) n; ANALYZE presence, probe""")
    rows = conn.execute("""
        EXPLAIN SELECT last.received_at FROM probe CROSS JOIN LATERAL (
          SELECT * FROM presence p WHERE p.probe_key = probe.probe_key AND p.received_at < now() - interval '30 days'
          ORDER BY p.received_at DESC LIMIT 1) last""").fetchall()
    assert "presence_probe" in str(rows)
    assert conn.execute("SELECT to_regclass('batch_probe')").fetchone() == ("batch_probe",)


def _an_event_of_two_versions(conn):
    _an_event(conn)
    for version, record in ((1, "{}"), (2, '{"held": "review"}')):
        conn.execute(
            "INSERT INTO event_version VALUES ('01900000-0000-7000-8000-000000000001', %s, now(), 'new', 'detected',"
            " '1', 'open', 'power', 'country', 'KE', NULL, now(), now(), NULL, NULL, %s)",
            (version, record),
        )


def _a_decision_stays_and_readers_see_no_version_that_is_held(conn):
    _an_audited_decision(conn, "review", "(event_key, at, reviewer, action)", "'A. Reviewer', 'hold'")
    assert conn.execute("SELECT version FROM event_current").fetchone() == (2,)
    assert conn.execute("SELECT version FROM event_served").fetchone() == (1,)
    conn.execute(
        "INSERT INTO event_version VALUES ('01900000-0000-7000-8000-000000000001', 3, now(), 'reviewed',"
        " 'human_review', '1', 'retracted', 'power', 'country', 'KE', NULL, now(), now(), NULL, NULL, %s)",
        ('{"held": "retracted", "machine": {"said": {"status": "open"}}}',),
    )
    assert conn.execute("SELECT held, found_open FROM event_current").fetchone() == (True, True)
    assert conn.execute("SELECT version FROM event_served").fetchone() == (1,)


def _what_was_done_at_the_desk_is_never_changed(conn):
    _an_audited_decision(conn, "audit", "(event_key, at, login, action, outcome)", "'amina', 'confirm', 'refused'")
    conn.execute(
        "INSERT INTO staff (login, name, role, password_hash, totp_sealed) VALUES ('amina', 'Amina', 'admin', '', '')"
    )
    for digest in (bytes(31), b"the token itself"):
        with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
            conn.execute(
                "INSERT INTO staff_session SELECT %s, staff_key, %s, '', now(), now(), now() FROM staff",
                (digest, bytes(32)),
            )


def _an_audited_decision(conn, table, columns, values):
    conn.execute(f"INSERT INTO {table} {columns} VALUES ('01900000-0000-7000-8000-000000000001', now(), {values})")
    for statement in (f"UPDATE {table} SET at = now()", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"), conn.transaction():
            conn.execute(statement)


def _a_gauge_has_one_value_a_moment(conn):
    insert = "INSERT INTO gauge_sample VALUES ('2026-11-22T12:00Z', 'ingest', 'a', 'queue_depth', '', 1)"
    conn.execute(insert)
    with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
        conn.execute(insert)


def _a_subscriber_is_told_of_a_version_once(conn):
    insert = """
        INSERT INTO notice (subscriber, event_key, version, change, made_at, not_before)
        VALUES ('desk', '01900000-0000-7000-8000-000000000001', 2, 'opened', now(), now())"""
    conn.execute(insert)
    with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
        conn.execute(insert)
    for version, level in ((3, "country"), (4, "probe")):
        conn.execute(
            "INSERT INTO event_version SELECT event_key, %s, published_at, change_kind, reason, detector_version,"
            " status, kind, %s, cc, asn, onset_earliest, onset_latest, NULL, NULL, record FROM event_version"
            " WHERE version = 1",
            (version, level),
        )
    assert conn.execute("SELECT version FROM notice_due").fetchall() == [(3,)]


def _grafana_s_views_answer_from_what_was_there_before(conn):
    assert conn.execute("SELECT count(*) FROM grafana.event").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM grafana.presence_at(now())").fetchone() == (0,)


def _an_alert_rule_sees_which_version_was_the_newest_and_none_that_is_held(conn):
    rows = conn.execute("SELECT event, version, replaced_at, status, worsened FROM grafana.alert_event").fetchall()
    assert rows == [("CIV-2026-KE-0001", 1, None, "open", False)]
    assert conn.execute("SELECT count(*) FROM grafana.alert_country").fetchone() == (0,)


STEPS = {
    1: (_nothing_yet, _spine_takes_a_row),
    2: (_a_year_of_rollups, _one_probe_is_found_by_the_index),
    3: (_an_event_whose_public_id_was_changed, _an_event_keeps_its_public_id),
    4: (_an_event, _a_pattern_is_stored_once_and_withdrawn_rather_than_changed),
    5: (_two_days_of_measurements, _one_who_owns_nothing_drops_the_first_day_and_makes_another),
    6: (_a_month_s_end_in_rollups, _the_hours_are_bits_of_two_months),
    7: (_a_statement_of_presence, _it_does_not_say_by_which_broker),
    8: (_two_days_of_measurements, _an_hour_of_a_probe_can_be_folded_once),
    9: (_a_statement_of_presence, _nobody_has_said_what_the_line_is),
    10: (_an_event, _an_event_of_a_region_is_stored_and_of_a_town_is_not),
    11: (_many_events_of_three_versions, _the_newest_versions_are_found_by_their_keys),
    12: (_a_statement_of_presence, _the_last_statement_of_a_probe_is_found_by_its_index),
    13: (_an_event_of_two_versions, _a_decision_stays_and_readers_see_no_version_that_is_held),
    14: (_an_event, _what_was_done_at_the_desk_is_never_changed),
    15: (_nothing_yet, _a_gauge_has_one_value_a_moment),
    16: (_an_event_of_two_versions, _a_subscriber_is_told_of_a_version_once),
    17: (_an_event_of_two_versions, _grafana_s_views_answer_from_what_was_there_before),
    18: (_an_event_of_two_versions, _an_alert_rule_sees_which_version_was_the_newest_and_none_that_is_held),
}
"""For each migration: rows to have before it, and what must be true after it."""


@pytest.mark.parametrize("migration", read_migrations(), ids=lambda one: one.name)
def test_each_migration_works_from_the_state_before_it(empty_dsn, migration):
    before, after = STEPS[migration.number]
    migrate(empty_dsn, up_to=migration.number - 1)
    with psycopg.connect(empty_dsn) as conn:
        before(conn)
    report = migrate(empty_dsn, up_to=migration.number)
    assert report.applied == (migration.name,)
    with psycopg.connect(empty_dsn) as conn:
        after(conn)


def test_migrating_again_changes_nothing(empty_dsn):
    first = migrate(empty_dsn)
    second = migrate(empty_dsn)
    assert first.applied == second.before
    assert second.applied == ()
    assert first.current


def test_the_vocabularies_are_those_of_the_wire(dsn):
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT name FROM kind WHERE kind = 1").fetchone() == ("ladder",)
        assert conn.execute("SELECT outcome FROM failure WHERE failure = 206").fetchone() == ("not_run",)
        assert conn.execute("SELECT name FROM country WHERE cc = 'KE'").fetchone() == ("Kenya",)
        assert conn.execute("SELECT count(*) FROM country").fetchone() > (249,)


def test_new_wording_of_a_vocabulary_arrives_with_the_next_migrate(dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute("UPDATE failure SET meaning = 'as it was worded once' WHERE failure = 1")
    migrate(dsn)
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT meaning FROM failure WHERE failure = 1").fetchone() != ("as it was worded once",)


def test_a_database_of_a_newer_program_is_refused(dsn):
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO migration (number, name, sha256, program) VALUES (9000, '9000_later.sql', %s, '9.0')",
            (b"\x00" * 32,),
        )
        with pytest.raises(DatabaseError, match=r"9000_later\.sql, applied by civobs 9\.0"):
            require_current(conn)
    with pytest.raises(DatabaseError) as caught:
        migrate(dsn)
    assert "install the newer civobs" in caught.value.remedy


def test_a_database_without_tables_is_refused_with_the_command_that_makes_them(empty_dsn):
    with psycopg.connect(empty_dsn) as conn, pytest.raises(DatabaseError) as caught:
        require_current(conn)
    assert caught.value.remedy == "run: civobs migrate"


def test_a_file_edited_after_it_was_applied_is_refused(empty_dsn, tmp_path):
    file = tmp_path / "0001_first.sql"
    file.write_text("CREATE TABLE first (n int)")
    migrate(empty_dsn, folder=tmp_path)
    file.write_text("CREATE TABLE first (n int8)")
    with pytest.raises(DatabaseError, match="edited afterwards"):
        migrate(empty_dsn, folder=tmp_path)


def test_a_file_that_fails_leaves_nothing_and_keeps_what_came_before(empty_dsn, tmp_path):
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int)")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (n int); SELECT 1 / 0")
    with pytest.raises(DatabaseError, match=r"0002_second\.sql failed: division by zero"):
        migrate(empty_dsn, folder=tmp_path)
    with psycopg.connect(empty_dsn) as conn:
        assert migration_state(conn, folder=tmp_path).pending == ("0002_second.sql",)
        assert conn.execute("SELECT to_regclass('first'), to_regclass('second')").fetchone() == ("first", None)
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (n int)")
    assert migrate(empty_dsn, folder=tmp_path).applied == ("0002_second.sql",)


def test_a_file_outside_a_transaction_runs_what_a_transaction_refuses(empty_dsn, tmp_path):
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int)")
    (tmp_path / "0002_index.sql").write_text(
        "-- no-transaction\nDROP INDEX IF EXISTS first_n;\n-- then\nCREATE INDEX CONCURRENTLY first_n ON first (n);\n"
    )
    report = migrate(empty_dsn, folder=tmp_path)
    assert report.applied == ("0001_first.sql", "0002_index.sql")
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'first_n'::regclass").fetchone() == (
            True,
        )


def test_the_same_statement_in_a_transaction_is_what_fails(empty_dsn, tmp_path):
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int)")
    (tmp_path / "0002_index.sql").write_text("CREATE INDEX CONCURRENTLY first_n ON first (n)")
    with pytest.raises(DatabaseError, match="cannot run inside a transaction"):
        migrate(empty_dsn, folder=tmp_path)


def test_a_file_outside_a_transaction_that_is_cut_off_is_tried_again(empty_dsn, tmp_path):
    steps = tmp_path / "0001_steps.sql"
    steps.write_text("-- no-transaction\nCREATE TABLE IF NOT EXISTS first (n int);\n-- then\nSELECT 1 / 0;\n")
    with pytest.raises(DatabaseError, match="division by zero"):
        migrate(empty_dsn, folder=tmp_path)
    steps.write_text("-- no-transaction\nCREATE TABLE IF NOT EXISTS first (n int);\n-- then\nSELECT 1;\n")
    assert migrate(empty_dsn, folder=tmp_path).applied == ("0001_steps.sql",)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["0001_a.sql", "0003_c.sql"], "without gaps"),
        (["0001_a.sql", "0001_b.sql"], "without gaps"),
        (["1_a.sql"], "not a migration's name"),
    ],
)
def test_files_that_are_misnumbered_are_refused(tmp_path, names, words):
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(DatabaseError, match=words):
        read_migrations(tmp_path)


def test_of_two_that_migrate_at_once_one_waits_and_finds_it_done(empty_dsn):
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(migrate(empty_dsn))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(report.applied) for report in reports) == [0, 0, len(read_migrations())]


def test_a_role_that_may_not_create_the_extension_is_told_what_to_do(timescale_server):
    with fresh_database(timescale_server, template="template0") as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE civobs_guest LOGIN")
        conn.execute("GRANT CREATE ON SCHEMA public TO civobs_guest")
        try:
            with pytest.raises(DatabaseError) as caught:
                migrate(conninfo.make_conninfo(dsn, user="civobs_guest"))
            assert caught.value.remedy.endswith("civobs migrate --plain")
            with pytest.raises(DatabaseError, match="CREATE SCHEMA grafana AUTHORIZATION civobs_guest"):
                migrate(conninfo.make_conninfo(dsn, user="civobs_guest"), plain=True)
            conn.execute("CREATE SCHEMA grafana AUTHORIZATION civobs_guest")
            assert migrate(conninfo.make_conninfo(dsn, user="civobs_guest"), plain=True).current
        finally:
            conn.execute("DROP OWNED BY civobs_guest")
            conn.execute("DROP ROLE civobs_guest")
