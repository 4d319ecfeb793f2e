"""The clock of a device that has no clock battery."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from civobs_agent.clock import RELEASED_AT, STAMP_NAME, UNBOUNDED_MS, Clock, Hands
from civobs_agent.kernel_time import Discipline, kernel_discipline
from civobs_wire.measurement import ClockState

TRUE = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Device:
    """A device whose boots, drift and NTP the test plays; its clocks are read by the real ``Clock``."""

    def __init__(self, folder):
        self.folder = folder
        self.boot_file = folder / "boot_id"
        self.wall = TRUE
        self.synchronised = False
        self.boot()

    def boot(self, wall=None):
        self.boot_file.write_text(f"{uuid4()}\n")
        self.mono = 10_000
        self.wall = wall or self.wall

    def passes(self, seconds):
        self.mono += round(seconds * 1000)
        self.wall += timedelta(seconds=seconds)

    def wall_s(self):
        return self.wall.timestamp()

    def clock(self, **settings):
        hands = Hands(
            mono_ms=lambda: self.mono,
            wall_s=self.wall_s,
            discipline=lambda: Discipline(self.synchronised, 40),
            boot_id_path=self.boot_file,
        )
        return Clock(self.folder, hands=hands, **settings)


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path)


def test_a_disciplined_kernel_is_believed_with_its_own_bound(device):
    device.synchronised = True
    now = device.clock().moment()
    assert (now.at, now.state, now.err_ms, now.mono_ms) == (TRUE, ClockState.SYNCED, 40, 10_000)


def test_a_clock_nobody_keeps_is_unknown_and_its_error_unbounded(device):
    now = device.clock().moment()
    assert (now.state, now.err_ms) == (ClockState.UNKNOWN, UNBOUNDED_MS)


def test_an_unknown_clock_is_never_before_the_release_or_the_last_sign_of_life(device):
    device.boot(wall=datetime(1970, 1, 1, tzinfo=UTC))
    assert device.clock().moment().at == RELEASED_AT
    device.boot(wall=TRUE)
    device.synchronised = True
    device.clock().stamp()
    device.synchronised = False
    device.boot(wall=datetime(1970, 1, 1, tzinfo=UTC))
    assert device.clock().moment().at == TRUE


def test_unknown_time_runs_with_the_monotonic_clock_when_the_wall_clock_is_set(device):
    clock = device.clock()
    before = clock.moment()
    device.mono += 5_000
    device.wall += timedelta(days=3)
    assert clock.moment().at - before.at == timedelta(seconds=5)


def test_a_learned_time_makes_the_clock_known_and_reanchors_what_was_before(device):
    device.boot(wall=TRUE - timedelta(hours=3))
    clock = device.clock()
    early = clock.moment()
    device.passes(60)
    clock.learn(TRUE, 200, "observatory")
    now = clock.moment()
    assert (now.state, now.at, now.err_ms) == (ClockState.SYNCED, TRUE, 200)
    assert clock.became_known
    assert clock.step_ms == pytest.approx((3 * 3600 - 60) * 1000, abs=1)
    again = clock.reanchor(early.mono_ms)
    assert again.at == TRUE - timedelta(seconds=60)
    assert again.err_ms >= 200
    clock.settle()
    assert not clock.became_known


def test_the_error_of_a_learned_time_grows_by_the_drift_and_becomes_holdover(device):
    clock = device.clock()
    clock.learn(TRUE, 200, "observatory")
    device.passes(10 * 3600)
    now = clock.moment()
    assert (now.state, now.err_ms) == (ClockState.HOLDOVER, 200 + 3600)


def test_a_kernel_that_lost_its_source_is_holdover_from_its_last_good_moment(device):
    device.synchronised = True
    clock = device.clock()
    clock.moment()
    device.synchronised = False
    device.passes(7200)
    device.wall += timedelta(hours=5)
    now = clock.moment()
    assert (now.state, now.at, now.err_ms) == (ClockState.HOLDOVER, TRUE + timedelta(hours=2), 40 + 720)


def test_an_authenticated_time_outweighs_a_kernel_that_was_lied_to(device):
    device.synchronised = True
    device.wall = TRUE + timedelta(hours=3)
    clock = device.clock()
    clock.learn(TRUE, 500, "observatory")
    assert clock.moment().at == TRUE
    device.wall = TRUE
    assert clock.moment().err_ms == 40


def test_what_was_learned_outlives_a_restart_in_the_same_boot_only(device):
    clock = device.clock()
    clock.learn(TRUE, 200, "observatory")
    clock.stamp()
    device.passes(30)
    assert device.clock().moment().at == TRUE + timedelta(seconds=30)
    device.boot()
    assert device.clock().moment().state is ClockState.UNKNOWN


def test_the_dark_time_before_a_boot_is_told_once_and_only_when_it_is_known(device):
    device.synchronised = True
    device.clock().stamp()
    device.synchronised = False
    device.wall += timedelta(hours=2)
    device.boot()
    clock = device.clock()
    assert clock.dark_s() is None
    device.synchronised = True
    assert clock.dark_s() == pytest.approx(2 * 3600 - 10)
    assert clock.dark_s() is None
    clock.stamp()
    assert device.clock().dark_s() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"boot_id": 7}', b"\xff\xfe", b"null"])
def test_a_damaged_stamp_is_as_good_as_none(content, device):
    device.boot(wall=datetime(1970, 1, 1, tzinfo=UTC))
    (device.folder / STAMP_NAME).write_bytes(content)
    clock = device.clock()
    assert (clock.moment().at, clock.dark_s()) == (RELEASED_AT, None)


def test_a_laboratory_may_trust_and_may_turn_the_clock(device):
    clock = device.clock(trust_system=True, offset_s=10_800.0)
    assert (clock.moment().at, clock.moment().state) == (TRUE + timedelta(hours=3), ClockState.SYNCED)
    device.synchronised = True
    assert device.clock(offset_s=10_800.0).moment().state is ClockState.UNKNOWN


def test_a_time_outside_all_reason_is_not_learned(device):
    with pytest.raises(ValueError, match="2020"):
        device.clock().learn(datetime(1999, 1, 1, tzinfo=UTC), 1, "observatory")


def test_the_kernel_tells_whether_it_is_disciplined():
    told = kernel_discipline()
    assert isinstance(told.synchronised, bool)
    assert told.max_error_ms >= 0
