"""Signing in to the desk: what opens a session, what does not, and what is written down of both."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from civobs_collector.db.staff import Role
from civobs_collector.desk import codes, members, passwords
from civobs_collector.desk.sessions import IDLE, WHOLE
from civobs_collector.errors import ConfigError, KeyFileError
from tests.collector.fix_desk import AGENT, PASSWORD, connection

pytestmark = pytest.mark.db

WRONG = "The login, the password or the code is not right."


def attempt(client, login, password, code, **more):
    """Open the form and send it, as a browser does."""
    page = client.get("/staff/sign-in")
    cookie = page.headers["set-cookie"].partition(";")[0]
    (csrf,) = re.findall(r'name="csrf" value="(\w+)"', page.text)
    fields = {"csrf": csrf, "login": login, "password": password, "code": code, **more}
    return client.post("/staff/sign-in", fields, cookie=cookie)


def test_a_right_password_and_code_open_a_session_in_a_cookie_for_us_alone(desk):
    person = desk.person()
    answer = attempt(desk.client(), person.login, PASSWORD, person.code(), next="/staff/audit")
    assert (answer.status_code, answer.headers["location"]) == (303, "/staff/audit")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    token, *attributes = rest.split("; ")
    assert name == "__Host-civobs"
    assert {one.lower() for one in attributes} == {"secure", "httponly", "samesite=strict", "path=/"}
    assert len(token) >= 43
    assert desk.value("SELECT count(*) FROM staff_session s WHERE s::text LIKE '%%' || %s || '%%'", token) == 0
    assert desk.audit(person.login) == [("sign-in", "done", "")]


@pytest.mark.parametrize(
    ("password", "code", "detail"),
    [
        ("not the password at all", None, "wrong password"),
        (PASSWORD, "000 00", "wrong code"),
        ("not the password at all", "", "wrong password and code"),
    ],
)
def test_a_wrong_password_or_code_is_refused_in_one_and_the_same_words_and_logged(desk, password, code, detail):
    person = desk.person()
    answer = attempt(desk.client(), person.login, password, person.code() if code is None else code)
    assert answer.status_code == 403
    assert WRONG in answer.text
    assert "__Host-civobs=" not in answer.headers["set-cookie"]
    assert desk.audit(person.login) == [("sign-in", "refused", detail)]


def test_an_unknown_login_gets_the_same_answer_and_is_not_written_down(own_desk):
    person = own_desk.person()
    known = attempt(own_desk.client(), person.login, "not the password", "123456")
    unknown = attempt(own_desk.client(), "my password typed here", "not the password", "123456")
    csrf = re.compile(r'name="csrf" value="\w+"')
    assert csrf.sub("", known.text) == csrf.sub("", unknown.text)
    assert known.status_code == unknown.status_code
    assert own_desk.audit("(nobody)") == [("sign-in", "refused", "no such login")]
    assert own_desk.value("SELECT count(*) FROM audit a WHERE a::text LIKE '%%typed here%%'") == 0


def test_an_unknown_login_costs_the_same_work_as_a_known_one():
    """Both verify one hash of the same cost."""
    kept = passwords.hash_password(PASSWORD)
    assert not passwords.matches("another", kept)
    assert not passwords.matches("another", None)
    assert not passwords.matches("of nobody: takes the time that a member's takes", None)
    assert passwords._NOBODY.split("$")[:4] == kept.split("$")[:4]


def test_each_code_works_once_and_a_step_early_or_late(desk):
    person = desk.person()
    late, now, early = (person.code(step) for step in (-1, 0, 1))
    assert [attempt(desk.client(), person.login, PASSWORD, code).status_code for code in (late, late, now, late)] == [
        303,
        403,
        303,
        403,
    ]
    assert attempt(desk.client(), person.login, PASSWORD, early).status_code == 303
    assert ("sign-in", "refused", "the code was used before") in desk.audit(person.login)


def test_codes_of_two_steps_away_are_refused():
    secret, at = codes.new_secret(), datetime(2026, 11, 22, 12, 0, 15, tzinfo=UTC)
    near = [
        codes.matching_step(secret, pyotp.TOTP(secret).at(at + timedelta(seconds=30 * n)), at) for n in range(-3, 4)
    ]
    assert [step is not None for step in near] == [False, False, True, True, True, False, False]
    assert codes.matching_step(secret, "", at) is None
    assert codes.matching_step(secret, "١٢٣٤٥٦", at) is None


def test_a_disabled_member_is_signed_out_and_cannot_sign_in(desk):
    person = desk.person()
    token = desk.token(person)
    with connection(desk.site.dsn) as conn:
        assert members.set_enabled(conn, person.login, datetime.now(UTC), enabled=False) == 1
    assert desk.client(token).get("/staff/").status_code == 303
    assert attempt(desk.client(), person.login, PASSWORD, person.code()).status_code == 403
    assert ("sign-in", "refused", "the login is disabled") in desk.audit(person.login)
    with connection(desk.site.dsn) as conn:
        members.set_enabled(conn, person.login, datetime.now(UTC), enabled=True)
    assert attempt(desk.client(), person.login, PASSWORD, person.code()).status_code == 303


def test_new_secrets_end_all_sessions_and_the_old_ones_open_nothing(desk):
    person = desk.person()
    token = desk.token(person)
    with connection(desk.site.dsn) as conn:
        members.reset(conn, person.login, "walnut harbour eleven kettles", desk.key, datetime.now(UTC))
    assert desk.client(token).get("/staff/").status_code == 303
    assert attempt(desk.client(), person.login, PASSWORD, person.code()).status_code == 403


def test_too_many_attempts_wait_the_same_for_a_login_that_is_there_and_one_that_is_not(own_desk):
    person = own_desk.person()
    for login in (person.login, "nobody"):
        answers = [attempt(own_desk.client(), login, "wrong password", "1") for _ in range(6)]
        assert [one.status_code for one in answers] == [403] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
    assert attempt(own_desk.client(), person.login, PASSWORD, person.code()).status_code == 429


def test_too_many_attempts_from_one_line_wait_whatever_the_login(own_desk):
    person, client = own_desk.person(), own_desk.client()
    answers = [attempt(client, f"login{n}", "wrong password", "1") for n in range(6)]
    assert [one.status_code for one in answers] == [403] * 5 + [429]
    assert attempt(client, person.login, PASSWORD, person.code()).status_code == 429
    assert attempt(own_desk.client(), person.login, PASSWORD, person.code()).status_code == 303


def test_attempts_that_are_not_made_use_up_nobody_s(own_desk):
    person, client = own_desk.person(), own_desk.client()
    logins = [*(f"login{n}" for n in range(5)), *[person.login] * 5]
    answers = [attempt(client, login, "wrong password", "1") for login in logins]
    assert [one.status_code for one in answers] == [403] * 5 + [429] * 5
    assert attempt(own_desk.client(), person.login, PASSWORD, person.code()).status_code == 303


@pytest.mark.parametrize("age", [IDLE, WHOLE])
def test_a_session_ends_without_use_and_after_a_day_s_work_in_any_case(desk, age):
    person = desk.person()
    now = datetime.now(UTC)
    stands, over = desk.token(person, at=now - age + timedelta(minutes=1)), desk.token(person, at=now - age)
    with connection(desk.site.dsn) as conn:
        if age == WHOLE:
            conn.execute("UPDATE staff_session SET seen_at = now() WHERE staff_key = %s", (person.staff_key,))
    assert desk.client(stands).get("/staff/sign-out").status_code == 405
    found = [desk.client(token).post("/staff/sign-out", {"csrf": desk.csrf(token)}) for token in (stands, over)]
    assert [one.status_code for one in found] == [303, 403]


def test_signing_in_again_ends_the_session_that_the_browser_had(desk):
    person = desk.person()
    token = desk.token(person)
    client = desk.client()
    page = client.get("/staff/sign-in")
    cookie = page.headers["set-cookie"].partition(";")[0]
    (csrf,) = re.findall(r'name="csrf" value="(\w+)"', page.text)
    fields = {"csrf": csrf, "login": person.login, "password": PASSWORD, "code": person.code()}
    answer = client.post("/staff/sign-in", fields, cookie=f"{cookie}; __Host-civobs={token}")
    assert answer.status_code == 303
    assert token not in answer.headers["set-cookie"]
    assert desk.client(token).get("/staff/").status_code == 303


def test_a_stolen_cookie_is_refused_ends_the_session_and_is_logged(desk):
    person = desk.person()
    token = desk.token(person)
    assert desk.client(token, "curl/8").get("/staff/").headers["location"] == "/staff/sign-in?next=/staff/"
    for _ in range(3):
        assert desk.client(token, AGENT).get("/staff/").status_code == 303
    assert [detail for _, outcome, detail in desk.audit(person.login) if outcome == "refused"] == [
        "a cookie was shown by another browser; its session was ended",
        "a cookie was shown after its session had been ended",
    ]


def test_what_lies_in_the_database_opens_no_session(desk):
    person = desk.person()
    token = desk.token(person)
    digest = desk.value(
        "SELECT encode(session_sha256, 'hex') FROM staff_session WHERE staff_key = %s", person.staff_key
    )
    assert desk.client(digest).get("/staff/").status_code == 303
    assert desk.value("SELECT totp_sealed FROM staff WHERE login = %s", person.login).find(person.secret.encode()) == -1
    with pytest.raises(KeyFileError, match="not the one that codes were sealed with"):
        codes.unseal(bytes(32), desk.value("SELECT totp_sealed FROM staff WHERE login = %s", person.login))
    assert token


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"origin": "https://evil.example", "sec_fetch_site": "cross-site"}, "the form came from another site"),
        ({"origin": "https://evil.example", "sec_fetch_site": ""}, "the form came from another site"),
        ({"origin": "http://[", "sec_fetch_site": ""}, "the form came from another site"),
        ({"origin": "null", "sec_fetch_site": "same-origin"}, "the form came from another site"),
        ({}, "the form's token is not that of this session"),
    ],
)
def test_a_form_that_is_not_ours_is_refused_and_logged(desk, headers, detail):
    person = desk.person()
    token = desk.token(person)
    fields = {"csrf": desk.csrf(token) if headers else desk.csrf(desk.token(person))}
    answer = desk.client(token).post("/staff/sign-out", fields, **headers)
    assert answer.status_code == 403
    assert detail in answer.text.replace("&#39;", "'")
    assert desk.audit(person.login) == [("form", "refused", f"forged: {detail}")]
    assert desk.client(token).post("/staff/sign-out", {"csrf": desk.csrf(token)}).status_code == 303


def test_a_browser_that_does_not_say_where_a_form_came_from_is_refused(desk):
    person = desk.person()
    token = desk.token(person)
    answer = desk.client(token).post("/staff/sign-out", {"csrf": desk.csrf(token)}, origin="", sec_fetch_site="")
    assert answer.status_code == 403


def test_a_sign_in_form_from_elsewhere_is_refused(desk):
    person = desk.person()
    fields = {"login": person.login, "password": PASSWORD, "code": person.code()}
    assert desk.client().post("/staff/sign-in", fields).status_code == 403
    assert desk.client().post("/staff/sign-in", fields | {"csrf": ""}, cookie="__Host-civobs-form=").status_code == 403
    assert desk.audit(person.login) == []
    assert attempt(desk.client(), person.login, PASSWORD, person.code()).status_code == 303


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/staff//evil.example", "/staff/../", "/staff/\\evil", "/"]
)
def test_signing_in_leads_to_the_desk_and_nowhere_else(desk, wanted):
    person = desk.person()
    answer = attempt(desk.client(), person.login, PASSWORD, person.code(), next=wanted)
    assert answer.headers["location"] == "/staff/"


def test_pages_of_the_desk_stay_out_of_caches_and_send_forms_to_us_only(desk):
    for path in ("/staff/sign-in", "/staff/", "/staff/nothing", "/staff/events/x.json"):
        headers = desk.client().get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert "form-action 'self'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    assert "form-action 'none'" in desk.client().get("/").headers["content-security-policy"]


def test_a_form_of_many_megabytes_is_not_read(desk):
    answer = desk.client().post("/staff/sign-in", b"login=" + b"a" * 100_000)
    assert answer.status_code == 413
    assert desk.client().post("/staff/sign-in", b"&".join([b"a=1"] * 600)).status_code == 400


def test_what_the_database_takes_no_text_with_is_refused_before_it(desk):
    assert desk.client().post("/staff/sign-in", b"login=a%00b&password=&code=").status_code == 400
    assert desk.client(desk.token(desk.person(Role.ADMIN))).get("/staff/audit?login=%00").status_code == 422


def test_many_who_sign_in_at_once_wait_for_each_other_and_leave_the_public_pages_alone(desk):
    people = [desk.person() for _ in range(8)]
    with ThreadPoolExecutor(len(people)) as pool:
        answers = [
            pool.submit(attempt, desk.client(), person.login, PASSWORD, person.code(), next="/staff/")
            for person in people
        ]
        assert desk.client().get("/health").status_code in (200, 503)
        assert [one.result().status_code for one in answers] == [303] * len(people)


def test_without_the_desk_s_key_there_is_no_desk(own_site):
    for path in ("/staff/", "/staff/sign-in", "/staff/audit"):
        assert own_site.client.get(path).status_code == 404


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "Password1234",
        "passwordpassword",
        "qwertyuiop123",
        "123456789012",
        "aaaaaaaaaaaaaa",
        "letmein!letmein!",
        "Amina-Otieno-2026",
        "aminaotieno.amina",
        "x" * 201,
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password):
    with pytest.raises(ConfigError):
        passwords.require_good(password, "amina", "Amina Otieno")


@pytest.mark.parametrize("password", [PASSWORD, "correct-horse-battery", "Tr0ub4dor&3xyz", "пароль из слов тут"])
def test_a_long_password_needs_no_signs_or_capitals(password):
    passwords.require_good(password, "amina", "Amina Otieno")
