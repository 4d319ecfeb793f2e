"""How published events of services go on while the window that is looked at moves with time.

A site may be blocked for years and a window has days: what can no longer be seen neither moves a start that was
published nor takes an event back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from civobs_collector.detect import general_records, services
from civobs_collector.detect.params import Params
from civobs_collector.detect.record import EventRecord, Status

_START_UNKNOWN = frozenset({services.START_UNKNOWN, general_records.START_UNKNOWN})


def is_service(record: EventRecord) -> bool:
    """Whether it is of something that was blocked or slow, and not of a line that was lost."""
    return record.kind in services.SERVICE_KINDS


def continued(record: EventRecord, last: EventRecord, since: datetime) -> EventRecord:
    """The record with the start that was published, where it shows none of its own."""
    if last.status is Status.RETRACTED or not _START_UNKNOWN.intersection(record.limits):
        return record
    if record.onset.latest >= since and record.onset.earliest < last.onset.earliest:
        # Late rows: it was so even before.
        return record
    known = {one.signal: one.onset for one in last.per_signal}
    hours = record.severity.hours
    longer = max(0.0, (record.onset.latest - last.onset.latest).total_seconds() / 3600)
    area = record.severity.area * (hours + longer) / hours if hours else record.severity.area
    changes = {
        "onset": last.onset,
        "per_signal": tuple(
            one.model_copy(update={"onset": known.get(one.signal, one.onset)}) for one in record.per_signal
        ),
        "severity": record.severity.model_copy(
            update={"hours": round(hours + longer, 4), "area": round(area, 4)},
        ),
        "limits": tuple(one for one in record.limits if one not in _START_UNKNOWN or one in last.limits),
    }
    if record.dating is not None and last.dating is not None:
        changes["dating"] = record.dating.model_copy(update={"onset": last.dating.onset})
    return record.model_copy(update=changes)


def is_rest(record: EventRecord, settled: Sequence[EventRecord], since: datetime) -> bool:
    """Whether an event without a chain is what is left of an older one: it was over, or is one of the ``settled``."""
    if record.onset.latest < since and record.status is not Status.OPEN:
        return True
    return bool(_START_UNKNOWN.intersection(record.limits)) and bool(settled)


def in_sight(last: EventRecord, since: datetime, params: Params) -> bool:
    """Whether that it is found no more tells something: what was usual before it has not left the window."""
    margin = timedelta(0)
    if is_service(last) and last.status is Status.CLOSED:
        margin = timedelta(seconds=params["service.regret"])
    return last.onset.earliest >= since + margin


def alike(record: EventRecord, last: EventRecord) -> float:
    """Share of targets and networks in common; 0 where no targets are named."""
    return _share(record.scope.targets, last.scope.targets) * _share(record.scope.asns, last.scope.asns)


def _share(these: Sequence[object], those: Sequence[object]) -> float:
    every = {*these, *those}
    return len({*these} & {*those}) / len(every) if every else 0.0
