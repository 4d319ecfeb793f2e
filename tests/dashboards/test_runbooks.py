"""Each alert rule has its runbook, each runbook its rule, and both say the same."""

import re
from pathlib import Path

import pytest

from civobs_collector.grafana.rules import RULES, RUNBOOKS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / RUNBOOKS
HEADINGS = ["What it means", "Look at first", "What to do", "When to wake somebody"]


def test_every_rule_has_a_runbook_and_every_runbook_a_rule():
    assert {file.stem for file in FOLDER.glob("*.md")} - {"README"} == {rule.id for rule in RULES}


def test_the_index_lists_every_runbook():
    listed = re.findall(r"^\| `([\w-]+)` \| \[.+\]\(\1\.md\) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert listed == [rule.id for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_runbook_says_what_to_do_and_when_its_rule_fires(rule):
    text = (FOLDER / f"{rule.id}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    said = " ".join(text.split("##")[0].split())
    assert f"`{rule.id}`: severity `{rule.severity}`." in said
    assert (
        not rule.for_min or f"after {rule.for_min} minutes" in said or f"more than {rule.for_min + 1} minutes" in said
    )
    if rule.above not in {0, 1}:
        numbers = {f"{rule.above:g}", f"{rule.above * 100:g} %", f"{rule.above / 60:g} minutes"}
        assert any(number in said for number in numbers)
