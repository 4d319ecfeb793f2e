"""The spool as a state machine: whatever is done in whatever order, every row is delivered once, under one number."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from civobs_agent.spool import Spool, SpoolLimits
from civobs_wire.batch import unpack
from civobs_wire.receipt import Receipt
from tests.agent.fix_agent import PROBE_ID, HandClock, ladder_row, tcp_row

KEY = Ed25519PrivateKey.generate()


class SpoolMachine(RuleBasedStateMachine):
    """Rows go in, batches come out; processes are killed, receipts come late or twice."""

    @initialize(write_through=st.booleans())
    def begin(self, write_through):
        self.folder = Path(tempfile.mkdtemp(prefix="civobs-spool-"))
        self.clock = HandClock()
        self.limits = SpoolLimits(write_interval_s=0 if write_through else 30, seal_interval_s=60)
        self.n = 0
        self.unwritten: set[str] = set()
        self.expected: set[str] = set()
        self.sent: dict[int, bytes] = {}
        self.receipted: set[int] = set()
        self.open()

    def open(self):
        self.spool = Spool(self.folder, self.clock, KEY, self.limits, monotonic=self.clock.monotonic)
        self.spool.identify(PROBE_ID)

    @rule(n=st.integers(1, 5))
    def record(self, n):
        names = [f"r{self.n + k}" for k in range(n)]
        self.n += n
        self.spool.record([tcp_row(self.clock, name) for name in names])
        self.unwritten |= set(names)
        if self.limits.write_interval_s == 0:
            self.written()

    @rule(ok=st.booleans())
    def climb(self, ok):
        self.spool.record([ladder_row(self.clock, ok=ok)])

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds):
        self.clock.turn(seconds)
        self.spool.tick()
        if seconds >= 60:
            self.written()

    @rule()
    def flush(self):
        self.spool.flush()
        self.written()

    def written(self):
        self.expected |= self.unwritten
        self.unwritten.clear()

    @rule(limit=st.integers(1, 8))
    def send(self, limit):
        for sealed in self.spool.next_batches(limit):
            assert self.sent.setdefault(sealed.batch_seq, sealed.message) == sealed.message
            assert sealed.batch_seq not in self.receipted
            self.spool.handed_out([sealed.batch_seq])

    @rule(data=st.data())
    def receipt(self, data):
        if self.sent:
            number = data.draw(st.sampled_from(sorted(self.sent)))
            self.receipted.add(number)
            self.spool.settle(Receipt(probe_id=PROBE_ID, committed=((number, number),), at=datetime.now(UTC)))

    @rule()
    def kill(self):
        """Nothing is flushed: what had not been written is gone, receipts not yet noted are forgotten."""
        if self.spool._store is not None:
            self.spool._store.close()
        self.spool._lock.release()
        self.unwritten.clear()
        self.receipted.clear()
        self.open()

    @rule()
    def restart(self):
        self.spool.close()
        self.written()
        self.open()

    def teardown(self):
        if not hasattr(self, "spool"):
            return
        self.spool.flush()
        for sealed in self.spool.next_batches(100_000):
            assert self.sent.setdefault(sealed.batch_seq, sealed.message) == sealed.message
        rows = [row for message in self.sent.values() for row in unpack(message, KEY.public_key()).measurements]
        assert len({row.seq for row in rows}) == len(rows)
        assert sorted(self.sent) == list(range(1, len(self.sent) + 1))
        delivered = {row.target for row in rows if row.kind == "tcp"}
        assert delivered >= self.expected
        self.spool.close()
        shutil.rmtree(self.folder)


SpoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_every_row_is_delivered_once_under_one_number = SpoolMachine.TestCase
