"""What panels ask, by name: one file a dashboard, ``-- :name`` before each statement."""

import re
from pathlib import Path

HERE = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- :(\w+)$", re.MULTILINE)
_HERE = (
    "('__all' IN (${network:sqlstring}) OR asn::text IN (${network:sqlstring}))"
    " AND ('__all' IN (${access:sqlstring}) OR access IN (${access:sqlstring}))"
)
_STEPS = (
    "generate_series($__timeFrom()::timestamptz, $__timeTo()::timestamptz,"
    " greatest('$__interval'::interval, ($__timeTo()::timestamptz - $__timeFrom()::timestamptz) / 150)) step (at)"
)
_LAST_DAY = "greatest($__timeFrom()::timestamptz, $__timeTo()::timestamptz - interval '1 day')"
FRAGMENTS = {
    "{here}": _HERE,
    "{steps}": _STEPS,
    "{few steps}": _STEPS.replace("/ 150", "/ 48"),
    "{last day}": _LAST_DAY,
}
"""What several statements have: the networks and kinds of access that are chosen, at most 150 moments of a country or
48 of the world, and the beginning of the last day of what is shown."""


def statements(board: str) -> dict[str, str]:
    """All of one file."""
    _, *parts = _NAME.split((HERE / f"{board}.sql").read_text(encoding="utf-8"))
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def statement(raw_sql: str) -> str:
    """The text as Grafana stores it: with the fragments in place."""
    for name, fragment in FRAGMENTS.items():
        raw_sql = raw_sql.replace(name, fragment)
    return raw_sql
