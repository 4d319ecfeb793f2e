"""The Atom feed: an entry for each published version, in XML that stays well-formed whatever names hold."""

from xml.etree import ElementTree as ET

import psycopg
import pytest

from tests.collector.fix_web import HOSTILE, HOUSEHOLD_ID, OPEN_ID, PUBLIC_ID, add_version, shutdown_record

pytestmark = pytest.mark.db

ATOM = "{http://www.w3.org/2005/Atom}"


def read(site, path):
    answer = site.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return ET.fromstring(answer.text)


def links(root):
    return [entry.findtext(f"{ATOM}id") for entry in root.iter(f"{ATOM}entry")]


def test_every_version_is_an_entry_and_no_household_is_one(site):
    root = read(site, "/events.atom")
    found = links(root)
    assert found[0] == f"{site.url}/events/{PUBLIC_ID}/v2"
    assert sorted(found[1:]) == [f"{site.url}/events/{PUBLIC_ID}/v1", f"{site.url}/events/{OPEN_ID}/v1"]
    assert HOUSEHOLD_ID not in str(found)
    assert any(HOSTILE in (entry.findtext(f"{ATOM}title") or "") for entry in root.iter(f"{ATOM}entry"))
    for entry in root.iter(f"{ATOM}entry"):
        address = entry.find(f"{ATOM}link").get("href")
        assert site.client.get(address).status_code == 200
        assert "observed household" in entry.findtext(f"{ATOM}summary")


def test_a_country_has_a_feed_of_its_own_that_its_page_names(site):
    root = read(site, "/countries/KE/events.atom")
    assert links(root) == [f"{site.url}/events/{PUBLIC_ID}/v{version}" for version in (2, 1)]
    assert root.findtext(f"{ATOM}title").endswith(": Kenya")
    assert root.findtext(f"{ATOM}updated") == root.find(f"{ATOM}entry").findtext(f"{ATOM}updated")
    assert 'href="/countries/KE/events.atom"' in site.client.get("/countries/KE").text
    assert links(read(site, "/countries/FJ/events.atom")) == []
    assert site.client.get("/countries/fiji/events.atom").status_code == 422


def test_a_name_with_what_xml_cannot_say_does_not_break_the_feed(own_site):
    record = shutdown_record()
    scope = record.scope.model_copy(update={"country": "Ken\x0bya \U0001f600"})
    with psycopg.connect(own_site.dsn) as conn:
        add_version(conn, 3, "corrected", "human_review", record.model_copy(update={"scope": scope}))
    entry = read(own_site, "/events.atom").find(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == "Suspected Internet shutdown in Kenya \U0001f600"
