"""Pages, sentences and tables of blocking and throttling."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import psycopg
import pytest

from civobs_collector.api.models import CodfPage, History
from civobs_collector.db.read_coverage import Coverage
from civobs_collector.detect.record import Confidence, ConfidenceLabel, EventKind, Level, Status, Transition
from civobs_collector.publish.changes import changes
from civobs_collector.publish.charts import event_timeline
from civobs_collector.publish.codf import codf
from civobs_collector.publish.event_json import PublicEvent
from civobs_collector.publish.published import PublishedEvent, signal_words, summary, title
from civobs_collector.publish.services import Finding, finding, mechanism_text, services
from civobs_collector.publish.tables_csv import events_csv, grid_csv
from civobs_collector.publish.times import middle
from civobs_collector.web.country_page import Window, country_timeline
from civobs_collector.web.event_page import hypotheses
from civobs_collector.web.places import local_clock
from civobs_collector.web.service_part import matrix
from tests.collector.fix_services import (
    BLOCKING_ID,
    BLOCKING_KEY,
    CAMPAIGN,
    TARGETS,
    THROTTLING_ID,
    UNBLOCKED_AT,
    blocking_record,
    seed_services,
    throttling_record,
)
from tests.collector.fix_web import ONSET, Site, seed, served_at, shutdown_record
from tests.fix_db import fresh_database

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def services_site(plain_server, tmp_path_factory) -> Iterator[Site]:
    """The site with events of services besides those of lines."""
    with fresh_database(plain_server) as dsn:
        with psycopg.connect(dsn) as conn:
            seed(conn, datetime.now(UTC))
            seed_services(conn)
        yield from served_at(dsn, tmp_path_factory.mktemp("keys"))


def published(record) -> PublishedEvent:
    return PublishedEvent(BLOCKING_ID, 2, UNBLOCKED_AT, "closed", "detected", record, "https://observatory.example")


def sure(label: ConfidenceLabel) -> Confidence:
    return Confidence(label=label, posterior=0.99, families=("inside_out",), reasons=())


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_of_a_blocking_says_what_where_and_how(services_site, chromium, width):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{services_site.url}/events/{BLOCKING_ID}")
    text = page.locator("main").inner_text()
    for words in (
        "Blocking of web.telegram.example and telegram.example in Kenya",
        "7 of 9 observed households could not reach web.telegram.example and telegram.example.",
        "What failed: the encrypted handshake (TLS) and the newer encrypted connection (QUIC).",
        "it depends on the name in the handshake: the same server answers under another name. tls.reset.sni",
        "The votes of all households together put the start between 9 Nov 05:08:00 and 9 Nov 05:12:00",
        "How it spread: a tenth of the affected networks by 9 Nov 05:10:00, half by 9 Nov 05:16:00, nine tenths by",
        "This is occurrence 3 of 28 in one campaign",
        "Services that are not on the list of targets were not tested.",
        "The name does not say who blocked it.",
        "Sum of surprise (CUSUM), nats: 21.5",
        "from 2 independent kinds of evidence: tests of the services from homes; the same services elsewhere",
    ):
        assert words in text
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cells = page.locator(".cells tbody tr").first.locator("td").all_inner_texts()
    assert [cell.strip() for cell in cells] == ["4 of 4", "1 of 3", "0 of 2"]
    assert page.locator(".bars > div").count() == 3
    assert page.locator(".cells svg[aria-label]").count() == 6
    page.close()
    assert said == []


def test_the_page_of_a_throttling_says_slow_and_not_down(services_site):
    page = services_site.client.get(f"/events/{THROTTLING_ID}").text
    assert "Suspected throttling of web.telegram.example in Kenya" in page
    assert "7 of 9 observed households found web.telegram.example slow." in page
    assert "Households that found it slow (of 9)" in page
    assert "never as “as fast as usual”" in page
    assert "could not reach" not in page


def test_blocked_is_said_only_with_a_trace_and_more_than_a_first_suspicion():
    scope = blocking_record().scope
    silent = scope.model_copy(update={"mechanisms": ("tcp.timeout", "tls.reset")})
    unconfirmed = sure(ConfidenceLabel.UNCONFIRMED)
    assert finding(blocking_record()) is Finding.BLOCKED
    assert finding(blocking_record(scope=silent)) is Finding.LIKELY_BLOCKED
    assert finding(blocking_record(confidence=unconfirmed)) is Finding.LIKELY_BLOCKED
    assert title(published(blocking_record(scope=silent))).startswith("Suspected blocking of ")
    assert finding(throttling_record()) is Finding.IMPAIRED
    assert finding(shutdown_record()) is Finding.DOWN
    slow = throttling_record(confidence=sure(ConfidenceLabel.PROBABLE))
    assert title(published(slow)) == "Throttling of web.telegram.example in Kenya"
    general = throttling_record(kind=EventKind.THROTTLING_GENERAL, confidence=sure(ConfidenceLabel.PROBABLE))
    assert title(published(general)) == "General slow-down in Kenya"
    assert "found the Internet slow." in summary(published(general), local_clock("KE"))


def test_many_services_are_counted_and_few_are_named():
    assert services(()) == "services"
    assert services(("a", "b", "c")) == "a, b and c"
    assert services(("a", "b", "c", "d")) == "4 services"


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [
        ("dns.injection.blockpage", "a forged answer came; the forged address shows a page"),
        ("ip.unreachable", "The route to the address (IP): the answer was that there is no way to it."),
        ("tls.throttle.sni", "the transfer was held to a low speed; it depends on the name"),
        ("http.blockpage", "The web page (HTTP): a page came that says that the service is blocked."),
        ("smtp.strange.thing", "Smtp: strange; thing."),
        ("tcp", "The connection (TCP)."),
    ],
)
def test_a_mechanism_is_said_in_words(mechanism, words):
    assert words in mechanism_text(mechanism)


def test_the_table_of_targets_by_networks_shows_the_worst_moment_of_each():
    found = matrix(published(blocking_record()))
    assert found is not None
    assert found.networks == (
        "Safaricom (AS33771)",
        "Airtel Kenya (AS36926)",
        "Jamii Telecommunications (AS36866)",
    )
    assert [target for target, _ in found.rows] == sorted(TARGETS)
    assert [(cell.state, cell.text) for cell in found.rows[0][1]] == [("d", "4 of 4"), ("g", "1 of 3"), ("u", "0 of 2")]
    assert matrix(published(shutdown_record())) is None


def test_a_target_nobody_tested_in_a_network_is_not_drawn_as_reached():
    grid = blocking_record().grid
    rows = tuple(row for row in grid.rows if (row.target, row.asn) != (TARGETS[0], 36866))
    found = matrix(published(blocking_record(grid=grid.model_copy(update={"rows": rows}))))
    assert found is not None
    assert [(cell.state, cell.text) for cell in dict(found.rows)[TARGETS[0]]][2] == ("?", "not tested")


def test_the_chart_has_a_lane_for_each_network_and_none_for_each_target():
    lanes = event_timeline(published(blocking_record())).lanes
    assert [lane.label for lane in lanes] == [
        "Kenya, all observed",
        "Safaricom (AS33771)",
        "Jamii Telecommunications (AS36866)",
        "Airtel Kenya (AS36926)",
    ]
    assert any(segment.label == "failed 9 h" for segment in lanes[0].segments)
    alone = event_timeline(published(throttling_record())).lanes
    assert alone[0].label == "Safaricom (AS33771)"
    scope = throttling_record().scope.model_copy(update={"targets": TARGETS})
    both = event_timeline(published(throttling_record(scope=scope))).lanes
    assert both[0].label == "web.telegram.example, Safaricom (AS33771)"


def test_a_long_blocking_hides_neither_hours_without_internet_nor_hours_without_data():
    shown = Window(ONSET - timedelta(days=1), ONSET + timedelta(days=1), ONSET + timedelta(days=1), timedelta(hours=1))
    slow = published(throttling_record(onset=Transition(earliest=shown.start, latest=shown.start)))
    hours = tuple(int(number not in (5, 6, 25)) for number in range(48))
    for events in ([published(shutdown_record()), slow], [slow, published(shutdown_record())]):
        lane = country_timeline("Kenya", [], {None: Coverage(hours, hours)}, events, shown).lanes[0]
        assert [segment.state for segment in lane.segments] == ["g", "?", "g", "d", "g"]


def test_a_signal_of_one_network_names_it():
    event = published(blocking_record())
    assert signal_words(event, "tls.AS33771")[0] == "Encrypted handshake (TLS), Safaricom (AS33771)"
    assert signal_words(event, "strange") == ("strange", "")


def test_hypotheses_stand_likeliest_first_and_without_those_that_say_nothing():
    record = blocking_record(hypotheses={"site_failure": 0.3, "blocking": 0.7, "common_cause": 0.0001, "new_one": 0.01})
    assert [name for name, _ in hypotheses(record)] == [
        "the way to the services, within the country",
        "the services themselves",
        "new one",
    ]


def test_json_and_csv_tell_targets_layers_and_mechanisms(services_site):
    event = PublicEvent.model_validate(services_site.client.get(f"/events/{BLOCKING_ID}.json").json())
    assert event.finding is Finding.BLOCKED
    assert event.scope.targets == TARGETS
    assert event.scope.mechanisms == ("tls.reset.sni", "quic.timeout.sni")
    assert event.campaign is not None
    assert event.campaign.campaign_id == CAMPAIGN
    (row,) = csv.DictReader(StringIO(events_csv([published(blocking_record())])))
    assert (row["finding"], row["targets"], row["occurrence"]) == ("blocked", " ".join(TARGETS), "3")
    bins = list(csv.DictReader(StringIO(grid_csv(published(blocking_record())))))
    assert {row["target"] for row in bins} == {"", *TARGETS}
    assert {row["state"] for row in bins} == {"reached", "failed", "failed in part", "not known"}


def test_an_ongoing_throttling_has_no_end_on_its_page(services_site):
    event = services_site.client.get(f"/events/{THROTTLING_ID}.json").json()
    assert event["status"] == Status.OPEN
    assert event["resolution"] is None


def test_the_history_shows_what_each_version_says_otherwise(services_site, chromium):
    page = chromium.new_page(viewport={"width": 360, "height": 800})
    page.goto(f"{services_site.url}/events/{BLOCKING_ID}/history")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h2").all_inner_texts() == ["Version 2: Closed", "Version 1: First publication"]
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".diff tbody tr").all()
    }
    assert rows["Status"] == ["Ongoing", "Ended"]
    assert rows["Campaign"] == ["none", "occurrence 3 of 28"]
    assert rows["Ended between (UTC)"] == ["none", "9 Nov 2023 13:16:00 to 9 Nov 2023 13:25:00"]
    assert "Title" not in rows
    page.close()
    history = History.model_validate(services_site.client.get(f"/api/v1/events/{BLOCKING_ID}/history").json())
    assert {one.name: [one.before, one.after] for one in history.items[0].changed} == rows
    assert history.items[1].changed == ()


def test_a_change_of_one_signal_names_it_and_no_change_is_none():
    before, moved = blocking_record(), blocking_record().per_signal
    late = moved[0].model_copy(update={"onset": moved[1].onset})
    after = blocking_record(per_signal=(late, *moved[2:]))
    found = {one.field: one for one in changes(published(before), published(after))}
    assert set(found) == {"per_signal.tls.onset", "per_signal.quic.onset", "per_signal.quic.resolution"}
    assert found["per_signal.tls.onset"].name == "Encrypted handshake (TLS): began"
    assert found["per_signal.quic.onset"].after == "none"
    assert changes(published(before), published(before)) == ()


def test_codf_fills_uncertainty_and_fraction_for_each_signal():
    rows = codf(published(blocking_record()))
    assert [(row.datasource, row.location) for row in rows] == [
        ("civobs.tls", "country/KE"),
        ("civobs.quic", "country/KE"),
        ("civobs.tls", "asn/33771"),
        ("civobs.tls", "asn/36926"),
    ]
    signal = blocking_record().per_signal[0]
    assert rows[0].start == middle(signal.onset).timestamp()
    assert (rows[0].duration, rows[0].uncertainty, rows[0].fraction) == (490 * 60, 4 * 60, 0.7778)
    assert not rows[0].overlaps_window


def test_codf_of_an_open_event_says_how_long_it_was_watched_and_of_a_retracted_one_nothing():
    (row,) = codf(published(throttling_record()))
    assert row.overlaps_window
    assert row.duration == round(throttling_record().severity.hours * 3600)
    scope = throttling_record().scope.model_copy(update={"level": Level.NETWORK})
    assert [row.location for row in codf(published(throttling_record(scope=scope)))] == ["asn/33771", "asn/36926"]
    assert codf(published(blocking_record(status=Status.RETRACTED))) == ()


def test_codf_is_served_for_lists_events_and_versions(services_site):
    client = services_site.client
    for path in ("/api/v1/events", f"/api/v1/events/{BLOCKING_ID}", f"/api/v1/events/{BLOCKING_ID}/v1"):
        page = CodfPage.model_validate(client.get(path, params={"format": "codf"}).json())
        assert any(BLOCKING_ID in row.civobs_event for row in page.data)
        assert client.get(path, params={"format": "xml"}).status_code == 422


def test_the_occurrences_of_a_campaign_have_a_page_and_a_filter(services_site, chromium):
    page = chromium.new_page(viewport={"width": 360, "height": 800})
    page.goto(f"{services_site.url}/campaigns/{CAMPAIGN}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    text = page.locator("main").inner_text()
    assert "in Kenya: 1 occurrence" in text
    assert "Occurrence 3" in text
    assert "They lasted 8 hours 10 minutes." in text
    page.close()
    found = services_site.client.get("/api/v1/events", params={"campaign": str(CAMPAIGN)}).json()["items"]
    assert [(one["id"], one["campaign"]) for one in found] == [(BLOCKING_ID, str(CAMPAIGN))]
    assert services_site.client.get(f"/campaigns/{BLOCKING_KEY}").status_code == 404
