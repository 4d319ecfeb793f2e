"""Kenya 2023: Telegram blocked in the hours of exams, from OONI's observations.

One vote is one measurement: it failed where most of its fifty-odd observations failed. OONI names no households, so
each measurement is taken to be of its own. The truth is a reading of the same data and not an official list: in each
network a window is a half day (until 09:00 UTC and after) of 8–24 November in which two measurements or more failed;
it begins with the first of them and ends with the last. Whoever looks at ``ok`` to find them is not more exact.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from tests.evaluation.data import rows, write

FILE = ("ooni-kenya-telegram-2023", "2023-KE-telegram.csv.gz")
BLOCKED = ("AS33771", "AS37061")
CONTROLS = ("AS15399", "AS37100", "AS30844")
FIRST, LAST = datetime(2023, 11, 8, tzinfo=UTC), datetime(2023, 11, 25, tzinfo=UTC)
FITTED_UNTIL = datetime(2023, 11, 16, tzinfo=UTC)
"""Thresholds of our own were chosen by looking at what is before; what is after was looked at to report."""
NOON = 9
"""Hour of UTC, noon in Kenya: exams pause, and on most days so does the blocking."""
LEAST = 2
"""Failed measurements in a window: of one nobody can tell it from an accident."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of all of Telegram's addresses."""

    uid: str
    at: datetime
    network: str
    ok: bool
    failure: str


@cache
def measurements() -> tuple[Measurement, ...]:
    """All of the file, in order of time."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(*FILE):
        found[row["measurement_uid"]].append(row)
    made = (_measurement(uid, some) for uid, some in found.items())
    return tuple(sorted(made, key=lambda one: (one.at, one.uid)))


def _measurement(uid: str, some: list[dict[str, str]]) -> Measurement:
    failures = Counter(row["failure_str"] for row in some if row["failure_class"] != "ok")
    bad = 2 * failures.total() > len(some)
    word = min(failures, key=lambda one: (-failures[one], one)) if bad else ""
    at = datetime.fromisoformat(some[0]["measurement_start_time"])
    return Measurement(uid, at, f"AS{some[0]['probe_asn']}", not bad, word)


def target(folder: Path) -> str:
    """The set in the form ``target``."""
    lines = (
        f"{one.at.isoformat()},{one.network},KE,telegram,http,{one.uid},{one.ok:d},{one.failure}"
        for one in measurements()
    )
    return write(folder / "kenya.csv", "time,network,country,target,layer,household,ok,failure", lines)


def truth(folder: Path, since: datetime = FIRST, until: datetime = LAST) -> str:
    """Windows of both networks, and that nothing happened in the three others."""
    lines = [
        f"{network}/telegram,blocking,{start.isoformat()},{end.isoformat()}"
        for network, start, end in windows(since, until)
    ]
    lines += [f"{network}/telegram,quiet,," for network in CONTROLS]
    return write(folder / f"kenya-truth-{since:%d}-{until:%d}.csv", "group_or_target,kind,start,end", iter(lines))


def windows(since: datetime = FIRST, until: datetime = LAST) -> Iterator[tuple[str, datetime, datetime]]:
    """Network, first and last failed measurement."""
    halves: dict[tuple[str, datetime], list[datetime]] = defaultdict(list)
    for one in measurements():
        if one.network in BLOCKED and since <= one.at < until and not one.ok:
            half = one.at.replace(hour=NOON if one.at.hour >= NOON else 0, minute=0, second=0, microsecond=0)
            halves[one.network, half].append(one.at)
    for (network, _), times in sorted(halves.items()):
        if len(times) >= LEAST:
            # Of a single moment a window would have no length.
            yield network, min(times), max(*times, min(times) + timedelta(minutes=1))
