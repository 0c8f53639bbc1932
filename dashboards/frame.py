"""What all boards share: variables, annotations, refresh, links and the numbers of the panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

import queries
from agentscope import conventions as c
from panels import DATASOURCE

TAG: Final = "agentscope"
REFRESH: Final = "30s"

Panel = Builder[model.Panel]


class Row(NamedTuple):
    """A headline and the panels below it, laid out from left to right."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


def board(uid: str, title: str, description: str, rows: Sequence[Row]) -> model.Dashboard:
    """A read-only board of ``rows``, ready to be written; ``uid`` is its file's name too."""
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh(REFRESH)
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_variables())
        .annotations([_restarts()])
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
    chosen = 'job=~"$job", instance=~"$instance"'
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _choice("job", "Job", always_there),
        _choice("instance", "Instance", f'{always_there}{{job=~"$job"}}'),
        _choice(queries.ROUTE, "Route", f"{turns}{{{chosen}}}"),
    ]


def _choice(label: str, shown_as: str, series: str) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(label)
        .label(shown_as)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(everything)
    )


def _restarts() -> dashboard.AnnotationQuery:
    # Observed many times a second for as long as the process lives: it falls only at a restart.
    series = f'{c.LOOP_DELAY.prometheus_name}_count{{job=~"$job", instance=~"$instance"}}'
    return (
        dashboard.AnnotationQuery()
        .name("Restarts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color("purple")
        .expr(f"max by (instance) (resets({series}[{queries.RATE_INTERVAL}])) > 0")
    )


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
