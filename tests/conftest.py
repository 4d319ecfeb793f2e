"""Fixtures of the whole suite, one module a subject, and the versions of the servers it runs against."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

from civobs_lab.broker import find
from civobs_lab.postgres import Kind, describe

_TESTS = Path(__file__).parent

pytest_plugins = [
    ".".join(("tests", *file.relative_to(_TESTS).with_suffix("").parts)) for file in sorted(_TESTS.rglob("fix_*.py"))
]
# All of them before the first is imported, because one may import another.
pytest.register_assert_rewrite(*pytest_plugins)


# Before xdist looks for groups: later there are none, and each worker makes every fixture and plays every lab.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keep a file's tests on one worker, for its fixtures, and those that run whole labs on one and the same.

    Those that need a Grafana are left out where there is none; the header names them.
    """
    if not os.environ.get("GRAFANA_URL"):
        left = [item for item in items if item.get_closest_marker("grafana")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    for item in items:
        item.add_marker(pytest.mark.xdist_group("labs" if item.get_closest_marker("labs") else item.path.name))


def pytest_report_header(config):
    given = "the server of CIVOBS_TEST_DSN" if os.environ.get("CIVOBS_TEST_DSN") else describe(Kind.TIMESCALE)
    return [
        f"timescale: {given}",
        f"plain: {describe(Kind.PLAIN)}",
        f"broker: {_mosquitto()}",
        *([] if os.environ.get("GRAFANA_URL") else [f"not run without GRAFANA_URL: {name}" for name in _live()]),
    ]


def _live():
    """Names of the tests that need a Grafana; told here, because workers of a run in parallel tell nothing."""
    file = _TESTS / "dashboards" / "test_grafana_live.py"
    return [one.name for one in ast.parse(file.read_text()).body if getattr(one, "name", "").startswith("test_")]


def _mosquitto():
    program = find()
    if program is None:
        return "missing: install mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]
