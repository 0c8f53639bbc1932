"""Panels: a figure, or lines over time, with what they show, how to read it, what to do next."""

from __future__ import annotations

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model

from agentscope.conventions import Metric
from thresholds import Levels

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="$datasource")

UNITS: Final = {"s": "s", "By": "bytes"}
"""Grafana's unit for a metric's own unit; counts of things are plain numbers."""

SHARE: Final = "percentunit"
PLAIN: Final = "short"
PER_SECOND: Final = "cps"
REQUESTS_PER_SECOND: Final = "reqps"
CALLS_PER_SECOND: Final = "ops"

LOAD_COLOUR: Final = "blue"
"""Of figures that say how much there is to do, which is neither good nor bad."""

STAT_HEIGHT: Final = 4
LINES_HEIGHT: Final = 8


class Line(NamedTuple):
    """A query, and how its series are called: text with ``{{label}}`` in it."""

    expr: str
    legend: str


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
) -> stat.Panel:
    """One number with its recent past behind it; a sixth of a row.

    ``shows`` is the metric's own doc unless what is plotted is something else of it.
    """
    return (
        stat.Panel()
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
    span: int = 8,
) -> timeseries.Panel:
    """Lines over time from zero up; the levels are drawn as dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(_description(shows or metric.doc, read, then))
        .datasource(DATASOURCE)
        .unit(unit or UNITS.get(metric.unit, PLAIN))
        .min(0)
        .thresholds(_steps(levels))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
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
    for ref_id, line in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_query(line, ref_id))
    return panel


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
