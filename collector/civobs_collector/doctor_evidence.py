"""The checks of what is kept and what is lost: durability, bytes behind the rows, silence, drops, notices, staff."""

from datetime import datetime, timedelta
from pathlib import Path

from civobs_collector.config import CollectorSettings
from civobs_collector.db.connect import Connection
from civobs_collector.db.evidence_counts import (
    count_staff,
    dead_notices,
    dropped_in_a_day,
    heard_since,
    newest_places,
    unsafe_settings,
    untold_versions,
)
from civobs_collector.doctor import Result, State
from civobs_collector.errors import CivobsCollectorError, NotFoundError
from civobs_collector.evidence.archive import Location, read
from civobs_collector.keys import read_box_key
from civobs_collector.limits import LIMITS

_SAMPLE = 50
"""Newest batches whose bytes are read back."""


def check_durability(conn: Connection) -> Result:
    """What the database calls committed survives the loss of power: probes let go of it."""
    unsafe = unsafe_settings(conn)
    if unsafe:
        remedy = "set them on in postgresql.conf: what is committed is receipted, and probes have no other copy"
        return Result("durability", State.WARNING, f"off in the database: {', '.join(unsafe)}", remedy)
    return Result("durability", State.OK, "a commit is on the disk")


def check_records(conn: Connection, folder: Path) -> Result:
    """The bytes of the newest batches are in the archive."""
    places = newest_places(conn, _SAMPLE)
    for file, offset, digest in places:
        try:
            read(folder, Location(file, offset), digest)
        except NotFoundError as error:
            remedy = "is archive_dir in [ingest] the right folder? If files are lost: civobs archive restore DIR"
            return Result("records", State.FAILED, error.cause, remedy)
    return Result("records", State.OK, f"the bytes of the newest {len(places)} batches are in the archive")


def check_silence(conn: Connection, now: datetime) -> Result:
    """Somebody is heard, if anybody is enrolled."""
    since = now - timedelta(seconds=LIMITS["silence"].value)
    enrolled, heard = heard_since(conn, since)
    if enrolled and not heard:
        remedy = (
            "can probes reach the broker? Its port from outside, its certificate, its name in [[enrol.brokers]];"
            " its log says who comes"
        )
        return Result("silence", State.FAILED, f"nothing of {enrolled} probes for an hour", remedy)
    return Result("silence", State.OK, f"{heard} of {enrolled} probes heard within an hour")


def check_dropped(conn: Connection) -> Result:
    """The broker threw nothing away."""
    dropped = dropped_in_a_day(conn)
    if dropped:
        remedy = "raise max_queued_messages at the broker, and see why ingest was away; probes send again"
        return Result("dropped", State.WARNING, f"the broker dropped {dropped} messages within a day", remedy)
    return Result("dropped", State.OK, "the broker dropped nothing within a day")


def check_notices(conn: Connection, settings: CollectorSettings, now: datetime) -> Result:
    """Subscribers were told, where there are any."""
    before = now - timedelta(seconds=LIMITS["untold_age"].value)
    if settings.notify.subscribers and (untold := untold_versions(conn, before)):
        remedy = "does the role notify run? See the log of civobs serve"
        return Result("notices", State.WARNING, f"nobody was told of {untold} published versions", remedy)
    dead = dead_notices(conn)
    if dead:
        remedy = "see civobs notify list for the cause, mend it, then: civobs notify retry --all"
        return Result("notices", State.WARNING, f"{dead} messages to subscribers were given up", remedy)
    return Result("notices", State.OK, "no message to a subscriber was given up")


def check_desk_key(conn: Connection, settings: CollectorSettings) -> Result:
    """Staff can sign in: their secrets are sealed with a key that is there."""
    members = count_staff(conn)
    if not members and not settings.keys.desk_key.exists():
        return Result("desk_key", State.OK, "there is no staff yet: civobs staff add")
    try:
        read_box_key(settings.keys.desk_key)
    except CivobsCollectorError as error:
        text = f"{error.cause}; {members} members of staff cannot sign in"
        return Result("desk_key", State.FAILED, text, f"bring it back from a backup ({error.remedy})")
    return Result("desk_key", State.OK, f"{settings.keys.desk_key}, for {members} members of staff")
