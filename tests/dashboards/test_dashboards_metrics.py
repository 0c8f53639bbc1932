"""What the boards plot is what the recorder writes, all of it or with a reason why not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import by_model as narrowed
import lint
import promql
import queries
from agentscope import conventions as c

SOURCES = Path(c.__file__).parent
CHOSEN = '{job=~"$job", instance=~"$instance"}'

NOT_PLOTTED = {
    c.INFERENCE_CACHE_WRITE_TOKENS: "priced in the cost; what was read from the cache is plotted",
    c.SDK_FOLDED: "says which metric to look at, when one has an `other` series",
    c.HTTP_SERVER_ACTIVE: "turns in flight are plotted; other requests are short",
    c.DB_IDLE_MAX: "the limit is plotted; what is beyond this is only opened anew",
}
"""Metrics that no board shows, each with the reason."""


def plotted(boards: list[dict[str, Any]]) -> set[c.Metric]:
    """The metrics behind every query of every panel."""
    by_series = {
        f"{metric.prometheus_name}{part}": metric
        for metric in lint.METRICS
        for part in (("_bucket", "_count", "_sum") if metric.instrument == "histogram" else ("",))
    }
    return {
        by_series[selector.name]
        for board in boards
        for panel in lint.panels(board)
        for target in panel["targets"]
        for selector, _ in promql.selectors(promql.parse(target["expr"], lint.variables(board)))
    }


def written() -> set[c.Metric]:
    """The metrics that some module of the recorder or its load generator names."""
    constants = {name: one for name, one in vars(c).items() if isinstance(one, c.Metric)}
    return {
        constants[node.attr]
        for path in SOURCES.rglob("*.py")
        if path.name not in ("conventions.py", "testing.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in constants
    }


def test_every_metric_on_a_board_is_written(boards: list[dict[str, Any]]) -> None:
    """No panel waits for a series that nobody emits."""
    assert {metric.name for metric in plotted(boards) - written()} == set()


def test_every_metric_is_plotted_or_has_a_reason(boards: list[dict[str, Any]]) -> None:
    """A new metric goes on a board, or into NOT_PLOTTED with the reason."""
    shown = plotted(boards) | {c.LOAD_STAGE}  # the regions of the stages
    unseen = {metric.name for metric in written() - shown - set(NOT_PLOTTED)}
    assert unseen == set()
    assert {metric.name for metric in shown & set(NOT_PLOTTED)} == set()


def test_no_label_that_a_client_can_choose_is_asked_for(boards: list[dict[str, Any]]) -> None:
    """Sessions, users and prompts are in traces, never in a series."""
    names = {label for metric in plotted(boards) for label in metric.prometheus_labels}
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
    """The shapes that panels are made of, in full."""
    errors = queries.rate(c.ERRORS)
    turns = queries.rate(c.TURN_DURATION, "count", any_route=True)
    count = f"sum (rate(agentscope_turn_duration_seconds_count{CHOSEN}[$__rate_interval]))"
    assert turns == count
    assert queries.share_of(errors, turns) == (
        f"(sum (rate(agentscope_errors_total{CHOSEN}[$__rate_interval])) or 0 * {count})"
        f" / ({count} > 0)"
    )
    assert queries.quantile(0.95, c.TURN_DURATION, by=("route",)) == (
        "histogram_quantile(0.95, sum by (le, route) (rate(agentscope_turn_duration_seconds_bucket"
        '{job=~"$job", instance=~"$instance", route=~"$route"}[$__rate_interval])))'
    )
    assert queries.per("waits", "turns") == "waits / on () group_left () (turns > 0)"
    assert queries.total(c.LOAD_USERS) == "sum (agentscope_load_users)"


def test_a_renamed_metric_is_asked_for_by_both_names() -> None:
    """Series by series, so that services of old and new names add up; tokens by their sums."""
    chosen = '{job=~"$job", instance=~"$instance", gen_ai_request_model=~"$model"}'
    by_model = ("gen_ai_request_model",)
    assert narrowed.rate(c.OPERATION_DURATION, "count", by=by_model) == (
        "sum by (gen_ai_request_model) "
        f"(rate(gen_ai_client_operation_duration_seconds_count{chosen}[$__rate_interval])"
        f" or rate(gen_ai_client_inference_duration_seconds_count{chosen}[$__rate_interval]))"
    )
    usage = chosen.replace("}", ', gen_ai_token_type=~"input"}')
    assert narrowed.tokens("input") == (
        "sum (sum by (job, instance) "
        f"(rate(gen_ai_client_token_usage_sum{usage}[$__rate_interval]))"
        " or sum by (job, instance) "
        f"(rate(gen_ai_client_inference_usage_input_tokens_total{chosen}[$__rate_interval])))"
    )
