"""``civobs staff``: members made, given new secrets, disabled and enabled."""

import json
import os
import pty
import select
import stat
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from civobs_collector.__main__ import main
from civobs_collector.desk import codes
from civobs_collector.keys import read_box_key
from tests.collector.fix_desk import PASSWORD, connection

pytestmark = pytest.mark.db


@pytest.fixture
def civobs(plain_dsn, tmp_path, capsys):
    """The command, with a password file; returns the exit code and what it said."""
    settings = tmp_path / "collector.toml"
    settings.write_text(f'[database]\ndsn = "{plain_dsn}"\n[keys]\ndesk_key = "{tmp_path / "desk.key"}"\n')
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)

    def run(*words: str) -> tuple[int, str, str]:
        given = [str(tmp_path / word) if word in ("password", "open") else word for word in words]
        code = main(["--config", str(settings), "staff", *given])
        return code, *capsys.readouterr()

    return run


def test_the_first_member_has_the_key_made_and_gets_codes_that_are_sealed_with_it(civobs, plain_dsn, tmp_path):
    code, said, _ = civobs("add", "amina", "--name", "Amina Otieno", "--role", "admin", "--password-file", "password")
    assert code == 0
    assert "amina (Amina Otieno) is admin and signs in at http://127.0.0.1:8080/staff/" in said
    uri = said.strip().splitlines()[-1]
    assert stat.S_IMODE((tmp_path / "desk.key").stat().st_mode) == 0o600
    with connection(plain_dsn) as conn:
        kept, sealed = conn.execute("SELECT password_hash, totp_sealed FROM staff").fetchone()
    assert kept.startswith("$argon2id$")
    assert parse_qs(urlsplit(uri).query)["secret"] == [codes.unseal(read_box_key(tmp_path / "desk.key"), sealed)]


def test_members_are_listed_disabled_enabled_and_reset_and_all_that_is_in_the_audit(civobs):
    added = civobs("add", "amina", "--name", "Amina Otieno", "--password-file", "password", "--json")
    assert json.loads(added[1])["role"] == "viewer"
    assert "may sign in no more; sessions ended: 0" in civobs("disable", "amina")[1]
    assert json.loads(civobs("list", "--json")[1])[0]["disabled_at"] is not None
    assert "may sign in again" in civobs("enable", "amina")[1]
    reset = civobs("reset", "amina", "--password-file", "password", "--json")
    assert json.loads(reset[1])["otpauth"] != json.loads(added[1])["otpauth"]
    assert civobs("role", "amina", "reviewer")[1] == "amina is reviewer, was viewer\n"
    assert json.loads(civobs("role", "amina", "admin", "--json")[1])["before"] == "reviewer"
    assert "amina" in civobs("list")[1]
    audit = json.loads(civobs("audit", "--json")[1])
    assert [one["action"] for one in audit] == [
        *("staff-role", "staff-role", "staff-reset", "staff-enable", "staff-disable", "staff-add"),
    ]
    assert "staff-disable" in civobs("audit", "--limit", "5")[1]
    assert PASSWORD not in json.dumps(audit)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("add", "Amina!", "--name", "A", "--password-file", "password"), "cannot be a login"),
        (("add", "amina", "--name", " ", "--password-file", "password"), "a name of at most 80 characters is needed"),
        (("add", "amina", "--name", "A"), "no terminal to ask for the password"),
        (("add", "amina", "--name", "A", "--password-file", "open"), "others can read it"),
        (("add", "amina", "--name", "A", "--password-file", "/nowhere"), "there is no file"),
        (
            ("add", "amina", "--name", "Lantern Brick Otter Seventeen", "--password-file", "password"),
            "made of the login",
        ),
        (("audit", "--limit", "0"), "a number of lines from 1"),
        (("disable", "nobody"), "there is no nobody among the staff"),
        (("reset", "nobody", "--password-file", "password"), "there is no nobody among the staff"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_with_what_to_do(civobs, tmp_path, words, cause):
    (tmp_path / "open").write_text(PASSWORD)
    (tmp_path / "open").chmod(0o644)
    code, _, said = civobs(*words)
    assert code in (1, 2)
    assert cause in said
    assert len(said.strip().splitlines()) == 2


def test_at_a_terminal_the_password_is_asked_for_twice_unseen_and_the_codes_are_a_picture(civobs, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "civobs_collector", "--config", str(tmp_path / "collector.toml"), "staff", "add"]
    process = subprocess.Popen(
        [*command, "amina", "--name", "Amina"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = ""
    for prompt in ("Password for amina: ", "The same again: "):
        said += _until(ours, prompt)
        os.write(ours, f"{PASSWORD}\n".encode())
    said += _until(ours, "otpauth://totp/civobs:amina?")
    assert process.wait(30) == 0
    os.close(ours)
    assert "▄▄▄▄▄" in said
    assert PASSWORD not in said


def _until(terminal: int, words: str) -> str:
    said = b""
    while words.encode() not in said:
        assert select.select([terminal], [], [], 60)[0], said
        said += os.read(terminal, 4096)
    return said.decode()


def test_a_login_is_given_once_and_a_lost_key_is_not_made_anew(civobs, tmp_path):
    add = ("--name", "A", "--password-file", "password")
    assert civobs("add", "amina", *add)[0] == 0
    assert "the login amina is taken" in civobs("add", "amina", *add)[2]
    (tmp_path / "desk.key").unlink()
    assert "there is no key" in civobs("add", "badr", *add)[2]
