"""What the documents say of commands and settings is what there is, and all there is is said."""

import argparse
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from civobs_agent import __main__ as agent
from civobs_agent.probes import KINDS
from civobs_anchor import __main__ as anchor
from civobs_collector import __main__ as collector
from civobs_collector.config import CollectorSettings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"civobs": collector._parser, "civobs-agent": agent._parser, "civobs-anchor": anchor._parser}
SCRIPTS = {file.name for file in (ROOT / "scripts").iterdir() if not file.name.startswith("_")}
COLLECTOR_EXAMPLE = ROOT / "deploy" / "collector.example.toml"
PLACEHOLDERS = {"KEY": "7"}
"""Words of the documents that stand for something else than text."""


def said():
    """Every command line of ours in the documents, as (document, words)."""
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
        for line in lines:
            for part in line.partition("#")[0].split("&&"):
                words = (
                    shlex.split(part)
                    if re.match(r"\s*(sudo )?(\S*/)?(civobs|civobs-agent|civobs-anchor)( |$)", part)
                    else []
                )
                words = words[1:] if words[:1] == ["sudo"] else words
                if words and not words[0].startswith(("/var/", "/etc/")):
                    yield document.name, [Path(words[0]).name, *(PLACEHOLDERS.get(word, word) for word in words[1:])]


def test_every_kind_of_measurement_has_its_page_and_its_line_in_the_index():
    folder = ROOT / "docs" / "methods"
    index = (folder / "README.md").read_text()
    listed = dict(re.findall(r"^\| \[(\w+)\]\(\1\.md\) .*\| (\d) \|$", index, flags=re.MULTILINE))
    assert listed == {"ladder": "0", **{kind.id: str(kind.tier) for kind in KINDS.values()}}
    assert {file.stem for file in folder.glob("*.md")} >= set(listed)


def commands(parser, before=()):
    """Every command and action of a parser, as tuples of words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                below = list(commands(child, (*before, name)))
                yield from below or [(*before, name)]


def whole_commands():
    """Those of the documents that say more than a program's name."""
    return sorted({(document, tuple(words)) for document, words in said() if len(words) > 1 and "…" not in words})


@pytest.mark.parametrize(("document", "words"), whole_commands(), ids=lambda value: " ".join(value).replace("/", "-"))
def test_a_command_in_the_documents_exists(document, words):
    program, *rest = words
    try:
        PROGRAMS[program]().parse_args(rest)
    except SystemExit as end:
        assert end.code == 0, f"{document}: {' '.join(words)}"  # noqa: PT017 # argparse ends where it refuses


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_is_in_the_documents(program):
    documented = {tuple(words) for _, words in said() if words[0] == program}
    missing = [
        command
        for command in commands(PROGRAMS[program](), (program,))
        if not any(words[: len(command)] == command for words in documented)
    ]
    assert missing == []


def test_every_script_is_in_the_documents_and_no_other():
    named = set(re.findall(r"(?:\./)?scripts/(\w+)", "\n".join(document.read_text() for document in DOCUMENTS)))
    assert named == SCRIPTS


def test_every_link_of_the_documents_leads_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_collectors_example_says_every_setting_and_its_default():
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in COLLECTOR_EXAMPLE.read_text().splitlines()
    )
    every = tomllib.loads(uncommented)
    assert set(every) == set(CollectorSettings.model_fields)
    given = CollectorSettings.model_validate(every).model_dump()
    for section, values in CollectorSettings().model_dump().items():
        assert set(every[section]) == set(values)
        for key, value in values.items():
            assert given[section][key] == value or value is None or key == "shards", f"{section}.{key}"
