"""A real broker for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from civobs_lab.broker import Broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """One that forgets everything when it is restarted."""
    one = Broker(tmp_path / "mosquitto")
    one.start()
    try:
        yield one
    finally:
        one.kill()


@pytest.fixture
def lasting_mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """One whose sessions and retained messages outlive a restart."""
    one = Broker(tmp_path / "mosquitto", persistence=True)
    one.start()
    try:
        yield one
    finally:
        one.kill()
