"""The desk in a real browser: signing in, deciding, and what is refused."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import psycopg
import pytest

from civobs_collector.db.staff import Role
from civobs_collector.desk.triage import Wanted, decide
from civobs_collector.detect.record import Confidence, ConfidenceLabel, Status
from civobs_collector.detect.reviews import Action, Review, applied
from tests.collector.fix_desk import PASSWORD
from tests.collector.fix_services import BLOCKING_ID, THROTTLING_ID, seed_services
from tests.collector.fix_web import (
    HOSTILE,
    HOUSEHOLD_ID,
    KEY,
    OPEN_ID,
    PROBE_ID,
    PUBLIC_ID,
    add_event,
    add_version,
    shutdown_record,
)

pytestmark = [pytest.mark.browser, pytest.mark.db]

AGENT = "Chromium at the desk"


@contextmanager
def opened(chromium, width=1280, agent=AGENT, cookies=()):
    """A page of a browser of its own; what its console says fails the test."""
    context = chromium.new_context(viewport={"width": width, "height": 800}, user_agent=agent)
    context.add_cookies(list(cookies))
    page = context.new_page()
    said = []
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


def session_of(desk, person, agent=AGENT):
    """The cookie of a session, as the browser keeps it."""
    host = desk.url.removeprefix("http://").partition(":")[0]
    named = {"name": "__Host-civobs", "value": desk.token(person, agent), "domain": host, "path": "/"}
    return {**named, "secure": True, "httpOnly": True, "sameSite": "Strict"}


def sign_in(page, desk, person, password=PASSWORD, code=None):
    page.get_by_label("Login").fill(person.login)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Code").fill(person.code() if code is None else code)
    page.get_by_role("button", name="Sign in").click()


def test_a_member_signs_in_is_sent_where_she_wanted_and_signs_out(desk, chromium):
    person = desk.person(Role.ADMIN)
    with opened(chromium) as page:
        page.goto(f"{desk.url}/staff/audit")
        assert page.url == f"{desk.url}/staff/sign-in?next=/staff/audit"
        sign_in(page, desk, person, password="not the password")
        assert "is not right" in page.get_by_role("alert").inner_text()
        sign_in(page, desk, person)
        assert page.url == f"{desk.url}/staff/audit"
        assert person.name in page.get_by_role("navigation").inner_text()
        (cookie,) = [one for one in page.context.cookies() if one["name"] == "__Host-civobs"]
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        rows = [row.inner_text() for row in page.locator(".audit tbody tr").all()]
        assert "Sign in" in rows[0]
        assert "done" in rows[0]
        assert "wrong password" in rows[1]
        page.get_by_role("button", name="Sign out").click()
        assert page.url == f"{desk.url}/staff/sign-in"
        page.goto(f"{desk.url}/staff/")
        assert "/staff/sign-in" in page.url
    assert [line[:2] for line in desk.audit(person.login)] == [
        ("sign-in", "refused"),
        ("sign-in", "done"),
        ("sign-out", "done"),
    ]


def test_an_event_is_taken_from_the_queue_and_retracted_before_the_public_s_eyes(own_desk, chromium):
    desk, person = own_desk, own_desk.person()
    with opened(chromium, cookies=[session_of(desk, person)]) as page:
        page.goto(f"{desk.url}/staff/")
        page.locator("section", has_text="Ended and not reviewed").get_by_role("link").first.click()
        assert page.url == f"{desk.url}/staff/events/{PUBLIC_ID}"
        decide = page.locator("#decide-retract")
        decide.locator("summary").click()
        decide.get_by_label("Why, for readers").fill("The operator shows that its own cable test was seen.")
        decide.get_by_label("Sources").fill("https://operator.example/test")
        decide.get_by_role("button").click()
        assert "Done: retract. Version 3 says so." in page.get_by_role("status").inner_text()
        assert page.locator("#decide-retract").count() == 0
        assert "cable test" in page.locator(".decided").inner_text()
        page.get_by_role("link", name="The public page").click()
        assert "This event is retracted." in page.locator("main").inner_text()
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        page.locator("#decide-reopen summary").click()
        page.locator("#decide-reopen").get_by_role("button").click()
        assert "Done: reopen. Version 4" in page.get_by_role("status").inner_text()
        assert page.locator("#decide-retract").count() == 1
    assert [line[:2] for line in desk.audit(person.login)] == [("event.retract", "done"), ("event.reopen", "done")]
    assert desk.value("SELECT reviewer FROM review WHERE action = 'retract'") == person.name


def test_what_confirming_lacks_is_shown_and_a_refusal_keeps_what_was_typed(own_desk, chromium):
    desk, person = own_desk, own_desk.person()
    weak = Confidence(label=ConfidenceLabel.PROBABLE, posterior=0.99, families=("presence",), reasons=("One kind.",))
    with psycopg.connect(desk.site.dsn) as conn:
        add_version(conn, 3, "corrected", "detected", shutdown_record(confidence=weak))
    with opened(chromium, cookies=[session_of(desk, person)]) as page:
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        page.locator("#decide-confirm summary").click()
        assert "it rests on one kind of evidence only" in page.locator(".lacks").inner_text()
        page.locator("#confirm-note").fill("I asked the operator.")
        page.locator("#confirm-sources").fill("ftp://operator.example/")
        page.locator("#decide-confirm").get_by_role("button").click()
        assert "Not done. a source is no https address" in page.get_by_role("alert").inner_text()
        assert page.locator("#confirm-note").input_value() == "I asked the operator."
        page.locator("#confirm-sources").fill("https://operator.example/statement")
        page.locator("#decide-confirm").get_by_role("button").click()
        assert "Done: confirm" in page.get_by_role("status").inner_text()
        assert f"Reviewed by {person.name}" in page.locator(".tags").inner_text()
    assert [line[:2] for line in desk.audit(person.login)] == [("event.confirm", "refused"), ("event.confirm", "done")]


def test_a_decision_on_an_older_version_is_refused(own_desk, chromium):
    desk, person = own_desk, own_desk.person()
    with opened(chromium, cookies=[session_of(desk, person)]) as page:
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        with psycopg.connect(desk.site.dsn) as conn:
            add_version(conn, 3, "corrected", "late_data", shutdown_record())
        page.locator("#decide-hold summary").click()
        page.locator("#decide-hold").get_by_role("button").click()
        assert "version 3 was written since version 2" in page.get_by_role("alert").inner_text()
        page.locator("#decide-hold").get_by_role("button").click()
        assert "The public sees version 3." in page.locator("header.lead").inner_text()
        page.goto(f"{desk.url}/staff/")
        assert PUBLIC_ID in page.locator("section", has_text="Held back").inner_text()
    assert desk.site.client.get(f"/events/{PUBLIC_ID}/v3").status_code == 200


def test_a_cause_a_split_and_a_merger_are_decided_from_the_page(own_desk, chromium):
    desk, person = own_desk, own_desk.person()
    with opened(chromium, cookies=[session_of(desk, person)]) as page:
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        page.locator("#decide-cause summary").click()
        page.get_by_label("Cause", exact=True).select_option("cable cut")
        page.get_by_label("Who says so").select_option("operator statement")
        page.locator("#cause-sources").fill("https://operator.example/cable")
        page.locator("#decide-cause").get_by_role("button").click()
        assert "Cable cut" in page.locator(".facts").inner_text()
        page.locator("#decide-split summary").click()
        page.get_by_label("Airtel Kenya (AS36926)").check()
        page.locator("#decide-split").get_by_role("button").click()
        assert "Done: split" in page.get_by_role("status").inner_text()
        page.locator("#decide-merge summary").click()
        assert "Airtel Kenya" in page.get_by_label("With").locator("option").first.inner_text()
        page.locator("#decide-merge").get_by_role("button").click()
        assert "Done: merge" in page.get_by_role("status").inner_text()
    assert [line[:2] for line in desk.audit(person.login)] == [
        ("event.cause", "done"),
        ("event.split", "done"),
        ("event.merge", "done"),
    ]


def test_a_new_event_that_is_held_waits_at_the_desk_and_is_public_once_it_is_released(own_desk):
    desk, token = own_desk, own_desk.token(own_desk.person())
    key = uuid4()
    held = applied(shutdown_record(event_key=key), [Review(1, key, datetime.now(UTC), "settings", Action.HOLD)])
    with psycopg.connect(desk.site.dsn) as conn:
        add_event(conn, "CIV-2026-KE-0009", [("new", "detected", held)])
        conn.execute(
            "INSERT INTO review (event_key, at, reviewer, action) VALUES (%s, now(), 'settings', 'hold')", (key,)
        )
    client, path = desk.client(token), "/staff/events/CIV-2026-KE-0009"
    assert path in client.get("/staff/").text.partition("Going on")[0]
    assert "The public sees nothing of it." in client.get(path).text
    assert desk.site.client.get("/events/CIV-2026-KE-0009").status_code == 404
    fields = {"csrf": desk.csrf(token), "action": "release", "note": "Everybody is safe.", "seen_version": "1"}
    assert client.post(path, fields).status_code == 303
    assert desk.site.client.get("/events/CIV-2026-KE-0009").status_code == 200
    assert "Everybody is safe" not in desk.site.client.get("/events/CIV-2026-KE-0009").text


def test_a_confirmed_event_that_the_detector_no_longer_finds_waits_for_a_person(own_desk):
    desk, key = own_desk, KEY
    confirmed = Review(1, key, datetime.now(UTC), "Amina", Action.CONFIRM)
    with psycopg.connect(desk.site.dsn) as conn:
        conn.execute(
            "INSERT INTO review (event_key, at, reviewer, action) VALUES (%s, now(), 'Amina', 'confirm')", (key,)
        )
        add_version(conn, 3, "corrected", "late_data", applied(shutdown_record(status=Status.RETRACTED), [confirmed]))
    client = desk.client(desk.token(desk.person()))
    queue = client.get("/staff/").text
    assert PUBLIC_ID in queue.partition("no longer borne out")[2].partition("Going on")[0]
    assert "No longer borne out." in client.get(f"/staff/events/{PUBLIC_ID}").text


def test_a_household_s_event_is_never_said_to_be_public_and_cannot_be_confirmed(desk):
    page = desk.client(desk.token(desk.person())).get(f"/staff/events/{HOUSEHOLD_ID}").text
    assert "One household’s event: never public." in page
    assert "It cannot be confirmed: it is of one household" in page
    assert 'id="decide-confirm"' not in page
    assert 'id="decide-retract"' in page
    assert PROBE_ID % 0 not in page


@pytest.mark.parametrize(("name", "words"), [(BLOCKING_ID, "tls.reset"), (THROTTLING_ID, "Changed by people")])
def test_the_page_of_a_blocking_and_of_a_throttling_say_what_where_and_how(own_desk, name, words):
    with psycopg.connect(own_desk.site.dsn, autocommit=True) as conn:
        seed_services(conn)
        decide(conn, Wanted(THROTTLING_ID, Action.RETRACT, "Amina", "It was our own server."), datetime.now(UTC))
    page = own_desk.client(own_desk.token(own_desk.person())).get(f"/staff/events/{name}")
    assert page.status_code == 200
    assert words in page.text
    assert "Where on the way" in page.text


def test_a_stolen_cookie_opens_nothing_in_another_browser_and_is_logged(desk, chromium):
    person = desk.person()
    cookie = session_of(desk, person)
    with opened(chromium, agent="Somebody else's", cookies=[cookie]) as page:
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        assert "/staff/sign-in" in page.url
    with opened(chromium, cookies=[cookie]) as page:
        page.goto(f"{desk.url}/staff/")
        assert "/staff/sign-in" in page.url
    assert [line[:2] for line in desk.audit(person.login)] == [("session", "refused")] * 2


class _Elsewhere(BaseHTTPRequestHandler):
    """A page of another site that sends a form to the desk as soon as it is opened."""

    target = ""

    def do_GET(self):
        body = (
            f'<form method="post" action="{self.target}"><input name="action" value="retract"><input name="note"'
            ' value="gone"><input name="seen_version" value="2"></form><script>document.forms[0].submit()</script>'
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def elsewhere(target):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Elsewhere", (_Elsewhere,), {"target": target}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("host", "login", "detail"),
    [
        ("127.0.0.1", None, "forged: the form came from another site"),  # the same site to a browser: it has the cookie
        ("localhost", "(nobody)", "not signed in"),  # another site: the cookie stays at home
    ],
)
def test_a_form_of_another_site_decides_nothing_and_is_logged(desk, chromium, host, login, detail):
    person = desk.person()
    with (
        elsewhere(f"{desk.url}/staff/events/{PUBLIC_ID}") as port,
        opened(chromium, cookies=[session_of(desk, person)]) as page,
    ):
        page.goto(f"http://{host}:{port}/")
        page.wait_for_url(f"{desk.url}/staff/events/{PUBLIC_ID}")
        assert "Forbidden" in page.locator("main").inner_text()
    assert desk.audit(login or person.login)[-1] == ("form", "refused", detail)
    assert desk.value("SELECT count(*) FROM event_version WHERE event_key = %s", KEY) == 2


def test_what_a_role_may_not_do_is_not_offered_and_is_refused_and_logged(desk, chromium):
    viewer, reviewer = desk.person(Role.VIEWER), desk.person(Role.REVIEWER)
    cookie = session_of(desk, viewer)
    with opened(chromium, cookies=[cookie]) as page:
        page.goto(f"{desk.url}/staff/events/{PUBLIC_ID}")
        assert "Your role reads." in page.locator(".decide").inner_text()
        assert page.locator(".decide form").count() == 0
    fields = {"csrf": desk.csrf(cookie["value"]), "action": "retract", "note": "gone", "seen_version": "2"}
    answer = desk.client(cookie["value"], AGENT).post(f"/staff/events/{PUBLIC_ID}", fields)
    assert answer.status_code == 403
    assert desk.audit(viewer.login) == [("event.retract", "refused", "needs the role reviewer, has viewer")]
    assert desk.value("SELECT event_key FROM audit WHERE login = %s", viewer.login) == KEY
    assert desk.value("SELECT count(*) FROM event_version WHERE event_key = %s", KEY) == 2
    with opened(chromium, cookies=[session_of(desk, reviewer)]) as page:
        page.goto(f"{desk.url}/staff/")
        assert page.get_by_role("link", name="Audit log").count() == 0
        page.goto(f"{desk.url}/staff/audit")
        assert "This is for the role admin" in page.locator("main").inner_text()
    assert desk.audit(reviewer.login) == [("audit", "refused", "needs the role admin, has reviewer")]


@pytest.mark.parametrize("width", [1280, 360])
def test_the_desk_fits_its_screen_shows_hostile_names_as_text_and_leaves_the_console_silent(desk, chromium, width):
    person = desk.person(Role.ADMIN)
    with opened(chromium, width, cookies=[session_of(desk, person)]) as page:
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        for path in ("/staff/sign-in", "/staff/", f"/staff/events/{OPEN_ID}", f"/staff/events/{KEY}", "/staff/audit"):
            page.goto(desk.url + path)
            for summary in page.locator(".decision > summary").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert page.locator("h1").count() == 1, path
            if path in ("/staff/", f"/staff/events/{OPEN_ID}"):
                assert HOSTILE in page.locator("main").inner_text()
        assert said == []


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "destroy", "seen_version": "2"},
        {"action": "hold"},
        {"action": "split", "seen_version": "2", "asn": "many"},
    ],
)
def test_a_form_that_no_page_of_ours_sends_is_refused(desk, fields):
    token = desk.token(desk.person())
    answer = desk.client(token).post(f"/staff/events/{PUBLIC_ID}", {"csrf": desk.csrf(token), **fields})
    assert answer.status_code == 400
    assert desk.client(token).get("/staff/events/CIV-2026-KE-9999").status_code == 404
    assert desk.client(token).get("/staff/events/%00").status_code == 404


def test_the_audit_is_read_page_by_page_and_by_login(own_desk):
    admin = own_desk.person(Role.ADMIN)
    with psycopg.connect(own_desk.site.dsn) as conn:
        conn.execute(
            "INSERT INTO audit (at, login, action, outcome, detail)"
            " SELECT now(), 'badr', 'form', 'refused', 'line ' || n || '.' FROM generate_series(1, 150) n"
        )
    client = own_desk.client(own_desk.token(admin))
    first = client.get("/staff/audit?login=badr").text
    assert "line 150." in first
    assert "line 50." not in first
    older = first.partition('<a rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = client.get(older).text
    assert "line 50." in second
    assert "Older lines" not in second
    assert "Nothing is logged under this login" in client.get("/staff/audit?login=nobody").text
