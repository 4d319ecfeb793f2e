"""The outbox: who is told of what, when, how often, and what a failure or a restart leaves."""

from datetime import timedelta

import psycopg
import pytest

from civobs_collector.db.gauges import read_stored
from civobs_collector.detect.record import Cause, Confidence, ConfidenceLabel, Level, Scope, Status
from civobs_collector.notify import outbox
from tests.collector.fix_notify import BASE, START, opening, small, subscriber
from tests.collector.fix_web import shutdown_record

pytestmark = pytest.mark.db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TITLE = "Suspected Internet shutdown in Kenya (CIV-2026-KE-0001)"


def with_settings(newsroom, **changes):
    newsroom.settings = newsroom.settings.model_copy(update=changes)


def confirmed(record):
    label = {"label": ConfidenceLabel.CONFIRMED}
    return record.model_copy(update={"confidence": Confidence.model_validate(record.confidence.model_dump() | label)})


def test_an_event_s_story_is_one_message_a_change(newsroom):
    caused = confirmed(shutdown_record(cause=Cause(value="official_order", sources=("https://example.org/order",))))
    story = [
        (opening(), ["New: " + TITLE]),
        (opening(provisional=True, coverage_note="A chart that grew."), []),
        (confirmed(opening()), ["Confirmed: " + TITLE]),
        (confirmed(shutdown_record()), ["Over: " + TITLE]),
        (caused, ["Corrected: " + TITLE]),
        (caused.model_copy(update={"status": Status.RETRACTED}), ["Retracted: " + TITLE]),
    ]
    for record, subjects in story:
        newsroom.publish(record)
        assert newsroom.round() == subjects
        assert newsroom.round() == []


def test_a_network_s_outage_that_becomes_a_country_s_is_worse(newsroom):
    newsroom.publish(small())
    newsroom.round()
    newsroom.publish(opening())
    assert newsroom.round() == ["Worse: " + TITLE]
    said = newsroom.told[-1][2]
    assert "- Reach: one network → country" in said.text
    assert said.document["data"]["version_told_before"] == 1


def test_households_and_held_events_are_told_to_nobody(newsroom):
    newsroom.publish(small(Level.PROBE))
    newsroom.another(opening(held="review"))
    assert newsroom.round() == []
    assert newsroom.states() == []


def test_what_was_published_before_somebody_subscribed_is_not_sent(newsroom):
    newsroom.publish(opening(), START - 2 * HOUR)
    with_settings(newsroom, subscribers=(subscriber("late"),))
    outbox.begin(newsroom.conn, newsroom.settings, START - HOUR)
    assert newsroom.round() == []
    newsroom.publish(opening(coverage_note="A chart that grew."), START)
    assert newsroom.round() == []
    newsroom.publish(shutdown_record(), START)
    assert newsroom.round() == ["Over: " + TITLE]
    assert newsroom.told[-1][2].document["data"]["version_told_before"] is None


def test_what_nobody_was_told_yet_is_history_to_a_newcomer(newsroom):
    newsroom.publish(opening())
    with_settings(newsroom, subscribers=(subscriber(), subscriber("newcomer")))
    outbox.begin(newsroom.conn, newsroom.settings, START + MINUTE)
    newsroom.round(START + MINUTE)
    newsroom.publish(shutdown_record(), START + 2 * MINUTE)
    newsroom.round(START + 2 * MINUTE)
    assert [(name, said.document["type"]) for name, _, said in newsroom.told] == [
        ("desk", "event.opened"),
        ("desk", "event.closed"),
        ("newcomer", "event.closed"),
    ]


def test_what_is_held_back_is_told_when_it_is_released(newsroom):
    newsroom.publish(small())
    newsroom.round()
    for record in (opening(held="review"), shutdown_record(held="review")):
        newsroom.publish(record)
        assert newsroom.round() == []
    newsroom.publish(shutdown_record())
    assert newsroom.round() == ["Over: " + TITLE]
    assert newsroom.told[-1][2].document["data"]["version_told_before"] == 1


def test_what_is_rolled_back_is_not_told(newsroom):
    with newsroom.conn.transaction(force_rollback=True):
        newsroom.publish(opening())
    assert newsroom.round() == []


def test_several_versions_between_two_rounds_are_one_message(newsroom):
    for record in (opening(), confirmed(opening()), confirmed(shutdown_record())):
        newsroom.publish(record)
    assert newsroom.round() == ["New: " + TITLE]
    assert "It ended" in newsroom.told[0][2].text
    assert newsroom.states() == ["dropped", "dropped", "sent"]


def test_what_was_retracted_before_anybody_was_told_is_never_told(newsroom):
    newsroom.publish(opening())
    newsroom.publish(opening(status=Status.RETRACTED))
    assert newsroom.round() == []


def test_each_hears_of_the_countries_and_the_weight_they_asked_for(newsroom):
    many = (
        subscriber("all"),
        subscriber("uganda", countries=("UG",)),
        subscriber("countries", least_level="country"),
        subscriber("sure", least_confidence="confirmed"),
    )
    with_settings(newsroom, subscribers=many)
    outbox.begin(newsroom.conn, newsroom.settings, START - HOUR)

    def told(record):
        newsroom.publish(record)
        newsroom.told.clear()
        newsroom.round()
        return {name: said.document["type"] for name, _, said in newsroom.told}

    assert told(small()) == {"all": "event.opened"}
    assert told(opening()) == {"all": "event.worsened", "countries": "event.opened"}
    # Once told, always told: also of what has become smaller than they ask for.
    assert told(small()) == {"all": "event.corrected", "countries": "event.corrected"}
    assert told(confirmed(small())) == {
        "all": "event.confirmed",
        "countries": "event.confirmed",
        "sure": "event.opened",
    }


def night(**changes):
    return subscriber(quiet_from="22:00", quiet_until="07:00", time_zone="Africa/Nairobi", **changes)


def test_quiet_hours_delay_all_but_the_worst(newsroom):
    with_settings(newsroom, subscribers=(night(),))
    midnight = START + timedelta(hours=9)  # in Nairobi
    morning = START + timedelta(hours=16)
    newsroom.publish(small(), midnight)
    assert newsroom.round(midnight) == []
    newsroom.another(opening(), midnight)
    assert newsroom.round(midnight) == ["New: Suspected Internet shutdown in Kenya (CIV-2026-KE-0002)"]
    newsroom.publish(small(status=Status.CLOSED), midnight + HOUR)
    assert newsroom.round(morning - MINUTE) == []
    (subject,) = newsroom.round(morning)
    assert subject.endswith("(CIV-2026-KE-0001)")
    assert "no longer counted as observed" in newsroom.told[-1][2].text
    assert newsroom.round(morning + MINUTE) == []


def test_what_failed_before_the_quiet_hours_waits_for_the_morning(newsroom):
    with_settings(newsroom, subscribers=(night(),), retry_s=(HOUR.total_seconds(),) * 3)
    newsroom.down.add("desk")
    evening = START + timedelta(hours=6, minutes=30)
    newsroom.publish(small(), evening)
    newsroom.round(evening)
    newsroom.down.clear()
    assert newsroom.round(evening + 2 * HOUR) == []
    assert len(newsroom.round(START + timedelta(hours=16))) == 1


def test_many_events_become_a_digest_and_then_wait_for_the_next(newsroom):
    with_settings(newsroom, digest_from=3, digest_every_s=900.0)
    for _ in range(5):
        newsroom.another(opening())
    assert newsroom.round() == ["5 changes of events at Core Internet Values Observatory"]
    said = newsroom.told[0][2]
    assert len(said.document["data"]["events"]) == 5
    assert said.text.count(f"{BASE}/events/CIV-2026-KE-000") == 5
    # An hour has room for three messages, of which that was one.
    for _ in range(2):
        newsroom.another(opening(), START + MINUTE)
    assert len(newsroom.round(START + 3 * MINUTE)) == 2
    for _ in range(2):
        newsroom.another(opening(), START + 4 * MINUTE)
    assert newsroom.round(START + 17 * MINUTE) == []
    assert newsroom.round(START + 18 * MINUTE) == ["2 changes of events at Core Internet Values Observatory"]


def test_what_does_not_arrive_is_tried_again_with_the_same_key_and_then_given_up(newsroom):
    with_settings(newsroom, retry_s=(60.0, 120.0))
    newsroom.down.add("desk")
    newsroom.publish(opening())

    def seen():
        return newsroom.conn.execute("SELECT message, attempts, state, last_error FROM notice").fetchall()

    newsroom.round()
    ((message, *first),) = seen()
    assert first == [1, "waiting", "cannot be reached"]
    newsroom.round(START + timedelta(seconds=59))
    assert seen() == [(message, *first)]
    newsroom.round(START + MINUTE)
    assert seen() == [(message, 2, "waiting", "cannot be reached")]
    newsroom.round(START + 2 * MINUTE)
    newsroom.round(START + 3 * MINUTE)
    assert seen() == [(message, 3, "dead", "cannot be reached")]
    newsroom.down.clear()
    assert newsroom.round(START + HOUR) == []
    assert newsroom.told == []


def test_an_event_is_told_in_order_when_a_message_of_it_failed(newsroom):
    with_settings(newsroom, retry_s=(600.0,))
    newsroom.down.add("desk")
    newsroom.publish(opening())
    newsroom.round()
    newsroom.down.clear()
    newsroom.publish(shutdown_record())
    assert newsroom.round(START + MINUTE) == []
    assert newsroom.round(START + 10 * MINUTE) == ["New: " + TITLE]
    assert newsroom.round(START + 11 * MINUTE) == ["Over: " + TITLE]


def test_what_waits_and_what_was_given_up_are_counted_also_where_nobody_looks(newsroom):
    def counted():
        found = {one.name: one.value for one in read_stored(newsroom.conn, START)}
        return found["notices_waiting"], found["notices_dead"]

    with_settings(newsroom, retry_s=())
    newsroom.publish(opening())
    assert counted() == (1, 0)
    newsroom.down.add("desk")
    newsroom.round()
    assert counted() == (0, 1)


def test_one_who_cannot_be_reached_keeps_nobody_else_waiting(newsroom):
    with_settings(newsroom, subscribers=(subscriber("deaf"), subscriber()))
    outbox.begin(newsroom.conn, newsroom.settings, START - HOUR)
    newsroom.down.add("deaf")
    newsroom.publish(opening())
    assert newsroom.round() == ["New: " + TITLE]


def test_what_waits_for_one_who_is_no_longer_in_the_settings_is_dropped(newsroom):
    newsroom.down.add("desk")
    newsroom.publish(opening())
    newsroom.round()
    with_settings(newsroom, subscribers=(subscriber("other"),))
    outbox.begin(newsroom.conn, newsroom.settings, START)
    assert newsroom.states() == ["dropped"]
    newsroom.publish(shutdown_record())
    assert newsroom.round() == ["Over: " + TITLE]


def test_without_subscribers_the_list_of_what_is_new_does_not_grow(newsroom):
    with_settings(newsroom, subscribers=())
    newsroom.publish(opening())
    newsroom.round()
    assert newsroom.conn.execute("SELECT count(*) FROM notice_due").fetchone() == (0,)


def test_a_record_that_cannot_be_read_does_not_silence_the_next(newsroom, caplog):
    newsroom.publish(opening())
    with psycopg.connect(newsroom.conn.info.dsn) as owner:
        owner.execute("ALTER TABLE event_version DISABLE TRIGGER event_version_append_only")
        owner.execute("UPDATE event_version SET record = '{}'")
    newsroom.another(opening())
    assert newsroom.round() == ["New: Suspected Internet shutdown in Kenya (CIV-2026-KE-0002)"]
    assert "stored event is not told id=CIV-2026-KE-0001" in caplog.text


def test_the_networks_of_the_subject_cannot_break_a_line(newsroom):
    scope = Scope(level=Level.NETWORK, cc="KE", asns=(33771,), asns_observed=(33771,), names={33771: "A\r\nBcc: b@c.d"})
    newsroom.publish(opening(scope=scope))
    newsroom.round()
    assert len(newsroom.told) == 1
