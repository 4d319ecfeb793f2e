"""An operator at the command line: settings in the environment, the program's own entry point, its output."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from civobs_collector.__main__ import main
from civobs_collector.config import CollectorSettings, load


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who types commands in ``folder``."""

    folder: Path
    civobs: Callable[..., Said]

    @property
    def settings(self) -> CollectorSettings:
        """The settings the commands run with."""
        return load(None)


def command_line(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``civobs`` as a function of its words."""

    def civobs(*words: str) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return civobs


@pytest.fixture
def operator(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    """On a migrated database of each kind in turn, with an archive folder and without keys."""
    (tmp_path / "archive").mkdir()
    for name, value in {
        "DATABASE__DSN": dsn,
        "KEYS__PLAN_KEY": tmp_path / "plan.key",
        "KEYS__RECEIPT_KEY": tmp_path / "receipt.key",
        "INGEST__ARCHIVE_DIR": tmp_path / "archive",
    }.items():
        monkeypatch.setenv(f"CIVOBS_{name}", str(value))
    monkeypatch.chdir(tmp_path)

    return Operator(tmp_path, command_line(capsys))


@pytest.fixture
def keyed(operator: Operator) -> Operator:
    """The same with keys."""
    assert operator.civobs("plan", "keygen").code == 0
    return operator
