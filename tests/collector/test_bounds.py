"""Every value that the wire accepts fits the column it ends in: the ranges come from the catalogue, not from memory.

Why it matters: psycopg's binary COPY, compiled as its wheels are, wraps what is too large without a word.
"""

import math
from datetime import datetime
from typing import Annotated, Any

import psycopg
import pytest
from psycopg.pq import __impl__ as libpq_wrapper
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from civobs_collector.ingest.rows import CLOCK_BITS, COPY_ROWS, FAMILY_BITS, OUTCOME_CODES
from civobs_lab.postgres import Kind
from civobs_wire import scalars
from civobs_wire.batch import Batch
from civobs_wire.enrol import Consent
from civobs_wire.failure import FAILURES
from civobs_wire.measurement import KIND_CODES, KINDS, MeasurementBase
from civobs_wire.plan import Plan
from civobs_wire.presence import Presence
from tests.fix_db import fresh_database

pytestmark = pytest.mark.db

FLOAT4_MAX = 3.4028234663852886e38
RANGES = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "float4": (-FLOAT4_MAX, FLOAT4_MAX),
    "float8": (-math.inf, math.inf),
}
"""PostgreSQL manual, §8.1."""

LANDS = (
    (MeasurementBase, "seq", "measurement", "seq"),
    (MeasurementBase, "clock_err_ms", "measurement", "clock_err_ms"),
    (MeasurementBase, "duration_ms", "measurement", "ms"),
    (MeasurementBase, "family", "measurement", "family"),
    (Batch, "batch_seq", "batch", "batch_seq"),
    (Batch, "clock_err_ms", "batch", "clock_err_ms"),
    (Batch, "batch_seq", "rejected_batch", "batch_seq"),
    (Presence, "clock_err_ms", "presence", "clock_err_ms"),
    (Presence, "keepalive_s", "presence", "keepalive_s"),
    (Plan, "serial", "plan", "serial"),
    (Consent, "tier", "probe", "consent_tier"),
)
"""Model, field, and the table and column it is stored in. ``value`` and ``ms`` of each kind are below."""

PRINCIPALS = (
    ("ladder", "n", "value"),
    ("ladder", "n_ok", "value"),
    ("ping", "sent", "value"),
    ("ping", "received", "value"),
    ("ping", "rtt_avg_ms", "ms"),
    ("tls", "handshake_ms", "ms"),
    ("http", "status", "value"),
    ("http", "first_byte_ms", "ms"),
    ("agent", "n_lost", "value"),
)
"""Fields that become the principal number or duration of their kind (``ingest/rows.py``)."""


@pytest.fixture(scope="module", params=list(Kind))
def columns(request) -> dict[tuple[str, str], str]:
    """Table and column to the type's name, from the catalogue of each kind of server in turn."""
    server = request.getfixturevalue(f"{request.param}_server")
    with fresh_database(server) as dsn, psycopg.connect(dsn) as conn:
        return {
            (table, column): kind
            for table, column, kind in conn.execute("""
                SELECT c.relname, a.attname, t.typname
                  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
                 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped""")
        }


def _ends(schema: Any) -> list[float]:
    """All least and greatest numbers that a field's schema names."""
    if isinstance(schema, list):
        return [end for part in schema for end in _ends(part)]
    if not isinstance(schema, dict):
        return []
    named = [schema[word] for word in ("minimum", "maximum") if word in schema]
    listed = [number for number in schema.get("enum", ()) if isinstance(number, int)]
    return named + listed + [end for part in schema.values() for end in _ends(part)]


def _fits(field: FieldInfo, column: str) -> None:
    """The field's own ends are in the column's range, and what lies beyond either end is refused."""
    least, most = RANGES[column]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])
    ends = _ends(adapter.json_schema())
    assert len(ends) >= 2, "the field has no bounds"
    assert least <= min(ends)
    assert max(ends) <= most
    for beyond in (int(most) * 2, -int(most) * 2) if math.isfinite(most) else (math.inf, math.nan):
        with pytest.raises(ValidationError):
            adapter.validate_python(beyond)


@pytest.mark.parametrize(("model", "field", "table", "column"), LANDS, ids=lambda part: getattr(part, "__name__", part))
def test_a_field_s_bounds_are_within_its_column_s_range(columns, model, field, table, column):
    _fits(model.model_fields[field], columns[table, column])


@pytest.mark.parametrize(("kind", "field", "column"), PRINCIPALS)
def test_what_becomes_a_kind_s_value_or_duration_fits(columns, kind, field, column):
    _fits(KINDS[kind].model_fields[field], columns["measurement", column])


def test_every_number_that_is_copied_is_looked_at_here(columns):
    copied = COPY_ROWS.partition("(")[2].partition(")")[0].replace(" ", "").split(",")
    assert set(copied) == {column for table, column in columns if table == "measurement"}
    ours = {column for _, _, table, column in LANDS if table == "measurement"} | {row[2] for row in PRINCIPALS}
    by_code = {"kind", "failure", "outcome", "validity"}
    by_database = {"probe_key", "target_key"}
    times = {"ts", "slot_at"}
    assert set(copied) - ours - by_code - by_database - times == {"detail"}


def test_codes_fit_their_columns(columns):
    validity = max(CLOCK_BITS.values()) | max(FAMILY_BITS.values()) << 2 | max(FAMILY_BITS.values()) << 4
    for column, codes in {
        "kind": KIND_CODES.values(),
        "failure": [row.code for row in FAILURES],
        "outcome": OUTCOME_CODES.values(),
        "validity": [validity],
    }.items():
        assert max(codes) <= RANGES[columns["measurement", column]][1]


@pytest.mark.parametrize("at", [scalars.EARLIEST, scalars.LATEST])
def test_the_earliest_and_the_latest_time_can_be_stored(plain_dsn, at: datetime):
    with psycopg.connect(plain_dsn) as conn:
        assert conn.execute("SELECT %s::timestamptz", (at,)).fetchone() == (at,)


def test_a_bound_that_is_too_wide_would_be_noticed(columns):
    wide = MeasurementBase.model_fields["seq"]
    with pytest.raises(AssertionError):
        _fits(wide, columns["measurement", "clock_err_ms"])


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        ("int2", 70_000, 4464),
        ("int4", 2**31 + 5, -2147483643),
        ("float4", 1e300, math.inf),
    ],
)
def test_binary_copy_of_the_compiled_driver_wraps_what_is_too_large(dsn, kind, sent, stored):
    assert libpq_wrapper == "binary", "the project installs psycopg[binary]"
    with psycopg.connect(dsn) as conn:
        conn.execute(f"CREATE TEMP TABLE one (n {kind})")
        with conn.cursor().copy("COPY one FROM STDIN (FORMAT binary)") as copy:
            copy.set_types([kind])
            copy.write_row((sent,))
        assert conn.execute("SELECT n FROM one").fetchone() == (stored,)
