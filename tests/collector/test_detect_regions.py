"""Regions: several networks of one region are neither a network nor the country, and a household is nobody's region."""

from dataclasses import replace
from datetime import timedelta

from civobs_collector.detect.chains import Chain
from civobs_collector.detect.record import EventKind, Level, Status
from civobs_collector.detect.versions import plan
from civobs_collector.publish.codf import codf
from civobs_collector.publish.published import PublishedEvent, place, title, who
from tests.collector.fix_detect import AGENT_DOWN, FAILED, OK, PARAMS, T0, World, at, shutdown


def two_regions(north, south, **more):
    """A country of so many homes by network in each region, and its neighbour."""
    world = World()
    keys = [
        [world.probe("VE", asn, admin1=name, **more) for asn, n in homes.items() for _ in range(n)]
        for name, homes in (("North", north), ("South", south))
    ]
    world.country("CO", {201: 4})
    return world, *keys


def places(world, now):
    return [(one.scope.level, one.scope.admin1, one.scope.asns, one.affected.n_down) for one in world.events(now)]


def cut_off(world, keys, start, end):
    shutdown(world, keys, start, end)
    for key in keys:
        world.cut(key, start, end)


def test_several_networks_of_one_region_are_its_event_and_not_the_countrys():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    cut_off(world, north, 600, 780)
    (event,) = world.events(900)
    assert (event.kind, event.status) == (EventKind.OUTAGE, Status.CLOSED)
    assert (event.scope.level, event.scope.admin1, event.scope.asns) == (Level.REGION, ("North",), (101, 102))
    assert (event.affected.n_down, event.affected.n_observed) == (4, 4)
    assert event.likeliest == "undetermined"
    assert event.grid.rows[0].label == "North"
    assert event.scope.probe_id is None


def test_a_country_whose_regions_are_all_out_is_one_event_of_the_country():
    world, north, south = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    cut_off(world, [*north, *south], 600, 780)
    assert places(world, 900) == [(Level.COUNTRY, ("North", "South"), (101, 102), 8)]


def test_a_region_that_holds_all_who_are_observed_is_the_country():
    world, north, _ = two_regions({101: 2, 102: 2}, {})
    cut_off(world, north, 600, 780)
    assert places(world, 900) == [(Level.COUNTRY, ("North",), (101, 102), 4)]


def test_households_without_a_region_may_be_of_another():
    world = World()
    keys = [world.probe("VE", 101 + n % 2, admin1="North") for n in range(4)] + world.country("VE", {101: 1, 102: 1})
    for n in range(4):
        world.probe("VE", 101 + n % 2, admin1="South")
    world.country("CO", {201: 4})
    cut_off(world, keys, 600, 780)
    assert places(world, 900) == [(Level.COUNTRY, ("North",), (101, 102), 6)]


def test_one_network_in_two_regions_is_the_network_and_in_one_region_it_is_no_region():
    world, north, south = two_regions({101: 3, 102: 1}, {101: 3, 102: 4})
    cut_off(world, north[:3] + south[:3], 600, 780)
    assert places(world, 900) == [(Level.NETWORK, ("North", "South"), (101,), 6)]
    world, north, _ = two_regions({101: 3, 102: 3}, {102: 3})
    cut_off(world, north[:3], 600, 780)
    assert places(world, 900) == [(Level.NETWORK, ("North",), (101,), 3)]


def test_of_a_region_and_a_network_the_one_with_more_households_absorbs_the_other():
    world, north, south = two_regions({101: 4, 102: 1}, {101: 3, 102: 6})
    cut_off(world, north[:4] + south[:3], 600, 780)
    # The last home of the region, of another network, is out by chance.
    cut_off(world, north[4:], 610, 700)
    assert [one for one in places(world, 900) if one[0] is not Level.PROBE] == [
        (Level.NETWORK, ("North", "South"), (101,), 7)
    ]


def test_two_households_of_two_networks_are_no_region():
    world, north, _ = two_regions({101: 1, 102: 1}, {101: 2, 102: 2})
    cut_off(world, north, 600, 780)
    assert {one[0] for one in places(world, 900)} == {Level.PROBE}


def dark(world, keys, step=30):
    """Homes lose power one by one, and return one by one with new boot ids and the rows of their absence."""
    for number, key in enumerate(keys):
        lost, back = 600 + step * number, 1000 + 7 * number
        world.lose(key, lost + 1)
        world.online(key, back + 1, reboot=True)
        world.rows(key, 4, OK, 500, lost - 0.5, 0.5)
        world.rows(key, 4, AGENT_DOWN, lost + 0.5, back - 0.5)
        world.rows(key, 4, OK, back + 0.5, back + 60)


def test_power_that_fails_home_by_home_is_dated_by_the_rows_of_the_devices_from_the_first_to_the_last():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    dark(world, north)
    (event,) = world.events(1100)
    assert (event.kind, event.likeliest, event.scope.level) == (EventKind.POWER, "power", Level.REGION)
    assert event.onset.earliest <= at(600) <= event.onset.latest <= event.onset.earliest + timedelta(minutes=2)
    # The third return brings it to an end; the last follows within half an hour, and is the likely one.
    assert abs(event.resolution.likely - at(1021)) <= timedelta(minutes=5)
    assert event.resolution.earliest <= at(1014) < at(1021) <= event.resolution.latest <= at(1022)


def test_a_region_is_never_called_a_shutdown_while_its_homes_go_dark():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    dark(world, north, step=60)
    for now in range(605, 1100, 15):
        for event in world.events(now):
            assert event.kind is not EventKind.SHUTDOWN_SUSPECTED
            assert event.likeliest in ("undetermined", "power")


def test_homes_that_tell_of_a_power_cut_one_by_one_withdraw_no_public_event_meanwhile():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    dark(world, north)
    chains = {}
    for now in range(605, 1100, 5):
        for one in plan(world.events(now), list(chains.values()), T0, at(now), PARAMS):
            public_id = "CIV-2026-VE-0001" if one.public else None
            chains[one.event_key] = Chain(one.event_key, public_id, one.version, at(now), one.record)
            assert not (one.public and one.change_kind == "retracted")
    (public,) = [one.record for one in chains.values() if one.public_id]
    assert (public.kind, public.status, public.scope.level) == (EventKind.POWER, Status.CLOSED, Level.REGION)


def test_a_networks_event_becomes_its_regions_and_two_regions_are_two_events():
    world, north, south = two_regions({101: 3, 102: 2}, {103: 2, 104: 2}, enrolled_at=T0 - timedelta(days=90))
    for n in range(10):
        world.probe("VE", 105 + n % 2, admin1="East")
    shutdown(world, north[:3], 600)
    (first,) = plan(world.events(620), [], T0, at(620), PARAMS)
    assert first.record.scope.level is Level.NETWORK
    chain = Chain(first.event_key, "CIV-2026-VE-0001", 1, at(620), first.record)
    shutdown(world, [*north[3:], *south], 640)
    versions = plan(world.events(670), [chain], T0, at(670), PARAMS)
    public = {one.record.scope.admin1: one for one in versions if one.public}
    assert (public["North",].event_key, public["North",].change_kind) == (first.event_key, "reclassified")
    assert public["South",].version == 1
    chains = [
        Chain(one.event_key, f"CIV-2026-VE-000{n}", one.version, at(670), one.record)
        for n, one in enumerate(public.values())
    ]
    again = plan(world.events(680), chains, T0, at(680), PARAMS)
    assert not [one for one in again if one.change_kind in ("new", "retracted") and one.public]


def test_a_region_is_named_with_its_country_on_pages_and_in_exports():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    cut_off(world, north, 600, 780)
    (event,) = world.events(900)
    scope = event.scope.model_copy(update={"country": "Venezuela"})
    event = event.model_copy(update={"scope": scope})
    shown = PublishedEvent("CIV-2026-VE-0001", 1, at(900), "new", "detected", event, "https://observatory.example")
    assert place(shown) == "North, Venezuela"
    assert title(shown).endswith(" in North, Venezuela")
    assert "Affected: 2 of 2 observed networks." in who(shown)
    assert {(row.location, row.location_name) for row in codf(shown)} == {("region/VE-North", "North, Venezuela")}


def test_what_a_probe_recorded_bounds_its_return_and_how_often_it_tries_the_observatory_does_not():
    world = World()
    keys = world.country("KE", {101: 2, 102: 2})
    world.country("TZ", {201: 3})
    for key in keys:
        world.lose(key, 601)
        world.online(key, 799)  # its first tries were lost: it came back long after the line
        for first, outcome, last in ((300, OK, 595), (605, FAILED, 775), (790, OK, 900)):
            for minute in range(first, last + 1, 15):
                world.rows(key, 4, outcome, minute, minute)
    world.runs = [replace(run, last_at=run.first_at) for run in world.runs]
    (event,) = world.events(900)
    assert event.resolution.earliest <= at(780) <= event.resolution.latest


def test_confidence_of_a_region_counts_its_own_households():
    world, north, _ = two_regions({101: 2, 102: 2}, {101: 2, 102: 2})
    cut_off(world, north, 600, 780)
    (event,) = world.events(900)
    assert event.confidence.label == "probable"
    assert event.confidence.reasons[0] == "4 of 4 observed households down at the peak, in 2 networks"
