"""Statements of presence in an order that a broker, or somebody who holds one, can bring about."""

from collections.abc import Iterable

import pytest

from civobs_collector.detect.inputs import PresenceFact
from civobs_collector.detect.presence import Seen, losses, spans
from tests.collector.fix_detect import PARAMS, at, boot

NOW = at(120).timestamp()


def facts(*said: tuple[float, str, str]) -> list[PresenceFact]:
    return [PresenceFact(1, at(minute), state, session, boot(1), 60) for minute, state, session in said]


def seen(said: Iterable[tuple[float, str, str]]) -> list[Seen]:
    told = facts(*said)
    return [span.seen for span in spans(told, losses(told, NOW, PARAMS), NOW)]


def test_a_will_is_a_loss():
    assert seen([(0, "online", "a"), (10, "offline", "a")]) == [Seen.ONLINE, Seen.LOST]


@pytest.mark.parametrize("minute", [10.01, 11, 100])
def test_the_will_of_an_agent_that_took_leave_is_no_loss(minute):
    assert losses(facts((0, "online", "a"), (10, "stopped", "a"), (minute, "offline", "a")), NOW, PARAMS) == []
    said = [(0, "online", "a"), (10, "stopped", "a"), (minute, "offline", "a")]
    assert seen(said) == [Seen.ONLINE, Seen.STOPPED, Seen.STOPPED]


def test_an_old_will_played_again_takes_no_newer_connection_away():
    said = [(0, "online", "a"), (10, "stopped", "a"), (20, "online", "b"), (30, "offline", "a")]
    assert losses(facts(*said), NOW, PARAMS) == []
    assert seen(said)[-1] is Seen.ONLINE
