"""What all boards share: variables, annotations, refresh, links and the numbers of the panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

import queries
from agentscope import conventions as c
from by_model import MODEL, REQUEST_MODEL
from links import Board
from panels import DATASOURCE

TAG: Final = "agentscope"
REFRESH: Final = "30s"
ANNOTATION_STEP: Final = "15s"

Panel = Builder[model.Panel]

_CHOSEN: Final = 'job=~"$job", instance=~"$instance"'


class Row(NamedTuple):
    """A headline and the panels below it, laid out from left to right."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


def board(
    which: Board,
    description: str,
    rows: Sequence[Row],
    *,
    of_models: bool = False,
    of_a_load_run: bool = False,
) -> model.Dashboard:
    """A read-only board of ``rows``, ready to be written.

    ``of_models`` lets the reader choose models. ``of_a_load_run`` shows the stages of a load run
    at once; elsewhere they can be switched on.
    """
    builder = (
        dashboard.Dashboard(which.title)
        .uid(which.uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh(REFRESH)
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables([*_variables(), *([_models()] if of_models else [])])
        .annotations([_restarts(), _stages(of_a_load_run)])
        .link(_other_boards())
    )
    for row in rows:
        headline = dashboard.Row(row.title).collapsed(row.collapsed)
        if row.collapsed:
            for panel in row.panels:
                headline.with_panel(panel)
        builder.with_row(headline)
        if not row.collapsed:
            for panel in row.panels:
                builder.with_panel(panel)
    return _numbered(builder.build())


def _variables() -> list[Builder[model.VariableModel]]:
    always_there = c.TURNS_ACTIVE.prometheus_name
    turns = f"{c.TURN_DURATION.prometheus_name}_count"
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _choice("job", "Job", always_there),
        _choice("instance", "Instance", f'{always_there}{{job=~"$job"}}'),
        _choice(queries.ROUTE, "Route", f"{turns}{{{_CHOSEN}}}"),
    ]


def _models() -> dashboard.QueryVariable:
    newer = queries.NEWER[c.OPERATION_DURATION].prometheus_name
    either = f"({c.OPERATION_DURATION.prometheus_name}|{newer})_count"
    # A call that does not say its model has no such label: all of them is more than any of them.
    return _choice(
        MODEL, "Model", f'{{__name__=~"{either}", {_CHOSEN}}}', of=REQUEST_MODEL, all_of_them=".*"
    )


def _choice(
    name: str, shown_as: str, series: str, of: str = "", all_of_them: str = ".+"
) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(name)
        .label(shown_as)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {of or name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_of_them)
        .current(everything)
    )


class _Titled(model.AnnotationQuery):
    """With what the Prometheus data source adds, and the generator's model does not know."""

    title = ""

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "titleFormat": self.title, "step": ANNOTATION_STEP}


class _Annotation(dashboard.AnnotationQuery):
    def __init__(self, name: str, expr: str, title: str, colour: str, shown: bool) -> None:
        super().__init__()
        self._internal = _Titled(name, DATASOURCE, shown, icon_color=colour, expr=expr)
        self._internal.title = title


def _restarts() -> _Annotation:
    # Observed many times a second for as long as the process lives: it falls only at a restart.
    series = f"{c.LOOP_DELAY.prometheus_name}_count{{{_CHOSEN}}}"
    expr = f"max by (instance) (resets({series}[{queries.RATE_INTERVAL}])) > 0"
    return _Annotation("Restarts", expr, "{{instance}} restarted", "purple", shown=True)


def _stages(shown: bool) -> _Annotation:
    # Points in a row become one region, from the first to the last.
    expr = f"max by (stage) ({queries.gauge(c.LOAD_STAGE)}) > 0"
    return _Annotation("Load stages", expr, "{{stage}}", "blue", shown)


def _other_boards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("agentscope boards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _numbered(built: model.Dashboard) -> model.Dashboard:
    # The builder leaves ids to Grafana, which would give new ones at each import and so break
    # every link to a panel.
    number = 0
    for item in built.panels or []:
        number += 1
        item.id_val = number
        if isinstance(item, model.RowPanel):
            for panel in item.panels:
                number += 1
                panel.id_val = number
    return built
