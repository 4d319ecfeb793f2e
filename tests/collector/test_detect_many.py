"""The detector with as many households as a country may have: its time and memory stay in bounds."""

import time
import tracemalloc

from civobs_collector.detect.presence import Loss, Seen, Span, suspect_losses
from tests.collector.fix_detect import PARAMS, World, shutdown


def test_many_households_are_followed_a_few_at_a_time():
    world = World()
    keys = world.country("KE", {101: 250, 102: 250})
    shutdown(world, keys, 12000, 12120)
    tracemalloc.start()
    try:
        (event,) = world.events(14400)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert event.affected.n_down == 500
    groups, bins = 3 * 500, 14400 // 5
    assert peak < groups * bins * 3 * 8


def test_thousands_of_losses_together_are_judged_in_a_moment():
    world = World()
    keys = world.country("KE", {101: 6000}) + world.country("TZ", {201: 2000})
    probes = {one.probe_key: one for one in world.probes}
    lost = [Loss(key, 1000.0 + key / 100, 1060.0 + key / 100, None, False, False, False) for key in keys[:6500]]
    online = {key: [Span(0, 1000.0 + key / 100, Seen.ONLINE)] for key in keys[:6500]}
    online |= {key: [Span(0, 9000, Seen.ONLINE)] for key in keys[6500:]}
    started = time.process_time()
    assert not suspect_losses(lost, online, probes, PARAMS)
    everyone = lost + [Loss(key, 1000.0, 1061.0, None, False, False, False) for key in keys[6500:]]
    assert suspect_losses(everyone, online, probes, PARAMS) == set(everyone)
    assert time.process_time() - started < 10
