"""A scenario's file: what is read from it, and what is said of every mistake in it."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civobs_lab.scenario_file import SCENARIOS, ScenarioError, find, load
from civobs_lab.toml_lines import Lines
from civobs_lab.topology import TOPOLOGIES

GOOD = """\
title = "A cut"
resembles = "a cut"
probes = { AS64500 = 3 }

[plan.intervals]
ladder = "5m"

[[fault]]
id = "cut"
kind = "national_shutdown"
scope = "XA"
start = "20m"
end = "40m"

[[truth]]
kind = "shutdown_suspected"
cc = "XA"
level = "country"
faults = ["cut"]
"""
FAULT = '\n[[fault]]\nstart = "20m"\n'
"""Its kind and the rest are on the lines from 23 on."""
ONE_LINE = re.compile(r"[^\n]+\.toml:\d+: [^\n]+; [^\n]+")


def refusal(folder: Path, text: str | bytes) -> str:
    """What is said of a file, without the folder."""
    file = folder / "s.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScenarioError) as caught:
        load(file)
    said = str(caught.value)
    assert ONE_LINE.fullmatch(said)
    return said.removeprefix(f"{folder}/")


def test_a_scenario_is_read_with_its_topology_and_no_more_homes_than_it_wants(tmp_path):
    (tmp_path / "s.toml").write_text(GOOD)
    loaded = load(tmp_path / "s.toml")
    assert loaded.name == "s"
    assert loaded.scenario.fault[0].start == 1200.0
    assert [home.name for home in loaded.topology.households_of("AS64500")] == [f"xa-64500-{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("title", "titel", 1, "unknown key `titel` in the file; did you mean 'title'?"),
        ('resembles = "a cut"\n', "", 1, "the file has no `resembles`; write resembles ="),
        ('"A cut"', "1979-05-27", 1, "`title` cannot be 1979-05-27; write a text in quotes"),
        ('"A cut"', '"A cut', 1, "not TOML: Illegal character"),
        ('title = "A cut"', "title = A cut", 1, "texts and spans are in quotes"),
        ("resembles", "title", 2, "not TOML: Cannot overwrite a value; a key or table of this name stands above"),
        ("AS64500 = 3", "AS64500 = 99", 3, "`AS64500` cannot be 99; it should be less than or equal to 64"),
        ("AS64500 = 3", "AS64500 = true", 3, "write a whole number"),
        ("AS64500", "AS64502", 3, "two-countries has no network 'AS64502' with customers"),
        ("AS64500 = 3", "AS64500 = 0, AS64501 = 0, AS64504 = 0", 3, "nobody measures anything"),
        ("ladder", "lader", 6, "probes have no measurement 'lader'; did you mean 'ladder'?"),
        ('ladder = "5m"', 'ladder = "2h"', 6, "write one from 1s to 1h"),
        ('ladder = "5m"', "ladder = 5", 6, "5 is not a span of time; write one such as '90s'"),
        (
            "[plan.intervals]",
            'plan.targets = [\n  "www.site.example", # abroad\n  "x.example",\n]\n[plan.intervals]',
            7,
            "'x.example'",
        ),
        ("[[fault]]", "[fault]", 8, "write [[fault]] with two brackets"),
        ('kind = "national_shutdown"\n', "", 8, "[[fault]] number 1 has no `kind`"),
        ("national_shutdown", "national_shutdwon", 10, "did you mean 'national_shutdown'?"),
        ('"XA"\nstart', '"XC"\nstart', 11, "two-countries has no country 'XC'; write a country: XA, XB"),
        ('"XA"\nstart', '"AS64500"\nstart', 11, "is a network, and this kind of fault happens to a country"),
        ('start = "20m"', 'start = "20"', 12, "'20' is not a span of time"),
        ('start = "20m"', 'start = "5mm"', 12, "'5mm' is not a span of time"),
        ('start = "20m"', 'strat = "20m"', 12, "unknown key `strat` in [[fault]] number 1; did you mean 'start'?"),
        ('"40m"', '"10m"', 13, "the end is not after the start"),
        ('"40m"', '"400d"', 13, "'400d' is more than a year"),
        ('end = "40m"', 'end = "40m"\nevery = "1h"', 14, "`every` and `times` belong together"),
        ('end = "40m"', 'end = "40m"\nevery = "10m"\ntimes = 2', 14, "it comes back before it has ended"),
        ('end = "40m"', 'end = "40m"\naccess = "wifi"', 14, '`access` cannot be "wifi"; it may be both, fixed, mobile'),
        ("shutdown_suspected", "shutdown", 16, "did you mean 'shutdown_suspected'?"),
        ('cc = "XA"', 'cc = "Arland"', 17, "two-countries has no country 'Arland'; there are XA, XB"),
        ('"country"', '"network"', 18, "level 'network' does not say which; name it in `asns`"),
        ('"country"', '"country"\nasns = [64504]', 19, "XA has no network 64504"),
        ('"country"', '"country"\nadmin1 = ["Nort"]', 19, "did you mean 'North'?"),
        ('"country"', '"country"\ncause = "natoinal"', 19, "did you mean 'national'?"),
        ('"country"', '"country"\nat_most = "probable"', 19, "`at_most` goes with kind 'nothing'"),
        ('faults = ["cut"]', 'faults = ["cat"]', 19, "no fault has the id 'cat'; did you mean 'cut'?"),
        ("title", 'topology = "two-country"\ntitle', 1, "did you mean 'two-countries'?"),
        ("title", "time_scale = nan\ntitle", 1, "write a finite number"),
        ("title", f"time_scale = {'9' * 5000}\ntitle", 1, "a number of thousands of digits; write a smaller one"),
        ("title", f"time_scale = 0x{'f' * 5000}\ntitle", 1, "a number of thousands of digits; write a smaller one"),
        ("title", f'topology = "{"a" * 300}"\ntitle', 1, "there is no topology 'aaa"),
        ("title", 'topology = "."\ntitle', 1, "there is no topology '.'; give the path of a file from here"),
        ("title", 'length = "20m"\ntitle', 13, "the timeline is over after 20m, before this begins"),
        ('start = "20m"', "start = 2026-01-01", 12, "`start`: 2026-01-01 is not a span of time"),
        ('"A cut"', '"A cut\\nin two lines"', 1, "write one such as 'All ISPs are down'"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_remedy(tmp_path, old, new, line, said):
    assert old in GOOD
    found = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert found.startswith(f"s.toml:{line}: ")
    assert said in found


@pytest.mark.parametrize(
    ("fault", "line", "said"),
    [
        ('kind = "power_cut"\nscope = "AS64510"', 24, "there is no probe in AS64510"),
        ('kind = "home_down"\nscope = "xa-64500-4"', 24, "has no household 'xa-64500-4'; did you mean"),
        ('kind = "national_shutdown"\nscope = "XB"\naccess = "mobile"', 25, "XB has no mobile provider"),
        ('kind = "whitelist"\nscope = "XA"\nallowed = ["root-x"]', 25, "did you mean 'root-n'?"),
        ('kind = "whitelist"\nscope = "XA"\nallowed = ["xa-dns"]', 25, "xa-dns is not abroad"),
        ('kind = "ipv6_broken"\nscope = "AS64502"', 24, "AS64502 has no customers"),
        ('kind = "observatory_down"\nscope = "root-m"', 24, "root-m is not the observatory"),
        ('kind = "server"\nscope = "echo-n"\ndoes = "nxdomain"', 25, "serves nothing that can do 'nxdomain'"),
        ('kind = "name_moves"\nscope = "site-q"\nname = "x.example"', 25, "no host of two-countries has the name"),
        ('kind = "flapping"\nscope = "xa-64500-1"\nup = "0s"\ndown = "1m"', 25, "`up` takes no time"),
        ('kind = "flapping"\nscope = "xa-64500-1"\nup = "1ms"\ndown = "1ms"', 26, "go down"),
        ('kind = "congestion"\nscope = "AS64500"\nrate_kbit = inf', 25, "write a finite number"),
        ('kind = "censor"\nscope = "XA"\nmethod = "police"', 25, "method police needs rate_kbit; write rate_kbit ="),
        ('kind = "censor"\nscope = "XA"\nmethod = "police"\nrate_kbit = 1e20', 26, "less than or equal to 10000000"),
        (
            'kind = "censor"\nscope = "XA"\nmethod = "drop"\naddresses = ["1.2.3"]',
            26,
            "a prefix such as '198.18.5.0/24'",
        ),
        (
            'kind = "censor"\nscope = "XA"\nmethod = "drop"\nnames = ["x.example"]',
            26,
            "no host of two-countries has the",
        ),
        (
            'kind = "censor"\nscope = "XA"\nmethod = "drop"\nhouseholds = ["xb-64504-1"]',
            26,
            "xb-64504-1 is not in XA, so this censor never sees it; write of xa-64500-1, ",
        ),
        (
            'kind = "censor"\nscope = "XA"\nmethod = "drop"\nat = "gateway"\nhosts = ["site-p", "xa-news"]',
            27,
            "xa-news is not abroad, so the gateway is not on the way to it; leave it out, or leave `at` out",
        ),
        (
            'kind = "censor"\nscope = "XA"\nmethod = "drop"\nanswers = ["192.0.2.1"]',
            26,
            "cannot act: answers belongs to",
        ),
        ('kind = "censor"\nscope = "AS64500"\nat = "gateway"\nmethod = "drop"', 25, "a network has no gateway"),
        ('id = "cut"\nkind = "home_down"\nscope = "xa-64500-1"', 23, "two faults have the id 'cut'"),
        (
            'kind = "power_cut"\nscope = "AS64500"\nclock_known_after = "5m"',
            25,
            "`clock_known_after` needs a `clock_error`; write both, or neither",
        ),
    ],
)
def test_a_fault_that_could_do_nothing_is_a_mistake(tmp_path, fault, line, said):
    found = refusal(tmp_path, GOOD + FAULT + fault + "\n")
    assert found.startswith(f"s.toml:{line}: ")
    assert said in found


def test_the_first_mistake_is_told_and_how_many_more_there_are(tmp_path):
    text = GOOD.replace('start = "20m"', "start = 20").replace('level = "country"', 'level = "town"')
    assert refusal(tmp_path, text).endswith("in quotes (and 1 more mistake)")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "s.toml:1: the file is empty"),
        (b"# nothing\n", "s.toml:1: the file is empty"),
        (b"title = 'x'\n\xff\xfe", "s.toml:2: this is not text in UTF-8"),
        (b"title = 'x'\na = " + b"[" * 5000, "s.toml:2: lists or tables are nested too deeply; "),
        (b"title = 'x'\na = " + b"[" * 300 + b"]" * 300, "s.toml:2: lists or tables are nested too deeply; "),
        (b"\xef\xbb\xbf" + GOOD.replace("title", "titel").encode(), "s.toml:1: unknown key `titel`"),
        (GOOD.replace("start", "strat").replace("\n", "\r\n").encode(), "s.toml:12: unknown key `strat`"),
        (GOOD.encode() + b"x = [\n1,\n", "s.toml:21: not TOML: "),
    ],
)
def test_what_is_no_scenario_at_all_is_told_in_one_line(tmp_path, content, said):
    assert refusal(tmp_path, content).startswith(said)


def test_a_folder_and_a_file_that_is_not_there_are_told_as_such(tmp_path):
    with pytest.raises(ScenarioError, match=r":1: this is a folder; "):
        load(tmp_path)
    with pytest.raises(ScenarioError, match=r"nowhere\.toml:1: there is no such file; "):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(ScenarioError, match=r"/dev/zero:1: this is no file but a device or a pipe; "):
        load(Path("/dev/zero"))
    with pytest.raises(ScenarioError, match=r":1: there is no such scenario; "):
        find(["x" * 300])


def test_a_mistake_in_the_topology_beside_it_names_the_topologys_file_and_line(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n\n[[networks]]\nasn = 64500\nname = "X"\ncc = "XA"\nprefx = ""\n'
    )
    said = refusal(tmp_path, 'topology = "mine.toml"\n' + GOOD)
    assert said == "mine.toml:7: unknown key `prefx` in [[networks]] number 1; did you mean 'prefix'?"
    with pytest.raises(ScenarioError, match=r"mine\.toml:1: this is a topology and no scenario; name it in"):
        load(tmp_path / "mine.toml")
    said = refusal(tmp_path, 'topology = "his.toml"\n' + GOOD)
    assert said.startswith("s.toml:1: there is no topology 'his.toml'; ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('serves = ["authority", "tcp"], anchor', 'serves = ["tcp"], anchor', "nothing at root-m answers dns; have it"),
        ('["North", "South"]', '["North", "North"]', "the same region twice: North; change one"),
        ('["North", "South"]', "[]", "`regions` cannot be []; name at least 1"),
        ('cc = "XA"', 'cc = "DE"', "`cc` cannot be \"DE\"; write one such as 'XA'"),
        ("198.18.2.0/24", "198.18.2.1/24", "has host bits set; write a prefix such as '198.18.5.0/24'"),
        ("user_share = 0.1", "user_share = 0.5", "user shares in XA add up to more than 1; make some smaller"),
    ],
)
def test_a_mistake_in_a_world_is_told_at_what_has_to_be_changed(tmp_path, old, new, said):
    text = (TOPOLOGIES / "two-countries.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    found = refusal(tmp_path, 'topology = "mine.toml"\n' + GOOD)
    line = 1 + text[: text.index(old)].count("\n")
    assert found.startswith(f"mine.toml:{line}: ")
    assert said in found


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r", observatory = true", "two-countries has no observatory; write observatory = true at one of its hosts"),
        (r'"web"(, )?', "two-countries has no site to measure against; give a host there `names`"),
    ],
)
def test_a_world_in_which_nothing_could_be_measured_is_refused(tmp_path, pattern, said):
    text = (TOPOLOGIES / "two-countries.toml").read_text()
    (tmp_path / "mine.toml").write_text(re.sub(pattern, "", text).replace('anchor = "tcp"', 'anchor = "icmp"'))
    assert refusal(tmp_path, 'topology = "mine.toml"\n' + GOOD).startswith(f"s.toml:1: {said}")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_with_anything_wrong_is_refused_in_one_line_or_read(tmp_path_factory, data):
    text = (SCENARIOS / "tls-reset-by-name.toml").read_text()
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    put = data.draw(
        st.sampled_from(["", "[", "]", '"', "\n", "=", "{ a = 1 }", "1", "é", "\x00", "kind = 1\n", "-1e400"])
    )
    file = tmp_path_factory.getbasetemp() / "mutant.toml"
    file.write_text(text[:at] + put + text[at + length :])
    try:
        load(file)
    except ScenarioError as error:
        assert ONE_LINE.fullmatch(str(error))  # noqa: PT017 # it may also be right


def test_lines_are_known_for_keys_however_they_are_written():
    lines = Lines(
        b"""\
a = 1 # one
b."c d".e = [ # list
  1,
  # two
  { x = 1, y.z = 2 },
]
[t]
u = { v = '''
''', w = 2 }
[[s]]
k = 1
[[s]]
k = 1
[[s.r]]
k = 1
[s.q.p]
k = 1
"""
    )
    assert [
        lines.of(where)
        for where in (
            ("a",),
            ("b", "c d"),
            ("b", "c d", "e", 0),
            ("b", "c d", "e", 1, "y", "z"),
            ("t", "u", "w"),
            ("s",),
            ("s", 0, "k"),
            ("s", 1),
            ("s", 1, "r", 0, "k"),
            ("s", 1, "q", "p", "k"),
            ("s", 1, "nothing", "of", "this"),
            ("nothing",),
        )
    ] == [1, 2, 3, 5, 9, 10, 11, 12, 15, 17, 12, 1]


def test_scenarios_are_found_by_path_and_by_name(tmp_path):
    own = SCENARIOS / "quiet-week.toml"
    assert find([]) == sorted(SCENARIOS.glob("*.toml"))
    assert find(["quiet-week", str(own), "other.toml"]) == [own, own, Path("other.toml")]
    with pytest.raises(ScenarioError, match="did you mean 'quiet-week'"):
        find(["quite-week"])
