"""Tests of one group stay on one worker, or each worker makes the fixtures of every file and plays every lab."""

import subprocess
import sys

import pytest

FILE = """
import pytest
pytestmark = pytest.mark.xdist_group("one")
@pytest.mark.parametrize("n", range(8))
def test_of_a_group(n): pass
"""


def test_tests_of_a_group_run_on_one_worker(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(FILE)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-v", "-p", "no:cacheprovider"]
    said = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    workers = {line.partition("]")[0] for line in said.splitlines() if " PASSED " in line}
    assert len(workers) == 1, f"pytest {pytest.__version__}: {said}"
