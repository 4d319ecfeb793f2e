"""Webhooks and e-mail over real sockets: what arrives, that it is signed, and what a refusal means."""

import base64
import logging
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from civobs_collector.detect.record import Cause, Level, Note, Scope, Status
from civobs_collector.errors import ConfigError, KeyFileError
from civobs_collector.notify.change import Change
from civobs_collector.notify.mail import MailSender
from civobs_collector.notify.sending import SendError
from civobs_collector.notify.settings import MailSettings, NotifySettings, SubscriberSettings
from civobs_collector.notify.subscribers import quiet_until
from civobs_collector.notify.texts import CHANGES, Told, content
from civobs_collector.notify.webhook import WebhookSender
from civobs_collector.publish.published import PublishedEvent
from tests.collector.fix_notify import BASE, SECRET, START, opening, send, subscriber
from tests.collector.fix_web import shutdown_record

MESSAGE = UUID("019aa9a0-0000-4000-8000-00000000000a")


def told(record, change=Change.OPENED, before=None):
    def event(one):
        return PublishedEvent("CIV-2026-KE-0001", 1, START, "new", "detected", one, BASE)

    return Told(event(record), event(before) if before else None, change)


SAID = content([told(opening())], BASE)


@pytest.fixture
def secret_file(tmp_path):
    file = tmp_path / "hook.secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def hook(receiver, secret_file):
    one = SubscriberSettings(name="desk", webhook=receiver.url, secret_file=secret_file)
    return WebhookSender(one, timeout_s=0.3)


def test_a_webhook_s_receiver_verifies_it_and_reads_the_event(hook, receiver):
    send(hook, SAID, MESSAGE)
    (taken,) = receiver.taken
    document = Webhook(SECRET).verify(taken.body, taken.headers)
    assert taken.headers["webhook-id"] == f"msg_{MESSAGE.hex}"
    assert document["type"] == "event.opened"
    data = document["data"]
    assert (data["id"], data["country"]["cc"], data["confidence"]) == ("CIV-2026-KE-0001", "KE", "probable")
    assert data["permalink"] == f"{BASE}/events/CIV-2026-KE-0001/v1"
    assert "The observatory does not infer causes." in " ".join(data["not_known"])


def test_a_webhook_that_was_altered_on_its_way_is_not_verified(hook, receiver):
    send(hook, SAID, MESSAGE)
    (taken,) = receiver.taken
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(taken.body.replace(b"probable", b"confirmed"), taken.headers)


def test_a_repetition_says_the_same_to_the_letter_under_the_same_name(hook, receiver):
    send(hook, SAID, MESSAGE)
    send(hook, content([told(opening())], BASE), MESSAGE)
    first, second = receiver.taken
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


@pytest.mark.parametrize(("status", "final"), [(500, False), (404, False), (302, False), (410, True)])
def test_what_is_not_taken_is_said_and_redirects_are_not_followed(hook, receiver, status, final):
    receiver.answers = [status]
    with pytest.raises(SendError, match=f"answered with HTTP {status}") as caught:
        send(hook, SAID)
    assert caught.value.final is final
    assert len(receiver.taken) == 1


def test_a_receiver_that_never_answers_is_left_in_time(hook, receiver):
    receiver.may_answer.clear()
    with pytest.raises(SendError, match=r"no answer within 0\.3 s"):
        send(hook, SAID)


def test_a_receiver_that_is_away_or_speaks_otherwise_is_said_without_its_address(secret_file):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    for url, words in ((f"http://127.0.0.1:{port}/x", "cannot be reached"), (f"https://127.0.0.1:{port}/x", "reached")):
        sender = WebhookSender(SubscriberSettings(name="d", webhook=url, secret_file=secret_file), 5)
        with pytest.raises(SendError, match=words) as caught:
            send(sender, SAID)
        assert "127" not in str(caught.value)


def test_a_receiver_without_tls_where_https_is_asked_is_said(receiver, secret_file):
    url = receiver.url.replace("http:", "https:")
    sender = WebhookSender(SubscriberSettings(name="d", webhook=url, secret_file=secret_file), 5)
    with pytest.raises(SendError, match="TLS: "):
        send(sender, SAID)


def test_neither_address_nor_secret_is_logged(hook, caplog):
    with caplog.at_level(logging.DEBUG):
        send(hook, SAID)
    assert "sesame" not in caplog.text
    assert SECRET not in caplog.text
    assert "/hook" not in caplog.text


@pytest.mark.parametrize(
    ("text", "words"), [("whsec_" + "A" * 20, "shorter than 24 bytes"), ("whsec_!!!", "no secret"), ("", "no text")]
)
def test_a_secret_that_is_none_is_refused_before_the_first_message(secret_file, text, words):
    secret_file.write_text(text)
    one = SubscriberSettings(name="desk", webhook="https://example.org/", secret_file=secret_file)
    with pytest.raises((ConfigError, KeyFileError), match=words) as caught:
        WebhookSender(one, 1)
    assert len(text) < 7 or text not in str(caught.value)


def test_a_secret_that_others_can_read_is_refused(secret_file):
    secret_file.chmod(0o644)
    one = SubscriberSettings(name="desk", webhook="https://example.org/", secret_file=secret_file)
    with pytest.raises(KeyFileError, match="others can read it"):
        WebhookSender(one, 1)


def mail_to(post_office, tmp_path, **changes):
    password = tmp_path / "mail.password"
    password.write_text("sesame\n")
    password.chmod(0o600)
    values = {
        "host": "localhost",
        "port": post_office.port,
        "tls": "starttls",
        "tls_ca": post_office.ca_file,
        "username": "civobs",
        "password_file": password,
        "sender": "alerts@observatory.example",
    }
    settings = MailSettings.model_validate(values | changes)
    return MailSender(settings, "desk@example.org", base_url=BASE, timeout_s=5)


def test_a_mail_arrives_encrypted_signed_in_and_says_what_is_known_and_what_not(post_office, tmp_path):
    send(mail_to(post_office, tmp_path), SAID, MESSAGE)
    (letter,) = post_office.letters
    assert post_office.encrypted == [True]
    assert post_office.logins == [b"civobs"]
    assert letter["subject"] == "New: Suspected Internet shutdown in Kenya (CIV-2026-KE-0001)"
    assert letter["message-id"] == f"<{MESSAGE.hex}@observatory.example>"
    assert letter["auto-submitted"] == "auto-generated"
    text = letter.get_content()
    for words in (
        "13 of 15 observed households lost the connections to other countries.",
        "No end had been seen when this version was published.",
        "Confidence: probable, from 2 independent kinds of evidence",
        "What is not known:",
        "No person has reviewed it yet.",
        "- The cause is not known. The observatory does not infer causes.",
        "- Probes are in volunteers' homes on fixed lines",
        f"{BASE}/events/CIV-2026-KE-0001/v1",
    ):
        assert words in text


def test_letters_of_one_event_are_one_thread(post_office, tmp_path):
    sender = mail_to(post_office, tmp_path)
    send(sender, SAID)
    send(sender, content([told(shutdown_record(), Change.CLOSED, opening())], BASE))
    first, second = post_office.letters
    assert first["references"] == second["references"]
    assert first["message-id"] != second["message-id"]
    assert "- Ended between (UTC): none → " in second.get_content()


def test_what_is_retracted_is_told_as_what_had_been_said(post_office, tmp_path):
    note = Note(at=START, by="Amina", action="retract", text="It was the broker.")
    record = opening(status=Status.RETRACTED, limits=("The facts do not bear it out.", "No mobile."), notes=(note,))
    said = content([told(record, Change.RETRACTED, opening())], BASE)
    lines = said.text.splitlines()
    assert lines[2:4] == [
        "The observatory no longer stands by this event. Please do not report it further.",
        "The facts do not bear it out.",
    ]
    assert lines[4].startswith("It had said: 13 of 15 observed households lost")
    assert "- Amina: It was the broker." in lines
    assert "Confidence" not in said.text
    assert said.document["data"]["not_known"][1:] == ["No mobile."]
    digest = content([told(record, Change.RETRACTED, opening()), told(opening())], BASE)
    assert "  The observatory no longer stands by this event." in digest.text


def test_a_cause_is_told_with_its_source(post_office, tmp_path):
    record = opening(
        cause=Cause(value="official_order", basis="official_statement", sources=("https://example.org/1",))
    )
    text = content([told(record, Change.CORRECTED, opening())], BASE).text
    assert "- Cause: unknown → official order" in text
    assert "Sources of the cause:\n- https://example.org/1" in text
    assert "The cause is not known" not in text


def test_a_name_with_a_line_s_end_begins_no_header(post_office, tmp_path):
    scope = Scope(level=Level.NETWORK, cc="KE", asns=(1,), asns_observed=(1,), names={1: "A\r\nBcc: thief@example.org"})
    send(mail_to(post_office, tmp_path), content([told(opening(scope=scope))], BASE))
    (letter,) = post_office.letters
    assert letter["bcc"] is None


@pytest.mark.parametrize(
    ("answer", "words", "final"),
    [("451 later", r"refuses the message \(SMTP 451\)", False), ("554 no", r"refuses the message \(SMTP 554\)", True)],
)
def test_a_refused_mail_is_tried_again_only_where_the_server_says_later(post_office, tmp_path, answer, words, final):
    post_office.answers = [answer]
    with pytest.raises(SendError, match=words) as caught:
        send(mail_to(post_office, tmp_path), SAID)
    assert caught.value.final is final


def test_nothing_is_sent_without_the_encryption_that_was_asked_for(post_office, tmp_path):
    with pytest.raises(SendError, match="TLS: "):
        send(mail_to(post_office, tmp_path, tls_ca=None), SAID)
    with pytest.raises(SendError, match="TLS: "):
        send(mail_to(post_office, tmp_path, tls="tls"), SAID)
    assert post_office.letters == []


def test_a_wrong_password_is_said_and_tried_again(post_office, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("open")
    wrong.chmod(0o600)
    with pytest.raises(SendError, match=r"refuses the password \(SMTP 535\)") as caught:
        send(mail_to(post_office, tmp_path, password_file=wrong), SAID)
    assert not caught.value.final


def test_a_mail_server_that_is_away_is_said(post_office, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    with pytest.raises(SendError, match="cannot be reached: Connection refused"):
        send(mail_to(post_office, tmp_path, port=port), SAID)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mail": None}, "needs a webhook or a mail address"),
        ({"webhook": "https://example.org/"}, "and not both"),
        ({"mail": None, "webhook": "https://example.org/"}, "needs a secret_file"),
        ({"mail": None, "webhook": "http://example.org/", "secret_file": "/x"}, "must begin with https"),
        ({"mail": None, "webhook": "https://u:p@example.org/", "secret_file": "/x"}, "must hold no password"),
        ({"mail": "desk"}, "match pattern"),
        ({"mail": "ä@example.org"}, "match pattern"),
        ({"mail": "a@example.org,b@example.org"}, "match pattern"),
        ({"name": "The desk"}, "match pattern"),
        ({"quiet_from": "22:00"}, "need a beginning and another end"),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "need a beginning and another end"),
        ({"time_zone": "Africa/Atlantis"}, "no such time zone"),
        ({"countries": ["ke"]}, "match pattern"),
    ],
)
def test_a_subscriber_who_cannot_be_meant_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        subscriber(**values)


def test_mail_to_another_machine_is_not_sent_in_the_clear_and_names_are_given_once():
    with pytest.raises(ValidationError, match="not sent in the clear"):
        MailSettings(host="mail.example.org")
    with pytest.raises(ValidationError, match="two subscribers are called desk"):
        NotifySettings(subscribers=(subscriber(), subscriber()))


NIGHT = subscriber(quiet_from="22:00", quiet_until="07:00", time_zone="Europe/Berlin")
NOON = subscriber(quiet_from="12:00", quiet_until="14:00")


@pytest.mark.parametrize(
    ("who", "at", "over"),
    [
        (NIGHT, "2026-11-22T20:59:59", None),
        (NIGHT, "2026-11-22T21:00:00", "2026-11-23T06:00:00"),
        (NIGHT, "2026-11-23T05:59:59", "2026-11-23T06:00:00"),
        (NIGHT, "2026-11-23T06:00:00", None),
        # Clocks go forward on 29 March 2026 and back on 25 October: the hour on the wall counts.
        (NIGHT, "2026-03-28T21:30:00", "2026-03-29T05:00:00"),
        (NIGHT, "2026-10-24T20:30:00", "2026-10-25T06:00:00"),
        (NOON, "2026-11-22T12:00:00", "2026-11-22T14:00:00"),
        (NOON, "2026-11-22T14:00:00", None),
        (subscriber(), "2026-11-22T03:00:00", None),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(who, at, over):
    expected = over and datetime.fromisoformat(over).replace(tzinfo=UTC)
    assert quiet_until(who, datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


def test_a_secret_of_the_documents_form_is_taken(secret_file):
    secret_file.write_text("whsec_" + base64.b64encode(bytes(range(24))).decode())
    assert WebhookSender(SubscriberSettings(name="d", webhook="https://example.org", secret_file=secret_file), 1)
    assert timedelta(seconds=sum(NotifySettings().retry_s)) > timedelta(days=3)


def test_the_page_for_staff_has_every_key_of_a_subscriber_and_every_change():
    page = (Path(__file__).parents[2] / "docs" / "operating" / "notifications.md").read_text()
    assert [key for key in SubscriberSettings.model_fields if f"`{key}`" not in page] == []
    assert [change for change in Change if f"| `{change}` |" not in page] == []
    assert set(CHANGES) == set(Change)
    data = content([told(opening())], BASE).document["data"]
    assert [key for key in data if f"`{key}`" not in page] == []
