"""General throttling: a whole network slow against its own weeks, and what is not it."""

import math
from collections.abc import Callable
from random import Random

from civobs_collector.detect.general import Speed, find_general
from civobs_collector.detect.params import Params

PARAMS = Params()
HOUR, DAY = 3600.0, 86400.0
T0 = 1_767_225_600.0
FROM, UNTIL = T0 + 40 * DAY, T0 + 41 * DAY
"""When it is slow: one day, after nearly six weeks."""


def usual(_at: float, _household: int, _server: str) -> tuple[float, float]:
    return 1.0, 1.0


def during(
    bps: float, rtt: float = 1.0, *, household: int | None = None, server: str | None = None, until: float = UNTIL
):
    def change(at: float, home: int, name: str) -> tuple[float, float]:
        hit = FROM <= at < until and household in {None, home} and server in {None, name}
        return (bps, rtt) if hit else (1.0, 1.0)

    return change


def speeds(
    change: Callable[[float, int, str], tuple[float, float]] = usual, days: int = 44, homes: int = 3
) -> list[Speed]:
    """Every three hours, fast by night and slow in the evening, with scatter."""
    rng = Random(5)
    found = []
    for step in range(days * 8):
        at = T0 + 3 * HOUR * step
        evening = 1 - 0.45 * math.exp(-(((at % DAY) / HOUR - 20) ** 2) / 8)
        for home in range(homes):
            for server in ("one", "two"):
                bps, rtt = change(at + 60 * home, home, server)
                rate = 2e7 * (1 + home) * evening * math.exp(rng.gauss(0, 0.25)) * bps
                found.append(Speed(at + 60 * home, home, 64500, server, rate, 40 * rtt * math.exp(rng.gauss(0, 0.1))))
    return found


def test_a_network_at_a_quarter_of_its_usual_rate_for_a_day_is_found_and_dated():
    (found,) = find_general(speeds(during(0.25)), PARAMS)
    assert found.asn == 64500
    assert (found.households, found.servers) == (3, 2)
    assert 0.2 < found.ratio < 0.3
    assert found.p < 0.001
    assert found.start[0] is not None
    assert found.end[1] is not None
    assert abs(found.start[1] - FROM) <= 4 * HOUR
    assert abs(found.end[0] - UNTIL) <= 4 * HOUR


def test_ordinary_weeks_with_slow_evenings_are_silent():
    assert find_general(speeds(), PARAMS) == ()


def test_round_trips_that_grow_are_congestion():
    assert find_general(speeds(during(0.25, rtt=2.0)), PARAMS) == ()


def test_one_household_or_one_server_is_a_fault_of_its_own():
    assert find_general(speeds(during(0.1, household=1)), PARAMS) == ()
    assert find_general(speeds(during(0.1, server="two")), PARAMS) == ()
    assert find_general(speeds(during(0.25), homes=1), PARAMS) == ()


def test_less_than_six_hours_is_too_short():
    assert find_general(speeds(during(0.25, until=FROM + 4 * HOUR)), PARAMS) == ()


def test_what_is_slow_for_two_weeks_is_never_learnt_as_usual():
    (found,) = find_general(speeds(during(0.25, until=FROM + 16 * DAY), days=58), PARAMS)
    assert found.end[0] > FROM + 15.5 * DAY
    (lasting,) = find_general(speeds(during(0.25, until=math.inf), days=44), PARAMS)
    assert lasting.end[1] is None


def test_without_earlier_weeks_nothing_is_said():
    assert find_general(speeds(during(0.1), days=6), PARAMS) == ()
    assert find_general([], PARAMS) == ()


def test_the_order_of_transfers_decides_nothing():
    given = speeds(during(0.25))
    assert find_general(Random(1).sample(given, len(given)), PARAMS) == find_general(given, PARAMS)
