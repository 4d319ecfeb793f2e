"""A dashboard: rows of panels laid out from left to right, variables, annotations and links to the others.

Nothing can be changed by accident: not editable, and what is changed in the browser is not kept. Uids are for ever,
because links and bookmarks have them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import PURPLE, SOURCE, Placed, Query
from dashboards.statements import statement, statements

SCHEMA_VERSION = 42
"""The newest of the classic form; Grafana 13 brings it up to date when it loads it."""
TAG = "civobs"
WIDTH = 24
EVENT_LINK = "/d/civobs-event?var-event=${__data.fields.event}&${__url_time_range}"
COUNTRY_LINK = "/d/civobs-country?var-cc=${__data.fields.cc}&${__url_time_range}"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and what is under it."""

    title: str
    panels: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """Everything of one dashboard."""

    name: str
    """Its file; with ``civobs-`` before it, its uid."""
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[dashboard.VariableModel, ...] = ()
    annotations: tuple[dashboard.AnnotationQuery, ...] = ()
    since: str = "now-24h"
    refresh: str = "1m"

    @property
    def uid(self) -> str:
        return f"civobs-{self.name}"


def sized(placed: Placed, width: int, height: int) -> Placed:
    """The same in another size."""
    return replace(placed, width=width, height=height)


def chosen(name: str, label: str, sql: str, *, several: bool = False) -> dashboard.VariableModel:
    """A variable whose values come from the database: columns ``__text`` and ``__value``."""
    made = dashboard.VariableModel(type_val=dashboard.VariableType.QUERY, name=name, label=label)
    made.query, made.definition, made.datasource = statement(sql), statement(sql), SOURCE
    made.refresh = (
        dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED if not several else dashboard.VariableRefresh.ON_DASHBOARD_LOAD
    )
    made.sort, made.multi = dashboard.VariableSort.DISABLED, several
    if several:
        _with_all(made)
    return made


def listed(name: str, label: str, values: Sequence[str]) -> dashboard.VariableModel:
    """A variable of which several of these values can be chosen."""
    made = dashboard.VariableModel(type_val=dashboard.VariableType.CUSTOM, name=name, label=label)
    made.query, made.multi = ",".join(values), True
    _with_all(made)
    made.options = [
        dashboard.VariableOption(selected=True, text="All", value="$__all"),
        *(dashboard.VariableOption(selected=False, text=value, value=value) for value in values),
    ]
    return made


def _with_all(made: dashboard.VariableModel) -> None:
    # Grafana puts this text in as it is. A list of all values would be no list where there are none.
    made.include_all, made.all_value = True, "'__all'"
    made.current = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


COUNTRY = chosen("cc", "Country", "SELECT country AS __text, cc AS __value FROM grafana.country ORDER BY 1")
NETWORKS = chosen(
    "network",
    "Network",
    "SELECT network AS __text, asn::text AS __value FROM grafana.network WHERE cc = '$cc' ORDER BY 1",
    several=True,
)
ACCESS = listed("access", "Household kind", ("fixed", "mobile", "unknown"))


def events_as_regions(condition: str) -> dashboard.AnnotationQuery:
    """Events over the panels, from start to end; of one that is open, to the end of what is shown."""
    return _annotation("Events", statements("board")["events"].replace("{condition}", condition), PURPLE)


def _annotation(name: str, sql: str, colour: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(
        name=name,
        datasource=SOURCE,
        enable=True,
        hide=False,
        icon_color=colour,
        target=Query(statement(sql), "table", "Events"),
    )


def built(board: Board) -> dashboard.Dashboard:
    """The dashboard as Grafana takes it."""
    made = builders.Dashboard(board.title).uid(board.uid).description(board.about).tags([TAG]).readonly()
    made = made.time(board.since, "now").refresh(board.refresh).timezone("utc")
    made = made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR).link(
        builders.DashboardLink("civobs")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )
    found = made.build()
    found.schema_version = SCHEMA_VERSION
    found.panels = list(_laid_out(board.rows))
    found.templating = dashboard.DashboardDashboardTemplating(list_val=list(board.variables))
    found.annotations = dashboard.AnnotationContainer(list_val=list(board.annotations))
    return found


def _laid_out(rows: Sequence[Row]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    """Number the panels and put each to the right of the last, or below all where it does not fit."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield dashboard.RowPanel(
            title=row.title, collapsed=False, id_val=number, grid_pos=dashboard.GridPos(h=1, w=WIDTH, x=0, y=top)
        )
        top, left, tallest = top + 1, 0, 0
        for placed in row.panels:
            number += 1
            if left + placed.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            panel: dashboard.Panel = placed.panel.build()
            panel.id_val = number
            panel.grid_pos = dashboard.GridPos(h=placed.height, w=placed.width, x=left, y=top)
            left, tallest = left + placed.width, max(tallest, placed.height)
            yield panel
        top += tallest
