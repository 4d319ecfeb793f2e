"""``civobs detect`` and ``civobs events`` as an operator types them."""

import psycopg
import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.detect_role import detect_once
from tests.collector.fix_detect import at
from tests.collector.test_detect_role import beats, enrol, say

pytestmark = pytest.mark.db

WINDOW = ("--from", at(-600).isoformat(), "--to", at(660).isoformat())


@pytest.fixture
def observed(operator, dsn):
    """Two networks of Kenya are cut off from minute 600; a household of Uganda from minute 300; Tanzania is not."""
    with connect(DatabaseSettings(dsn=dsn), "test") as conn:
        kenya = [enrol(conn, "KE", 101 + n % 2, n + 1) for n in range(4)]
        uganda = [enrol(conn, "UG", 301, 99)]
        tanzania = [enrol(conn, "TZ", 201, n + 11) for n in range(3)]
        for key in kenya + uganda + tanzania:
            say(conn, key, "online", 0, f"first-{key}")
        for key, minute in [*((key, 600.5) for key in kenya), (uganda[0], 300.5)]:
            say(conn, key, "offline", minute, f"first-{key}")
        beats(conn, 0, 1500)
        conn.commit()
    return operator


def publish(operator):
    """One real run, as of a moment of the past, which the command itself refuses."""
    with connect(operator.settings.database, "detect") as conn:
        return detect_once(conn, operator.settings, at(660))


def test_one_run_on_an_empty_database_says_that_there_is_nothing_to_look_at(operator):
    said = operator.civobs("detect", "--once")
    assert (said.code, said.out) == (
        0,
        "no probe is enrolled yet, so there is nothing to look at; see: civobs probes --help\n",
    )
    assert operator.civobs("detect", "--dry-run", "--json").json["n_events"] == 0
    assert operator.civobs("events", "list").out == "no events\n"
    assert operator.civobs("events", "list", "--json").json == []


def test_a_dry_run_shows_whole_records_and_writes_none(observed):
    said = observed.civobs("detect", "--dry-run", "--json", *WINDOW)
    assert said.code == 0
    assert (said.json["n_probes"], said.json["n_events"], said.json["published"]) == (8, 2, False)
    kenya = next(one for one in said.json["changes"] if one["record"]["scope"]["cc"] == "KE")
    assert (kenya["public_id"], kenya["version"], kenya["change_kind"], kenya["reason"]) == (None, 1, "new", "detected")
    assert kenya["record"]["scope"]["country"] == "Kenya"
    assert kenya["record"]["affected"]["n_observed"] == 4
    text = observed.civobs("detect", "--dry-run", *WINDOW).out
    assert "2 events" in text
    assert "2 versions would be published" in text
    assert "shutdown_suspected" in text
    assert observed.civobs("events", "list").out == "no events\n"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--json",), "are for one run"),
        (("--once", "--to", at(660).isoformat()), "as if it were another time"),
        (("--once", "--from", at(700).isoformat(), "--to", at(660).isoformat(), "--dry-run"), "before it begins"),
        (("--once", "--from", "yesterday"), "not a time: 'yesterday'"),
    ],
)
def test_a_wrong_option_is_one_line_of_cause_and_one_of_remedy(operator, words, cause):
    said = operator.civobs("detect", *words)
    assert said.code == 2
    assert cause in said.err
    assert "Traceback" not in said.err


def test_staff_list_and_show_events_of_every_level(observed):
    publish(observed)
    assert [one["public_id"] for one in observed.civobs("events", "list", "--json").json] == ["CIV-2026-KE-0001", None]
    assert [one["public_id"] for one in observed.civobs("events", "list", "--json", "--cc", "ug").json] == [None]
    (lone,) = observed.civobs("events", "list", "--level", "probe", "--json").json
    listed = observed.civobs("events", "list").out
    assert "CIV-2026-KE-0001" in listed
    assert lone["record"]["event_key"] in listed
    shown = observed.civobs("events", "show", "civ-2026-ke-0001").out
    for words in ("shutdown_suspected, depth unknown", "KE AS101 AS102", "4 of 4 down at the peak", "unconfirmed"):
        assert words in shown
    (version,) = observed.civobs("events", "show", lone["record"]["event_key"], "--json").json
    assert version["record"] == lone["record"]


def test_an_event_that_does_not_exist_is_named_with_where_to_look(operator):
    said = operator.civobs("events", "show", "CIV-2026-KE-9999")
    assert said.code == 1
    assert said.err.splitlines()[-2:] == [
        "civobs: there is no event CIV-2026-KE-9999",
        "        see: civobs events list",
    ]


def test_what_is_wrong_with_services_does_not_silence_losses_of_the_line(observed, dsn):
    with connect(DatabaseSettings(dsn=dsn), "migrate") as conn:
        conn.execute("ALTER TABLE rollup_1h RENAME TO away")
        conn.commit()
    with pytest.raises(psycopg.errors.UndefinedTable):
        publish(observed)
    said = observed.civobs("events", "list").out
    assert "shutdown_suspected" in said
