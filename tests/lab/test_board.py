"""The scoreboard fits a terminal, says why, and tells better from worse."""

import io
import json
import os

import pytest
from rich.console import Console

from civobs_collector.errors import ConfigError
from civobs_lab import board
from civobs_lab.comparison import MEASURES, Change
from civobs_lab.results import LoadRun
from civobs_lab.rules import RULES
from civobs_lab.scores import Verdict
from civobs_lab.scoring import score
from tests.lab.fix_scores import END, START, at, bounds, closed, event, run, truth, version

ASKED = truth(asns=(64500, 64501), depth="full", cause="national", backfill_from=at(END))
NOTHING = truth("nothing", spans=(), cc="XB")


def named(name, *arguments, **known):
    return score(run(*arguments, scenario=name, **known))


@pytest.fixture(scope="module")
def scores():
    """One of each verdict, one with a long name, and times that are too long for seconds."""
    far = closed(resolution=bounds(20_000, 36_000))
    return [
        named("national-shutdown", [ASKED, NOTHING], [event()]),
        named("a-scenario-with-a-name-that-is-much-too-long-for-a-narrow-terminal", [ASKED], [event(version(), far)]),
        named("dns-injection", [truth("blocking", targets=("news.example",), mechanisms=("dns.injection",))]),
        named("offline-72h", [ASKED], broke="the broker did not start"),
        named("quiet-week", [NOTHING]),
    ]


def lines(shown, width):
    said = io.StringIO()
    Console(width=width, file=said).print(shown)
    return said.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_a_line_a_scenario_and_cuts_no_number_short(scores, width):
    told = lines(board.table(scores, width=width), width)
    assert len(told) == len(scores) + 2
    assert max(map(len, told)) <= width
    assert "".join(told).count("…") == told[2].count("…") == 1, "only the long name is cut"
    assert "+6.8h!" in told[2]


def test_the_last_line_sums_up(scores):
    told = lines(board.table(scores), 120)
    assert told[-1].split()[:5] == ["5", "scenarios", "2", "right", "2/4"]


def test_a_narrow_table_leaves_out_what_matters_least(scores):
    wide, narrow = (lines(board.table(scores, width=width), width)[0].split() for width in (120, 80))
    assert set(wide) - set(narrow) >= {"depth", "how", "cause"}
    assert {"scenario", "verdict", "found", "kind", "scope", "alert", "start", "end", "false", "lost"} <= set(narrow)


def test_the_page_says_in_words_why_each_was_not_right(scores):
    told = "\n".join(lines(board.page(scores), 120))
    assert "blocking: not found [found]" in told
    assert "broke down: the broker did not start [run.complete]" in told
    assert "end off by +24400 s, bar ±60 s [end.connectivity]" in told
    assert "national-shutdown right" not in told


def test_the_page_says_which_bars_were_wider_than_in_life(scores):
    seldom = named("seldom", [ASKED], [event()], intervals={"ladder": 1800.0})
    told = " ".join("\n".join(lines(board.page([*scores, seldom], width=200), 200)).split())
    assert "much-too-long-for-a-narrow-terminal: alert.connectivity 774 s (600)" in told
    assert "seldom: alert.connectivity 774 s (600), end.connectivity 360 s (60), start.connectivity 360 s (60)" in told
    assert "wider than in life" not in "\n".join(lines(board.page([named("slow", [ASKED], time_scale=1.0)]), 120))


def test_the_page_says_how_many_are_right_because_nothing_was_to_be_found(scores):
    assert "Of the scenarios that are right, 1 had nothing to find." in "\n".join(
        lines(board.page(scores, width=200), 200)
    )
    mobile = named("mobile", [truth("nothing", says="not_observable")], not_observable=("XA",))
    assert board.document([mobile])["total"]["right_unasked"] == 0


def test_the_page_says_what_the_run_with_the_most_agents_took(scores):
    loads = [LoadRun(agents=n, rss_mib=50.4, cpu_share=0.031, machine_cpu_share=0.82) for n in (7, 40)]
    few, many = (named(f"of-{load.agents}", [ASKED], [event()], load=load) for load in loads)
    told = "\n".join(lines(board.page([few, many, *scores]), 120))
    assert "Load: 40 agents in of-40, 50 MiB and 3.1% of a core each; all cores 82% busy." in told


def test_a_board_of_nothing_is_a_board():
    assert lines(board.table([]), 120)[-1].split()[:2] == ["0", "scenarios"]
    assert board.document([])["total"]["false_alarms_per_quiet_h"] is None


def test_the_document_has_its_format_its_rules_and_plain_values(scores):
    kept = json.loads(json.dumps(board.document(scores)))
    assert kept["board"] == 1
    assert [rule["id"] for rule in kept["rules"]] == [rule.id for rule in RULES]
    assert [one["verdict"] for one in kept["scenarios"]] == ["right", "partly", "wrong", "broke", "right"]
    assert kept["total"]["found"] == {"n": 2, "of": 4}
    assert kept["scenarios"][0]["truths"][0]["occurrences"][0]["delay_s"] == 500.0


def test_runs_are_read_from_their_folder_by_name(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(run([ASKED], [event()], scenario=name).model_dump_json())
    (tmp_path / "board.json").write_text(json.dumps(board.document([])))
    assert [one.scenario for one in board.read_runs(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "not the result of a run: the file: Invalid JSON"),
        ("{}", "not the result of a run: scenario: Field required"),
        ('{"format": 2}', "not the result of a run: format: Input should be 1"),
        ("[" * 100_000, "not the result of a run: the file: Invalid JSON: recursion limit"),
        (None, "no result of a run in it"),
    ],
)
def test_what_is_no_result_is_told_in_a_line(tmp_path, content, cause):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigError) as refused:
        board.read_runs(tmp_path)
    assert cause in refused.value.cause
    assert "\n" not in refused.value.cause


@pytest.mark.parametrize(
    ("key", "value"), [("time_scale", 0), ("bin_s", 0), ("bin_s", "NaN"), ("zero", '"2026-11-22T09:00:00"')]
)
def test_a_number_with_which_nothing_can_be_reckoned_is_no_result(tmp_path, key, value):
    kept = json.loads(run([ASKED], [event()]).model_dump_json()) | {key: "HERE"}
    (tmp_path / "x.json").write_text(json.dumps(kept).replace('"HERE"', str(value)))
    with pytest.raises(ConfigError, match=f"not the result of a run: {key}: "):
        board.read_runs(tmp_path)


def test_a_result_that_is_there_twice_is_not_counted_twice(tmp_path):
    for name in ("cut", "copy"):
        (tmp_path / f"{name}.json").write_text(run([ASKED], [event()], scenario="cut").model_dump_json())
    with pytest.raises(ConfigError, match="two results of cut"):
        board.read_runs(tmp_path)


def test_a_result_that_says_it_is_a_board_is_still_a_result(tmp_path):
    kept = json.loads(run([ASKED], scenario="cut").model_dump_json()) | {"board": 1}
    (tmp_path / "cut.json").write_text(json.dumps(kept))
    assert [one.scenario for one in board.read_runs(tmp_path)] == ["cut"]


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(ConfigError, match="this is no file"):
        board.read_runs(tmp_path)


def test_the_page_says_which_scenarios_are_not_on_it_and_that_versions_are_mixed(scores):
    said = "\n".join(lines(board.page(scores, width=200, wanted=["quiet-week", "vpn", "cut"]), 200))
    assert "Not on this board, 2 of the lab's 3 scenarios: cut, vpn." in said
    assert board.document(scores, wanted=["quiet-week", "vpn"])["missing"] == ["vpn"]
    assert "versions" not in said
    old = scores[0].model_copy(update={"version": "0.1 old"})
    said = "\n".join(lines(board.page([old, *scores[1:]], width=200), 200))
    assert "Results of 2 versions: 0, 0.1 old." in said
    assert "Not on this board" not in said


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no such file or directory"):
        board.read_runs(tmp_path / "nowhere")


# Two boards.


def changes(before, after):
    (one,) = board.compare([before], [after]).scenarios
    return one.change, {each.measure: each.change for each in one.differences}


RIGHT = named("cut", [ASKED], [event()])


def test_a_board_is_the_same_as_itself(scores):
    comparison = board.compare(scores, scores)
    assert {one.change for one in comparison.scenarios} == {Change.SAME}
    assert not comparison.worse


def test_what_is_no_longer_found_is_worse_and_the_other_way_round_better():
    missed = named("cut", [ASKED])
    overall, measures = changes(RIGHT, missed)
    assert overall is Change.WORSE
    assert measures["found"] is measures["verdict"] is measures["kind"] is Change.WORSE
    assert changes(missed, RIGHT)[0] is Change.BETTER
    assert board.compare([RIGHT], [missed]).worse
    assert not board.compare([missed], [RIGHT]).worse


def test_what_chance_does_to_a_run_is_no_difference():
    def alerted(delay, error):
        onset = bounds(START - 80, START + 100, START + error)
        return named("cut", [ASKED], [event(version(START + delay), closed(onset=onset))])

    assert changes(alerted(400, 0), alerted(600, 40)) == (Change.SAME, {})
    assert changes(alerted(400, 0), alerted(650, 0)) == (Change.WORSE, {"delay": Change.WORSE})
    assert changes(alerted(400, -80), alerted(400, 0)) == (
        Change.BETTER,
        {"verdict": Change.BETTER, "start error": Change.BETTER},
    )


def test_one_row_lost_is_worse_however_much_else_is_better():
    before = named("cut", [ASKED], [event(version(), closed(depth="partial"))])
    after = RIGHT.model_copy(update={"ledger": RIGHT.ledger.model_copy(update={"lost": 1})})
    overall, measures = changes(before, after)
    assert overall is Change.WORSE
    assert (measures["depth"], measures["lost"]) == (Change.BETTER, Change.WORSE)


def test_an_end_that_is_no_longer_published_is_worse():
    endless = named("cut", [ASKED], [event(version(), closed(resolution=None))])
    assert changes(RIGHT, endless)[1]["end dated"] is Change.WORSE


def test_scenarios_that_are_new_or_gone_are_shown_and_not_worse():
    comparison = board.compare([RIGHT], [named("other", [ASKED])])
    assert [(one.scenario, one.change) for one in comparison.scenarios] == [
        ("cut", Change.GONE),
        ("other", Change.NEW),
    ]
    assert not comparison.worse
    told = "\n".join(lines(comparison.page(width=80), 80))
    assert "1 new, 1 gone" in told


def test_a_comparison_is_shown_by_measure_and_kept_as_a_document():
    comparison = board.compare([RIGHT], [named("cut", [ASKED])])
    told = lines(comparison.page(width=80), 80)
    assert told[1].split() == ["cut", "verdict", "right", "wrong", "worse"]
    assert max(map(len, told)) <= 80
    kept = json.loads(json.dumps(comparison.document()))
    assert (kept["comparison"], kept["worse"]) == (1, True)
    assert len(kept["tolerances"]) == len(MEASURES)
    assert kept["scenarios"][0]["differences"][0] == {
        "measure": "verdict",
        "before": 3,
        "after": 1,
        "change": "worse",
    }
    assert kept["scenarios"][0]["after"] == Verdict.WRONG
