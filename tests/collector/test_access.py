"""What is said of kinds of access that no observed household has."""

from dataclasses import replace

import pytest

from civobs_collector.db.read_probes import AccessCounts
from civobs_collector.detect.access import Access, Sight, of_homes, sights, unseen
from tests.collector.fix_detect import World, shutdown

SEEN, UNKNOWN, NOT_SEEN = Sight.OBSERVED, Sight.NOT_KNOWN, Sight.NOT_OBSERVABLE
NO_MOBILE = "Mobile networks are not observed here: nothing can be said about them."


@pytest.mark.parametrize(
    ("kinds", "fixed", "mobile", "sentences"),
    [
        (["fixed"], SEEN, NOT_SEEN, 1),
        (["mobile", "fixed"], SEEN, SEEN, 0),
        (["fixed", None], SEEN, UNKNOWN, 1),
        ([None], UNKNOWN, UNKNOWN, 1),
        ([], NOT_SEEN, NOT_SEEN, 2),
    ],
)
def test_of_what_nobody_has_nothing_can_be_said(kinds, fixed, mobile, sentences):
    assert sights(kinds) == {Access.FIXED: fixed, Access.MOBILE: mobile}
    assert len(unseen(kinds)) == sentences
    assert all("nothing can be said about" in one for one in unseen(kinds))


@pytest.mark.parametrize(
    ("kinds", "affected", "note"),
    [
        (["fixed"] * 4, "fixed", NO_MOBILE),
        (["mobile"] * 4, "mobile", "Fixed lines are not observed here: nothing can be said about them."),
        (["fixed", "mobile"] * 2, "both", None),
        ([None] * 4, "unknown", "nothing can be said about either"),
    ],
)
def test_an_event_says_what_the_affected_have_and_what_cannot_be_seen(kinds, affected, note):
    world = World()
    keys = world.country("KE", {1: 2, 2: 2})
    world.country("UG", {9: 3}, access="mobile")
    world.probes = [
        replace(probe, access=kinds[index]) if index < 4 else probe for index, probe in enumerate(world.probes)
    ]
    shutdown(world, keys, 300)
    (event,) = world.events(330)
    assert event.scope.access == affected
    assert note in event.coverage_note if note else "nothing can be said" not in event.coverage_note
    assert of_homes(world.probes, []) == "unknown"


@pytest.mark.parametrize(
    ("counts", "kinds", "told"),
    [
        ((20, 16, 4, 0), {"fixed", "mobile"}, (16, 4)),
        ((20, 19, 1, 0), {"fixed", "mobile"}, (None, None)),
        ((20, 14, 2, 4), {"fixed", "mobile", None}, (14, None)),
        ((20, 20, 0, 0), {"fixed"}, (20, 0)),
        ((2, 0, 2, 0), {None}, (None, None)),
        ((0, 0, 0, 0), set(), (0, 0)),
    ],
)
def test_what_one_home_or_two_have_is_not_told_nor_to_be_worked_out(counts, kinds, told):
    one = AccessCounts("KE", *counts)
    assert one.kinds == kinds
    assert (one.told(one.fixed), one.told(one.mobile)) == told
