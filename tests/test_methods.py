"""``docs/methods`` has a page for each kind, and each page says what the code does: every field, every time limit."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from civobs_agent import probes, rungs
from civobs_agent.tables import Timeout
from civobs_wire.measurement import KINDS, MeasurementBase

METHODS = Path(__file__).parents[1] / "docs" / "methods"
MEASURED = sorted(set(KINDS) - {"agent"})


def page(kind):
    return (METHODS / f"{kind}.md").read_text()


def limits():
    """Every row of the tables of time limits that stand beside the probes."""
    modules = [
        importlib.import_module(f"civobs_agent.probes.{one.name}") for one in pkgutil.iter_modules(probes.__path__)
    ]
    for module in (*modules, rungs):
        for table in vars(module).values():
            if isinstance(table, dict):
                yield from (row for row in table.values() if isinstance(row, Timeout))


@pytest.mark.parametrize("kind", MEASURED)
def test_every_kind_has_a_page_that_says_what_it_cannot_tell(kind):
    text = page(kind)
    assert text.startswith(f"# {kind}: ")
    headings = " ".join(re.findall(r"^## (.*)$", text, flags=re.MULTILINE)).lower()
    assert "cannot tell" in headings
    assert "false readings" in headings


@pytest.mark.parametrize("kind", MEASURED)
def test_a_page_names_every_field_of_its_kind(kind):
    fields = set(KINDS[kind].model_fields) - set(MeasurementBase.model_fields) - {"kind"}
    named = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`]*)`", page(kind)))))
    assert not fields - named


def test_every_time_limit_stands_on_a_page_with_its_value():
    text = "\n".join(path.read_text() for path in METHODS.glob("*.md"))
    missing = {row.id for row in limits() if not re.search(rf"`{re.escape(row.id)}`[^\n]*\b{row.seconds:g}\b", text)}
    assert not missing


def test_every_time_limit_names_its_source():
    assert not {row.id for row in limits() if len(row.source) < 8}
