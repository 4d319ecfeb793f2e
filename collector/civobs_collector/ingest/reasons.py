"""Why a message is refused: one table, and for each reason whether sending the same bytes again would be useless.

A refused batch is receipted only if the probe's own signature was on it, its number could be read and its bytes are
kept in quarantine: then the probe may forget it, and ``civobs ingest --retry-rejected`` can still take it in after an
upgrade. Everything else stays in the probe's spool, because whoever sent it may not have been the probe.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the table; ``reason`` is what dashboards count and is never renamed."""

    reason: str
    receipted: bool
    meaning: str


REASONS: tuple[Reason, ...] = (
    Reason("wrong_topic", receipted=False, meaning="not a topic of ours, a wrong shard, or another probe's content"),
    Reason("unknown_probe", receipted=False, meaning="no probe of this id is enrolled"),
    Reason("revoked", receipted=False, meaning="the probe's enrolment has been revoked"),
    Reason("wrong_signature", receipted=False, meaning="not signed by the probe's key"),
    Reason("oversized", receipted=True, meaning="over the size limit, packed or unpacked"),
    Reason("undecodable", receipted=True, meaning="no envelope, no zlib stream, or no JSON"),
    Reason("unknown_version", receipted=True, meaning="a version of the batch that this collector does not know"),
    Reason("unknown_kind", receipted=True, meaning="a kind of measurement that this collector does not know"),
    Reason("invalid", receipted=True, meaning="breaks the schema"),
    Reason("out_of_range", receipted=True, meaning="a number or a time that no column can hold"),
    Reason("naive_time", receipted=True, meaning="a time without its offset"),
    Reason("nul_in_text", receipted=True, meaning="a NUL in a text, which PostgreSQL refuses"),
    Reason("too_old", receipted=True, meaning="a row older than ingest.oldest_d, its clock's stated error allowed for"),
    Reason(
        "too_new",
        receipted=True,
        meaning="a row further ahead than ingest.newest_s, its clock's stated error allowed for",
    ),
    Reason("number_reused", receipted=False, meaning="other bytes under a number that is settled already"),
    Reason("database_error", receipted=True, meaning="the database refused the values"),
    Reason("internal_error", receipted=False, meaning="a fault of the collector; the log has it"),
)

BY_NAME: dict[str, Reason] = {row.reason: row for row in REASONS}
