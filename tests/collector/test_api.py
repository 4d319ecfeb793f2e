import csv
import io
import json
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import get_args

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from civobs_collector.api import body as bodies
from civobs_collector.api import models
from civobs_collector.api.app import create_app
from civobs_collector.api.deps import POOL_SIZE
from civobs_collector.api.problems import Problem
from civobs_collector.api.rate import TokenBuckets
from civobs_collector.api.sealing import Sealer
from civobs_collector.detect.record import EventRecord, Status
from civobs_collector.enrolment import MAX_REQUEST_BYTES
from civobs_collector.keys import make_key
from civobs_collector.publish.event_json import PublicEvent
from civobs_wire.enrol import TIME_CONTEXT, EnrolResponse, TimeResponse
from civobs_wire.envelope import open_sealed
from civobs_wire.failure import Outcome
from tests.collector.fix_web import (
    HOUSEHOLD_ID,
    KEY,
    OPEN_ID,
    PUBLIC_ID,
    add_version,
    served_at,
    settings_for,
    shutdown_record,
)
from tests.collector.test_enrolment import new_claim, request

FROM_TO = {"from": "2026-11-22T05:00:00Z", "to": "2026-11-22T06:00:00Z"}


def test_events_are_listed_latest_first_and_never_those_of_one_household(site):
    answer = models.EventPage.model_validate(site.client.get("/api/v1/events").json())
    assert {one.id for one in answer.items} == {PUBLIC_ID, OPEN_ID}
    assert HOUSEHOLD_ID not in site.client.get("/api/v1/events.csv").text
    for path in (f"/events/{HOUSEHOLD_ID}", f"/events/{HOUSEHOLD_ID}/v1", f"/events/{HOUSEHOLD_ID}/history"):
        assert site.client.get(path).status_code == 404
        assert site.client.get(f"/api/v1{path}").status_code == 404


def test_a_list_of_events_goes_on_where_its_page_ended(site):
    first = site.client.get("/api/v1/events", params={"limit": 1}).json()
    second = site.client.get("/api/v1/events", params={"limit": 1, "cursor": first["next"]}).json()
    assert {first["items"][0]["id"], second["items"][0]["id"]} == {PUBLIC_ID, OPEN_ID}
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"cc": "UG"}, {OPEN_ID}),
        ({"asn": "36926"}, {PUBLIC_ID}),
        ({"kind": "outage"}, {OPEN_ID}),
        ({"status": "closed"}, {PUBLIC_ID}),
        ({"level": "country"}, {PUBLIC_ID}),
        ({"to": "2026-11-22T05:00:00Z"}, set()),
        ({"from": "2026-11-23T00:00:00Z"}, {OPEN_ID}),
    ],
)
def test_events_are_filtered(site, query, ids):
    assert {one["id"] for one in site.client.get("/api/v1/events", params=query).json()["items"]} == ids


def test_an_unknown_filter_is_refused_instead_of_ignored(site):
    answer = site.client.get("/api/v1/events", params={"country": "KE"})
    assert answer.status_code == 422
    assert "country" in Problem.model_validate(answer.json()).errors[0].field


def test_an_event_tells_all_but_its_inner_key_and_its_households(site):
    answer = site.client.get(f"/api/v1/events/{PUBLIC_ID}")
    event = PublicEvent.model_validate(answer.json())
    assert event.version == 2
    assert event.supersedes == 1
    assert event.title == "Suspected Internet shutdown in Kenya"
    assert event.citation.endswith("CC BY 4.0.")
    assert str(KEY) not in answer.text
    assert "probe_id" not in answer.text
    left_out = set(EventRecord.model_fields) - set(PublicEvent.model_fields)
    assert left_out == {"event_key", "held", "machine"}


def test_a_version_is_served_for_ever_and_byte_for_byte(own_site):
    site = own_site
    path = f"/events/{PUBLIC_ID}/v1.json"
    first = site.client.get(path)
    assert first.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert 'rel="cite-as"' in first.headers["Link"]
    with psycopg.connect(site.dsn) as conn:
        add_version(conn, 3, "retracted", "human_review", shutdown_record(status=Status.RETRACTED))
    assert site.client.get(path).content == first.content
    newest = site.client.get(f"/events/{PUBLIC_ID}.json")
    assert newest.json()["version"] == 3
    assert "immutable" not in newest.headers["Cache-Control"]
    assert newest.json()["title"].startswith("Retracted: ")
    history = models.History.model_validate(site.client.get(f"/api/v1/events/{PUBLIC_ID}/history").json())
    assert [line.version for line in history.items] == [3, 2, 1]


def test_one_address_gives_a_page_or_json_by_what_is_asked_for(site):
    path = f"/events/{PUBLIC_ID}"
    page = site.client.get(path, headers={"Accept": "text/html,application/json;q=0.9"})
    data = site.client.get(path, headers={"Accept": "application/json"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert data.json()["id"] == PUBLIC_ID
    assert page.headers["Vary"] == data.headers["Vary"] == "Accept"


def test_the_csv_of_an_event_has_each_bin_of_its_chart(site):
    rows = list(csv.DictReader(io.StringIO(site.client.get(f"/events/{PUBLIC_ID}.csv").text)))
    grid = shutdown_record().grid
    assert len(rows) == len(grid.rows) * len(grid.rows[0].state)
    assert all(int(row["up"]) + int(row["down"]) + int(row["not_known"]) == int(row["households"]) for row in rows)
    assert {row["state"] for row in rows} == {"up", "degraded", "down", "not known"}


def test_measurements_name_no_home(site):
    answer = site.client.get("/api/v1/measurements", params={"cc": "KE", **FROM_TO})
    page = models.MeasurementPage.model_validate(answer.json())
    assert len(page.items) == 75
    assert page.items[0].detail == {"n": 4, "n_ok": 0}
    for secret in ("7k3m9qxp4a2bc", "192.168", "mono_ms", '"seq"', "probe_key"):
        assert secret not in answer.text


def test_measurements_are_read_page_by_page_without_a_gap_or_a_double(site):
    seen, query = [], {"cc": "KE", "limit": "20", **FROM_TO}
    while True:
        page = site.client.get("/api/v1/measurements", params=query).json()
        seen += [(one["probe"], one["at"]) for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 75
    assert [at for _, at in seen] == sorted(at for _, at in seen)


def test_measurements_as_csv_name_the_next_page(site):
    answer = site.client.get("/api/v1/measurements.csv", params={"cc": "KE", "limit": "10", **FROM_TO})
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 10
    following = site.client.get(answer.links["next"]["url"])
    assert len(list(csv.DictReader(io.StringIO(following.text)))) == 10
    assert following.text != answer.text


@pytest.mark.parametrize(
    ("query", "n"),
    [
        ({"asn": ["33771", "36926"]}, 50),
        ({"kind": "ladder", "target": "L4", "outcome": "failed"}, 75),
        ({"outcome": "ok"}, 0),
        ({"kind": "ping"}, 0),
    ],
)
def test_measurements_are_filtered(site, query, n):
    assert len(site.client.get("/api/v1/measurements", params={**query, **FROM_TO}).json()["items"]) == n


def test_the_evidence_link_of_an_event_gives_its_measurements(site):
    query = site.client.get(f"/api/v1/events/{PUBLIC_ID}").json()["evidence"]["query"]
    assert len(site.client.get(query).json()["items"]) == 65


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-11-22T06:00:00Z", "to": "2026-11-22T05:00:00Z"},
        {"from": "2026-01-01T00:00:00Z", "to": "2026-11-22T05:00:00Z"},
        {"from": "2026-11-22T05:00:00"},
        {"cc": "kenya"},
        {"limit": "0"},
        {"cursor": "x"},
        {"kind": "a\x00"},
    ],
)
def test_bad_questions_get_a_problem_document(site, query):
    answer = site.client.get("/api/v1/measurements", params=query)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = Problem.model_validate(answer.json())
    assert problem.detail
    assert problem.instance == "/api/v1/measurements"


@pytest.mark.parametrize("cursor", ["\N{GRINNING FACE}", "gAAAAA", "A" * 1000, ""])
def test_a_cursor_that_was_never_given_out_is_refused(site, cursor):
    for path in ("/api/v1/events", "/api/v1/measurements"):
        assert site.client.get(path, params={"cursor": cursor}).status_code == 422


def test_a_cursor_of_one_list_is_none_of_another(site):
    of_events = site.client.get("/api/v1/events", params={"limit": 1}).json()["next"]
    assert site.client.get("/api/v1/events", params={"cursor": of_events}).status_code == 200
    assert site.client.get("/api/v1/measurements", params={"cursor": of_events}).status_code == 422


@pytest.mark.parametrize("path", ["/", f"/events/{PUBLIC_ID}/v1", "/api/v1/events", "/static/site.css"])
def test_an_address_answers_head_as_it_answers_get_without_the_body(site, path):
    whole, head = site.client.get(path), site.client.head(path)
    assert head.status_code == whole.status_code
    assert head.content == b""
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert site.client.head("/enrol/v1").status_code == 405


def test_probes_are_counts_by_network(site):
    answer = site.client.get("/api/v1/probes", params={"cc": "KE"})
    networks = {one.asn: one for one in models.NetworkList.model_validate(answer.json()).items}
    assert networks[33771].households == networks[33771].households_heard == 6
    assert networks[33771].user_share == pytest.approx(0.62)
    assert networks[36926].user_share is None
    assert "7k3m9qxp4a2bc" not in answer.text
    fiji = site.client.get("/api/v1/probes", params={"cc": "FJ"}).json()["items"][0]
    assert (fiji["households"], fiji["households_heard"]) == (1, 0)


def test_of_a_country_it_is_said_which_kinds_of_access_are_observed(site):
    answer = site.client.get("/api/v1/countries", params={"cc": "KE"})
    (kenya,) = models.CountryList.model_validate(answer.json()).items
    assert {one.access: (one.sight, one.households) for one in kenya.access} == {
        "fixed": ("not_known", 0),
        "mobile": ("not_known", 0),
    }
    assert kenya.households > 0
    assert kenya.not_seen[0] in site.client.get("/countries/KE").text


def test_of_the_line_of_one_home_or_two_nothing_is_said(own_site):
    with psycopg.connect(own_site.dsn) as conn:
        conn.execute("UPDATE probe SET access = CASE WHEN cc = 'KE' AND asn <> 36866 THEN 'fixed' ELSE 'mobile' END")
    lines = own_site.client.get("/api/v1/countries").json()["items"]
    found = {line["cc"]: [(one["sight"], one["households"]) for one in line["access"]] for line in lines}
    assert found == {
        "FJ": [("not_known", None), ("not_known", None)],
        "KE": [("observed", None), ("observed", None)],
        "UG": [("not_known", None), ("not_known", None)],
    }
    assert "is not known" in own_site.client.get("/countries/FJ").text


def test_what_was_refused_is_counted_by_reason(site):
    lines = models.Quarantine.model_validate(site.client.get("/api/v1/quarantine").json()).items
    assert [(line.reason, line.n) for line in lines] == [("wrong_signature", 3)]


def test_health_is_good_while_every_role_gives_signs_of_life(own_site):
    site = own_site
    answer = site.client.get("/health")
    assert answer.status_code == 200
    assert models.Health.model_validate(answer.json()).status == "ok"
    with psycopg.connect(site.dsn) as conn:
        conn.execute("UPDATE collector_beat SET at = at - interval '10 minutes' WHERE role = 'detect'")
    answer = site.client.get("/health")
    assert answer.status_code == 503
    assert models.Health.model_validate(answer.json()).problems == ("no sign of life from detect",)


def test_metrics_are_in_prometheus_text(site):
    answer = site.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "civobs_ingest_results_total" in answer.text


def test_without_the_database_everything_says_so_and_when_to_come_back(tmp_path):
    for away in served_at("host=127.0.0.1 port=1 dbname=none connect_timeout=1", tmp_path):
        answer = away.client.get("/api/v1/events")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert answer.headers["Content-Type"] == "application/problem+json"
        page = away.client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 503
        assert "<h1>" in page.text
        health = away.client.get("/health")
        assert health.status_code == 503
        assert models.Health.model_validate(health.json()).database is False
        assert away.client.get("/static/site.css").status_code == 200


def test_an_address_without_anything_is_a_problem_for_programs_and_a_page_for_people(site):
    assert site.client.get("/nothing").headers["Content-Type"] == "application/problem+json"
    page = site.client.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")
    wrong = site.client.post("/api/v1/events")
    assert wrong.status_code == 405
    assert Problem.model_validate(wrong.json()).status == 405


def test_every_answer_forbids_what_it_does_not_need(site):
    for path in ("/", f"/events/{PUBLIC_ID}", "/api/v1/events", "/static/site.css", "/nothing"):
        headers = site.client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert site.client.get("/api/v1/events").headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in site.client.get("/health").headers


def test_the_time_is_signed_with_the_receipt_key(plain_dsn, tmp_path):
    key = make_key(tmp_path / "receipt.key")
    nonce = "0123456789abcdef" * 2
    for site in served_at(plain_dsn, tmp_path):
        answer = site.client.get("/time/v1", params={"nonce": nonce})
        told = TimeResponse.model_validate_json(open_sealed(key.public_key(), TIME_CONTEXT, answer.content))
        assert told.nonce == nonce
        assert abs(told.at - datetime.now(UTC)) < timedelta(seconds=10)
        wrong = site.client.get("/time/v1", params={"nonce": "short"})
        assert wrong.status_code == 400
        assert wrong.headers["Content-Type"] == "application/problem+json"


def test_enrolment_refuses_garbage_size_and_haste(plain_dsn, tmp_path):
    for site in served_at(plain_dsn, tmp_path):
        garbage = site.client.post("/enrol/v1", content=b"garbage")
        assert garbage.status_code == 400
        assert Problem.model_validate(garbage.json()).type == "urn:civobs:problem:enrolment-malformed"
        assert site.client.post("/enrol/v1", content=b"x" * (MAX_REQUEST_BYTES + 1)).status_code == 413
        answers = [site.client.post("/enrol/v1", content=b"garbage") for _ in range(12)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", ["/enrol/v1", "/staff/sign-in"])
def test_bodies_that_never_end_hold_up_no_reader(plain_dsn, tmp_path, monkeypatch, path):
    monkeypatch.setattr(bodies, "BODY_S", 4.0)
    head = f"POST {path} HTTP/1.1\r\nHost: observatory\r\nContent-Length: 1000\r\n\r\nx".encode()
    for site in served_at(plain_dsn, tmp_path):
        where = (site.client.base_url.host, site.client.base_url.port)
        with ExitStack() as lines:
            slow = [lines.enter_context(socket.create_connection(where, timeout=20)) for _ in range(POOL_SIZE)]
            for line in slow:
                line.sendall(head)
            time.sleep(0.5)
            assert site.client.get("/api/v1/events", timeout=3).status_code == 200
            assert all(line.recv(12) == b"HTTP/1.1 408" for line in slow)


def test_a_bucket_refills_and_counts_an_ipv6_line_as_one():
    now = [0.0]
    buckets = TokenBuckets(burst=2, refill_s=10, clock=lambda: now[0])
    assert [buckets.take("2001:db8::1"), buckets.take("2001:db8::2"), buckets.take("2001:db8::3")] == [0, 0, 10]
    assert buckets.take("2001:db8:0:1::1") == 0
    assert buckets.take("192.0.2.1") == 0
    now[0] = 10
    assert buckets.take("2001:db8::9") == 0


def test_a_pseudonym_lasts_for_one_quarter_and_one_observatory():
    ours, theirs = Sealer(b"a" * 32), Sealer(b"b" * 32)
    january, march, april = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 4))
    assert ours.pseudonym("p", january) == ours.pseudonym("p", march)
    assert ours.pseudonym("p", march) != ours.pseudonym("p", april)
    assert ours.pseudonym("p", march) != theirs.pseudonym("p", march)
    cursor = ours.seal_cursor("events", 4242424242)
    assert "4242424242" not in cursor
    assert ours.open_cursor("events", cursor) == [4242424242]


ANSWERS = [
    one
    for one in vars(models).values()
    if isinstance(one, type) and issubclass(one, models.Answer) and one.model_config.get("json_schema_extra")
]


@pytest.mark.parametrize("model", [*ANSWERS, Problem], ids=lambda model: model.__name__)
def test_the_example_of_an_answer_is_one(model):
    examples = model.model_config["json_schema_extra"]["examples"]
    assert examples
    for example in examples:
        assert json.loads(model.model_validate(example).model_dump_json()) == example


def test_the_example_of_an_event_is_one():
    text = (files("civobs_collector.api") / "example_event.json").read_text(encoding="utf-8")
    assert json.loads(PublicEvent.model_validate_json(text).model_dump_json()) == json.loads(text)


def test_every_answer_of_the_api_has_an_example(tmp_path):
    document = create_app(settings_for("dbname=none", tmp_path)).openapi()
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
            if content and "$ref" in content.get("schema", {}):
                name = content["schema"]["$ref"].rsplit("/", 1)[-1]
                shown = "examples" in schemas[name] or "example" in content
                assert shown or name == "EnrolResponse", f"{path}: {name} has no example"


def test_a_probe_enrols_over_http_and_a_repeated_request_gets_the_same_answer(plain_dsn, tmp_path):
    make_key(tmp_path / "receipt.key")
    make_key(tmp_path / "plan.key")
    with psycopg.connect(plain_dsn) as conn:
        message = request(new_claim(conn), Ed25519PrivateKey.generate())
    for site in served_at(plain_dsn, tmp_path):
        first, second = (site.client.post("/enrol/v1", content=message) for _ in range(2))
        assert first.status_code == 200, first.text
        assert EnrolResponse.model_validate_json(first.content).probe_id
        assert first.json() == second.json()
        assert site.client.get("/api/v1/probes").json()["items"][0]["probes"]["active"] == 1


def test_outcomes_of_the_api_are_those_of_the_wire():
    literal = models.MeasurementLine.model_fields["outcome"].annotation
    assert set(get_args(literal)) == {str(one) for one in Outcome}
