"""Panels in the few forms that the dashboards have, each with its statement, unit and description.

Built with Grafana's own types (``grafana-foundation-sdk``), as classic JSON: what Grafana 13 exports by itself it does
not take back from files. The SDK knows no PostgreSQL query, so ``Query`` is one.

Series are named by the data source only where a statement has exactly the columns ``time``, ``metric`` and a number;
anything that is drawn over time is asked for like that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import bargauge, geomap, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.geomap import MapCenterID

from dashboards.statements import statement

SOURCE = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="civobs-postgres")
GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "#8e8e8e"
"""Names of Grafana's palette: it has a shade of each for light and for dark."""

States = Mapping[int, tuple[str, str]]
"""A number's word and colour."""
UP_OR_DOWN: States = {
    0: ("up", GREEN),
    1: ("degraded", YELLOW),
    2: ("down", RED),
    3: ("not known", GREY),
}
COUNTRY_STATES: States = {
    0: ("no household", GREY),
    1: ("nothing on record", GREEN),
    2: ("silent", YELLOW),
    3: ("event in a part", ORANGE),
    4: ("event of the country", RED),
}
"""As ``grafana.country`` counts them."""


class Query(variants.Dataquery):
    """A statement for the data source, as its editor would store it."""

    def __init__(self, raw_sql: str, form: str, ref_id: str = "A") -> None:
        self.raw_sql, self.form, self.ref_id = raw_sql, form, ref_id

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": SOURCE,
            "format": self.form,
            "rawQuery": True,
            "editorMode": "code",
            "rawSql": self.raw_sql,
        }


class _Asked(Builder[variants.Dataquery]):
    def __init__(self, raw_sql: str, form: str) -> None:
        self._query = Query(statement(raw_sql), form)

    def build(self) -> variants.Dataquery:
        return self._query


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel and its room: the board is 24 wide, a line of height 1 is 30 pixels."""

    panel: Any
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Column:
    """What a table shows in one of its columns beyond the text."""

    unit: str | None = None
    width: int | None = None
    link: str | None = None
    hidden: bool = False
    states: Mapping[str, str] = field(default_factory=dict)
    """Words that have a colour."""
    decimals: int | None = None


def number(
    title: str, about: str, sql: str, unit: str, *, steps: Sequence[tuple[float | None, str]] = ((None, BLUE),)
) -> Placed:
    """One number. ``steps`` are from which value on it has which colour."""
    panel = (
        stat.Panel()
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .no_value("–")
        .thresholds(_thresholds(steps))
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    return Placed(_with(panel, title, about, sql, "table").unit(unit), 4, 4)


def lines(title: str, about: str, sql: str, unit: str, *, stacked: bool = False, share: bool = False) -> Placed:
    """Numbers over time, a line for each ``metric``; stacked for parts of a whole. A hole stays a hole."""
    panel = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(40 if stacked else 8)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .min(0)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if share:
        panel = panel.max(1)
    return Placed(_with(panel, title, about, sql, "time_series").unit(unit), 12, 8)


def timeline(title: str, about: str, sql: str, states: States) -> Placed:
    """States over time, a row for each ``metric``; the words stand in the bars, so that colour is not all there is."""
    panel = (
        statetimeline.Panel()
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.85)
        .fill_opacity(80)
        .line_width(0)
        .mappings([_words(states)])
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE))
    )
    return Placed(_with(panel, title, about, sql, "time_series"), 24, 9)


def listing(title: str, about: str, sql: str, columns: Mapping[str, Column] | None = None) -> Placed:
    """A table, in the order of the statement."""
    panel = table.Panel().show_header(True).cell_height(common.TableCellHeight.SM).no_value("–").filterable(False)
    for name, column in (columns or {}).items():
        panel = panel.override_by_name(name, _properties(column))
    return Placed(_with(panel, title, about, sql, "table"), 24, 9)


def bars(title: str, about: str, sql: str, unit: str, *, most: float | None = None) -> Placed:
    """A bar for each row: its first column is the name, its second the number."""
    panel = (
        bargauge.Panel()
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(True).limit(40))
        .no_value("–")
        .min(0)
        .thresholds(_thresholds(((None, BLUE),)))
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    if most is not None:
        panel = panel.max(most)
    return Placed(_with(panel, title, about, sql, "table").unit(unit), 12, 8)


def world(title: str, about: str, sql: str, states: States, link: str) -> Placed:
    """A map of countries by their two letters in column ``cc``, coloured by ``state``, as large as ``households``."""
    layer = common.MapLayerOptions(
        type_val="markers",
        name="Countries",
        tooltip=True,
        location=common.FrameGeometrySource(
            mode=common.FrameGeometrySourceMode.LOOKUP, lookup="cc", gazetteer="public/gazetteer/countries.json"
        ),
        config={
            "showLegend": True,
            "style": {
                "color": {"field": "state", "fixed": BLUE},
                "opacity": 0.6,
                "size": {"field": "households", "fixed": 6, "min": 6, "max": 26},
                "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
            },
        },
    )
    panel = (
        geomap.Panel()
        .basemap(common_builders.MapLayerOptions().type("default").name("Base map"))
        .view(geomap.MapViewConfig().id(MapCenterID.ZERO).lat(15).lon(15).zoom(1))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False).show_attribution(True))
        .layers([_Ready(layer)])
        .override_by_name("state", [_property("mappings", [_words(states)]), _property("links", [_link(link)])])
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    return Placed(_with(panel, title, about, sql, "table"), 14, 14)


def words(title: str, about: str, content: str) -> Placed:
    """A text, in Markdown."""
    panel = text.Panel().mode("markdown").content(content).title(title).description(about)  # type: ignore[arg-type]
    return Placed(panel, 24, 5)


def _with(panel: Any, title: str, about: str, sql: str, form: str) -> Any:
    return panel.title(title).description(about).datasource(SOURCE).with_target(_Asked(sql, form))


class _Ready(Builder[Any]):
    def __init__(self, made: object) -> None:
        self._made = made

    def build(self) -> Any:
        return self._made


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _words(states: Mapping[Any, tuple[str, str]]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            str(value): dashboard.ValueMappingResult(text=word, color=colour, index=place)
            for place, (value, (word, colour)) in enumerate(states.items())
        }
    )


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _link(url: str) -> dict[str, object]:
    return {"title": "Open", "url": url, "targetBlank": False}


def _properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    found = []
    if column.unit:
        found.append(_property("unit", column.unit))
    if column.decimals is not None:
        found.append(_property("decimals", column.decimals))
    if column.width:
        found.append(_property("custom.width", column.width))
    if column.link:
        found.append(_property("links", [_link(column.link)]))
    if column.hidden:
        found.append(_property("custom.hidden", value=True))
    if column.states:
        found.append(_property("custom.cellOptions", {"type": "color-text"}))
        found.append(_property("mappings", [_words({word: (word, colour) for word, colour in column.states.items()})]))
    return found
