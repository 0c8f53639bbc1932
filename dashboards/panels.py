"""Panels: a figure, or lines over time, with what they show, how to read it, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import xychart as scatter

from agentscope.conventions import Metric
from links import Board
from thresholds import Levels

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="$datasource")

UNITS: Final = {"s": "s", "By": "bytes"}
"""Grafana's unit for a metric's own unit; counts of things are plain numbers."""

SHARE: Final = "percentunit"
PLAIN: Final = "short"
PER_SECOND: Final = "cps"
REQUESTS_PER_SECOND: Final = "reqps"
CALLS_PER_SECOND: Final = "ops"
DOLLARS: Final = "currencyUSD"

SOFT_MAX: Final = {
    "s": 0.001,
    SHARE: 0.01,
    PLAIN: 1.0,
    PER_SECOND: 0.1,
    REQUESTS_PER_SECOND: 0.1,
    CALLS_PER_SECOND: 0.1,
    DOLLARS: 0.01,
}
"""How far an axis goes at least, by unit: Grafana draws a line of zeros on one up to 100, or 10000 %."""

_LIMIT: Final = [
    model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
    model.DynamicConfigValue("custom.fillOpacity", 0),
]

LOAD_COLOUR: Final = "blue"
"""Of figures that say how much there is to do, which is neither good nor bad."""

STAT_HEIGHT: Final = 4
LINES_HEIGHT: Final = 8

NO_TURNS: Final = "no turns"
NO_CALLS: Final = "no model calls"
NO_STREAMS: Final = "no streamed answers"
NO_QUOTA: Final = "no quota told"
NO_WAITS: Final = "no waits"
NO_ERRORS: Final = "no errors"
NO_POOL: Final = "no such pool"
NO_RECORDER: Final = "no recorder here"
NO_GENERATOR: Final = "no load generator scraped"
"""What panels say where there is nothing to draw. Most often that is good news, and always it is
something else than a broken query."""


class Line(NamedTuple):
    """A query, and how its series are called: text with ``{{label}}`` in it."""

    expr: str
    legend: str
    limit: bool = False
    """It bounds the other lines: dashed, and nothing filled below it."""


def figure(
    metric: Metric,
    title: str,
    expr: str,
    *,
    read: str,
    then: str,
    empty: str,
    shows: str = "",
    unit: str | None = None,
    levels: Levels | None = None,
    more: Board | None = None,
) -> stat.Panel:
    """One number with its recent past behind it; a sixth of a row.

    ``shows`` is the metric's own doc unless what is plotted is something else of it; ``empty`` is
    what it says while there is no number; ``more`` is the board to go on to.
    """
    return (
        stat.Panel()
        .links(_links(more))
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit or UNITS.get(metric.unit, PLAIN))
        .thresholds(_steps(levels))
        .mappings([_said_of_nothing(empty)])
        .no_value(empty)
        .graph_mode(looks.BigValueGraphMode.AREA)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .with_target(_query(Line(_to_the_end(expr), title), "A"))
        .span(4)
        .height(STAT_HEIGHT)
    )


def _to_the_end(expr: str) -> str:
    # The last point of a query is not of now where it has none of now: a red figure would stay
    # for an hour after the last turn. So there always is one, and it says that it is no number.
    return f"{expr} or vector(NaN)"


def _said_of_nothing(text: str) -> model.SpecialValueMap:
    said = model.ValueMappingResult(text=text, color="text", index=0)
    what = model.DashboardSpecialValueMapOptions(model.SpecialValueMatch.NULL_AND_NAN, said)
    return model.SpecialValueMap(what)


def lines(
    metric: Metric,
    title: str,
    *queries: Line,
    read: str,
    then: str,
    empty: str,
    shows: str = "",
    unit: str | None = None,
    levels: Levels | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    many: bool = False,
    by_tens: bool = False,
    span: int = 8,
    more: Board | None = None,
) -> timeseries.Panel:
    """Lines over time from zero up; the levels are drawn with them.

    ``empty`` is what it says while there are no lines. ``colours`` are those of lines whose names
    match. ``many`` is for labels with any number of values: the legend is a table with the highest
    line first. ``by_tens`` makes the axis logarithmic, for series of different sizes.
    """
    unit = unit or UNITS.get(metric.unit, PLAIN)
    panel = (
        timeseries.Panel()
        .links(_links(more))
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(empty)
        .min(1 if by_tens else 0)
        .thresholds(_steps(levels))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .fill_opacity(_filled(stacked, many, levels))
        .show_points(looks.VisibilityMode.AUTO)
        .legend(_legend(many))
        .tooltip(
            common.VizTooltipOptions()
            .mode(looks.TooltipDisplayMode.MULTI)
            .sort(looks.SortOrder.DESCENDING)
        )
        .span(span)
        .height(LINES_HEIGHT)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if levels:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(_drawn(levels)))
    if unit in SOFT_MAX and not by_tens:
        panel.axis_soft_max(_up_to(levels if unit != "s" else None, SOFT_MAX[unit]))
    for pattern, colour in (colours or {}).items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_regexp(f"/{pattern}/", [model.DynamicConfigValue("color", fixed)])
    if by_tens:
        tens = common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(tens)
    for ref_id, line in zip("ABCDEFGH", queries, strict=False):
        if line.limit:
            panel.override_by_query(ref_id, _LIMIT)
        # Where the buckets carry trace ids, the points lead to traces.
        panel.with_target(_query(line, ref_id).exemplar("histogram_quantile" in line.expr))
    return panel


def _legend(many: bool) -> common.VizLegendOptions:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.TABLE if many else looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
    )
    return legend.calcs(["max", "lastNotNull"]).sort_by("Max").sort_desc(True) if many else legend


def _filled(stacked: bool, many: bool, levels: Levels | None) -> int:
    if stacked:
        return 40
    # Two hundred areas hide each other, and levels may be areas themselves.
    return 0 if many or (levels is not None and levels.low_is_bad) else 8


def _drawn(levels: Levels) -> looks.GraphThresholdsStyleMode:
    # A dashed line has the colour of what is above it: where low is bad, the line of the red level
    # would be yellow. Areas say it right.
    style = looks.GraphThresholdsStyleMode
    return style.AREA if levels.low_is_bad else style.DASHED


def _up_to(levels: Levels | None, otherwise: float) -> float:
    # With the first level in sight one sees how far off it is: not for durations, where the level
    # is far above what is usual, and the line would lie flat.
    if levels is None:
        return otherwise
    return 1.0 if levels.low_is_bad else levels.warning


def against(
    metric: Metric,
    title: str,
    across: Line,
    up: Line,
    *,
    shows: str,
    read: str,
    then: str,
    empty: str,
    unit: str,
    span: int = 8,
) -> xychart.Panel:
    """A point for each moment: one query across, the other up. Their legends name the axes."""
    in_one_table = model.DataTransformerConfig(
        id_val="joinByField", options={"byField": "Time", "mode": "outer"}
    )
    return (
        _Scatter()
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(empty)
        .override_by_name(across.legend, [model.DynamicConfigValue("unit", PLAIN)])
        .min(0)
        .thresholds(_steps(None))
        .color_scheme(
            dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(LOAD_COLOUR)
        )
        .point_size(xychart.XychartFieldConfigPointSize().fixed(6))
        .with_transformation(in_one_table)
        .mapping(scatter.SeriesMapping.MANUAL)
        .series([_points(across.legend, up.legend)])
        .legend(
            common.VizLegendOptions()
            .show_legend(False)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(looks.TooltipDisplayMode.SINGLE)
            .sort(looks.SortOrder.NONE)
        )
        .with_target(_query(across, "A"))
        .with_target(_query(up, "B"))
        .span(span)
        .height(LINES_HEIGHT)
    )


class _Scatter(xychart.Panel):
    def __init__(self) -> None:
        super().__init__()
        # Without it Grafana takes the options for those of its first scatter plots, and loses them.
        self._internal.plugin_version = "11.6.0"


def _points(across: str, up: str) -> xychart.XYSeriesConfig:
    def named(name: str) -> xychart.MatcherConfig:
        return xychart.MatcherConfig().id("byName").options(name)

    first_table = xychart.MatcherConfig().id("byIndex").options(0)
    return (
        xychart.XYSeriesConfig()
        .frame(xychart.XychartXYSeriesConfigFrame().matcher(first_table))
        .x(xychart.XychartXYSeriesConfigX().matcher(named(across)))
        .y(xychart.XychartXYSeriesConfigY().matcher(named(up)))
    )


def _links(more: Board | None) -> list[Builder[model.DashboardLink]]:
    return [more.link()] if more else []


def _description(shows: str, read: str, then: str) -> str:
    return f"{shows[0].upper()}{shows[1:]}. {read}\n\n**Next:** {then}"


def _query(line: Line, ref_id: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(line.expr)
        .legend_format(line.legend)
        .range()
        .datasource(DATASOURCE)
        .ref_id(ref_id)
    )


def _steps(levels: Levels | None) -> dashboard.ThresholdsConfig:
    if levels is None:
        steps = [model.Threshold(None, LOAD_COLOUR)]
    elif not levels.low_is_bad:
        steps = [
            model.Threshold(None, "green"),
            model.Threshold(levels.warning, "yellow"),
            model.Threshold(levels.critical, "red"),
        ]
    else:
        steps = [
            model.Threshold(None, "red"),
            model.Threshold(levels.critical, "yellow"),
            model.Threshold(levels.warning, "green"),
        ]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
