"""The account: what the probes recorded against what the database holds, and both against the kept bytes."""

import hashlib
import json
from collections import Counter

from civobs_collector.evidence import archive
from tests.e2e.station import Station

_HELD = """
SELECT probe_id, count(seq), count(DISTINCT seq), min(seq), max(seq)
FROM probe LEFT JOIN measurement USING (probe_key) GROUP BY probe_id
"""


def all_arrived(station: Station, recorded: dict[str, int]) -> bool:
    """Whether every row up to each probe's count is in the database."""
    counts = station.query(
        "SELECT probe_id, count(DISTINCT seq) FILTER (WHERE seq <= (%s::jsonb ->> probe_id)::int8)"
        " FROM probe JOIN measurement USING (probe_key) GROUP BY probe_id",
        json.dumps(recorded),
    )
    return dict(counts) == recorded


def assert_exactly_once(station: Station, recorded: dict[str, int]) -> None:
    """Every recorded row is stored once, and the stored ones are the rows of the batches that were kept."""
    assert all_arrived(station, recorded), (recorded, station.query(_HELD))
    for probe_id, rows, numbers, first, last in station.query(_HELD):
        assert rows == numbers, f"{probe_id}: {rows - numbers} rows are stored twice"
        assert (first, numbers) == (1, last), f"{probe_id}: numbers {first} to {last} but {numbers} of them"
    _assert_bytes_agree(station)


def _assert_bytes_agree(station: Station) -> None:
    kept: Counter[tuple[str, int]] = Counter()
    for probe_id, batch_seq, file, offset, digest in station.query(
        "SELECT probe_id, batch_seq, archive_file, archive_offset, payload_sha256"
        " FROM batch JOIN probe USING (probe_key)"
    ):
        message = archive.read(station.folder / "archive", archive.Location(file, offset))
        assert hashlib.sha256(message).digest() == digest, f"{probe_id} batch {batch_seq}"
        kept[probe_id] += 1
    batches = dict(station.query("SELECT probe_id, max(batch_seq) FROM batch JOIN probe USING (probe_key) GROUP BY 1"))
    assert dict(kept) == batches, "a batch number is missing"
