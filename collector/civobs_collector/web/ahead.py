"""Charts drawn before a reader asks: those that were asked for within the last day, after each of their steps."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock

import psycopg

from civobs_collector.web.country_page import PERIODS, Period

LATELY = timedelta(days=1)
MOST = 64
"""Pages that are drawn ahead: so many readers at most are spared the wait."""

TURN = min(period.moves for period in PERIODS)
SOON = timedelta(seconds=1)

logger = logging.getLogger(__name__)


class Ahead:
    """Remembers what was asked for, and renders it for its charts, which are kept."""

    def __init__(self, render: Callable[[str, Period, datetime], object]) -> None:
        self._render = render
        self._asked: OrderedDict[tuple[str, Period], datetime] = OrderedDict()
        self._lock = Lock()
        self._stopped = Event()

    def asked(self, cc: str, period: Period, at: datetime) -> None:
        """Remember that a reader was shown a page."""
        with self._lock:
            self._asked[cc, period] = at
            self._asked.move_to_end((cc, period))
            if len(self._asked) > MOST:
                self._asked.popitem(last=False)

    def run(self) -> None:
        """Draw after each turn until stopped."""
        while True:
            wait = TURN - (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) % TURN + SOON
            if self._stopped.wait(wait.total_seconds()):
                return
            self.draw(datetime.now(UTC))

    def stop(self) -> None:
        self._stopped.set()

    def draw(self, at: datetime) -> None:
        """Render what was asked for lately as of ``at``, and forget the rest."""
        with self._lock:
            for key in [key for key, asked in self._asked.items() if at - asked > LATELY]:
                del self._asked[key]
            lately = list(self._asked)
        for cc, period in lately:
            if self._stopped.is_set():
                return
            try:
                self._render(cc, period, at)
            except psycopg.Error as error:
                logger.warning("charts not drawn ahead cause=%s", error)
                return
