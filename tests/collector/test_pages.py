"""The pages in a real browser, and the sentences on them."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

import psycopg
import pytest

from civobs_collector.detect.record import Bounds, Depth, EventKind, Level, Scope, Status, Transition
from civobs_collector.publish.chart_spec import COLOURS, WIDE, timeline_spec
from civobs_collector.publish.charts import Lane, Segment, Timeline, event_timeline, overlay
from civobs_collector.publish.citation import citation
from civobs_collector.publish.published import PublishedEvent, over_at, status_words, summary, title
from civobs_collector.publish.tables_csv import events_csv, to_csv
from civobs_collector.publish.times import duration, full_text, middle, when
from civobs_collector.web.country_page import PERIODS
from civobs_collector.web.event_page import describe, hours
from civobs_collector.web.places import local_clock
from civobs_collector.web.templates import time_dated
from tests.collector.fix_web import END, HOSTILE, ONSET, OPEN_ID, PUBLIC_ID, add_version, served_at, shutdown_record

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/countries/KE",
    "/countries/FJ?period=24h",
    f"/events/{PUBLIC_ID}",
    f"/events/{PUBLIC_ID}/v1",
    f"/events/{PUBLIC_ID}/history",
    f"/events/{OPEN_ID}",
)


def published(record=None, **changes):
    values = {
        "public_id": PUBLIC_ID,
        "version": 2,
        "published_at": END,
        "change_kind": "closed",
        "reason": "detected",
        "record": record or shutdown_record(),
        "base_url": "https://observatory.example",
    }
    return PublishedEvent(**{**values, **changes})


@pytest.mark.parametrize("width", [1280, 360])
def test_pages_fit_their_screen_and_leave_the_console_silent(site, chromium, width):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    said, elsewhere = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(site.url) else elsewhere.append(one.url))
    for path in PAGES:
        page.goto(site.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("h1").count() == 1, path
        assert page.evaluate("document.documentElement.lang") == "en"
    page.close()
    assert said == []
    assert elsewhere == []


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (360, "narrow")])
@pytest.mark.parametrize("path", [f"/events/{PUBLIC_ID}", "/countries/KE"])
def test_one_chart_is_seen_with_readable_text_and_a_title(site, chromium, path, width, shown):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(site.url + path)
    visible = page.locator("svg.chart:visible")
    assert visible.count() == 1
    assert page.locator(f".chart-{shown} svg.chart").is_visible()
    assert any("Kenya" in text for text in visible.locator("text").all_text_contents())
    assert visible.locator("title").text_content()
    sizes = visible.locator("text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(size for size in sizes if size) >= 9
    page.close()


def test_an_event_page_answers_what_a_journalist_asks(site, chromium):
    page = chromium.new_page()
    page.goto(f"{site.url}/events/{PUBLIC_ID}")
    text = page.locator("main").inner_text()
    for words in (
        "Suspected Internet shutdown in Kenya",
        "13 of 15 observed households lost the connections to other countries.",
        "Affected: 3 of 4 observed networks.",
        "on 22 November 2026 at about 05:10 UTC (08:10 local time)",
        "the same day at about 09:41 UTC (12:41 local time), after about 4 hours 31 minutes.",
        "Confidence: probable, from 2 independent kinds of evidence",
        "The observatory does not infer causes.",
        "the fault most likely lies with the connections out of the country",
        "What we cannot say",
        "nothing can be said about mobile networks",
        "Observed and not affected: Jamii Telecommunications (AS36866)",
        "version 1.0.0, thresholds 2026-11-01 sha256:9f2b6c01",
    ):
        assert words in text
    names = page.locator(".facts dt").all_inner_texts()
    assert names == ["Confidence", "Severity", "Scope", "Cause"]
    assert page.locator("time").first.get_attribute("datetime").endswith("Z")
    assert page.locator("#citation").inner_text().endswith("CC BY 4.0.")
    page.get_by_text("The same data as a table").click()
    assert page.get_by_role("cell", name="not known").first.is_visible()
    page.close()


def test_an_event_page_prints_with_its_headline(site, chromium):
    page = chromium.new_page()
    page.goto(f"{site.url}/events/{PUBLIC_ID}")
    printed = page.pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("h1").is_visible()
    assert page.locator(".chart-wide svg").is_visible()
    assert not page.get_by_role("navigation", name="Site").is_visible()
    page.close()


def test_hostile_names_are_shown_as_text(site, chromium):
    page = chromium.new_page()
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    for path in ("/", f"/events/{OPEN_ID}", "/countries/UG"):
        page.goto(site.url + path)
        assert HOSTILE in page.locator("main").inner_text()
        assert page.locator("main script, main img").count() == 0
    page.close()
    assert asked == []


def test_a_frozen_page_stays_the_same_when_more_is_published(own_site):
    site = own_site
    path = f"/events/{PUBLIC_ID}/v1"
    first = site.client.get(path)
    assert "immutable" in first.headers["Cache-Control"]
    with psycopg.connect(site.dsn) as conn:
        add_version(conn, 3, "corrected", "human_review", shutdown_record(depth=Depth.FULL))
    assert site.client.get(path).text == first.text
    assert "Version 2" not in first.text


def test_a_published_version_stays_the_same_when_a_network_or_a_country_is_renamed(own_site):
    site = own_site
    paths = [f"/events/{PUBLIC_ID}/v2{ending}" for ending in ("", ".json", ".csv")]
    first = [site.client.get(path) for path in paths]
    assert all(answer.status_code == 200 and "Safaricom" in answer.text for answer in first)
    with psycopg.connect(site.dsn) as conn:
        conn.execute("UPDATE network SET name = 'Renamed'")
        conn.execute("INSERT INTO country VALUES ('KE', 'Renamed') ON CONFLICT (cc) DO UPDATE SET name = 'Renamed'")
    assert [site.client.get(path).content for path in paths] == [answer.content for answer in first]
    assert "Renamed" in site.client.get("/countries/KE").text


def test_no_data_is_said_and_never_shown_as_fine(site):
    overview, fiji = site.client.get("/").text, site.client.get("/countries/FJ").text
    assert '<span class="tag tag-nodata">No data</span>' in overview
    assert overview.index("Fiji") < overview.index("No event now")
    assert "No data at the moment" in fiji
    assert "168 hours of 168 without any measurement" in fiji
    assert "6 hours of 168 without any measurement" in site.client.get("/countries/KE").text


def test_while_the_observatory_is_away_no_country_is_called_quiet(own_site):
    site = own_site
    with psycopg.connect(site.dsn) as conn:
        conn.execute("UPDATE collector_beat SET at = at - interval '1 hour' WHERE role = 'ingest'")
    page = site.client.get("/").text
    assert "The observatory itself is not receiving data" in page
    assert "tag-quiet" not in page


def test_an_empty_observatory_says_that_it_has_nothing_to_say(plain_dsn, tmp_path):
    for site in served_at(plain_dsn, tmp_path):
        assert "No probe has been enrolled yet" in site.client.get("/").text
        assert site.client.get("/countries/KE", headers={"Accept": "text/html"}).status_code == 404


def test_every_period_of_a_country_has_a_page(site):
    for period in PERIODS:
        answer = site.client.get("/countries/KE", params={"period": period.id})
        assert answer.status_code == 200
        assert f'period={period.id}" aria-current="page"' in answer.text
    assert site.client.get("/countries/KE", params={"period": "2d"}).status_code == 404
    assert site.client.get("/countries/ke").headers["Location"] == "/countries/KE"


def test_a_wide_interval_is_said_with_both_ends():
    wide = Bounds(earliest=ONSET, latest=ONSET + timedelta(minutes=50))
    assert when(wide, local_clock("KE")) == (
        "on 22 November 2026 between 05:09 and 05:59 UTC (08:09 and 08:59 local time)"
    )
    overnight = Bounds(earliest=ONSET, latest=ONSET + timedelta(hours=20))
    assert when(overnight, local_clock("KE")) == (
        "between 22 November 2026, 05:09 UTC (08:09 local time) and 23 November 2026, 01:09 UTC (04:09 local time)"
    )


def test_a_short_event_is_told_with_seconds():
    onset = Transition(earliest=ONSET, latest=ONSET + timedelta(seconds=7))
    end = Transition(earliest=ONSET + timedelta(seconds=45), latest=ONSET + timedelta(seconds=47))
    text = summary(published(shutdown_record(onset=onset, resolution=end)), local_clock("KE"))
    assert "It began on 22 November 2026 at about 05:09:34 UTC (08:09:34 local time)." in text
    assert "It ended the same day at about 05:10:16 UTC (08:10:16 local time), after about 42 seconds." in text
    assert (hours(42 / 3600), hours(0.5), hours(4.53)) == ("42\u00a0s", "30\u00a0min", "4.5\u00a0h")


def test_a_minute_of_trouble_is_wide_enough_to_be_seen_on_a_year():
    start, end = ONSET - timedelta(days=360), ONSET + timedelta(minutes=1)
    lane = Lane("Kenya", "1 household", (Segment(start, ONSET, "u"), Segment(ONSET, end, "d")))
    bars = timeline_spec(Timeline(start, end, (lane,)), WIDE)["vconcat"][0]["data"]["values"]
    (down,) = [bar for bar in bars if bar["fill"] == COLOURS["d"]]
    assert (down["to"] - down["from"]) / (end - start).total_seconds() / 1000 * (WIDE - 36) >= 2.99
    assert down["to"] <= end.timestamp() * 1000


def test_local_time_is_shown_only_where_the_country_has_one():
    late = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
    assert full_text(late, local_clock("KE")) == ("22 November 2026, 21:30 UTC (00:30 local time on 23 November 2026)")
    assert full_text(late, local_clock("IR")).endswith("(01:00 local time on 23 November 2026)")
    assert full_text(late, local_clock("RU")) == "22 November 2026, 21:30 UTC"
    assert full_text(late, local_clock("ZZ")) == "22 November 2026, 21:30 UTC"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=45), "45 seconds"),
        (timedelta(minutes=12), "12 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=4, minutes=31), "4 hours 31 minutes"),
        (timedelta(days=3, hours=2), "3 days 2 hours"),
        (timedelta(minutes=59, seconds=45), "1 hour"),
    ],
)
def test_durations_are_said_as_people_say_them(span, words):
    assert duration(span) == words


def test_each_kind_and_depth_makes_a_sentence():
    for kind in EventKind:
        for depth in Depth:
            event = published(shutdown_record(kind=kind, depth=depth))
            assert "Kenya" in title(event)
            assert summary(event, local_clock("KE")).count(". ") >= 3


def test_a_network_without_a_name_goes_by_its_number():
    scope = Scope(level=Level.NETWORK, cc="KE", asns=(64999,), country="Kenya")
    record = shutdown_record(scope=scope, kind=EventKind.OUTAGE)
    assert title(published(record)) == "Internet outage of AS64999, Kenya"
    named = record.model_copy(update={"scope": scope.model_copy(update={"names": {64999: "Acme"}})})
    assert title(published(named)) == "Internet outage of Acme (AS64999), Kenya"


def test_a_retraction_stands_in_the_title_and_an_open_event_has_no_end():
    retracted = shutdown_record(status=Status.RETRACTED)
    assert title(published(retracted)).startswith("Retracted: ")
    running = shutdown_record(status=Status.OPEN, resolution=None)
    assert "No end had been seen" in summary(published(running), local_clock("KE"))


def test_an_event_that_lapsed_is_not_said_to_have_ended():
    event = published(shutdown_record(resolution=None))
    watched = timedelta(hours=event.record.severity.hours)
    assert status_words(event.record)[0] == "Closed, end not known"
    assert f"Its end is not known: after about {duration(watched)} those" in summary(event, local_clock("KE"))
    assert over_at(event.record) == middle(event.record.onset) + watched
    assert "with no end known" in describe(event, event_timeline(event))
    assert [row["resolution_latest"] for row in csv.DictReader(StringIO(events_csv([event])))] == [""]


def test_a_citation_names_version_link_and_day():
    assert citation(published(), datetime(2026, 12, 1, tzinfo=UTC).date()) == (
        'Core Internet Values Observatory (2026). "Suspected Internet shutdown in Kenya", event CIV-2026-KE-0001, '
        "version 2, 2026-11-22. https://observatory.example/events/CIV-2026-KE-0001/v2. Accessed 1 December 2026. "
        "CC BY 4.0."
    )


def test_a_spreadsheet_is_given_no_formula():
    assert to_csv(("name", "n"), [("=HYPERLINK(1)", -1)]).splitlines()[1] == "'=HYPERLINK(1),-1"
    assert events_csv([published()]).count("\n") == 2


def test_what_is_laid_over_a_state_cuts_it_away():
    hours = [ONSET + timedelta(hours=number) for number in range(5)]
    base = (Segment(hours[0], hours[4], "u"),)
    above = (Segment(hours[1], hours[3], "g"), Segment(hours[2], hours[3], "d"))
    assert [(one.start, one.state) for one in overlay(base, above)] == [
        (hours[0], "u"),
        (hours[1], "g"),
        (hours[2], "d"),
        (hours[3], "u"),
    ]


def test_a_table_names_the_year_unless_it_is_the_one_known():
    assert time_dated(ONSET, 2026) == '<time datetime="2026-11-22T05:09:30Z">22 Nov 05:09:30</time>'
    assert time_dated(ONSET, 2027) == time_dated(ONSET)
    assert ">22 Nov 2026 05:09:30<" in time_dated(ONSET)
