"""From published versions to messages: each step is a transaction, so that a crash repeats a step and loses none.

A version is taken off the list of what nobody was told of in the transaction that writes its notices. What waits of an
event when a later version comes is folded into the notice of that one: after a quiet night an event that opened and
closed is one message.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from pydantic import ValidationError

from civobs_collector.db import notices
from civobs_collector.db.connect import Connection
from civobs_collector.detect.record import EventRecord
from civobs_collector.notify.change import Change, change_between
from civobs_collector.notify.settings import NotifySettings, SubscriberSettings
from civobs_collector.notify.subscribers import is_worst, quiet_until, wants
from civobs_collector.notify.texts import Told
from civobs_collector.publish.published import PublishedEvent

logger = logging.getLogger(__name__)

_AT_ONCE = 100
"""Versions looked at in one transaction."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is being tried."""

    message: UUID
    attempts: int
    """With this one."""
    told: tuple[Told, ...]
    """Empty where none of its versions can be read any more."""


def begin(conn: Connection, settings: NotifySettings, now: datetime) -> None:
    """Write down who is told from now on, and give up what waits for others."""
    names = [one.name for one in settings.subscribers]
    with conn.transaction():
        notices.register(conn, names, now)
        dropped = notices.drop_strangers(conn, names)
    if dropped:
        logger.warning("notices dropped, their subscribers are no longer in the settings n=%d", dropped)


def collect(conn: Connection, settings: NotifySettings, now: datetime) -> None:
    """Make notices of everything that was published and not looked at yet."""
    if not settings.subscribers:
        notices.forget_due(conn)
        return
    while True:
        with conn.transaction():
            due = notices.take_due(conn, _AT_ONCE)
            after = notices.subscribed_after(conn)
            for one in due:
                told = [who for who in settings.subscribers if after[who.name] < one.due_key]
                _note(conn, told, one.event_key, one.version, now)
        if len(due) < _AT_ONCE:
            return


def _note(
    conn: Connection, subscribers: Sequence[SubscriberSettings], event_key: UUID, version: int, now: datetime
) -> None:
    """Put a version into the outbox of everybody to whom it says something new."""
    stored = notices.read_served(conn, event_key, version)
    record = _record(stored)
    if record is None:
        return
    for subscriber in subscribers:
        heard = notices.last_tried(conn, subscriber.name, event_key)
        if heard is not None and heard >= version:
            continue
        notices.fold(conn, subscriber.name, event_key)
        before = _known(conn, subscriber, event_key, version, heard)
        # Somebody who was told of an event is told of its end, however small it has become.
        concerns = heard is not None or any(one is not None and wants(subscriber, one) for one in (before, record))
        change = change_between(before, record) if concerns else None
        if change is not None:
            quiet, urgent = quiet_until(subscriber, now), is_worst(record, change)
            at = now if quiet is None or urgent else quiet
            told = heard if before is not None else None
            notices.add(conn, notices.Notice(subscriber.name, event_key, version, told, change, now, at, urgent))


def _known(
    conn: Connection, subscriber: SubscriberSettings, event_key: UUID, version: int, heard: int | None
) -> EventRecord | None:
    """The event as a subscriber knows it: as they were told, or as it stood when they became one."""
    if heard is not None:
        return _record(notices.read_served(conn, event_key, heard))
    return _record(notices.read_served_before(conn, event_key, version, subscriber.name))


def put_together(conn: Connection, settings: NotifySettings, subscriber: SubscriberSettings, now: datetime) -> None:
    """Make messages of the notices whose time has come: one each, or one of all where there are many."""
    with conn.transaction():
        keys = notices.ready(conn, subscriber.name, now)
        tried, last = notices.tried_since(conn, subscriber.name, now - _HOUR)
        if tried + len(keys) <= settings.digest_from:
            for key in keys:
                notices.put_together(conn, uuid4(), (key,), now)
        elif keys and (last is None or now - last >= timedelta(seconds=settings.digest_every_s)):
            notices.put_together(conn, uuid4(), keys, now)


def claim(
    conn: Connection, settings: NotifySettings, subscriber: SubscriberSettings, now: datetime, base_url: str
) -> Letter | None:
    """Take the next message to be tried, if there is one, and count the attempt before it is made."""
    quiet = quiet_until(subscriber, now) is not None
    with conn.transaction():
        found = notices.next_message(conn, subscriber.name, now, quiet=quiet)
        if found is None:
            return None
        message, tried = found
        claimed = notices.claim(conn, message, now + _pause(settings, tried))
        told = [_told(conn, part, base_url) for part in claimed.parts]
    return Letter(message, claimed.attempts, tuple(one for one in told if one is not None))


def _told(conn: Connection, part: notices.Part, base_url: str) -> Told | None:
    event = _published(notices.read_served(conn, part.event_key, part.version), base_url)
    if event is None:
        return None
    before = notices.read_served(conn, part.event_key, part.told) if part.told is not None else None
    return Told(event, _published(before, base_url), Change(part.change))


def sent(conn: Connection, letter: Letter, now: datetime) -> None:
    """Write down that a message has arrived."""
    notices.finish(conn, letter.message, now, state="sent", error=None)


def failed(
    conn: Connection, settings: NotifySettings, letter: Letter, now: datetime, *, error: str, final: bool
) -> bool:
    """Write down why a message did not arrive; returns whether it was given up."""
    dead = final or letter.attempts > len(settings.retry_s)
    notices.finish(conn, letter.message, now, state="dead" if dead else "waiting", error=error)
    return dead


def _pause(settings: NotifySettings, tried: int) -> timedelta:
    """How long after an attempt the next is due, for one that was tried so often before it."""
    if not settings.retry_s:
        return timedelta(0)
    return timedelta(seconds=settings.retry_s[min(tried, len(settings.retry_s) - 1)])


def _record(stored: notices.Version | None) -> EventRecord | None:
    if stored is None:
        return None
    try:
        return EventRecord.model_validate(stored.record)
    except ValidationError:
        # As the detector leaves it alone (detect_read.py): one damaged record must not silence the rest.
        logger.error("stored event is not told id=%s version=%d", stored.public_id, stored.version)  # noqa: TRY400
        return None


def _published(stored: notices.Version | None, base_url: str) -> PublishedEvent | None:
    record = _record(stored)
    if stored is None or record is None:
        return None
    return PublishedEvent(
        stored.public_id, stored.version, stored.published_at, stored.change_kind, stored.reason, record, base_url
    )
