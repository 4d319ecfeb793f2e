"""The account: what the probes recorded against what the database holds, and both against the kept bytes."""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from civobs_collector.evidence import archive
from civobs_wire.batch import unpack
from tests.e2e.station import Station

_HELD = """
SELECT probe_id, count(seq), count(DISTINCT seq)
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
    """Every recorded row is stored, none is stored twice, and the stored ones are those of the batches that were kept.

    Rows recorded since then may still be on their way.
    """
    assert all_arrived(station, recorded), (recorded, station.query(_HELD))
    for probe_id, rows, numbers in station.query(_HELD):
        assert rows == numbers, f"{probe_id}: {rows - numbers} rows are stored twice"
    _assert_bytes_agree(station)


def _assert_bytes_agree(station: Station) -> None:
    """The bytes of every batch are in the archive, signed content and all, and say what the table says."""
    rows = 0
    for file, offset, digest, key, n in station.query(
        "SELECT archive_file, archive_offset, payload_sha256, signing_key, n FROM batch JOIN probe USING (probe_key)"
    ):
        message = archive.read(station.folder / "archive", archive.Location(file, offset), digest)
        assert len(unpack(message, Ed25519PublicKey.from_public_bytes(key)).measurements) == n
        rows += n
    assert station.query("SELECT count(*) FROM measurement") >= [(rows,)]
