"""Files of transfers, as they may be written by others, through ``civobs evaluate --form throughput``."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from civobs_collector.detect.params import Params
from civobs_collector.detect.throttling import Trial
from civobs_collector.evaluate.found import Found
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Wanted, evaluate
from tests.collector.fix_transfers import Limit, Line, Run, trial

Row = tuple[str, str, str, float, float]
"""Test, arm, replicate, seconds, cumulative bytes."""
RUNS = {
    "policed": Run(limit=Limit(140e3), seconds=5),
    "equal": Run(seconds=5),
    "evening": Run(Line(bps=2e6, between=0.5, within=0.5, queue_s=0.4), seconds=5),
    "cut": Run(limit=Limit(1e5, cut=True), seconds=5),
    "once": Run(limit=Limit(140e3), seconds=5, pairs=1),
}
KINDS = {
    "policed": "throttling_targeted",
    "equal": "none",
    "evening": "congestion",
    "cut": "blocking",
    "once": "throttling_targeted",
}


def rows_of(made: Trial) -> Iterator[Row]:
    for number, pair in enumerate(made.pairs, 1):
        for arm, one in zip(("target", "neutral"), pair, strict=True):
            for at, size in one.samples:
                yield made.id, arm, str(number), at, size


def all_rows() -> list[Row]:
    return [row for name, run in RUNS.items() for row in rows_of(trial(name, run, Random(3)))]


def since_previous(rows: list[Row]) -> list[Row]:
    found: list[Row] = []
    before: tuple[object, float] = ((), 0.0)
    for row in rows:
        key = row[:3]
        found.append((*row[:4], row[4] - (before[1] if before[0] == key else 0)))
        before = key, row[4]
    return found


def written(path: Path, rows: list[Row], heading: str = "test,arm,replicate,sample_s,bytes") -> Path:
    lines = [heading, *(f"{test},{arm},{number},{at:.6f},{size:.0f}" for test, arm, number, at, size in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(path: Path) -> list[Found]:
    return evaluate(Wanted(Form.THROUGHPUT, [str(path)]), Params()).found


def kinds(found: list[Found]) -> dict[str, str]:
    return {one.group: one.kind for one in found}


def test_every_test_of_a_file_gets_a_conclusion(tmp_path):
    found = run(written(tmp_path / "a.csv", all_rows()))
    assert kinds(found) == KINDS
    policed = next(one for one in found if one.group == "policed")
    assert (policed.level, policed.confidence, policed.mechanisms) == ("extreme", "probable", ("tls.throttle.sni",))
    assert dict(policed.numbers)["plateau_bps"] == pytest.approx(140e3, rel=0.05)
    assert next(one for one in found if one.group == "once").confidence == "unconfirmed"
    assert sorted(one.group for one in found if one.is_event) == ["cut", "once", "policed"]


def test_bytes_since_the_previous_sample_are_told_from_cumulative_ones(tmp_path):
    whole = run(written(tmp_path / "a.csv", all_rows()))
    parts = run(written(tmp_path / "b.csv", since_previous(all_rows())))
    assert kinds(parts) == KINDS
    assert [one.numbers for one in parts] == [one.numbers for one in whole]
    assert all("cumulative" in one.why for one in whole)
    assert all("bytes since the sample before" in one.why for one in parts)


def test_the_order_of_rows_decides_nothing(tmp_path):
    rows = all_rows()
    mixed = Random(1).sample(rows, len(rows))
    assert run(written(tmp_path / "a.csv", rows)) == run(written(tmp_path / "b.csv", mixed))


def test_samples_named_by_their_beginning_or_told_by_their_length_give_the_same_kinds(tmp_path):
    rows = [row for row in since_previous(all_rows()) if row[3] * 10 == pytest.approx(round(row[3] * 10))]
    begins = [(*row[:3], row[3] - 0.1, row[4]) for row in rows]
    lengths = [(*row[:3], 0.1, row[4]) for row in rows]
    assert kinds(run(written(tmp_path / "a.csv", begins))) == KINDS
    found = run(written(tmp_path / "b.csv", lengths))
    assert kinds(found) == KINDS
    assert all("sample_s as the length" in one.why for one in found)


def test_replicates_need_not_be_paired_and_may_have_any_names(tmp_path):
    rows = [row for row in all_rows() if row[0] in {"policed", "equal"}]
    odd = [(test, arm, f"{'t' if arm == 'target' else 'n'}{number}", at, size) for test, arm, number, at, size in rows]
    assert set(kinds(run(written(tmp_path / "a.csv", odd))).items()) < set(KINDS.items())
    few = [row for row in rows if row[1] == "target" or row[2] in {"1", "2"}]
    found = run(written(tmp_path / "b.csv", few))
    assert kinds(found) == {"policed": "throttling_targeted", "equal": "none"}
    assert {one.confidence for one in found if one.is_event} == {"unconfirmed"}


def test_a_test_with_one_arm_is_insufficient_and_the_others_go_on(tmp_path):
    rows = [row for row in all_rows() if row[0] != "equal" or row[1] == "neutral"]
    assert kinds(run(written(tmp_path / "a.csv", rows))) == KINDS | {"equal": "insufficient"}


def test_a_file_with_times_dates_its_findings_and_is_scored(tmp_path):
    lines = ["time,test,arm,replicate,sample_s,bytes"]
    for test, arm, number, at, size in all_rows():
        lines.append(f"2026-01-08T16:{int(number):02d}:00Z,{test},{arm},{number},{at:.6f},{size:.0f}")
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "group_or_target,kind,start,end\npoliced,throttling_targeted,,\nonce,throttling_targeted,,\ncut,blocking,,\n"
        "evening,congestion,,\nequal,none,,\n"
    )
    made = evaluate(Wanted(Form.THROUGHPUT, [str(tmp_path / "a.csv")], str(truth)), Params())
    assert made.score is not None
    assert (made.score.all.recall, made.score.all.precision, made.score.n_quiet_kept) == (1, 1, 1)
    assert all(one.start is not None and one.end is not None for one in made.found)


def test_a_single_sample_a_transfer_is_enough_to_be_read(tmp_path):
    rows = [
        ("x", arm, str(number), 10.0, size * number)
        for number in range(1, 9)
        for arm, size in (("target", 2e4), ("neutral", 2e6))
    ]
    assert kinds(run(written(tmp_path / "a.csv", rows))) == {"x": "throttling_targeted"}
    assert kinds(run(written(tmp_path / "b.csv", [(*row[:3], 0.0, row[4]) for row in rows]))) == {
        "x": "throttling_targeted"
    }


def test_a_heading_alone_gives_no_finding(tmp_path):
    assert run(written(tmp_path / "a.csv", [])) == []


def test_the_number_of_samples_may_differ_between_arms(tmp_path):
    made = trial("policed", RUNS["policed"], Random(3))
    pairs = tuple((target, replace(neutral, samples=neutral.samples[4::5])) for target, neutral in made.pairs)
    assert kinds(run(written(tmp_path / "a.csv", list(rows_of(replace(made, pairs=pairs)))))) == {
        "policed": "throttling_targeted"
    }
