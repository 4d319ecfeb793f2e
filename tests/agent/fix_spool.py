"""A spool of one's own, what is in it, and what a collector would say of it."""

from datetime import UTC, datetime

import pytest

from civobs_agent.spool import Spool
from civobs_wire.batch import unpack
from civobs_wire.receipt import Receipt
from tests.agent.fix_agent import PROBE_ID


@pytest.fixture
def make_spool(tmp_path, hand_clock, probe_key):
    made = []

    def spool(limits=None, clock=hand_clock, probe_id=PROBE_ID):
        opened = Spool(tmp_path / "state", clock, probe_key, limits, monotonic=clock.monotonic)
        if probe_id is not None:
            opened.identify(probe_id)
        made.append(opened)
        return opened

    yield spool
    for opened in made:
        opened.close()


@pytest.fixture
def rows_of(probe_key):
    def unpacked(spool, limit=10_000):
        batches = [unpack(sealed.message, probe_key.public_key()) for sealed in spool.next_batches(limit)]
        return sorted((row for batch in batches for row in batch.measurements), key=lambda row: row.seq)

    return unpacked


def receipt(*ranges, rejected=()):
    return Receipt(probe_id=PROBE_ID, committed=ranges, rejected=rejected, at=datetime.now(UTC))


def hand_out(spool):
    spool.handed_out([sealed.batch_seq for sealed in spool.next_batches(10_000)])
