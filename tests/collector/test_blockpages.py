"""Pages of blocking, and those that look like them: what is said, how surely, and in what time."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.detect.blockpages import Certainty, is_vague, weigh
from civobs_collector.detect.fingerprints import OWN, Answer, Fingerprint, Fingerprints, Form, PatternError, Role
from civobs_collector.detect.page_text import normalised, read_page
from civobs_collector.detect.page_words import vocabulary
from civobs_collector.detect.params import TABLE

_LONG = "The committee met on Tuesday and heard engineers describe how name servers and filters work. " * 120
_SAMPLES = tomllib.loads((Path(__file__).parent / "page_samples.toml").read_text(encoding="utf-8"))
NONE = Fingerprints(())
LAB_PAGE = "<html><head><title>Forbidden</title></head><body>Access to this site is forbidden.</body></html>\n"


def sample(kind, name):
    return _SAMPLES[kind][name].replace("@LONG@", _LONG)


def said_of(page, fingerprints=NONE, **more):
    return weigh(None, (), None, page, None, fingerprints, **more).match


@pytest.mark.parametrize("name", _SAMPLES["ordinary"])
def test_an_ordinary_page_is_no_page_of_blocking(name):
    assert said_of(sample("ordinary", name)) is None


@pytest.mark.parametrize("name", _SAMPLES["blocking"])
def test_a_page_of_blocking_without_a_fingerprint_is_likely_and_no_more(name):
    found = said_of(sample("blocking", name))
    assert found is not None
    assert found.certainty is Certainty.LIKELY
    assert found.by == "classifier"
    assert found.reasons


def test_the_laboratorys_page_is_known_by_its_fingerprint_also_as_a_row_has_it():
    for body in (LAB_PAGE, LAB_PAGE.strip()):
        found = weigh(403, {"content-type": "text/html"}, "Forbidden", body, None, Fingerprints(), verified=None).match
        assert found is not None
        assert (found.certainty, found.by) == (Certainty.ARTEFACT, "fingerprint")
        assert found.fingerprint == OWN[0]


def test_a_servers_own_forbidden_page_is_not_the_laboratorys():
    page = "<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>"
    assert weigh(403, (), "403 Forbidden", page, None, Fingerprints()).match is None


FOUND_HERE = Fingerprint("one", "list", "Restricted by Example Telecom", scope="isp")


def test_a_fingerprint_makes_an_artefact():
    found = said_of("<p>Restricted by Example Telecom</p>", Fingerprints((FOUND_HERE,)))
    assert found is not None
    assert (found.certainty, found.fingerprint) == (Certainty.ARTEFACT, FOUND_HERE)
    assert "fingerprint:list/one" in found.reasons


def test_where_a_known_false_positive_matches_too_it_is_no_artefact():
    innocent = Fingerprint("two", "list", "Restricted by Example", Role.INNOCENT, scope="fp")
    found = said_of("<p>Restricted by Example Telecom</p>", Fingerprints((FOUND_HERE, innocent)))
    assert found is not None
    assert found.certainty is Certainty.LIKELY


def test_a_known_false_positive_alone_is_nothing():
    page = "<p>Access to this page has been blocked</p>"
    innocent = Fingerprint("two", "list", "page has been", Role.INNOCENT)
    assert said_of(page) is not None
    assert said_of(page, Fingerprints((innocent,))) is None


def test_a_vague_fingerprint_is_one_more_word_and_no_artefact():
    vague = Fingerprint("v", "list", "Access Denied", scope="vbw")
    assert is_vague(vague)
    assert said_of("<h1>Access Denied</h1>", Fingerprints((vague,))) is None
    assert said_of(sample("ordinary", "akamai_denied"), Fingerprints((vague,))) is None
    found = said_of("<h1>Access Denied</h1><p>by order of the ministry of justice</p>", Fingerprints((vague,)))
    assert found is not None
    assert (found.certainty, found.fingerprint) == (Certainty.LIKELY, vague)


@pytest.mark.parametrize(
    ("one", "vague"),
    [
        (Fingerprint("a", "l", "Web Filter", scope="vbw"), True),
        (Fingerprint("a", "l", r"<title>Acceso Denegado</title>", scope="unk", form=Form.REGEXP), True),
        (Fingerprint("a", "l", r"http://block\.isp\.example/", scope="unk", form=Form.REGEXP), False),
        (Fingerprint("a", "l", "The site was closed by order of the Example Authority", scope="unk"), False),
        (Fingerprint("a", "l", "Restricted by Example Telecom", scope="isp", confidence=4), True),
        (Fingerprint("a", "l", "Restricted by Example Telecom", scope="isp", confidence=9), False),
        (Fingerprint("a", "l", "blocked", scope="inst"), True),
    ],
)
def test_vague_is_what_any_server_could_say(one, vague):
    assert is_vague(one) is vague


@pytest.mark.parametrize(
    ("one", "matches"),
    [
        (Fingerprint("a", "l", "Server: BlockBox/1"), True),
        (Fingerprint("a", "l", "BlockBox/1", location="header.server", form=Form.FULL), True),
        (Fingerprint("a", "l", "BlockBox", location="header.server", form=Form.FULL), False),
        (Fingerprint("a", "l", "BlockBox", location="header.via"), False),
        (Fingerprint("a", "l", "BlockBox", location="header"), True),
        (Fingerprint("a", "l", "BlockBox", location="body"), False),
        (Fingerprint("a", "l", "Location: http://away.example/"), True),
        (Fingerprint("a", "l", r"<p>w.rds</p>", location="body", form=Form.REGEXP), True),
        (Fingerprint("a", "l", r"<p>w\.rds</p>", location="body", form=Form.REGEXP), False),
        (Fingerprint("a", "l", "<p>words", location="body", form=Form.PREFIX), True),
        (Fingerprint("a", "l", "words", location="body", form=Form.PREFIX), False),
        (Fingerprint("a", "l", "<title>The title</title>", location="body"), True),
    ],
)
def test_a_pattern_is_looked_for_where_it_says(one, matches):
    fields = {"server": "BlockBox/1"}
    found = weigh(302, fields, "The title", "<p>words</p>", "http://away.example/", Fingerprints((one,)))
    assert any(reason.startswith("fingerprint:l/a") for reason in found.reasons) is matches


@pytest.mark.parametrize("pattern", ["", " ", "x" * 5000, "\ufffd.*\ufffd", "(a", ".*", "a|", r"(?=x)y", r"(a)\1"])
def test_a_pattern_that_cannot_be_used_is_refused_with_its_reason(pattern):
    with pytest.raises(PatternError):
        Fingerprints((Fingerprint("a", "l", pattern, form=Form.REGEXP),)).matches(Answer((), "", ""))


BOMBS = {
    "tags": "<" * 65_536,
    "scripts": "<script>" * 8_192,
    "comments": "<!--" * 16_384,
    "words": " blocked" * 8_192,
    "pairs": "site blocked " * 5_000,
    "metas": "<meta " * 10_000,
    "links": '<a href="http://x.example/block">' * 2_000,
    "entities": "&#" * 30_000,
    "accents": "\u0300" * 65_536,
    "letters": "a" * 65_536,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BOMBS)
def test_no_page_and_no_pattern_makes_the_judge_go_back_over_its_text(name):
    hard = Fingerprint("a", "l", r"(a+)+$|(x*)*y|(<.*){50}z", form=Form.REGEXP)
    said_of(BOMBS[name], Fingerprints((hard,)))


def test_what_a_site_says_over_verified_tls_is_its_own_word():
    page = sample("blocking", "en_court")
    asked = "https://www.site.example/"
    assert said_of(page, asked=asked, verified=True) is None
    assert said_of(page, asked=asked, verified=False) is not None
    elsewhere = weigh(200, (), None, page, "https://notice.isp.example/", NONE, asked=asked, verified=True).match
    assert elsewhere is not None
    assert weigh(200, (), None, page, "https://site.example/uk", NONE, asked=asked, verified=True).match is None


def test_a_redirect_to_an_address_that_speaks_of_blocking_is_likely():
    assert weigh(302, (), None, None, "http://blocked.isp.example/?site=…", NONE).match is not None
    own = weigh(302, (), None, None, "http://www.site.example/blocked", NONE, asked="http://site.example/").match
    assert own is None
    assert weigh(301, (), None, None, "https://www.site.example/", NONE).match is None


def test_a_redirect_to_a_governments_host_counts_where_the_site_is_not_its_own():
    office = "https://www.gambling.gov.xa/notice"
    assert weigh(302, (), None, None, office, NONE, asked="http://casino.example/").match is not None
    assert weigh(302, (), None, None, office, NONE, asked="http://gambling.gov.xa/").match is None


def test_the_same_answer_gives_the_same_match_whatever_the_order_of_fingerprints():
    entries = tuple(replace(FOUND_HERE, id=name) for name in "cab")
    page = "<p>Restricted by Example Telecom</p>"
    assert said_of(page, Fingerprints(entries)) == said_of(page, Fingerprints(entries[::-1]))


@given(st.text(max_size=300), st.text(max_size=60) | st.none(), st.text(max_size=60) | st.none())
def test_any_text_is_judged(body, title, location):
    found = weigh(None, (), title, body, location, Fingerprints())
    assert found == weigh(None, (), title, body, location, Fingerprints())


def test_accents_vowel_signs_and_spellings_do_not_matter():
    assert normalised("Bloqué, ÉTÉ!") == "  bloque  ete  "
    assert normalised("الموقعُ المحجوبة") == normalised("الموقع المحجوبه")
    assert normalised("Zablokowana Łódź") == "  zablokowana  lodz  "


@pytest.mark.parametrize("said", ['<meta charset="windows-1251">', ""])
def test_a_page_that_the_probe_read_in_the_wrong_encoding_is_read_again(said):
    page = f"{said}<p>Доступ к ресурсу ограничен по решению суда</p>"
    as_kept = page.encode("windows-1251").decode("latin-1")
    assert said_of(as_kept) == said_of(page) is not None
    known = Fingerprints((Fingerprint("a", "l", "к ресурсу ограничен по решению", scope="isp"),))
    found = weigh(200, {"content-type": "text/html; charset=cp1251"}, None, as_kept, None, known).match
    assert found is not None
    assert found.certainty is Certainty.ARTEFACT


def test_letters_of_western_europe_stay_as_they_are():
    assert said_of("<p>L'accès à ce site a été bloqué</p>") is not None
    assert said_of('<meta charset="no-such-thing"><p>Accès à ce site bloqué</p>') is not None


def test_a_page_is_taken_apart():
    page = read_page(None, '<title>A &amp; B</title><script>var x="hidden"</script><p>Seen</p><img alt="Drawn">', None)
    assert page.title == "  a  b  "
    assert page.text == "  a  b  a  b  seen  drawn  "
    led = read_page("", '<iframe src="http://one.example/"></iframe><a href="http://two.example/">x</a>', None)
    assert (led.leads, led.links) == (("http://one.example/",), ("http://two.example/",))


def test_no_word_speaks_for_both_sides_and_each_list_has_its_weight():
    weighed = {one.id for one in TABLE}
    words = vocabulary()
    for name in ("authority", "programmes", "products", "category", "visitor", "appeal", "strong", "weak"):
        assert f"page.{name}" in weighed
    for name in ("server", "vendor", "parked", "portal", "site"):
        assert {f"page.{name}", f"page.{name}s"} <= weighed
        assert not words[name] & (words["strong"] | words["programmes"])
