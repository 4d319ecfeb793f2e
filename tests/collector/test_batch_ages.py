"""Age of batches: what ingest is answerable for, and what waited at the probe."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from civobs_collector.ingest import ages as module
from civobs_collector.ingest.ages import BatchAges
from civobs_collector.ingest.decode import Arrived, Sender, Window, judge
from civobs_wire.presence import PresenceState
from civobs_wire.row import ClockState
from civobs_wire.topics import Leaf
from tests.collector.fix_ingest import Device

WINDOW = Window(timedelta(days=14), timedelta(minutes=10))


class Probe:
    """A device whose messages arrive now."""

    def __init__(self, key=1):
        self.device = Device()
        self.sender = Sender(key, self.device.probe_id, "active", "KE", self.device.key.public_key())

    def judged(self, leaf, message, *, late=False):
        arrived = Arrived(1, 1, 1, self.device.topic(leaf), message, datetime.now(UTC), late)
        return judge(arrived, {self.device.probe_id: self.sender}, WINDOW)

    def greeting(self, *, late=False, state=PresenceState.ONLINE):
        return self.judged(Leaf.PRESENCE, self.device.presence(state, secrets.token_hex(16)), late=late)

    def batch(self, age_s, **other):
        sealed_at = datetime.now(UTC) - timedelta(seconds=age_s)
        return self.judged(Leaf.BATCH, self.device.message(1, sealed_at=sealed_at, **other))


def commit(ages, *batches):
    for one in batches:
        ages.committed(one, datetime.now(UTC).timestamp())


def test_of_a_hundred_batches_the_slowest_is_not_told():
    probe, ages = Probe(), BatchAges()
    commit(ages, *[probe.batch(2) for _ in range(99)], probe.batch(1000))
    assert ages.p99() == pytest.approx(2, abs=1)
    commit(ages, probe.batch(1000))
    assert ages.p99() == pytest.approx(1000, abs=1)


def test_without_a_batch_the_age_is_nought():
    assert BatchAges().p99() == 0


def test_what_a_probe_kept_while_it_was_cut_off_does_not_count():
    probe, ages = Probe(), BatchAges()
    ages.greeted(probe.greeting())
    commit(ages, probe.batch(3 * 86_400), probe.batch(600))
    assert ages.p99() == 0
    commit(ages, probe.batch(3), probe.batch(7200))
    assert ages.p99() == pytest.approx(3, abs=1)


def test_a_probe_that_has_caught_up_counts_again_when_ingest_is_slow():
    probe, ages = Probe(), BatchAges()
    ages.greeted(probe.greeting())
    fresh = probe.batch(30)
    slow = probe.batch(20)
    commit(ages, fresh)
    ages.committed(slow, datetime.now(UTC).timestamp() + 900)
    assert ages.p99() == pytest.approx(920, abs=1)


@pytest.mark.parametrize("said", [{"late": True}, {"state": PresenceState.OFFLINE}])
def test_what_the_broker_repeats_and_what_is_no_greeting_excuses_no_age(said):
    probe, ages = Probe(), BatchAges()
    ages.greeted(probe.greeting(**said))
    commit(ages, probe.batch(900))
    assert ages.p99() == pytest.approx(900, abs=1)


def test_a_clock_that_nobody_set_says_nothing():
    probe, ages = Probe(), BatchAges()
    commit(ages, probe.batch(900, clock=ClockState.UNKNOWN))
    assert ages.p99() == 0


def test_after_five_minutes_an_age_is_forgotten(monkeypatch):
    probe, ages = Probe(), BatchAges()
    commit(ages, probe.batch(900))
    monkeypatch.setattr(module, "WINDOW_S", -1.0)
    assert ages.p99() == 0
