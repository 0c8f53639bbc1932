"""Panels: a figure, or lines over time, with what they show, how to read it, what to do next."""

from __future__ import annotations

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

_LIMIT: Final = [
    model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
    model.DynamicConfigValue("custom.fillOpacity", 0),
]

LOAD_COLOUR: Final = "blue"
"""Of figures that say how much there is to do, which is neither good nor bad."""

STAT_HEIGHT: Final = 4
LINES_HEIGHT: Final = 8


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
    shows: str = "",
    unit: str | None = None,
    levels: Levels | None = None,
    more: Board | None = None,
) -> stat.Panel:
    """One number with its recent past behind it; a sixth of a row.

    ``shows`` is the metric's own doc unless what is plotted is something else of it; ``more`` is
    the board to go on to.
    """
    return (
        stat.Panel()
        .links(_links(more))
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit or UNITS.get(metric.unit, PLAIN))
        .thresholds(_steps(levels))
        .graph_mode(looks.BigValueGraphMode.AREA)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query(Line(expr, title), "A"))
        .span(4)
        .height(STAT_HEIGHT)
    )


def lines(
    metric: Metric,
    title: str,
    *queries: Line,
    read: str,
    then: str,
    shows: str = "",
    unit: str | None = None,
    levels: Levels | None = None,
    stacked: bool = False,
    by_tens: bool = False,
    span: int = 8,
    more: Board | None = None,
) -> timeseries.Panel:
    """Lines over time from zero up; the levels are drawn as dashed lines.

    ``by_tens`` makes the axis logarithmic, for series of different sizes.
    """
    panel = (
        timeseries.Panel()
        .links(_links(more))
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit or UNITS.get(metric.unit, PLAIN))
        .min(1 if by_tens else 0)
        .thresholds(_steps(levels))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .fill_opacity(40 if stacked else 8)
        .show_points(looks.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
        )
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
        dashed = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(dashed)
    if by_tens:
        tens = common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(tens)
    for ref_id, line in zip("ABCDEFGH", queries, strict=False):
        if line.limit:
            panel.override_by_query(ref_id, _LIMIT)
        # Where the buckets carry trace ids, the points lead to traces.
        panel.with_target(_query(line, ref_id).exemplar("histogram_quantile" in line.expr))
    return panel


def against(
    metric: Metric,
    title: str,
    across: Line,
    up: Line,
    *,
    shows: str,
    read: str,
    then: str,
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
    elif levels.critical > levels.warning:
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
