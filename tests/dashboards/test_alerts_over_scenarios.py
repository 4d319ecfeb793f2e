"""Each alert rule, asked every minute of a story: one firing for each event, and no other."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import psycopg
import pytest

from civobs_collector.grafana.rules import RULES, Rule
from tests.dashboards.grafana_sql import Window, as_grafana, expand
from tests.dashboards.story import MINUTE, ZERO, Story, play, read_story

pytestmark = pytest.mark.db

Labels = tuple[tuple[str, str], ...]
Answers = Iterator[tuple[Labels, dict[datetime, float]]]
_MISSING = 2
"""After so many evaluations without a row Grafana takes an alert for resolved."""


def values_of(
    conn: psycopg.Connection[Any], rule: Rule, story: Story
) -> Iterator[tuple[Labels, dict[datetime, float]]]:
    """What the rule's statement gives in each minute, by its labels."""
    asked = expand(rule.sql, Window(ZERO, story.end, to_sql="minute.at"), {})
    cursor = conn.execute(
        "SELECT minute.at, answer.* FROM generate_series(%s::timestamptz, %s, interval '1 minute') AS minute (at)"
        f" CROSS JOIN LATERAL ({asked}) AS answer",
        (ZERO, story.end),
    )
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    assert names[-1] == "value"
    rows = sorted((tuple(zip(names[1:-1], row[1:-1], strict=True)), row[0], row[-1]) for row in cursor)
    for labels, group in groupby(rows, key=lambda row: row[0]):
        given = [(at, value) for _, at, value in group]
        assert len(dict(given)) == len(given), "Grafana refuses an answer with two rows of one label set"
        yield labels, dict(given)


def firings(rule: Rule, values: Mapping[datetime, float], end: datetime) -> list[datetime]:
    """When it began to fire, as Grafana does it: after the condition has held for the rule's time."""
    found: list[datetime] = []
    since: datetime | None = None
    firing, missing, now = False, 0, ZERO
    while now <= end:
        value = values.get(now)
        missing = missing + 1 if value is None else 0
        if value is None and missing < _MISSING:
            now += MINUTE
            continue
        holds = value is not None and (value < rule.above if rule.below else value > rule.above)
        since = (since or now) if holds else None
        if since is not None and not firing and now - since >= timedelta(minutes=rule.for_min):
            found.append(now)
        firing = holds and (firing or bool(found and found[-1] == now))
        now += MINUTE
    return found


def told_by(conn: psycopg.Connection[Any], story: Story) -> dict[tuple[str, str], int]:
    """How often each rule fired, by the event or the country that it told of."""
    counts: Counter[tuple[str, str]] = Counter()
    for rule in RULES:
        for labels, values in values_of(conn, rule, story):
            named = dict(labels)
            counts[rule.id, named.get("event") or named.get("cc", "")] += len(firings(rule, values, story.end))
    return {key: n for key, n in counts.items() if n}


STORIES = {
    "national-shutdown": (None, {("event-opened", "CIV-2026-XA-0001"): 1}),
    "nightly-curfew": (7, {("event-opened", f"CIV-2026-XA-{night:04d}"): 1 for night in range(1, 8)}),
    "collector-down": (None, {("ingest-stalled", ""): 1}),
    "quiet-week": (None, {}),
}
"""How often the faults come, where otherwise than in the lab's scenario, and all that may be told of it."""


@pytest.mark.parametrize("name", STORIES)
def test_of_each_event_is_told_once_and_of_nothing_else(timescale_dsn, name):
    times, expected = STORIES[name]
    story = read_story(name, times)
    play(story, timescale_dsn)
    with as_grafana(timescale_dsn) as conn:
        conn.execute("SET statement_timeout = '120s'; SET jit = off")
        assert told_by(conn, story) == expected
    with psycopg.connect(timescale_dsn) as conn:
        (n,) = conn.execute("SELECT count(*) FROM event WHERE public_id IS NOT NULL").fetchone()
    assert n == sum(rule == "event-opened" for rule, _ in expected)
