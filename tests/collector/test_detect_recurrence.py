"""Nights that come again are one campaign, which goes on under its own id for longer than the detector looks back."""

from datetime import timedelta
from uuid import UUID

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.record import CampaignPart
from civobs_collector.detect.recurrence import Member, places
from civobs_collector.detect.versions import plan
from tests.collector.fix_detect import PARAMS, T0, World, at, shutdown

DAY = 1440


def curfew(nights):
    """A country cut off from 1:00 to 9:00, night after night."""
    world = World()
    keys = world.country("MM", {101: 2, 102: 2})
    world.country("TH", {201: 3})
    for night in range(1, nights + 1):
        shutdown(world, keys, night * DAY + 60, night * DAY + 540)
    return world


def nights(n):
    """The records of so many nights."""
    return curfew(n).events((n + 1) * DAY)


def members(records, known=None):
    return [Member(one.event_key, one, known.get(one.event_key) if known else None) for one in records]


def numbers(found):
    return [None if one is None else one.occurrence for one in found]


def test_two_nights_may_be_chance_and_three_are_a_campaign():
    assert numbers(places(members(nights(2)), PARAMS)) == [None, None]
    found = places(members(nights(4)), PARAMS)
    assert numbers(found) == [1, 2, 3, 4]
    assert len({one.campaign_id for one in found}) == 1
    assert {one.n_occurrences for one in found} == {4}


def test_a_campaign_goes_on_under_its_id_when_its_first_nights_are_out_of_sight():
    records = nights(6)
    begun = dict(zip([one.event_key for one in records], places(members(records[:4]), PARAMS), strict=False))
    found = places(members(records[2:], begun), PARAMS)
    assert numbers(found) == [3, 4, 5, 6]
    assert {one.campaign_id for one in found} == {begun[records[0].event_key].campaign_id}
    assert found[-1].n_occurrences == 6


def test_what_was_published_as_one_of_many_stays_so_when_the_others_are_out_of_sight():
    records = nights(4)
    part = CampaignPart(campaign_id=UUID(int=7), occurrence=71, n_occurrences=72)
    assert places(members(records[:1], {records[0].event_key: part}), PARAMS) == (part,)


def test_chains_join_their_campaign_once_and_are_not_told_of_every_further_night():
    world = curfew(6)
    chains: dict[UUID, Chain] = {}
    written = []
    for night in range(1, 7):
        now = night * DAY + 700
        versions = plan(world.events(now), list(chains.values()), T0, at(now), PARAMS)
        written.append([(one.change_kind, one.record.campaign and one.record.campaign.occurrence) for one in versions])
        for one in versions:
            chains[one.event_key] = Chain(one.event_key, "CIV-2026-MM-0001", one.version, at(now), one.record)
    assert written == [
        [("new", None)],
        [("new", None)],
        [("extended", 1), ("extended", 2), ("new", 3)],
        [("new", 4)],
        [("new", 5)],
        [("new", 6)],
    ]
    assert len({chain.record.campaign.campaign_id for chain in chains.values() if chain.record.campaign}) == 1


def test_the_window_of_a_live_detector_loses_neither_id_nor_number():
    records = nights(20)
    chains: dict[UUID, Chain] = {}
    for night in range(1, 21):
        now = at(night * DAY + 700)
        since = max(T0, now - timedelta(days=7))
        recent = [one for one in chains.values() if one.record.onset.latest >= since]
        seen = [one for one in records if since <= one.onset.earliest <= now]
        for one in plan(seen, recent, since, now, PARAMS):
            chains[one.event_key] = Chain(one.event_key, "CIV-2026-MM-0001", one.version, now, one.record)
    parts = [chain.record.campaign for chain in chains.values()]
    assert sorted(part.occurrence for part in parts) == list(range(1, 21))
    assert len({part.campaign_id for part in parts}) == 1


def test_a_home_that_is_off_every_night_is_no_campaign():
    world = World()
    key = world.probe("KE", 101)
    world.country("KE", {101: 2, 102: 2})
    for night in range(1, 5):
        shutdown(world, [key], night * DAY + 60, night * DAY + 300)
    found = plan(world.events(6 * DAY), [], T0, at(6 * DAY), PARAMS)
    assert len(found) >= 3
    assert all(one.record.campaign is None for one in found)
