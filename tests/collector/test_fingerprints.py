"""Lists of fingerprints from file to database to verdict, and pages from files, by the commands that people type."""

import base64
import json

import psycopg
import pytest

from civobs_collector.detect.fingerprints import Form, Role
from civobs_collector.detect.params import Params
from civobs_collector.errors import FingerprintError
from civobs_collector.fingerprint_lists import Reading, read_list, stored_fingerprints
from civobs_collector.page_rows import Row, Unreadable, decoded, read_pages
from civobs_collector.service_read import block_pages
from tests.collector.fix_operator import command_line

CITIZENLAB = """name,common_name,pattern,location_found,exp_url,confidence_no_fp,scope,source,expected_countries,notes
nat_xa,Example,"Closed by the ""Example"" Authority",body,https://x.example/1,10,nat,a paper,"['XA', 'KE']",seen twice
isp_ke_box,Box,http://stop.box.example/,header,,8,isp,,KE,
vague,,has been blocked,body,,3,vbw,,,
"""
OONI = """name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,expected_countries,exp_url,notes
ooni.re,isp,,header.server,regexp,^Box/[0-9]+$,10,KE,,
ooni.fp,fp,,body,contains,Welcome to Example Hosting,10,,,
ooni.dns,nat,,dns,full,192.0.2.1,10,KE,,
"""
PLANET = r"""
{"fingerprint":"c_isp_ke_example","pattern":"http://blocked\\.isp\\.example/\\?"}
{"fingerprint":"f_gen_denied","pattern":"Access Denied"}
{"fingerprint":"c_isp_box","pattern":"<p>Box.*Telecom</p>"}
"""


def lists(folder):
    """The three public forms, written for the tests."""
    files = {"http.csv": CITIZENLAB, "fingerprints_http.csv": OONI, "signatures.json": PLANET}
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def read(path, text, **given):
    path.write_text(text)
    reading = Reading()
    read_list(path, reading, **{"source": None, "innocent": False, **given})
    return reading


def test_the_citizen_labs_form_is_read(tmp_path):
    reading = read(tmp_path / "http.csv", CITIZENLAB)
    first, second, third = reading.entries
    assert (first.source, first.id, first.scope, first.form) == ("citizenlab", "nat_xa", "nat", Form.CONTAINS)
    assert first.pattern == 'Closed by the "Example" Authority'
    assert (first.countries, first.confidence) == (("KE",), 10)  # XA is a country of laboratories only
    assert (second.location, third.scope) == ("header", "vbw")
    assert reading.notes[0] == "Example · https://x.example/1 · a paper · seen twice"


def test_oonis_form_is_read_and_answers_of_name_servers_left_out(tmp_path):
    reading = read(tmp_path / "http.csv", OONI)
    assert [(one.id, one.role, one.form) for one in reading.entries] == [
        ("ooni.re", Role.BLOCK, Form.REGEXP),
        ("ooni.fp", Role.INNOCENT, Form.CONTAINS),
    ]
    assert (reading.entries[0].source, reading.skipped) == ("ooni", 1)


def test_censored_planets_form_is_read(tmp_path):
    reading = read(tmp_path / "signatures.json", PLANET)
    assert [(one.id, one.scope, one.countries) for one in reading.entries] == [
        ("c_isp_ke_example", "isp", ("KE",)),
        ("f_gen_denied", "vbw", ()),
        ("c_isp_box", "isp", ()),
    ]
    assert {one.form for one in reading.entries} == {Form.REGEXP}


def test_known_false_positives_are_told_by_the_files_name_or_by_the_reader(tmp_path):
    for name, innocent in (("false_positive_signatures.json", False), ("other.json", True)):
        assert {one.role for one in read(tmp_path / name, PLANET, innocent=innocent).entries} == {Role.INNOCENT}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"fingerprint":"a","pattern":"("}', "no expression"),
        ('{"fingerprint":"a","pattern":".*"}', "matches anything"),
        ('{"fingerprint":"a","pattern":"\ufffd+x"}', "wrong encoding"),
        ('{"fingerprint":"a"}', "no pattern"),
        ('{"fingerprint":"a","pattern":"x\\u0000y"}', "no pattern that is text"),
        ('{"pattern":"x"}', "name is missing"),
        ('{"name":"a","pattern":"x","scope":"moon"}', "no scope"),
        ('{"name":"a","pattern":"x","location_found":"sky"}', "no place"),
        ('{"name":"a","pattern":"x","pattern_type":"fuzzy"}', "no pattern_type"),
        ('{"name":"a","pattern":"x","confidence_no_fp":"11"}', "confidence_no_fp"),
        ('{"fingerprint":', "no JSON"),
        ("7", "no object"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_file_and_line_and_the_rest_goes_on(tmp_path, row, why):
    reading = read(tmp_path / "list.json", f'{{"fingerprint":"good","pattern":"words"}}\n{row}\n')
    assert [one.id for one in reading.entries] == ["good"]
    (line,) = reading.refused
    assert line.startswith(f"{tmp_path / 'list.json'}:2: ")
    assert why in line


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "[1", "no list at all"])
def test_a_file_that_is_no_list_is_refused(tmp_path, text):
    with pytest.raises(FingerprintError):
        read(tmp_path / "x.csv", text)


@pytest.mark.db
def test_lists_are_imported_once_changed_and_withdrawn(operator):
    files = lists(operator.folder)
    first = operator.civobs("fingerprints", "import", *files, "--json")
    assert first.code == 0, first.err
    assert {name: first.json[name] for name in ("new", "changed", "same", "innocent", "skipped", "refused")} == {
        "new": 8,
        "changed": 0,
        "same": 0,
        "innocent": 1,
        "skipped": 1,
        "refused": [],
    }
    again = operator.civobs("fingerprints", "import", *files, "--json").json
    assert (again["new"], again["changed"], again["same"]) == (0, 0, 8)
    (operator.folder / "http.csv").write_text(
        CITIZENLAB.replace("seen twice", "seen often").replace("vague,,has", "v,,has")
    )
    changed = operator.civobs("fingerprints", "import", "http.csv", "--replace", "--json").json
    assert (changed["new"], changed["changed"], changed["same"], changed["withdrawn"]) == (1, 1, 1, 1)
    listed = operator.civobs("fingerprints", "list", "--json").json
    assert [one["id"] for one in listed if one["source"] == "citizenlab"] == ["isp_ke_box", "nat_xa", "v"]
    assert listed[0]["source"] == "civobs"
    assert "isp_ke_box" in operator.civobs("fingerprints", "list", "--source", "citizenlab").out
    back = operator.civobs("fingerprints", "import", *lists(operator.folder)[:1], "--json").json
    assert (back["new"], back["changed"]) == (0, 2)  # the words about one, and the one that was withdrawn
    with psycopg.connect(operator.settings.database.dsn) as conn:
        assert len(stored_fingerprints(conn).entries) == 1 + 9


@pytest.mark.db
def test_a_strict_import_of_a_list_with_a_bad_row_changes_nothing(operator):
    (operator.folder / "list.json").write_text(
        '{"fingerprint":"a","pattern":"("}\n{"fingerprint":"b","pattern":"words"}\n'
    )
    refused = operator.civobs("fingerprints", "import", "list.json", "--strict")
    assert refused.code == 2
    assert "list.json:1: " in refused.err
    assert len(operator.civobs("fingerprints", "list", "--json").json) == 1
    assert "1 new" in operator.civobs("fingerprints", "import", "list.json").out


@pytest.mark.db
def test_pages_are_checked_with_the_fingerprints_of_the_database(operator):
    operator.civobs("fingerprints", "import", *lists(operator.folder))
    (operator.folder / "known.html").write_text('<p>Closed by the "Example" Authority</p>')
    (operator.folder / "plain.html").write_text("<title>Welcome</title><p>Hello</p>")
    known, plain = operator.civobs("fingerprints", "check", "known.html", "plain.html", "--json").json
    assert (known["blockpage"], known["certainty"], known["fingerprint"]) == (True, "artefact", "nat_xa")
    assert (known["source"], known["countries"]) == ("citizenlab", ["KE"])
    assert (plain["blockpage"], plain["by"]) == (False, None)
    assert "1 of 2 are pages of blocking" in operator.civobs("fingerprints", "check", "known.html", "plain.html").out


@pytest.mark.db
def test_the_live_detector_judges_pages_by_what_was_imported(operator):
    page = {"url": "http://site.example/", "status": 200, "sample": "<p>Box of Telecom</p>"}
    with psycopg.connect(operator.settings.database.dsn) as conn:
        assert not block_pages(conn, Params())(page)
    operator.civobs("fingerprints", "import", *lists(operator.folder))
    with psycopg.connect(operator.settings.database.dsn) as conn:
        assert block_pages(conn, Params())(page)


def test_pages_are_checked_without_a_database_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIVOBS_DATABASE__DSN", f"host={tmp_path} dbname=none")
    civobs = command_line(capsys)
    (tmp_path / "page.html").write_text("<p>This website has been blocked by order of the court</p>")
    said = civobs("fingerprints", "check", "page.html", "--json")
    assert said.code == 0
    assert "no imported fingerprints are used" in said.err
    assert (said.json[0]["by"], said.json[0]["certainty"]) == ("classifier", "likely")
    (tmp_path / "signatures.json").write_text(PLANET)
    (tmp_path / "box.html").write_text("<p>Box Telecom</p>")
    known = civobs("fingerprints", "check", "box.html", "--fingerprints", "signatures.json", "--json").json
    assert known[0]["fingerprint"] == "c_isp_box"
    assert civobs("fingerprints", "check", "box.html", "--no-fingerprints", "--json").json[0]["blockpage"] is False
    assert civobs("fingerprints", "check", "missing.html", "--no-fingerprints").code == 2


BLOCKED = "<p>Access to this site is blocked by court order</p>"
ROWS = [
    {
        "kind": "http",
        "url": "http://a.example/",
        "status": 200,
        "sample": BLOCKED,
        "headers": [{"name": "via", "value": "x"}],
    },
    {
        "kind": "http",
        "url": "http://a.example/",
        "status": 302,
        "redirects": ["http://blocked.isp.example/"],
        "headers": [],
    },
    {"url": "http://a.example/", "response": {"status_line": "200 OK", "body": BLOCKED, "headers": {"Server": ["x"]}}},
    {"received": {"status_code": "403", "headers": {"Server": ["x", "y"]}, "body": BLOCKED}},
    {"response": {"code": 200, "body": {"format": "base64", "data": base64.b64encode(BLOCKED.encode()).decode()}}},
    {"status": 403, "headers": [["Location", "http://blockpage.isp.example/"]], "body": ""},
    {"fingerprint": "x", "pattern": "Location: http://zapret\\.isp\\.example/"},
    {"fingerprint": "x", "pattern": "<title>This website is blocked</title>"},
    BLOCKED,
]


def test_answers_are_read_from_json_as_projects_write_them(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    said = command_line(capsys)("fingerprints", "check", tmp_path / "rows.jsonl", "--no-fingerprints", "--json")
    assert [(one["line"], one["blockpage"]) for one in said.json] == [(1 + i, True) for i in range(len(ROWS))]
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    assert len(list(read_pages(tmp_path / "rows.json"))) == len(ROWS)
    (tmp_path / "one.json").write_text(json.dumps(ROWS[0], indent=1))
    (only,) = read_pages(tmp_path / "one.json")
    assert isinstance(only, Row)
    assert only.body == BLOCKED
    (tmp_path / "odd.json").write_text(json.dumps({"label": "x", "snippet": BLOCKED}))
    (odd,) = read_pages(tmp_path / "odd.json")
    assert isinstance(odd, Row)
    assert odd.body == BLOCKED


def test_the_parts_of_a_row_are_found(tmp_path):
    row = {**ROWS[0], "verified": True, "title": "T", "redirects": ["http://b.example/", "http://c.example/"]}
    (tmp_path / "one.json").write_text(json.dumps(row))
    assert list(read_pages(tmp_path / "one.json")) == [
        Row(
            str(tmp_path / "one.json"),
            1,
            None,
            200,
            (("via", "x"),),
            "T",
            BLOCKED,
            "http://c.example/",
            "http://a.example/",
            verified=True,
        )
    ]


@pytest.mark.parametrize("line", ["{", "7", "[]", '{"a": 1}', "null"])
def test_a_line_without_an_answer_is_named(tmp_path, line, capsys):
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(ROWS[0])}\n{line}\n")
    _, bad = read_pages(tmp_path / "rows.jsonl")
    assert isinstance(bad, Unreadable)
    said = command_line(capsys)("fingerprints", "check", tmp_path / "rows.jsonl", "--no-fingerprints")
    assert f"{tmp_path / 'rows.jsonl'}:2: " in said.err
    assert "1 of 1" in said.out


def test_a_page_in_another_encoding_is_read_as_it_says_itself():
    text = '<meta charset="windows-1251"><p>Доступ к ресурсу ограничен</p>'
    assert decoded(text.encode("windows-1251")) == text
    assert decoded(text.encode()) == text
    assert decoded(b"\xff\xfe<meta charset=no-such-thing>n\xe9").endswith("n\xe9")


def test_a_folder_or_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(FingerprintError):
            list(read_pages(path))
