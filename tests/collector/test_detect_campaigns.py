"""Windows that come again are one campaign with numbered occurrences (detection.md §3.6)."""

from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.detect.campaigns import Span, campaigns
from civobs_collector.detect.params import Params

PARAMS = Params()
HOUR, DAY = 3600.0, 86400.0


def window(day, start, end, group="MM|Bago"):
    return Span(group, day * DAY + start * HOUR, day * DAY + end * HOUR)


def numbers(spans):
    return [one and (one.occurrence, one.n_occurrences) for one in campaigns(spans, PARAMS)]


def test_seventy_two_nights_are_one_campaign():
    found = campaigns([window(day, 1, 9 if day % 3 else 6.5) for day in range(72)], PARAMS)
    assert len({one and one.campaign_id for one in found}) == 1
    assert [one and one.occurrence for one in found] == list(range(1, 73))
    assert {one and one.n_occurrences for one in found} == {72}


def test_windows_of_exams_pause_over_a_weekend():
    days = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert numbers([window(day, 5, 8) for day in days]) == [(n + 1, 10) for n in range(10)]


def test_a_night_in_two_parts_is_one_occurrence():
    spans = [window(0, 1, 9), window(1, 1, 4), window(1, 5, 9), window(2, 1, 9), window(3, 1, 9)]
    assert numbers(spans) == [(1, 4), (2, 4), (2, 4), (3, 4), (4, 4)]


def test_twice_is_no_campaign_and_neither_are_windows_months_apart():
    assert numbers([window(0, 1, 9), window(1, 1, 9)]) == [None, None]
    assert numbers([window(0, 1, 9), window(40, 1, 9), window(80, 1, 9)]) == [None] * 3


def test_a_line_that_fails_at_all_hours_has_no_campaign():
    spans = [window(day, (day * 7) % 24, (day * 7) % 24 + 2) for day in range(24)]
    assert numbers(spans) == [None] * 24


def test_an_outage_of_days_among_the_nights_is_no_occurrence():
    spans = [window(0, 1, 9), window(1, 1, 9), Span("MM|Bago", 2 * DAY + HOUR, 5 * DAY), window(6, 1, 9)]
    assert numbers(spans) == [(1, 3), (2, 3), None, (3, 3)]


def test_a_window_across_midnight_keeps_its_hours():
    spans = [window(day, 23.7 if day % 2 else 24.3, 29) for day in range(5)]
    assert numbers(spans) == [(n + 1, 5) for n in range(5)]


def test_the_last_window_may_still_be_open():
    spans = [window(0, 1, 9), window(1, 1, 9), Span("MM|Bago", 2 * DAY + HOUR, None)]
    assert numbers(spans) == [(1, 3), (2, 3), (3, 3)]


def test_groups_have_campaigns_of_their_own():
    spans = [window(day, 1, 9, group) for group in ("a", "b") for day in range(3)]
    found = campaigns(spans, PARAMS)
    assert len({one and one.campaign_id for one in found}) == 2


def test_the_id_stays_as_more_windows_follow():
    spans = [window(day, 1, 9) for day in range(30)]
    ids = {campaigns(spans[:n], PARAMS)[0].campaign_id for n in (3, 10, 30)}
    assert len(ids) == 1


def test_a_key_names_the_campaign_where_its_first_start_may_still_move():
    spans = [Span("g", day * DAY, day * DAY + HOUR, key=str(day)) for day in range(4)]
    moved = [Span("g", 60.0, HOUR, key="0"), *spans[1:]]
    assert campaigns(spans, PARAMS) == campaigns(moved, PARAMS)


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 23), st.integers(1, 30)), min_size=1, max_size=25, unique=True
    ),
    st.randoms(),
)
def test_the_order_of_windows_decides_nothing(windows, random):
    spans = [window(day, start, start + length) for day, start, length in windows]
    shuffled = list(spans)
    random.shuffle(shuffled)
    first, second = campaigns(spans, PARAMS), campaigns(shuffled, PARAMS)
    assert {spans[n]: one for n, one in enumerate(first)} == {shuffled[n]: one for n, one in enumerate(second)}
