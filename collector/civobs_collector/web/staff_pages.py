"""The desk's pages: signing in, the queue and the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from civobs_collector.db.events import StoredVersion
from civobs_collector.db.read_queue import QueueRow
from civobs_collector.db.staff import AuditLine, Member, Role
from civobs_collector.detect.record import EventRecord, Status
from civobs_collector.detect.reviews import unreviewed
from civobs_collector.publish.published import PublishedEvent, status_words, title
from civobs_collector.web.templates import render

HELD = "review"
"""Why the record is held, where a person holds it."""

SECTIONS: dict[str, tuple[str, str]] = {
    "held": ("Held back", "The public does not see these versions until somebody releases them."),
    "doubted": (
        "Confirmed and no longer borne out",
        "The detector does not find them in what has arrived since. They stand until a person retracts them.",
    ),
    "open": ("Going on", "No end has been seen."),
    "unreviewed": ("Ended and not reviewed", "Published by the detector alone."),
}
"""Of the queue: name and meaning."""

ACTIONS: dict[str, str] = {
    "sign-in": "Sign in",
    "sign-out": "Sign out",
    "session": "Session",
    "form": "Form",
    "confirm": "Confirm",
    "retract": "Retract",
    "reopen": "Reopen",
    "hold": "Hold",
    "release": "Release",
    "annotate": "Annotate",
    "cause": "State a cause",
    "merge": "Merge",
    "split": "Split",
    "audit": "Read the audit log",
    "staff-add": "Add to the staff",
    "staff-role": "Give another role",
    "staff-reset": "Give new secrets",
    "staff-disable": "Disable",
    "staff-enable": "Enable",
}
"""What the audit and the history call what was done; a name without words goes by itself."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page behind the sign-in shows around its own: who is signed in, and where."""

    member: Member
    csrf: str
    here: str
    base_url: str

    def values(self) -> dict[str, object]:
        """For the template."""
        places = [("/staff/", "Queue")]
        if self.member.role.covers(Role.ADMIN):
            places.append(("/staff/audit", "Audit log"))
        return {
            "member": self.member,
            "csrf": self.csrf,
            "here": self.here,
            "places": [*places, ("/", "Public pages")],
            "actions": ACTIONS,
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """One line of the queue."""

    path: str
    event: PublishedEvent
    title: str
    status: str


def sign_in_page(csrf: str, wanted: str | None, wrong: str) -> str:
    """Render the sign-in form. ``wanted`` is the page to go to afterwards; ``wrong`` says why it is shown again."""
    return render("staff_sign_in.html", {"csrf": csrf, "wanted": wanted, "wrong": wrong})


def queue_page(
    frame: Frame, waiting: Sequence[QueueRow], reviewed: Sequence[QueueRow], now: datetime, *, full: bool
) -> str:
    """Render what waits for a person, and what was decided last. A ``full`` list may lack the oldest."""
    sections: dict[str, list[Waiting]] = {id_: [] for id_ in SECTIONS}
    for one in (line(row, frame.base_url) for row in waiting):
        sections[_section(one.event.record)].append(one)
    decided = [line(row, frame.base_url) for row in reviewed]
    shown = [(id_, *SECTIONS[id_], lines) for id_, lines in sections.items()]
    return render(
        "staff_queue.html", {**frame.values(), "sections": shown, "decided": decided, "now": now, "full": full}
    )


def _section(record: EventRecord) -> str:
    if record.held == HELD:
        return "held"
    if is_doubted(record):
        return "doubted"
    return "open" if record.status is Status.OPEN else "unreviewed"


def is_doubted(record: EventRecord) -> bool:
    """Whether the detector alone would take back what stands by a person's word."""
    return record.status is not Status.RETRACTED and unreviewed(record).status is Status.RETRACTED


def line(row: QueueRow, base_url: str) -> Waiting:
    """An event as lists show it."""
    event = as_event(row, base_url)
    return Waiting(f"/staff/events/{event.public_id}", event, title(event), status_words(event.record)[0])


def as_event(row: QueueRow | StoredVersion, base_url: str) -> PublishedEvent:
    """A stored version with what formatters need; one that has no public id goes by its key."""
    return PublishedEvent(
        public_id=row.public_id or str(row.event_key),
        version=row.version,
        published_at=row.published_at,
        change_kind=row.change_kind,
        reason=row.reason,
        record=EventRecord.model_validate(row.record),
        base_url=base_url.rstrip("/"),
    )


def audit_page(frame: Frame, lines: Sequence[AuditLine], login: str, older: int | None) -> str:
    """Render a page of the audit. ``older`` is the key at which the next page begins."""
    values = {**frame.values(), "lines": lines, "login": login, "older": older}
    return render("staff_audit.html", values)
