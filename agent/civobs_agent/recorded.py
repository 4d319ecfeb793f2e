"""Reads what is still in the spool, rows and sealed batches alike, without disturbing the agent that writes it."""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from civobs_agent.errors import NotFoundError
from civobs_agent.spool_salvage import FILE
from civobs_wire.batch import CONTEXT, parse
from civobs_wire.envelope import peek
from civobs_wire.limits import MAX_UNPACKED_BYTES
from civobs_wire.measurement import AnyMeasurement, parse_row

_BATCHES_LOOKED_AT = 200
"""Newest batches unpacked at most: ten thousand rows and more."""


def newest(folder: Path, limit: int, kind: str | None = None) -> list[AnyMeasurement]:
    """The newest rows, of one kind or of all, oldest first. Rows that the observatory has receipted are no longer here.

    Raises NotFoundError if there is no spool or it may not be read.
    """
    path = folder / FILE
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as spool:
            parts = (_unsealed(spool), _sealed(spool))
            wanted = ((row for row in part if kind in {None, row.kind}) for part in parts)
            rows = {row.seq: row for part in wanted for row in islice(part, limit)}
    except sqlite3.Error as error:
        raise NotFoundError(
            f"cannot read {path}: {error}", "run as root or as the agent's user, after the agent has run once"
        ) from None
    return [rows[seq] for seq in sorted(rows)][-limit:]


def _unsealed(spool: sqlite3.Connection) -> Iterator[AnyMeasurement]:
    """Newest first."""
    for (body,) in spool.execute("SELECT body FROM row ORDER BY seq DESC"):
        yield parse_row(body)


def _sealed(spool: sqlite3.Connection) -> Iterator[AnyMeasurement]:
    """Rows of the newest batches, newest first. They are our own, so their signature is not verified."""
    newest_first = "SELECT message FROM batch ORDER BY batch_seq DESC LIMIT ?"
    for (message,) in spool.execute(newest_first, (_BATCHES_LOOKED_AT,)):
        text = zlib.decompressobj().decompress(peek(CONTEXT, message), MAX_UNPACKED_BYTES)
        yield from reversed(parse(text).measurements)
