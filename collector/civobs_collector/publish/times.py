"""Times in words: UTC first, local time in brackets where a country has one.

Machines get ISO 8601 in UTC; local time is for display only, because mixed and mended dates are what makes other
lists unusable (detection.md §6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from civobs_collector.detect.record import Bounds, Transition

NEAR = timedelta(minutes=10)
"""Bounds closer than this read as "about" their middle in running text; the exact bounds stand in the table."""


SHORT = timedelta(minutes=10)
"""An event that lasted less is told with seconds: by the minute it would end when it began."""


@dataclass(frozen=True, slots=True)
class LocalClock:
    """The zones of one country. Where they disagree at a moment there is no local time of the country to show."""

    zones: tuple[ZoneInfo, ...] = ()

    def at(self, moment: datetime) -> datetime | None:
        """Return the country's local time, or None where it has none or several."""
        offsets = {zone.utcoffset(moment.astimezone(zone)) for zone in self.zones}
        return moment.astimezone(self.zones[0]) if len(offsets) == 1 else None


def iso(moment: datetime) -> str:
    """Write ``2026-11-22T05:10:30Z``; fractions of a second only when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def day(moment: datetime) -> str:
    """Write ``22 November 2026``, in English whatever the process's locale is."""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def clock(moment: datetime, *, seconds: bool = False) -> str:
    """Write ``05:10``, or ``05:10:30``."""
    return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"


def utc_text(moment: datetime) -> str:
    """Write ``22 November 2026, 05:10 UTC``."""
    moment = moment.astimezone(UTC)
    return f"{day(moment)}, {clock(moment)} UTC"


def local_text(moment: datetime, local: LocalClock, *, seconds: bool = False) -> str | None:
    """Write ``08:10 local time``, with the date where it is another one than in UTC; None where there is none."""
    here = local.at(moment)
    if here is None:
        return None
    if here.date() == moment.astimezone(UTC).date():
        return f"{clock(here, seconds=seconds)} local time"
    return f"{clock(here, seconds=seconds)} local time on {day(here)}"


def full_text(moment: datetime, local: LocalClock) -> str:
    """Write ``22 November 2026, 05:10 UTC (08:10 local time)``."""
    here = local_text(moment, local)
    return f"{utc_text(moment)} ({here})" if here else utc_text(moment)


def middle(bounds: Bounds | Transition) -> datetime:
    """Return the estimate of the moment, or half-way between the bounds where there is none."""
    if isinstance(bounds, Transition) and bounds.likely is not None:
        return bounds.likely
    return bounds.earliest + (bounds.latest - bounds.earliest) / 2


def when(
    bounds: Bounds | Transition, local: LocalClock, *, after: datetime | None = None, seconds: bool = False
) -> str:
    """Say a bounded time: about its middle when the bounds are near, to the minute or second, otherwise both of them.

    ``on 22 November 2026 at about 05:10 UTC (08:10 local time)``; ``the same day at …`` when ``after`` was that day.
    """
    first, last = bounds.earliest.astimezone(UTC), bounds.latest.astimezone(UTC)
    if last - first <= NEAR:
        half = timedelta(seconds=0.5 if seconds else 30)
        first = last = (middle(bounds) + half).astimezone(UTC)
    elif first.date() != last.date():
        return f"between {full_text(first, local)} and {full_text(last, local)}"
    same = after is not None and after.astimezone(UTC).date() == first.date()
    date = "the same day" if same else f"on {day(first)}"
    if first == last:
        here = local_text(first, local, seconds=seconds)
        return f"{date} at about {clock(first, seconds=seconds)} UTC" + (f" ({here})" if here else "")
    return f"{date} between {clock(first)} and {clock(last)} UTC" + _local_pair(first, last, local)


def duration(span: timedelta) -> str:
    """Write ``45 seconds``, ``12 minutes``, ``4 hours 30 minutes`` or ``3 days 2 hours``."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 90:
        return _counted(seconds, "second")
    minutes = round(seconds / 60)
    if minutes < 60:
        return _counted(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _joined(_counted(hours, "hour"), minutes, "minute")
    days, hours = divmod(round(seconds / 3600), 24)
    return _joined(_counted(days, "day"), hours, "hour")


def short_duration(span: timedelta) -> str:
    """Write ``45 s``, ``12 min``, ``4 h 30 min`` or ``3 d 2 h``, for labels in charts."""
    words = duration(span)
    for long, short in (("second", "s"), ("minute", "min"), ("hour", "h"), ("day", "d")):
        words = words.replace(f"{long}s", short).replace(long, short)
    return words


def ago(age: timedelta) -> str:
    """Write ``3 minutes ago``."""
    return f"{duration(age)} ago"


def listing(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def count(number: int, noun: str) -> str:
    """Write ``1 network`` or ``3 networks``."""
    return _counted(number, noun)


MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _local_pair(first: datetime, last: datetime, local: LocalClock) -> str:
    here, there = local.at(first), local.at(last)
    if here is None or there is None:
        return ""
    if here.date() == there.date() == first.date():
        return f" ({clock(here)} and {clock(there)} local time)"
    return f" ({local_text(first, local)} and {local_text(last, local)})"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _joined(first: str, number: int, noun: str) -> str:
    return f"{first} {_counted(number, noun)}" if number else first
