"""A real broker for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from civobs_lab.broker import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    one = Broker(tmp_path / "broker")
    one.start()
    try:
        yield one
    finally:
        one.kill()


@pytest.fixture
def lasting_broker(tmp_path: Path) -> Iterator[Broker]:
    """One whose sessions and retained messages outlive a restart."""
    one = Broker(tmp_path / "broker", persistence=True)
    one.start()
    try:
        yield one
    finally:
        one.kill()
