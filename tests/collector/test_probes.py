"""``civobs probes``: what an operator types and gets."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_collector import crockford
from civobs_collector.db.probes import Place
from civobs_collector.db.read_probes import AccessCounts, count_access
from civobs_collector.enrolment import enrol
from tests.collector.test_enrolment import enrolled, new_claim, request

pytestmark = pytest.mark.db


def test_a_claim_code_is_shown_once_and_kept_as_a_digest(operator, dsn):
    said = operator.civobs("probes", "claim", "--cc", "ke", "--asn", "AS37100", "--admin1", "Nairobi", "--json")
    assert said.code == 0
    code = said.json["claim"]
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z*~$=U]", code)
    assert crockford.check_character_fits(code)
    left = datetime.fromisoformat(said.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6.9) < left < timedelta(days=7.1)
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT cc, asn, admin1, is_anchor, probe_key, claim::text FROM claim").fetchone()
    assert row[:5] == ("KE", 37100, "Nairobi", False, None)
    assert code not in row[5]


def test_what_line_a_household_has_is_said_with_the_claim_or_later(operator, dsn):
    said = operator.civobs("probes", "claim", "--cc", "KE", "--access", "mobile", "--json")
    assert said.json["access"] == "mobile"
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT access FROM claim").fetchall() == [("mobile",)]


def test_each_claim_makes_a_household_unless_one_is_named(operator):
    first = operator.civobs("probes", "claim", "--cc", "KE", "--json").json["household_key"]
    second = operator.civobs("probes", "claim", "--cc", "KE", "--json").json["household_key"]
    same = operator.civobs("probes", "claim", "--cc", "KE", "--household", str(first), "--json").json["household_key"]
    assert first != second
    assert same == first


@pytest.mark.parametrize(
    ("words", "code", "cause"),
    [
        (["claim", "--cc", "QQ"], 2, "QQ is no country's code"),
        (["claim", "--cc", "Kenya"], 2, "not two letters"),
        (["claim", "--cc", "KE", "--asn", "4294967296"], 2, "not a network's number"),
        (["claim", "--cc", "KE", "--household", "77"], 1, "there is no household 77"),
        (["show", "0000000000000000"], 1, "there is no probe"),
        (["revoke", "0000000000000000"], 1, "there is no probe"),
        (["network", "--asn", "1", "--name", "\x00"], 2, "not a name"),
        (["network", "--asn", "1", "--name", "A", "--user-share", "nan"], 2, "not a share"),
    ],
)
def test_bad_input_is_a_clear_error(operator, dsn, words, code, cause):
    said = operator.civobs("probes", *words)
    assert said.code == code
    assert cause in said.err
    assert "Traceback" not in said.err
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM household").fetchone() == (0,)


def test_a_probe_can_be_listed_shown_and_quarantined(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        probe_id = enrolled(conn, keyed.settings).probe_id
    assert probe_id in keyed.civobs("probes", "list").out
    assert [row["probe_id"] for row in keyed.civobs("probes", "list", "--cc", "KE", "--json").json] == [probe_id]
    assert keyed.civobs("probes", "list", "--cc", "UG", "--json").json == []
    shown = keyed.civobs("probes", "show", probe_id, "--json").json
    assert (shown["n_batches"], shown["last_batch_at"], shown["status"]) == (0, None, "active")
    assert "signing_key" in keyed.civobs("probes", "show", probe_id).out
    assert keyed.civobs("probes", "quarantine", probe_id).code == 0
    assert keyed.civobs("probes", "list", "--status", "quarantined", "--json").json[0]["probe_id"] == probe_id
    assert "is active, was quarantined" in keyed.civobs("probes", "activate", probe_id).out


def test_a_probe_has_the_line_of_its_claim_until_another_is_said(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        code = new_claim(conn, place=Place("KE", 37100, access="fixed"))
        probe_id = enrol(conn, request(code, Ed25519PrivateKey.generate()), keyed.settings).probe_id
        enrolled(conn, keyed.settings)
        assert count_access(conn, "KE") == [AccessCounts("KE", 2, 1, 0, 1)]
    assert "is mobile, was fixed" in keyed.civobs("probes", "access", probe_id, "mobile").out
    assert keyed.civobs("probes", "show", probe_id, "--json").json["access"] == "mobile"


def test_a_revoked_probe_stays_revoked(keyed, dsn):
    with psycopg.connect(dsn) as conn:
        probe_id = enrolled(conn, keyed.settings).probe_id
    assert keyed.civobs("probes", "revoke", probe_id).code == 0
    assert keyed.civobs("probes", "revoke", probe_id).code == 0
    for action in ("activate", "quarantine"):
        said = keyed.civobs("probes", action, probe_id)
        assert said.code == 2
        assert "revoked, for good" in said.err


def test_a_network_can_be_named_and_renamed(operator, dsn):
    assert operator.civobs("probes", "network", "--asn", "37100", "--name", "Old", "--cc", "KE").code == 0
    assert operator.civobs("probes", "network", "--asn", "AS37100", "--name", "SEACOM", "--user-share", "0.2").code == 0
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT asn, name, cc, user_share::text FROM network").fetchone() == (
            37100,
            "SEACOM",
            "KE",
            "0.2",
        )


def test_without_tables_every_action_says_to_migrate(operator, empty_dsn, monkeypatch):
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", empty_dsn)
    said = operator.civobs("probes", "list")
    assert said.code == 2
    assert "run: civobs migrate" in said.err
