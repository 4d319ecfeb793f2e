"""The lab's stories as a subscriber hears of them: each event's beginning and end once, and nothing else."""

import pytest

from civobs_collector.config import DatabaseSettings
from civobs_collector.db.connect import connect
from civobs_collector.notify import outbox
from civobs_collector.notify.settings import NotifySettings
from tests.collector.fix_notify import Newsroom, subscriber
from tests.dashboards.story import ZERO, play, read_story

pytestmark = pytest.mark.db

STORIES = {
    "nightly-curfew": (2, ["opened", "closed"] * 2),
    "collector-down": (None, []),
}
"""How often the faults come, where otherwise than in the lab's scenario, and all that is told."""


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_told_as_it_happened(plain_dsn, name):
    times, expected = STORIES[name]
    with connect(DatabaseSettings(dsn=plain_dsn), "notify", autocommit=True) as conn:
        newsroom = Newsroom(conn, NotifySettings(subscribers=(subscriber(),)))
        outbox.begin(conn, newsroom.settings, ZERO)
        play(read_story(name, times), plain_dsn, newsroom.round)
        assert [said.document["data"]["change"] for _, _, said in newsroom.told] == expected
