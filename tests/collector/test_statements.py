"""A probe that floods with presence fills no table, and its last word is stored all the same."""

import random
import secrets

import pytest

from civobs_collector.ingest.statements import BURST, REFILL_S, Statements
from civobs_wire.presence import PresenceState
from civobs_wire.topics import Leaf
from tests.collector.fix_ingest import open_site, wait_for
from tests.collector.test_batch_ages import Probe


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


def said(probe, state, session):
    return probe.judged(Leaf.PRESENCE, probe.device.presence(state, session))


def connections(probe, n):
    """Greeting and farewell of ``n`` connections."""
    for _ in range(n):
        session = secrets.token_hex(16)
        yield said(probe, PresenceState.ONLINE, session)
        yield said(probe, PresenceState.OFFLINE, session)


def test_a_line_that_flaps_is_stored_whole():
    clock = Clock()
    statements, probe = Statements(clock=clock), Probe()
    stored = 0
    for one in connections(probe, 500):
        stored += statements.admit(one)
        clock.now += REFILL_S / 2
    assert stored == 1000


def test_a_flood_is_stored_as_far_as_there_is_room_and_then_as_time_goes_by():
    clock = Clock()
    statements, probe, other = Statements(clock=clock), Probe(1), Probe(2)
    stored = [one for one in connections(probe, 10 * BURST) if statements.admit(one)]
    assert len(stored) == 2 * BURST
    assert statements.due() == []
    assert all(statements.admit(one) for one in connections(other, 3))
    clock.now += REFILL_S
    assert len(statements.due()) == 2
    clock.now += 100 * REFILL_S
    assert statements.due() == []


def test_the_last_greeting_and_its_farewell_are_stored_whatever_came_before():
    chance = random.Random(7)
    for _ in range(50):
        clock = Clock()
        statements, probe = Statements(clock=clock), Probe()
        flood = list(connections(probe, BURST + chance.randrange(1, 20)))
        last = flood[: len(flood) - chance.randrange(2)]
        stored = []
        for one in last:
            stored += statements.due()
            stored += [one] if statements.admit(one) else []
            clock.now += chance.random()
        clock.now += REFILL_S
        stored += statements.due()
        newest = max(stored, key=lambda one: one.arrived.received_at)
        assert newest is last[-1]


def test_an_old_connections_farewell_does_not_take_the_new_greetings_place():
    clock = Clock()
    statements, probe = Statements(clock=clock), Probe()
    for one in connections(probe, BURST):
        statements.admit(one)
    greeting = said(probe, PresenceState.ONLINE, secrets.token_hex(16))
    farewell = said(probe, PresenceState.OFFLINE, secrets.token_hex(16))
    assert not statements.admit(greeting)
    assert not statements.admit(farewell)
    clock.now += REFILL_S
    assert statements.due() == [greeting, farewell]


@pytest.mark.db
@pytest.mark.broker
def test_ingest_acknowledges_a_flood_and_stores_a_part_of_it(mosquitto, plain_dsn, tmp_path):
    with open_site(mosquitto, plain_dsn, tmp_path) as site:
        device = site.device()
        ingest = site.ingest().start()
        for _ in range(5 * BURST):
            message = device.presence(PresenceState.ONLINE, secrets.token_hex(16))
            site.wire._client.publish(device.topic(Leaf.PRESENCE), message, qos=1)
        last = secrets.token_hex(16)
        site.wire.send(device.topic(Leaf.PRESENCE), device.presence(PresenceState.ONLINE, last), retain=True)
        wait_for(lambda: site.query("SELECT FROM presence WHERE session = %s", last))
        assert BURST < site.query("SELECT count(*) FROM presence")[0][0] < 2 * BURST
        assert ingest.count("ingest_presence_held_total") > 3 * BURST
        wait_for(lambda: ingest.writer._link.unacked == 0)
