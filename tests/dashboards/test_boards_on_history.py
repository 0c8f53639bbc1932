"""Every query of every board on a real Prometheus, over three hours with trouble in the middle."""

from __future__ import annotations

import statistics
import time
from typing import Any

import history
import pytest
from asked import choices, queries
from history import (
    AFTER_S,
    CALM_S,
    CHAT,
    INSTANCES,
    MODEL,
    SUMMARY,
    TROUBLE_S,
    per_second,
    value,
)
from prometheus_server import Prometheus, needs_prometheus
from shown import SHOWN

import quotas
from agentscope import conventions as c
from alerts import recorded
from alerts.watched import ALERTS

pytestmark = needs_prometheus

Json = dict[str, Any]

FILLED = {
    "job": history.JOB, "instance": ".+", "route": ".+", "model": ".*",
    "__rate_interval": f"{4 * history.STEP_S}s", "__range": f"{history.LENGTH_S}s",
    "__interval": f"{history.STEP_S}s",
}  # fmt: skip
"""All is chosen, three hours are shown."""


def test_every_query_of_a_board_is_answered_with_something(board: Json, past: Prometheus) -> None:
    """No panel and no annotation is refused, and none is without a point in these three hours."""
    empty = [
        f"{one.panel} {one.target}"
        for one in queries(board, FILLED)
        if not past.over(one.expr, history.START_S, history.END_S, 4 * history.STEP_S)
    ]
    assert empty == []


def test_every_variable_has_something_to_choose(board: Json, past: Prometheus) -> None:
    """By the label API, as Grafana asks."""
    during = {"start": history.START_S, "end": history.END_S}
    found = {
        name: past.get(f"label/{label}/values", **{"match[]": series}, **during)
        for name, series, label in choices(board, FILLED)
    }
    wanted = {
        "job": [history.JOB],
        "instance": list(INSTANCES),
        "route": sorted([CHAT, SUMMARY]),
        "model": [MODEL],
    }
    assert found == {name: wanted[name] for name in found}
    assert len(found) >= 3


OVERVIEW, LLM, LOAD = "agentscope-overview", "agentscope-llm", "agentscope-load-run"


def places(board: Json, **filled: str) -> dict[tuple[str, str], str]:
    """Every query of the board's panels and annotations, by where it stands."""
    return {
        (one.board, f"{one.row} | {one.panel} | {one.target}" if one.row else one.panel): one.expr
        for one in queries(board, FILLED | filled)
    }


def expr_at(boards: list[Json], place: tuple[str, str], **filled: str) -> str:
    """The query that stands there."""
    return {where: expr for one in boards for where, expr in places(one, **filled).items()}[place]


def test_every_query_of_every_panel_is_reckoned(boards: list[Json]) -> None:
    """A figure that nobody has worked out by hand is not on the boards."""
    panels = {place for board in boards for place in places(board) if "|" in place[1]}
    assert panels == set(SHOWN)


@pytest.fixture(scope="module")
def exprs(committed: list[Json]) -> dict[tuple[str, str], str]:
    """Every query of every board, by where it stands."""
    return {place: expr for board in committed for place, expr in places(board).items()}


@pytest.mark.parametrize("place", SHOWN, ids=" ".join)
def test_a_panel_shows_what_happened(
    place: tuple[str, str], exprs: dict[tuple[str, str], str], past: Prometheus
) -> None:
    """In the calm, in the trouble and after it, to six digits."""
    expr = exprs[place]
    for at_s in (CALM_S, TROUBLE_S, AFTER_S):
        assert past.at(expr, at_s) == pytest.approx(SHOWN[place](at_s), rel=1e-6, abs=1e-9)


def test_one_instance_can_be_chosen_whatever_names_it_records(
    boards: list[Json], past: Prometheus
) -> None:
    """Each of two instances has half of the calls, the one with both names not twice as many."""
    for instance in INSTANCES:
        expr = expr_at(boards, (LLM, "Calls of models now | Calls a second | A"), instance=instance)
        half = per_second(c.INFERENCE_DURATION, CALM_S, instance=instance)
        assert past.at(expr, CALM_S) == pytest.approx({(): half})


def test_restarts_and_stages_are_marked(boards: list[Json], past: Prometheus) -> None:
    """A restart where the counters began anew, and nowhere else; stages while they last."""
    restarts, stages = (expr_at(boards, (LOAD, name)) for name in ("Restarts", "Load stages"))
    assert past.at(restarts, history.RESTART_S + 60) == {(("instance", history.NEWER_NAMES),): 1}
    assert past.at(restarts, CALM_S) == {}
    assert past.at(stages, CALM_S) == {(("stage", "40 users"),): 1}
    assert past.at(stages, TROUBLE_S) == {(("stage", "60 users"),): 1}


RECORDED_AS: dict[str, tuple[str, str]] = {
    recorded.TURN_RATE: (OVERVIEW, "Golden signals | Turns a second | A"),
    recorded.TURN_P95: (OVERVIEW, "Golden signals | Turn time, p95 | A"),
    recorded.ROUTE_P95: (OVERVIEW, "Turns by route | Turn duration, p95 | A"),
    recorded.ERROR_SHARE: (OVERVIEW, "Golden signals | Failed turns | A"),
    recorded.QUOTA_HEADROOM: (LLM, "Rate limits | Quota left | A"),
    recorded.QUOTA_TIME_LEFT: (LLM, "Rate limits | Time to exhaustion | A"),
    recorded.RETRY_SHARE: (LLM, "Calls of models now | Retries a call | A"),
    recorded.CALL_ERROR_SHARE: (LLM, "Attempts and hidden retries | Calls that fail after all | A"),
    recorded.CALLERS_ASLEEP: (LLM, "Calls of models now | Callers asleep | A"),
}
"""Each recorded figure and a panel that shows the same."""

SINKING_S = history.TROUBLE_FROM_S + 180
"""A fifth of each quota is left, and it will last for some minutes."""


@pytest.mark.parametrize("name", recorded.RECORDED)
def test_a_recorded_figure_is_the_one_on_the_board(
    name: str, boards: list[Json], past: Prometheus
) -> None:
    """Alerts go by it: what wakes somebody up is what he then sees."""
    place = RECORDED_AS[name]
    expr = expr_at(boards, place, __rate_interval=recorded.WINDOW)
    if name == recorded.QUOTA_HEADROOM:
        expr = expr_at(boards, place, __rate_interval=quotas.FLOOR_WINDOW)
        expr = expr.replace(f"total[{quotas.FLOOR_WINDOW}]", f"total[{recorded.CALLED_WINDOW}]")
    several = [past.at(expr, at_s) for at_s in (CALM_S, SINKING_S, TROUBLE_S, AFTER_S)]
    told = [
        past.at(recorded.RECORDED[name], at_s) for at_s in (CALM_S, SINKING_S, TROUBLE_S, AFTER_S)
    ]
    assert any(several)
    assert [sorted(one.values()) for one in told] == [
        pytest.approx(sorted(shown.values())) for shown in several
    ]


def test_a_quota_that_sinks_has_a_time_left(boards: list[Json], past: Prometheus) -> None:
    """What is left over the slope of the last two minutes, a line of least squares."""
    times = range(SINKING_S - 120, SINKING_S + 1, history.STEP_S)
    told = [value(c.RATELIMIT_REMAINING, at, dimension="requests") / 2 for at in times]
    slope = statistics.linear_regression(list(times), told).slope
    place = (LLM, "Rate limits | Time to exhaustion | A")
    shown = past.at(expr_at(boards, place), SINKING_S)
    requests = (("dimension", "requests"), ("model", MODEL), ("provider", "openai"))
    assert shown[requests] == pytest.approx(told[-1] / -slope, rel=1e-3)
    assert 30 < shown[requests] < 1800


def test_prometheus_evaluates_every_rule(past: Prometheus) -> None:
    """All are loaded, and none failed."""
    deadline = time.monotonic() + 15
    while True:
        rules = [rule for group in past.get("rules")["groups"] for rule in group["rules"]]
        health = {(rule["name"], rule["health"]) for rule in rules}
        if all(word != "unknown" for _, word in health) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    names = {*recorded.RECORDED, *(alert.name for alert in ALERTS)}
    assert health == {(name, "ok") for name in names}
