"""Fixtures of the whole suite, one module a subject, and the versions of the servers it runs against."""

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
def pytest_collection_modifyitems(items):
    """Keep a file's tests on one worker, for its fixtures, and those that run whole labs on one and the same."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("labs" if item.get_closest_marker("labs") else item.path.name))


def pytest_report_header(config):
    given = "the server of CIVOBS_TEST_DSN" if os.environ.get("CIVOBS_TEST_DSN") else describe(Kind.TIMESCALE)
    return [f"timescale: {given}", f"plain: {describe(Kind.PLAIN)}", f"broker: {_mosquitto()}"]


def _mosquitto():
    program = find()
    if program is None:
        return "missing: install mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]
