"""The checks that ask the database: edition, tables, signs of life, back-log, quarantine, plans, clock, and others'."""

from collections.abc import Iterator
from datetime import datetime

from civobs_collector.config import CollectorSettings
from civobs_collector.db.backlog import count_day, read_clock, read_dirty
from civobs_collector.db.connect import Connection
from civobs_collector.db.edition import Edition, measurements_are_hypertable, storage_edition
from civobs_collector.db.evidence_counts import count_active
from civobs_collector.db.migrate import OLDEST_SERVER, migration_state
from civobs_collector.db.plans import plan_expiry
from civobs_collector.db.publisher import ROLE, can_change_published
from civobs_collector.db.read_health import count_quarantine, read_beats
from civobs_collector.doctor import Result, State
from civobs_collector.doctor_evidence import (
    check_desk_key,
    check_dropped,
    check_durability,
    check_notices,
    check_records,
    check_silence,
)
from civobs_collector.doctor_machine import check_names, check_programs
from civobs_collector.errors import CivobsCollectorError
from civobs_collector.limits import LIMITS

DATABASE_CHECKS = (
    "edition",
    "durability",
    "pg_programs",
    "migrations",
    "published",
    "beats",
    "rollups",
    "quarantine",
    "plans",
    "clock",
    "records",
    "silence",
    "dropped",
    "notices",
    "desk_key",
    "public_url",
    "brokers",
)
"""Their names, in order."""

_ROLES = ("ingest", "detect")
"""Roles that must give signs of life; without ``ingest`` the absence of probes says nothing."""


def database_results(conn: Connection, settings: CollectorSettings, now: datetime) -> Iterator[Result]:
    """All of them; what needs the tables is left out while they are not current."""
    tables = check_migrations(conn)
    yield check_edition(conn)
    yield check_durability(conn)
    yield check_programs(settings, conn.info.server_version)
    yield tables
    if tables.state is not State.OK:
        for name in DATABASE_CHECKS[DATABASE_CHECKS.index("published") :]:
            yield Result(name, State.NOT_CHECKED, "needs the tables")
        return
    yield check_published(conn)
    yield from check_beats(conn)
    yield check_rollups(conn)
    yield check_quarantine(conn)
    yield from check_plans(conn)
    yield check_clock(conn, now)
    yield check_records(conn, settings.ingest.archive_dir)
    yield check_silence(conn, now)
    yield check_dropped(conn)
    yield check_notices(conn, settings, now)
    yield check_desk_key(conn, settings)
    yield from check_names(settings, count_active(conn))


def check_edition(conn: Connection) -> Result:
    """What server this is, and whether the tables were made for it."""
    storage = storage_edition(conn)
    if storage.server_number < OLDEST_SERVER:
        return Result("edition", State.FAILED, str(storage), f"use PostgreSQL {OLDEST_SERVER // 10_000} or newer")
    text = f"{storage}, licence {storage.licence}" if storage.licence else str(storage)
    if storage.edition is not Edition.PLAIN and _is_partitioned(conn):
        remedy = "migrate an empty database while the extension is there, and copy the rows over"
        return Result("edition", State.WARNING, f"{text}, but measurements are in a plain table", remedy)
    return Result("edition", State.OK, text)


def _is_partitioned(conn: Connection) -> bool:
    (there,) = conn.execute("SELECT to_regclass('measurement') IS NOT NULL").fetchone() or (False,)
    return bool(there) and not measurements_are_hypertable(conn)


def check_migrations(conn: Connection) -> Result:
    """The tables are those of this program."""
    try:
        report = migration_state(conn)
    except CivobsCollectorError as error:
        return Result("migrations", State.FAILED, error.cause, error.remedy)
    if report.pending:
        return Result("migrations", State.FAILED, f"{len(report.pending)} not applied", "run: civobs migrate")
    return Result("migrations", State.OK, f"{len(report.before)} applied, the tables are current")


def check_published(conn: Connection) -> Result:
    """The program works as a role that cannot change what was published."""
    (role,) = conn.execute("SELECT current_user").fetchone() or ("",)
    if can_change_published(conn):
        remedy = f"as a superuser: CREATE ROLE {ROLE}; GRANT {ROLE} TO {role}; then run: civobs migrate"
        return Result("published", State.WARNING, f"{role} could change published events but for a trigger", remedy)
    return Result("published", State.OK, f"{role} can add to published events and change none")


def check_beats(conn: Connection) -> Iterator[Result]:
    """Each role has given a sign of life lately, and said that all was well."""
    beats = read_beats(conn)
    for role in _ROLES:
        mine = sorted((beat for beat in beats if beat.role == role), key=lambda beat: beat.age_s)
        if not mine:
            yield Result("beats", State.FAILED, f"no sign of life of {role} within a day", f"start it: civobs {role}")
        for beat in mine[:1]:
            text = f"{role} {beat.instance}: {beat.age_s:.0f} s ago"
            if beat.age_s > LIMITS["beat_age"].value:
                yield Result("beats", State.FAILED, text, f"start it: civobs {role}; its log says why it ended")
            elif not beat.ok:
                yield Result("beats", State.WARNING, f"{text}, and not well", f"see the log of civobs {role}")
            else:
                yield Result("beats", State.OK, text)


def check_rollups(conn: Connection) -> Result:
    """Roll-ups keep up with what arrives."""
    dirty = read_dirty(conn)
    text = f"{dirty.n} buckets are due"
    if dirty.n > LIMITS["dirty_buckets"].value * max(dirty.probes, 1):
        remedy = "look again in a minute: if the number does not fall, the log of the process that rolls up says why"
        return Result("rollups", State.WARNING, text, remedy)
    return Result("rollups", State.OK, text)


def check_quarantine(conn: Connection) -> Result:
    """Little is refused, and it is said why."""
    day = count_day(conn)
    reasons = ", ".join(f"{row.reason} {row.n}" for row in count_quarantine(conn)) or "empty"
    text = f"{reasons}; in the last day {day.rejected} refused, {day.committed} committed"
    if day.rejected > LIMITS["rejected_share"].value * (day.rejected + day.committed):
        return Result("quarantine", State.WARNING, text, "see table rejected_batch, columns reason and detail")
    return Result("quarantine", State.OK, text)


def check_plans(conn: Connection) -> Iterator[Result]:
    """Each country with probes has a plan for some time to come."""
    countries = plan_expiry(conn)
    if not countries:
        yield Result("plans", State.OK, "no probes yet")
    for row in countries:
        build = f"civobs plan build FILE.toml --publish, with cc = {row.cc} or ZZ"
        if row.left_s is None:
            yield Result("plans", State.FAILED, f"{row.cc}: {row.n_probes} probes and no plan", build)
        elif row.left_s <= 0:
            yield Result("plans", State.FAILED, f"{row.cc}: {row.plan_id} has expired", build)
        elif row.left_s < LIMITS["plan_left"].value:
            yield Result("plans", State.WARNING, f"{row.cc}: {row.plan_id} ends in {row.left_s / 86_400:.1f} d", build)
        else:
            yield Result("plans", State.OK, f"{row.cc}: {row.plan_id}, for {row.left_s / 86_400:.0f} d")


def check_clock(conn: Connection, now: datetime) -> Result:
    """The clocks here, in the database and of synchronised probes agree."""
    clock = read_clock(conn, now)
    remedy = "synchronise the clocks of collector and database (chrony, systemd-timesyncd)"
    if abs(clock.database_ahead_s) > LIMITS["clock_offset"].value:
        return Result("clock", State.FAILED, f"the database is {clock.database_ahead_s:+.1f} s from here", remedy)
    if clock.probes_ahead_s is not None and clock.probes_ahead_s > LIMITS["clock_behind"].value:
        text = f"synchronised probes are {clock.probes_ahead_s:.0f} s ahead (median of the last hour)"
        return Result("clock", State.FAILED, text, remedy)
    return Result("clock", State.OK, f"the database is {clock.database_ahead_s:+.3f} s from here")
