"""The page about the views that Grafana reads, made of their comments in the migrations."""

import re
from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "collector" / "civobs_collector" / "migrations"
_COMMENT = re.compile(
    r"^COMMENT ON (VIEW|COLUMN|FUNCTION) grafana\.(\w+)(?:\.(\w+))?[^;']* IS\s+'((?:[^']|'')*)';", re.MULTILINE
)
_HEAD = """\
# The views that Grafana reads

<!-- Made by dashboards/build.py from the comments in the migrations: change them there. -->

Dashboards and alert rules ask schema `grafana` and nothing else. The tables below it may change with any release;
these views keep their names, columns, types and meanings: columns are added, never renamed or taken away. Role
`civobs_grafana` may read them and nothing besides ([grafana](grafana.md)): no key of a household, no claim, no staff,
no signature, no byte that a probe sent. Times are UTC, lengths are seconds, shares are from 0 to 1.
"""


def page() -> str:
    """The whole text."""
    views: dict[str, tuple[str, str, dict[str, str]]] = {}
    for file in sorted(MIGRATIONS.glob("*.sql")):
        for what, name, column, quoted in _COMMENT.findall(file.read_text(encoding="utf-8")):
            said = quoted.replace("''", "'")
            if what == "COLUMN":
                views[name][2][column] = said
            else:
                views[name] = (what, said, views.get(name, ("", "", {}))[2])
    parts = [_HEAD]
    for name, (what, said, columns) in sorted(views.items()):
        parts.append(f"\n## grafana.{name}{'()' if what == 'FUNCTION' else ''}\n\n{said}\n")
        if columns:
            parts.append("\n| Column | Meaning |\n|---|---|\n")
            parts.extend(f"| `{column}` | {meaning} |\n" for column, meaning in columns.items())
    return "".join(parts)
