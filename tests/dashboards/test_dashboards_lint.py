"""The boards break no rule, and each rule catches the fault that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lint

Json = dict[str, Any]

TURNS = "agentscope_turn_duration_seconds"
CHOSEN = 'job=~"$job", instance=~"$instance"'
BUCKETS = f"rate({TURNS}_bucket{{{CHOSEN}}}[$__rate_interval])"


def test_the_overview_breaks_no_rule(overview: Json) -> None:
    """Everything a reader may rely on: units, descriptions, variables, sound queries."""
    assert lint.findings(overview) == []
    assert len(list(lint.panels(overview))) > 30


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        (
            f"rate({TURNS}_count{{{CHOSEN}}})",
            "target-promql: expected type matrix in call to function 'rate', got vector",
        ),
        (f"{TURNS}_count{{{CHOSEN}}}[5m]", "target-promql: a range or a text cannot be drawn"),
        (
            f'rate({TURNS}_count{{{CHOSEN}, route=~"$rute"}}[$__rate_interval])',
            "target-promql: $rute is no variable of the board",
        ),
        (
            f'rate({TURNS}_count{{instance=~"$instance"}}[$__rate_interval])',
            f'target-job: {TURNS}_count lacks job=~"$job"',
        ),
        (
            f'rate({TURNS}_count{{job=~"$job", instance="$instance"}}[$__rate_interval])',
            f'target-instance: {TURNS}_count lacks instance=~"$instance"',
        ),
        (
            f"rate({TURNS}_count{{{CHOSEN}}}[1m])",
            "target-rate-interval: rate over a range that is not $__rate_interval",
        ),
        (
            f"sum(agentscope_errors_total{{{CHOSEN}}})",
            "target-counter-agg: agentscope_errors_total outside a rate, or a gauge inside one",
        ),
        (
            f"rate(agentscope_turns_active{{{CHOSEN}}}[$__rate_interval])",
            "target-counter-agg: agentscope_turns_active outside a rate, or a gauge inside one",
        ),
        (
            f"histogram_quantile(0.9, sum by (route) ({BUCKETS}))",
            "target-quantile: histogram_quantile needs sum by (le, …) of rates",
        ),
        (
            f"histogram_quantile(0.9, max by (le) ({BUCKETS}))",
            "target-quantile: histogram_quantile needs sum by (le, …) of rates",
        ),
        (
            f"avg(agentscope_turns_active{{{CHOSEN}}})",
            "target-average: an average of averages weighs the idle like the busy",
        ),
        (
            f"sum(agentscope_turns_open{{{CHOSEN}}})",
            "target-known-series: the recorder writes no agentscope_turns_open",
        ),
        (
            f"sum by (rout) (rate({TURNS}_count{{{CHOSEN}}}[$__rate_interval]))",
            f"target-known-labels: {TURNS}_count has no ['rout']",
        ),
    ],
)
def test_a_query_with_one_fault_has_one_finding(expr: str, fault: str) -> None:
    """Each of the rules for queries, alone."""
    names = frozenset({"datasource", "job", "instance", "route"})
    assert list(lint.target_faults(expr, names)) == [fault]


def variable(board: Json, name: str) -> Json:
    return next(one for one in board["templating"]["list"] if one["name"] == name)


def first(board: Json) -> Json:
    return next(lint.panels(board))


_PLANTED: list[tuple[str, Callable[[Json], object]]] = [
    ("uneditable-dashboard", lambda b: b.update(editable=True)),
    ("board-uid", lambda b: b.pop("uid")),
    ("board-refresh", lambda b: b.update(refresh="5s")),
    ("panel-id", lambda b: first(b).update(id=3)),
    ("target-known-series", lambda b: b["annotations"]["list"][0].update(
        expr=f"resets(restarts{{{CHOSEN}}}[$__rate_interval]) > 0")),
    ("template-datasource", lambda b: variable(b, "datasource").update(label="Prometheus")),
    ("template-job", lambda b: variable(b, "job").update(label="job")),
    ("template-instance", lambda b: variable(b, "instance").update(allValue=".*")),
    ("template-route", lambda b: variable(b, "route")["datasource"].update(uid="prometheus")),
    ("template-on-time-change-reload", lambda b: variable(b, "route").update(refresh=1)),
    ("template-label-promql", lambda b: variable(b, "job").update(query="metrics(agentscope.*)")),
    ("template-label-promql", lambda b: variable(b, "job").update(
        query="label_values(agentscope_turns_active, jobb)")),
    ("panel-title-description", lambda b: first(b).update(description="")),
    ("panel-next-step", lambda b: first(b).update(description="Turns.")),
    ("panel-units", lambda b: first(b)["fieldConfig"]["defaults"].update(unit="turns")),
    ("panel-no-targets", lambda b: first(b).update(targets=[])),
    ("panel-datasource", lambda b: first(b)["targets"][0]["datasource"].update(uid="P1")),
    ("target-promql", lambda b: first(b)["targets"][0].update(expr="sum(")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "plant"), _PLANTED, ids=[f"{i} {rule}" for i, (rule, _) in enumerate(_PLANTED)]
)
def test_a_planted_fault_is_found(
    overview: Json, rule: str, plant: Callable[[Json], object]
) -> None:
    """One fault in the real board, one finding, by the rule's name."""
    plant(overview)
    assert [fault.partition(":")[0] for fault in lint.findings(overview)] == [rule]


def test_folded_rows_are_linted_too(overview: Json) -> None:
    """A panel that is not shown at first is no hiding place."""
    folded = next(one for one in overview["panels"] if one.get("collapsed"))
    folded["panels"][0]["title"] = ""
    (fault,) = lint.findings(overview)
    assert fault.startswith("panel-title-description")
