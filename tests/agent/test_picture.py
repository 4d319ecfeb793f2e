"""The picture of one target: every kind of row has its line, and nothing hostile reaches the terminal."""

import json
from pathlib import Path

import pytest

from civobs_agent import seen, show, stages
from civobs_agent.picture import Section, Step, draw, printable, written
from civobs_wire.measurement import KINDS, Http, Quic, Tls
from civobs_wire.measurement import MEASUREMENT as ANY

EXAMPLES = Path(__file__).parents[2] / "wire" / "examples"
SHARED = {
    "seq": 1,
    "target": "t",
    "slot_at": "2026-03-01T18:05:00Z",
    "at": "2026-03-01T18:05:00Z",
    "mono_ms": 1,
    "clock_err_ms": 1,
    "duration_ms": 90.0,
    "validity": {"clock": "synced"},
    "family": 4,
}


def row(model, **fields):
    return model.model_validate_json(json.dumps({**SHARED, "outcome": "ok", **fields}))


def tls(named, **fields):
    basis = {"address": "198.51.100.1", "port": 443, "sni": "a.test", "stage": "done", "connect_ms": 20.0}
    return row(Tls, **{**basis, "handshake_ms": 40.0, "named": named, **fields})


PAGE = {
    "url": "https://a.test/",
    "address": "198.51.100.1",
    "stage": "done",
    "status": 200,
    "resolve_ms": 10.0,
    "connect_ms": 20.0,
    "tls_ms": 40.0,
    "first_byte_ms": 20.0,
    "body_ms": 30.0,
    "body_bytes": 1256,
    "verified": True,
}


def test_bars_stand_where_their_stages_lay_in_time():
    steps = [Step(label="one", took_ms=50.0), Step(label="two", before_ms=50.0, took_ms=50.0)]
    first, second = draw([Section("Way", "", steps)], 80).splitlines()[1:3]
    assert (first.count("█"), first.count("░")) == (8, 0)
    assert (second.count("█"), second.count("░")) == (8, 8)


def test_a_stage_that_timed_out_does_not_shrink_the_others():
    steps = [Step(label="good", took_ms=50.0), Step(label="bad", took_ms=10_000.0, failed=True)]
    good, bad = draw([Section("Way", "", steps)], 80).splitlines()[1:3]
    assert good.count("█") == 16
    assert bad.count("█") == 15
    assert "×" in bad


def test_only_failures_and_nothing_at_all_can_be_drawn_too():
    assert "×" in draw([Section("Way", "", [Step(label="bad", took_ms=9.0, failed=True)])])
    assert draw([Section("Way", "not asked", [])]) == "Way                    not asked"
    assert draw([]) == ""


@pytest.mark.parametrize("width", [0, 60, 80, 100, 500])
def test_no_line_is_longer_than_the_terminal_is_wide(width):
    steps = [Step(label="a label that is longer than its place", took_ms=3.0, text="word " * 60)]
    lines = draw([Section("Title", "text " * 60, steps)], width).splitlines()
    assert max(map(len, lines)) <= min(120, max(60, width))


def test_a_terminal_without_unicode_gets_the_same_picture_in_ascii():
    drawn = draw([Section("Way", "“x”", [Step(label="é", before_ms=5.0, took_ms=5.0, failed=True)])], 80)
    plain = written(drawn, "ascii")
    assert plain.isascii()
    assert list(map(len, plain.splitlines())) == list(map(len, drawn.splitlines()))
    assert written(drawn, "utf-8") == drawn
    assert written(drawn, None).isascii()


def test_what_a_terminal_would_obey_is_taken_out():
    assert printable("a\x1b[2Jb\rc\u202ed") == "a [2Jb c d"
    hostile = tls("target", covers=False, chain=[{"sha256": "0" * 64, "subject": "\x1b]0;x\x07", "issuer": "-"}])
    assert "\x1b" not in draw(stages.sections([hostile]))
    assert "\x1b" not in show.row_line(row(Quic, address="\x1b[2J"))


def test_the_name_that_makes_the_difference_is_told_apart():
    cut = {"outcome": "failed", "failure": "connection_reset", "stage": "handshake"}
    rows = [tls("none"), tls("target", **cut), tls("neutral")]
    drawn = draw(stages.sections(rows))
    assert [label for line in drawn.splitlines()[1:] if (label := line[2:20].strip())][:3] == [
        "TLS, its own name",
        "TLS, neutral name",
        "TLS, no name",
    ]
    assert seen.sentences(rows)[0] == (
        "TLS with 198.51.100.1 came about with a neutral name and without a name, but not with its own name"
        " (cut off by a reset)."
    )


def test_a_page_is_told_once_for_both_families_where_both_saw_the_same():
    told = seen.sentences([row(Http, **PAGE), row(Http, **{**PAGE, "family": 6})])
    assert told[0] == "Over IPv4 and IPv6 an answer came over verified TLS: status 200, 1,256 bytes."
    assert seen.ended([row(Http, **PAGE)]) == ["IPv4: an answer came, status 200."]


def test_the_first_words_of_a_page_that_is_none_of_success_are_told():
    sample = "<html><style>p {}</style><title>No</title><p>Closed by <b>order</b>"
    told = seen.sentences([row(Http, **{**PAGE, "status": 403, "title": "No", "sample": sample})])[0]
    assert told.endswith("status 403, 1,256 bytes, titled “No”. It begins: “No Closed by order”")


def test_tls_that_fails_whatever_the_name_is_told_in_one_reason():
    silent = {"outcome": "failed", "failure": "generic_timeout_error", "stage": "handshake"}
    told = seen.sentences([tls(named, **silent) for named in ("target", "neutral", "none")])[0]
    assert told == "TLS with 198.51.100.1 did not come about, whatever the name: no answer in time."


def test_a_page_that_ended_early_says_at_which_stage():
    bad = {
        "outcome": "failed",
        "failure": "generic_timeout_error",
        "stage": "headers",
        "status": None,
        "body_bytes": None,
    }
    page = row(Http, **{**PAGE, **bad, "first_byte_ms": None, "body_ms": None, "redirects": ["https://b.test/"]})
    drawn = draw(stages.sections([page]))
    assert "to https://b.test/" in drawn
    assert drawn.splitlines()[-3].split() == ["first", "byte", "no", "answer", "in", "time"]
    assert (
        "after 1 redirect, to https://b.test/, while waiting for the answer: no answer in time"
        in seen.sentences([page])[0]
    )


def test_a_family_that_the_device_lacks_is_told_once():
    absent = {"outcome": "not_run", "failure": "family_absent", "family": 6, "stage": "connect", "address": None}
    drawn = draw(stages.sections([tls("target", **absent), tls("target")]))
    assert drawn.count("IPv6") == 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_row_has_a_line_and_none_passes_a_verdict(kind):
    for example in sorted(EXAMPLES.glob(f"{kind}*.json")):
        line = show.row_line(ANY.validate_json(json.dumps({"seq": 1, **json.loads(example.read_text())})))
        assert "\n" not in line
        assert "blocked" not in line
        assert kind in line
