"""Decisions about events, written: each is a review, new versions of the events it is about, and a line in the audit.

All of it is one transaction under the lock of the one who may publish, so that no run of the detector comes between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg import errors
from pydantic import ValidationError

from civobs_collector.db import audit, events, staff
from civobs_collector.db import reviews as stored
from civobs_collector.db.connect import Connection
from civobs_collector.desk.decisions import Step, Subject, Wanted, steps
from civobs_collector.detect.chains import NewVersion, change_kind
from civobs_collector.detect.record import EventRecord
from civobs_collector.detect.reviews import Action, Review, applied, part_of, unreviewed
from civobs_collector.detect_read import columns_of, review_of, reviews_of
from civobs_collector.errors import NotFoundError, ReviewRefusedError

__all__ = ["Decided", "Wanted", "decide"]

COMMAND_LINE = "(command line)"
"""In the audit, for what is decided without signing in."""
_REASON = "human_review"
_MOST_DETAIL = 1000
_WAIT_S = 20
"""For a run of the detector to end."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What was written, or would be."""

    public_id: str | None
    event_key: UUID
    versions: tuple[NewVersion, ...]
    text: str
    """What happened, in sentences, a line each."""


def decide(conn: Connection, wanted: Wanted, now: datetime, *, dry_run: bool = False) -> Decided:
    """Decide, in a transaction of its own: what the caller began on the connection is committed first.

    Raises ReviewRefusedError and NotFoundError, which are in the audit then; a dry run leaves nothing at all.
    """
    conn.commit()
    subject: Subject | None = None
    try:
        with conn.transaction(force_rollback=dry_run):
            _lock(conn)
            subject = _find(conn, wanted.event)
            written = _written(conn, wanted, subject, now)
            if not dry_run:
                _audit(conn, wanted, now, "done", subject, _detail(wanted))
    except (ReviewRefusedError, NotFoundError) as error:
        if not dry_run:
            with conn.transaction():
                _audit(conn, wanted, now, "refused", subject, error.cause)
        raise
    return Decided(
        subject.public_id,
        subject.event_key,
        tuple(version for _, version in written),
        "\n".join(_sentence(name, version) for name, version in written),
    )


def _lock(conn: Connection) -> None:
    try:
        events.wait_to_publish(conn, _WAIT_S)
    except (errors.LockNotAvailable, errors.QueryCanceled):
        # The second where a statement may not take as long as this may wait.
        raise ReviewRefusedError(
            "the detector is publishing, and has been for as long as a decision waits", "try again in a minute"
        ) from None


def _written(conn: Connection, wanted: Wanted, subject: Subject, now: datetime) -> list[tuple[str, NewVersion]]:
    written = []
    for step in _named(conn, steps(wanted, subject, lambda name: _find(conn, name)), now):
        review = _review(conn, wanted, step, now)
        version = _version(conn, step, review)
        events.write_version(conn, columns_of(version, now))
        written.append((step.subject.name, version))
    return written


def _named(conn: Connection, found: Sequence[Step], now: datetime) -> list[Step]:
    """The same, where an event that is split off has its id, and what it leaves names it."""
    child = next((step for step in found if step.born_of is not None), None)
    if child is None:
        return list(found)
    first = NewVersion(child.subject.event_key, 1, "new", _REASON, child.subject.record, public=True)
    public_id = events.create_event(conn, columns_of(first, now), public=True)
    return [
        replace(step, subject=replace(step.subject, public_id=public_id))
        if step is child
        else replace(step, body={**step.body, "to": public_id})
        for step in found
    ]


def _review(conn: Connection, wanted: Wanted, step: Step, now: datetime) -> Review:
    row = stored.ReviewRow(
        review_key=0,
        event_key=step.subject.event_key,
        at=now,
        reviewer=wanted.reviewer.strip(),
        action=wanted.action,
        note=wanted.note.strip(),
        sources=wanted.sources,
        body=dict(step.body),
    )
    return review_of(replace(row, review_key=stored.insert(conn, row, wanted.staff_key)))


def _version(conn: Connection, step: Step, review: Review) -> NewVersion:
    subject, whole = step.subject, step.born_of
    own = unreviewed(subject.record)
    if whole is not None:
        own = part_of(own, {**step.body, "of": whole.name, "to_key": str(subject.event_key)})
    record = applied(own, (*subject.reviews, review))
    kind = _let_go(conn, subject, record) if review.action is Action.RELEASE else step.change_kind
    return NewVersion(subject.event_key, subject.version + 1, kind, _REASON, record, subject.public_id is not None)


def _let_go(conn: Connection, subject: Subject, record: EventRecord) -> str:
    """What is new to the public when an event is no longer held."""
    served = [one for one in events.read_versions(conn, str(subject.event_key)) if not one.held]
    if not served:
        return "new"
    return change_kind(record, EventRecord.model_validate(served[-1].record)) or "reviewed"


def _find(conn: Connection, name: str) -> Subject:
    """An event by public id or key, as it is now. Raises NotFoundError."""
    found = events.read_versions(conn, name) if name.isascii() and name.isprintable() else []
    if not found:
        raise NotFoundError(f"there is no event {name!r}", "see: civobs events list")
    newest = found[-1]
    try:
        record = EventRecord.model_validate(newest.record)
    except ValidationError:
        raise ReviewRefusedError(
            f"version {newest.version} of {name} cannot be read by this version of the program",
            "upgrade, or see the log of the role detect",
        ) from None
    reviews = reviews_of(conn, [newest.event_key]).get(newest.event_key, ())
    return Subject(newest.event_key, newest.public_id, newest.version, newest.published_at, record, reviews)


def _audit(
    conn: Connection, wanted: Wanted, now: datetime, outcome: audit.Outcome, subject: Subject | None, detail: str
) -> None:
    login = COMMAND_LINE if wanted.staff_key is None else staff.login_of(conn, wanted.staff_key)
    key = None if subject is None else subject.event_key
    audit.record(
        *(conn, now, login, f"event.{wanted.action}", outcome),
        staff_key=wanted.staff_key,
        event_key=key,
        detail="".join(one if one.isprintable() else "?" for one in detail[:_MOST_DETAIL]),
    )


def _detail(wanted: Wanted) -> str:
    """Who, and about what else: the note stands in the decision itself."""
    parts = [f"as {wanted.reviewer.strip()}", *(f"{name} {value}" for name, value in sorted(wanted.body.items()))]
    return "; ".join(parts)


def _sentence(name: str, version: NewVersion) -> str:
    record = version.record
    words = [f"{name}: version {version.version}, {record.status}, {record.confidence.label}"]
    if record.held:
        words.append("not served")
    return ", ".join(words)
