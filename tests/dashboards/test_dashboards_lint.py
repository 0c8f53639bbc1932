"""The boards break no rule, and each rule catches the fault that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lint
from lint import Excuse

Json = dict[str, Any]

TURNS = "agentscope_turn_duration_seconds"
CHOSEN = 'job=~"$job", instance=~"$instance"'
VARIABLES = frozenset({"datasource", "job", "instance", "route"})
BUCKETS = f"rate({TURNS}_bucket{{{CHOSEN}}}[$__rate_interval])"


def test_no_board_breaks_a_rule(board: Json) -> None:
    """Everything a reader may rely on: units, descriptions, variables, sound queries."""
    assert lint.findings(board) == []
    assert len(list(lint.panels(board))) > 20


@pytest.mark.parametrize(
    "excuse", lint.EXCUSES, ids=lambda one: f"{one.board} {one.panel} {one.target}"
)
def test_each_excuse_is_needed_and_names_its_reason(boards: list[Json], excuse: Excuse) -> None:
    """Without it there are just the faults that it excuses, at the place that it names."""
    (board,) = (one for one in boards if one["uid"] == excuse.board)
    others = [one for one in lint.EXCUSES if one is not excuse]
    place = (
        f"in panel {excuse.panel!r} target {excuse.target}"
        if excuse.target
        else f"in annotation {excuse.panel!r}"
    )
    found = lint.findings(board, others)
    assert [fault.partition(":")[0] for fault in found] == list(excuse.rules)
    for fault in found:
        assert excuse.series in fault
        assert fault.endswith(place)
    assert len(excuse.reason.split()) > 5


def test_an_excuse_is_for_one_series_alone(boards: list[Json]) -> None:
    """In the same query the service's own series still needs the chosen job."""
    (board,) = (one for one in boards if one["uid"] == "agentscope-load-run")
    first(board)["targets"][0]["expr"] = (
        "sum(agentscope_load_users) or sum(agentscope_turns_active) or vector(NaN)"
    )
    assert lint.findings(board) == [
        f'target-{name}: agentscope_turns_active lacks {name}=~"${name}", in panel '
        "'Users' target A"
        for name in ("job", "instance")
    ]


def test_an_excuse_is_for_its_rules_alone(boards: list[Json]) -> None:
    """The rate of a gauge is a fault, of whatever job."""
    (board,) = (one for one in boards if one["uid"] == "agentscope-load-run")
    first(board)["targets"][0]["expr"] = (
        "sum(rate(agentscope_load_users[$__rate_interval])) or vector(NaN)"
    )
    (fault,) = lint.findings(board)
    assert fault.startswith("target-counter-agg: agentscope_load_users outside a rate")


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
            f"avg_over_time(sum(agentscope_turns_active{{{CHOSEN}}})[$__range:$__interval])",
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
        (
            f'{{__name__=~"agentscope_turns_a.*|agentscope_e", {CHOSEN}, route="x"}}',
            "target-known-labels: agentscope_turns_active has no ['route']",
        ),
        (
            f'{{__name__=~"agentscope_nothing", {CHOSEN}}}',
            "target-known-series: the recorder writes no agentscope_nothing",
        ),
    ],
)
def test_a_query_with_one_fault_has_one_finding(expr: str, fault: str) -> None:
    """Each of the rules for queries, alone."""
    assert list(lint.target_faults(expr, VARIABLES)) == [fault]


@pytest.mark.parametrize(
    "expr",
    [
        f"sum (avg_over_time(agentscope_turns_active{{{CHOSEN}}}[$__rate_interval]))",
        f"histogram_quantile(0.5, sum by (le) ({BUCKETS} or {BUCKETS}))",
        f'sum by (path) (label_replace({BUCKETS}, "path", "$1", "route", "(.*)"))',
        f"max_over_time((sum ({BUCKETS}))[$__range:$__rate_interval] @ end())",
    ],
)
def test_a_sound_query_has_none(expr: str) -> None:
    """A gauge's mean over time, two names of one metric, a label made, the best of a range."""
    assert list(lint.target_faults(expr, VARIABLES)) == []


def variable(board: Json, name: str) -> Json:
    return next(one for one in board["templating"]["list"] if one["name"] == name)


def first(board: Json) -> Json:
    return next(lint.panels(board))


_PLANTED: list[tuple[str, Callable[[Json], object]]] = [
    ("uneditable-dashboard", lambda b: b.update(editable=True)),
    ("board-refresh", lambda b: b.update(refresh="5s")),
    ("panel-id", lambda b: first(b).update(id=3)),
    ("target-known-series", lambda b: b["annotations"]["list"][0].update(
        expr=f"resets(restarts{{{CHOSEN}}}[$__rate_interval]) > 0")),
    ("template-datasource", lambda b: variable(b, "datasource").update(label="Prometheus")),
    ("template-job", lambda b: variable(b, "job").update(label="job")),
    ("template-instance", lambda b: variable(b, "instance").update(allValue=".*")),
    ("template-route", lambda b: variable(b, "route").update(allValue="")),
    ("template-route", lambda b: variable(b, "route").update(multi=False)),
    ("template-route", lambda b: variable(b, "route")["datasource"].update(uid="prometheus")),
    ("template-on-time-change-reload", lambda b: variable(b, "route").update(refresh=1)),
    ("template-label-promql", lambda b: variable(b, "job").update(query="metrics(agentscope.*)")),
    ("template-label-promql", lambda b: variable(b, "job").update(
        query="label_values(agentscope_turns_active, jobb)")),
    ("panel-title-description", lambda b: first(b).update(description="")),
    ("panel-title-fits", lambda b: first(b).update(title="Turns per second")),
    ("panel-empty", lambda b: first(b)["fieldConfig"]["defaults"].pop("noValue")),
    ("stat-of-now", lambda b: first(b)["options"]["reduceOptions"].update(calcs=["lastNotNull"])),
    ("stat-of-now", lambda b: first(b)["targets"][0].update(
        expr=first(b)["targets"][0]["expr"].removesuffix(" or vector(NaN)"))),
    ("panel-next-step", lambda b: first(b).update(description="Turns.")),
    ("panel-units", lambda b: first(b)["fieldConfig"]["defaults"].update(unit="turns")),
    ("panel-no-targets", lambda b: first(b).update(targets=[])),
    ("panel-datasource", lambda b: first(b)["targets"][0]["datasource"].update(uid="P1")),
    ("target-promql", lambda b: first(b)["targets"][0].update(expr="sum( or vector(NaN)")),
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


def test_a_board_without_a_uid_is_found(overview: Json) -> None:
    """It would be a new board at each import, and has no excuses: those name their board."""
    del overview["uid"]
    assert [fault.partition(":")[0] for fault in lint.findings(overview)] == [
        "board-uid", "target-job", "target-instance",
    ]  # fmt: skip


def test_a_uid_that_grafana_refuses_is_found(overview: Json) -> None:
    """It takes forty characters."""
    overview["uid"] = "u" * 41
    assert lint.findings(overview)[0] == "board-uid: longer than 40 characters"


def test_folded_rows_are_linted_too(overview: Json) -> None:
    """A panel that is not shown at first is no hiding place."""
    folded = next(one for one in overview["panels"] if one.get("collapsed"))
    folded["panels"][0]["title"] = ""
    (fault,) = lint.findings(overview)
    assert fault.startswith("panel-title-description")
