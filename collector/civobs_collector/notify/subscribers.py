"""What a subscriber wants to hear, and when: pure functions of the settings."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from civobs_collector.detect.record import ConfidenceLabel, EventRecord, Level
from civobs_collector.notify.change import Change, rank
from civobs_collector.notify.settings import SubscriberSettings

_SURE = tuple(ConfidenceLabel)
_WAKES = (Change.OPENED, Change.REOPENED, Change.WORSENED, Change.RETRACTED)


def wants(subscriber: SubscriberSettings, record: EventRecord) -> bool:
    """Tell whether an event as it is now is one that they asked for."""
    return (
        (not subscriber.countries or record.scope.cc in subscriber.countries)
        and rank(record.scope.level) >= rank(Level(subscriber.least_level))
        and _SURE.index(record.confidence.label) >= _SURE.index(ConfidenceLabel(subscriber.least_confidence))
    )


def is_worst(record: EventRecord, change: Change) -> bool:
    """Tell whether it is told also in quiet hours: a whole country, and it has come, has grown, or was a mistake."""
    return record.scope.level is Level.COUNTRY and change in _WAKES


def quiet_until(subscriber: SubscriberSettings, now: datetime) -> datetime | None:
    """When the quiet hours that ``now`` lies in are over; None outside of them."""
    begin, end = subscriber.quiet_from, subscriber.quiet_until
    if begin is None or end is None:
        return None
    zone = ZoneInfo(subscriber.time_zone)
    here = now.astimezone(zone)
    at = here.time()
    if not (begin <= at < end if begin < end else at >= begin or at < end):
        return None
    over = datetime.combine(here.date(), end, zone)
    return over if at < end else over + timedelta(days=1)  # a day on the wall, not of 24 hours
