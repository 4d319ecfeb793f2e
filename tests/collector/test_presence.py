"""What the broker says of probes, and what the collector says of itself."""

import secrets

import pytest

from civobs_wire.presence import PresenceState
from civobs_wire.topics import Leaf
from tests.collector.fix_ingest import Device, open_site, wait_for

pytestmark = [pytest.mark.db, pytest.mark.broker]


@pytest.fixture
def site(lasting_mosquitto, plain_dsn, tmp_path):
    with open_site(lasting_mosquitto, plain_dsn, tmp_path) as site:
        yield site


def say(site, device, state, session, broker=None):
    site.wire.send(device.topic(Leaf.PRESENCE), device.presence(state, session, broker), retain=True)


def heard(site):
    return site.query("SELECT state, session, late FROM presence ORDER BY received_at, state DESC")


def test_a_greeting_and_a_farewell_are_kept_as_they_come(site):
    device, session = site.device(), secrets.token_hex(16)
    site.ingest().start()
    say(site, device, PresenceState.ONLINE, session)
    say(site, device, PresenceState.OFFLINE, session)
    wait_for(lambda: heard(site) == [("online", session, False), ("offline", session, False)])


def test_by_which_broker_a_probe_speaks_is_kept_where_it_says_so(site):
    device = site.device()
    site.ingest().start()
    for broker in (0, 1, None):
        say(site, device, PresenceState.ONLINE, secrets.token_hex(16), broker)
    wait_for(lambda: len(heard(site)) == 3)
    assert site.query("SELECT broker FROM presence ORDER BY received_at") == [(0,), (1,), (None,)]


def test_what_was_said_while_the_collector_was_away_is_late(site):
    device, session = site.device(), secrets.token_hex(16)
    site.ingest().start().stop()
    say(site, device, PresenceState.ONLINE, session)
    say(site, device, PresenceState.STOPPED, session)
    site.ingest().start()
    wait_for(lambda: len(heard(site)) == 2)
    assert [late for _, _, late in heard(site)] == [True, True]
    newer = secrets.token_hex(16)
    say(site, device, PresenceState.ONLINE, newer)
    wait_for(lambda: heard(site)[-1] == ("online", newer, False))


def test_a_retained_greeting_found_at_the_first_subscription_is_late(site):
    device, session = site.device(), secrets.token_hex(16)
    say(site, device, PresenceState.ONLINE, session)
    site.ingest().start()
    wait_for(lambda: heard(site) == [("online", session, True)])


def test_a_statement_repeated_after_a_reconnection_is_not_kept_twice(site):
    device, session = site.device(), secrets.token_hex(16)
    first = site.ingest().start()
    say(site, device, PresenceState.ONLINE, session)
    wait_for(lambda: heard(site))
    first.stop()
    site.ingest(instance="b").start()
    assert heard(site) == [("online", session, False)]


def test_what_waited_in_a_connection_that_stalled_is_late(site, monkeypatch):
    monkeypatch.setattr("civobs_collector.ingest.link._MARK_EVERY_S", 0.2)
    monkeypatch.setattr("civobs_collector.ingest.link.LATE_S", 1.0)
    device, session = site.device(), secrets.token_hex(16)
    link = site.ingest().start().writer._link
    site.broker.freeze()
    message = device.presence(PresenceState.ONLINE, session)
    site.wire._client.publish(device.topic(Leaf.PRESENCE), message, qos=1, retain=True)
    wait_for(lambda: link.quiet_s > 1.2)
    site.broker.thaw()
    wait_for(lambda: heard(site) == [("online", session, True)])
    wait_for(lambda: link.live)
    say(site, device, PresenceState.STOPPED, session)
    wait_for(lambda: heard(site) == [("online", session, True), ("stopped", session, False)])


def test_presence_that_the_probe_did_not_sign_is_refused(site):
    device, session = site.device(), secrets.token_hex(16)
    site.ingest().start()
    forger = Device(probe_id=device.probe_id)
    site.wire.send(device.topic(Leaf.PRESENCE), forger.presence(PresenceState.OFFLINE, session))
    wait_for(lambda: site.query("SELECT reason, receipted FROM rejected_batch") == [("wrong_signature", False)])
    assert heard(site) == []


def test_the_removal_of_a_retained_statement_is_no_statement(site):
    device = site.device()
    ingest = site.ingest().start()
    site.wire.send(device.topic(Leaf.PRESENCE), b"", retain=True)
    site.send(device, device.message(1))
    site.wait_for_receipt(device, 1)
    assert site.query("SELECT count(*) FROM rejected_batch") == [(0,)]
    wait_for(lambda: ingest.writer._link.unacked == 0)


def test_beats_say_when_the_broker_is_away(site):
    site.ingest().start()
    wait_for(lambda: _last_beat(site) is True)
    site.broker.stop()
    wait_for(lambda: _last_beat(site) is False)
    site.broker.start()
    wait_for(lambda: _last_beat(site) is True)


def test_beats_say_when_the_broker_hangs(site):
    site.ingest().start()
    wait_for(lambda: _last_beat(site) is True)
    site.broker.freeze()
    wait_for(lambda: _last_beat(site) is False)
    site.broker.thaw()
    wait_for(lambda: _last_beat(site) is True)


def _last_beat(site):
    found = site.query("SELECT ok FROM collector_beat WHERE role = 'ingest' ORDER BY at DESC LIMIT 1")
    return found[0][0] if found else None
