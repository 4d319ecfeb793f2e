"""Decides whether the ladder runs at its short interval: while something that used to work does not, and a while after.

The short interval is what makes the start and the end of an outage exact to a minute without asking all the world's
anchors every minute in all the quiet years.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from civobs_agent.rungs import RESOLVER
from civobs_wire.failure import Outcome
from civobs_wire.measurement import Ladder

WATCHED = frozenset({1, 2, 3, 4})
MEMORY_S = 86_400.0
"""A rung that has not worked for a day is no news: an IPv6 that the provider took away must not double the traffic."""
HOLD_CLIMBS = 10
"""Quiet climbs at the short interval before the long one returns: lines that come back often go again."""


_Part = tuple[int, int, str]
"""Rung, family, and the question; an empty one is the rung. Of L2 the resolver is watched by itself: beside a next hop
that answers, the rung stays well when it dies."""


@dataclass(slots=True)
class Trouble:
    """What the last climbs say."""

    time_scale: float = 1.0
    _worked: dict[_Part, int] = field(default_factory=dict)
    """The monotonic time at which each part last worked, milliseconds."""
    _hold: int = 0

    @property
    def active(self) -> bool:
        return self._hold > 0

    def learn(self, rows: Iterable[Ladder]) -> None:
        """Take in one climb."""
        watched = [row for row in rows if row.rung in WATCHED and row.outcome is not Outcome.NOT_RUN]
        parts = [part for row in watched for part in _parts(row)]
        if any(self._is_news(*part) for part in parts) or _offline(watched):
            self._hold = HOLD_CLIMBS
        elif self._hold:
            self._hold -= 1
        self._worked.update({part: mono_ms for part, outcome, mono_ms in parts if outcome is Outcome.OK})

    def _is_news(self, part: _Part, outcome: Outcome, mono_ms: int) -> bool:
        worked_ms = self._worked.get(part)
        if outcome is Outcome.OK or worked_ms is None:
            return False
        return mono_ms - worked_ms <= MEMORY_S * 1000 / self.time_scale


def _parts(row: Ladder) -> Iterator[tuple[_Part, Outcome, int]]:
    """What a row says of its rung, and of the resolver: part, outcome, monotonic time."""
    yield (row.rung, row.family, ""), row.outcome, row.mono_ms
    for check in row.checks:
        if check.id == RESOLVER and check.outcome is not Outcome.NOT_RUN:
            yield (row.rung, row.family, RESOLVER), check.outcome, row.mono_ms


def _offline(rows: list[Ladder]) -> bool:
    """Whether nothing abroad answers in any family: trouble even for an agent that was started in the middle of it."""
    abroad = [row for row in rows if row.rung == 4]
    return bool(abroad) and all(row.outcome is Outcome.FAILED for row in abroad)
