"""A lab that did not keep its pace notices that, and says that nothing can be judged."""

import os
import signal
import time
from datetime import timedelta

import pytest

from civobs_lab import stalls, watch
from civobs_lab.board import page
from civobs_lab.results import StallRun
from civobs_lab.scoring import score
from civobs_lab.stalls import StallWatch, is_sound, worst_share
from tests.lab.fix_scores import SCALE, ZERO, event, run, truth

BIN_S = 300 / SCALE
"""Of the clock."""
LONG_S = 0.6


def stall(after_s, seconds, what="servers"):
    """``after_s`` and ``seconds`` are the clock's, after zero."""
    return StallRun(what=what, at=ZERO + timedelta(seconds=after_s), seconds=seconds)


@pytest.mark.netns
def test_servers_that_stand_still_are_noticed_with_how_long(served):
    with StallWatch(served.control) as watching:
        os.kill(served.program.pid, signal.SIGSTOP)
        try:
            time.sleep(LONG_S + stalls.ASK_EVERY_S)
        finally:
            os.kill(served.program.pid, signal.SIGCONT)
        while not watching.seen():
            time.sleep(stalls.ASK_EVERY_S)
    assert any(one.what == "servers" and one.seconds > LONG_S / 2 for one in watching.seen())


def test_a_lab_without_servers_is_watched_in_vain(tmp_path):
    with StallWatch(tmp_path / "nobody") as watching:
        time.sleep(stalls.ASK_EVERY_S)
    assert watching.seen() == ()


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ((), 0.0),
        (((3.0, 1.0),), 0.1),
        # Two in one bin's length, wherever bins begin.
        (((9.0, 1.0), (12.0, 1.0)), 0.2),
        # The first is over for a bin when the third begins.
        (((0.0, 2.0), (7.0, 1.0), (12.5, 2.0)), 0.3),
        (((5.0, 40.0),), 1.0),
    ],
)
def test_the_worst_stretch_is_as_long_as_a_bin_and_begins_anywhere(spans, share):
    assert worst_share([stall(*span) for span in reversed(spans)], BIN_S) == pytest.approx(share)


def test_a_run_is_sound_until_a_fifth_of_a_bin_is_lost():
    asked = ([truth()], [event()])
    assert is_sound(run(*asked))
    assert is_sound(run(*asked, stalls=(stall(3.0, BIN_S * 0.19),)))
    assert not is_sound(run(*asked, stalls=(stall(3.0, BIN_S * 0.21),)))


def test_a_run_with_few_climbs_is_lost_by_longer_stalls_only():
    asked = {"intervals": {"ladder": 1800.0, "trouble": 240.0}}
    assert is_sound(run([truth()], [event()], stalls=(stall(3.0, BIN_S),), **asked))
    assert not is_sound(run([truth()], [event()], stalls=(stall(3.0, 6 * BIN_S * 0.21),), **asked))


def test_the_end_of_a_run_and_the_board_name_what_stood_still():
    lame = run([truth()], [event()], stalls=(stall(3.0, 4.5), stall(60.0, 0.5, "machine")))
    assert watch.outcome(lame).endswith(
        "; its servers stood still for 4.5 s, in all 5.0 s in 2: not sound, nothing can be said of the detector"
    )
    assert "stood still" not in watch.outcome(run([truth()], [event()]))
    shown = "\n".join(str(part) for part in page([score(lame)]).renderables)
    assert f"Not sound: {lame.scenario}, its servers stood still for 4.5 s" in shown
