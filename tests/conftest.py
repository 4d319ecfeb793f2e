"""Fixtures of the whole suite, one module a subject, and the versions of the servers it runs against."""

import os
import shutil
import subprocess
from importlib.util import find_spec

from civobs_lab.postgres import Kind, describe

pytest_plugins = [
    name
    for name in ("tests.fix_db", "tests.fix_broker", "tests.agent.fix_agent", "tests.agent.fix_net")
    if find_spec(name) is not None
]


def pytest_report_header(config):
    given = "the server of CIVOBS_TEST_DSN" if os.environ.get("CIVOBS_TEST_DSN") else describe(Kind.TIMESCALE)
    return [f"timescale: {given}", f"plain: {describe(Kind.PLAIN)}", f"broker: {_mosquitto()}"]


def _mosquitto():
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return "missing: install mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]
