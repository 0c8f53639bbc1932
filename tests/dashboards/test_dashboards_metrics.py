"""What the boards plot is what the recorder writes, all of it or with a reason why not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import lint
import promql
import queries
from agentscope import conventions as c

SOURCES = Path(c.__file__).parent

NOT_PLOTTED = {
    c.INFERENCE_DURATION: "the newer name of what is plotted; the boards ask for either",
    c.INFERENCE_FIRST_CHUNK: "as the duration",
    c.INFERENCE_CHUNK_GAP: "as the duration",
    c.INFERENCE_INPUT_TOKENS: "as the duration",
    c.INFERENCE_OUTPUT_TOKENS: "as the duration",
    c.INFERENCE_CACHE_READ_TOKENS: "what calls cost is in the report of a run",
    c.INFERENCE_CACHE_WRITE_TOKENS: "as the tokens read from it",
    c.INFERENCE_REASONING_TOKENS: "as the tokens read from the cache",
    c.SDK_FOLDED: "says which metric to look at, when one has an `other` series",
    c.HTTP_SERVER_ACTIVE: "turns in flight are plotted; other requests are short",
    c.RATELIMIT_WINDOW: "names the quota whose headroom is plotted",
    c.OPERATION_CHUNK_GAP: "the longest gap of a stream is on its span; its panel comes with it",
    c.COST: "what a run cost is in its report; the board says what binds",
    c.COST_UNPRICED: "as the cost",
    c.SESSIONS_FORGOTTEN: "a bound that a service should never reach; the gauge stands still at it",
    c.SESSION_TURNS: "says how people use the service, not what binds it",
    c.DB_IDLE_MAX: "the limit is plotted; what is beyond this is only opened anew",
    c.DB_TIMEOUTS: "waits for a connection are plotted; who gave up shows as an error",
    c.POSTGRES_BACKENDS: "only where the sampler is on; the database gets a board of its own",
    c.POSTGRES_TRANSACTION_AGE: "as the sessions",
    c.THREADPOOL_LIMIT: "waits for a thread are plotted; the pools get a board of their own",
    c.THREADPOOL_BORROWED: "as the limit",
    c.THREADPOOL_WAITING: "as the limit",
    c.INTERPRETER_LOCK_WAIT: "event loop delay is plotted; this says why, on a board of the runtime",
    c.CGROUP_CPU_LIMIT: "only where there is a quota; it goes on the board of the runtime",
    c.CGROUP_THROTTLED_TIME: "as the limit",
    c.CGROUP_MEMORY_LIMIT: "as the limit",
    c.FD_LIMIT: "open descriptors are plotted; the report says how many sessions fit below it",
    c.HOST_CPUS: "does not change; the report sets processor time against it",
    c.HOST_MEMORY: "as the processors",
    c.HTTP_POOL_LIMIT: "waits for a connection are plotted; the pools get a board of their own",
    c.HTTP_POOL_IN_USE: "as the limit",
    c.HTTP_POOL_WAITING: "as the limit",
}
"""Metrics that no board shows, each with the reason."""


def plotted(board: dict[str, Any]) -> set[c.Metric]:
    """The metrics behind every query of every panel."""
    by_series = {
        f"{metric.prometheus_name}{part}": metric
        for metric in c.METRICS.values()
        for part in (("_bucket", "_count", "_sum") if metric.instrument == "histogram" else ("",))
    }
    names = lint.variables(board)
    return {
        by_series[selector.name]
        for panel in lint.panels(board)
        for target in panel["targets"]
        for selector, _ in promql.selectors(promql.parse(target["expr"], names))
    }


def written() -> set[c.Metric]:
    """The metrics that some module of the recorder names, its vocabulary aside."""
    constants = {name: one for name, one in vars(c).items() if isinstance(one, c.Metric)}
    return {
        constants[node.attr]
        for path in SOURCES.rglob("*.py")
        if path.name not in ("conventions.py", "testing.py") and "lab" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in constants
    }


def test_every_metric_on_the_board_is_written_by_the_recorder(overview: dict[str, Any]) -> None:
    """No panel waits for a series that nobody emits."""
    assert {metric.name for metric in plotted(overview) - written()} == set()


def test_every_metric_is_plotted_or_has_a_reason(overview: dict[str, Any]) -> None:
    """A new metric goes on a board, or into NOT_PLOTTED with the reason."""
    shown = plotted(overview)
    unseen = {metric.name for metric in written() - shown - set(NOT_PLOTTED)}
    assert unseen == set()
    assert {metric.name for metric in shown & set(NOT_PLOTTED)} == set()


def test_no_label_that_a_client_can_choose_is_asked_for(overview: dict[str, Any]) -> None:
    """Sessions, users and prompts are in traces, never in a series."""
    names = {label for metric in plotted(overview) for label in metric.prometheus_labels}
    assert not {name for name in names if "session" in name or "user" in name or "prompt" in name}


@pytest.mark.parametrize(
    ("spell", "complaint"),
    [
        (lambda: queries.rate(c.TURNS_ACTIVE), "is a gauge: it has no rate of None"),
        (lambda: queries.rate(c.ERRORS, "sum"), "is a counter: it has no rate of sum"),
        (lambda: queries.rate(c.TURN_DURATION), "is a histogram: it has no rate of None"),
        (lambda: queries.gauge(c.ERRORS), "is a counter, not a gauge"),
        (lambda: queries.rate(c.ERRORS, by=("rout",)), r"has no labels \['rout'\]"),
        (lambda: queries.gauge(c.TURNS_ACTIVE, {"route": "x"}), "has no label 'route'"),
    ],
)
def test_a_query_that_means_nothing_cannot_be_written(spell: Any, complaint: str) -> None:
    """The rate of a gauge, a label that the metric lacks: loud when the boards are built."""
    with pytest.raises(ValueError, match=complaint):
        spell()


def test_queries_as_they_are_written() -> None:
    """The four shapes that panels are made of, in full."""
    errors = queries.rate(c.ERRORS)
    turns = queries.rate(c.TURN_DURATION, "count", any_route=True)
    chosen = '{job=~"$job", instance=~"$instance"}'
    count = f"sum (rate(agentscope_turn_duration_seconds_count{chosen}[$__rate_interval]))"
    assert turns == count
    assert queries.share_of(errors, turns) == (
        f"(sum (rate(agentscope_errors_total{chosen}[$__rate_interval])) or 0 * {count}) / {count}"
    )
    assert queries.quantile(0.95, c.TURN_DURATION, by=("route",)) == (
        "histogram_quantile(0.95, sum by (le, route) (rate(agentscope_turn_duration_seconds_bucket"
        '{job=~"$job", instance=~"$instance", route=~"$route"}[$__rate_interval])))'
    )
    assert queries.per("waits", "turns") == "waits / on () group_left () (turns > 0)"
