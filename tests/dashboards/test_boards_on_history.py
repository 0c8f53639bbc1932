"""Every query of every board on a real Prometheus, over three hours with trouble in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import history
import pytest
from asked import choices, queries
from history import (
    AFTER_S,
    BOTH_NAMES,
    CALM_S,
    CHAT,
    INSTANCES,
    MODEL,
    NEWER_NAMES,
    SUMMARY,
    TROUBLE_S,
    amount_per_second,
    per_second,
    quantile,
    value,
)
from prometheus_server import Labels, Prometheus, needs_prometheus

from agentscope import conventions as c
from alerts import recorded
from alerts.watched import ALERTS

pytestmark = needs_prometheus

Json = dict[str, Any]

FILLED = {
    "job": history.JOB, "instance": ".+", "route": ".+", "model": ".*",
    "__rate_interval": f"{4 * history.STEP_S}s", "__range": f"{history.LENGTH_S}s",
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


OVERVIEW, LLM, RUNTIME, LOAD = (
    "agentscope-overview", "agentscope-llm", "agentscope-runtime", "agentscope-load-run",
)  # fmt: skip


def of(label: str, value: str) -> Labels:
    return ((label, value),)


def by_instance(reckon: Callable[[str], float]) -> dict[Labels, float]:
    return {of("instance", instance): reckon(instance) for instance in INSTANCES}


def turns(at_s: float) -> float:
    return per_second(c.TURN_DURATION, at_s)


def calls(at_s: float) -> float:
    # Of the instance with both names, the older; they say the same.
    return per_second(c.INFERENCE_DURATION, at_s)


def tokens(kind: c.Metric, at_s: float) -> float:
    return per_second(kind, at_s)


MODEL_LABEL = of("gen_ai_request_model", MODEL)
EACH_QUOTA = ("requests", "tokens", "input_tokens", "output_tokens")
ORDERS = of("db_client_connection_pool_name", "orders")

Expected = Callable[[float], dict[Labels, float]]

SHOWN: dict[tuple[str, str, str], Expected] = {
    (OVERVIEW, "Golden signals: Turns per second", "A"): lambda at: {(): turns(at)},
    (OVERVIEW, "Golden signals: Turn duration, p95", "A"): lambda at: {
        (): quantile(0.95, c.TURN_DURATION, at)
    },
    (OVERVIEW, "Turns by route: Turns per second", "A"): lambda at: {
        of("route", route): per_second(c.TURN_DURATION, at, route=route)
        for route in (CHAT, SUMMARY)
    },
    (OVERVIEW, "Failed turns", "A"): lambda at: {(): per_second(c.ERRORS, at) / turns(at)},
    (OVERVIEW, "Turns in flight", "A"): lambda at: {(): value(c.TURNS_ACTIVE, at)},
    (OVERVIEW, "Turns answered 5xx", "A"): lambda at: {
        of("route", CHAT): per_second(c.TURN_DURATION, at, status="500")
        / per_second(c.TURN_DURATION, at, route=CHAT),
        of("route", SUMMARY): 0.0,
    },
    (OVERVIEW, "Turn duration, median", "A"): lambda at: {
        of("route", route): quantile(0.5, c.TURN_DURATION, at, route=route)
        for route in (CHAT, SUMMARY)
    },
    (OVERVIEW, "Waiting per turn, by kind", "A"): lambda at: {
        of("kind", kind): amount_per_second(c.WAIT_DURATION, at, kind=kind) / turns(at)
        for kind in ("rate_limit", "db.pool", "http.pool", "http.connect", "threadpool")
    },
    (OVERVIEW, "Time per turn, by phase", "A"): lambda at: {
        of("phase", phase): amount_per_second(c.PHASE_DURATION, at, phase=phase) / turns(at)
        for phase in ("llm_call", "context_load")
    },
    (OVERVIEW, "Wait duration, p95", "A"): lambda at: {
        of("kind", kind): quantile(0.95, c.WAIT_DURATION, at, kind=kind)
        for kind in ("rate_limit", "db.pool", "http.pool", "http.connect", "threadpool")
    },
    (OVERVIEW, "Event-loop delay", "A"): lambda at: by_instance(
        lambda instance: quantile(0.99, c.LOOP_DELAY, at, instance=instance)
    ),
    (OVERVIEW, "Database pool in use", "A"): lambda at: {
        ORDERS: value(c.DB_CONNECTION_COUNT, at, db_client_connection_state="used")
        / value(c.DB_CONNECTION_MAX, at)
    },
    (OVERVIEW, "Tool duration, p95", "A"): lambda at: {
        of("gen_ai_tool_name", "lookup_order"): quantile(0.95, c.EXECUTE_TOOL_DURATION, at)
    },
    (LLM, "Calls per second", "A"): lambda at: {(): calls(at)},
    (LLM, "Call duration, p95", "A"): lambda at: {(): quantile(0.95, c.INFERENCE_DURATION, at)},
    (LLM, "Retries per call", "A"): lambda at: {
        (): per_second(c.LLM_ATTEMPTS, at) / calls(at) - 1
    },
    (LLM, "Retries per call, by model", "A"): lambda at: {
        of("model", MODEL): per_second(c.LLM_ATTEMPTS, at) / calls(at) - 1
    },
    (LLM, "Callers asleep", "A"): lambda at: {(): per_second(c.LLM_BACKOFF, at)},
    (LLM, "Calls that failed after all", "A"): lambda at: {
        (): per_second(c.INFERENCE_DURATION, at, error_type="openai.RateLimitError") / calls(at)
    },
    (LLM, "Quota left", "A"): lambda at: {
        (("dimension", name), ("model", MODEL), ("provider", "openai")):
            value(c.RATELIMIT_REMAINING, at, dimension=name, instance=BOTH_NAMES)
            / value(c.RATELIMIT_LIMIT, at, dimension=name, instance=BOTH_NAMES)
        for name in EACH_QUOTA
    },
    (LLM, "Asked of each quota", "A"): lambda at: {
        of("model", MODEL): per_second(c.LLM_ATTEMPTS, at) * 60 / 1_000
    },
    (LLM, "Asked of each quota", "B"): lambda at: {
        of("model", MODEL): (
            tokens(c.INFERENCE_INPUT_TOKENS, at) + tokens(c.INFERENCE_OUTPUT_TOKENS, at)
        ) * 60 / 200_000
    },
    (LLM, "Tokens per second", "A"): lambda at: {
        MODEL_LABEL: tokens(c.INFERENCE_INPUT_TOKENS, at)
    },
    (LLM, "Tokens per call", "B"): lambda at: {
        MODEL_LABEL: tokens(c.INFERENCE_OUTPUT_TOKENS, at) / calls(at)
    },
    (LLM, "Cost per hour", "A"): lambda at: {of("model", MODEL): 3600 * per_second(c.COST, at)},
    (RUNTIME, "Memory of what there may be", "A"): lambda at: by_instance(
        lambda instance: value(c.MEMORY_USAGE, at, instance=instance) / 1e9
    ),
    (RUNTIME, "Memory per active session", "A"): lambda at: by_instance(
        lambda instance: value(c.MEMORY_USAGE, at, instance=instance)
        / value(c.SESSIONS_ACTIVE, at, instance=instance)
    ),
    (RUNTIME, "CPU seconds per turn", "A"): lambda at: {(): per_second(c.CPU_TIME, at) / turns(at)},
    (RUNTIME, "Throttled", "A"): lambda at: {
        (): per_second(c.CGROUP_THROTTLED_TIME, at, instance=NEWER_NAMES)
    },
    (RUNTIME, "Stopped by the garbage collector", "A"): lambda at: by_instance(
        lambda instance: amount_per_second(c.GC_PAUSE, at, instance=instance)
    ),
    (LOAD, "Users", "A"): lambda at: {(): value(c.LOAD_USERS, at)},
    (LOAD, "What one user adds", "A"): lambda at: {(): turns(at) / value(c.LOAD_USERS, at)},
    (LOAD, "Request duration, as users see it", "B"): lambda at: {
        of("name", "message"): quantile(0.95, c.LOAD_REQUEST_DURATION, at)
    },
}  # fmt: skip
"""What panels have to show at a moment, reckoned from what the history was made of.

By board, title (after its row's, where the board has it twice) and letter of the query.
"""


def expr_at(boards: list[Json], place: tuple[str, str, str], **filled: str) -> str:
    """The one query that stands there."""
    uid, title, target = place
    found = {
        one.expr
        for board in boards
        for one in queries(board, FILLED | filled)
        if (one.board, one.target) == (uid, target)
        and title in (one.panel, f"{one.row}: {one.panel}")
    }
    assert len(found) == 1, f"{place} is {len(found)} queries"
    return found.pop()


@pytest.mark.parametrize("place", SHOWN, ids=" ".join)
def test_a_panel_shows_what_happened(
    place: tuple[str, str, str], boards: list[Json], past: Prometheus
) -> None:
    """In the calm, in the trouble and after it, to six digits."""
    expr = expr_at(boards, place)
    for at_s in (CALM_S, TROUBLE_S, AFTER_S):
        assert past.at(expr, at_s) == pytest.approx(SHOWN[place](at_s), rel=1e-6, abs=1e-9)


def test_one_instance_can_be_chosen_whatever_names_it_records(
    boards: list[Json], past: Prometheus
) -> None:
    """Each of two instances has half of the calls, the one with both names not twice as many."""
    for instance in INSTANCES:
        expr = expr_at(boards, (LLM, "Calls per second", "A"), instance=instance)
        half = per_second(c.INFERENCE_DURATION, CALM_S, instance=instance)
        assert past.at(expr, CALM_S) == pytest.approx({(): half})


def test_the_knee_shows_the_trouble(boards: list[Json], past: Prometheus) -> None:
    """Throughput left per turn in flight: the best mean duration over the present one."""
    expr = expr_at(boards, (LOAD, "The knee: throughput left per turn in flight", "A"))
    shown = past.over(expr, history.START_S + 600, history.END_S, 300)

    def mean_s(at_s: float) -> float:
        return amount_per_second(c.TURN_DURATION, at_s) / turns(at_s)

    assert list(shown) == [()]
    assert shown[()][0] == pytest.approx(1, rel=0.01)
    assert min(shown[()]) == pytest.approx(mean_s(CALM_S) / mean_s(TROUBLE_S), rel=0.01)


def test_restarts_and_stages_are_marked(boards: list[Json], past: Prometheus) -> None:
    """A restart where the counters began anew, and nowhere else; stages while they last."""
    restarts, stages = (expr_at(boards, (LOAD, name, "")) for name in ("Restarts", "Load stages"))
    assert past.at(restarts, history.RESTART_S + 60) == {of("instance", NEWER_NAMES): 1}
    assert past.at(restarts, CALM_S) == {}
    assert past.at(stages, CALM_S) == {of("stage", "40 users"): 1}
    assert past.at(stages, TROUBLE_S) == {of("stage", "60 users"): 1}


RECORDED_AS: dict[str, tuple[str, str]] = {
    recorded.TURN_RATE: (OVERVIEW, "Golden signals: Turns per second"),
    recorded.TURN_P95: (OVERVIEW, "Golden signals: Turn duration, p95"),
    recorded.ROUTE_P95: (OVERVIEW, "Turns by route: Turn duration, p95"),
    recorded.ERROR_SHARE: (OVERVIEW, "Failed turns"),
    recorded.QUOTA_HEADROOM: (LLM, "Quota left"),
    recorded.RETRY_SHARE: (LLM, "Retries per call"),
    recorded.CALLERS_ASLEEP: (LLM, "Callers asleep"),
}
"""Each recorded figure and a panel that shows the same."""


@pytest.mark.parametrize("name", recorded.RECORDED)
def test_a_recorded_figure_is_the_one_on_the_board(
    name: str, boards: list[Json], past: Prometheus
) -> None:
    """Alerts go by it: what wakes somebody up is what he then sees."""
    expr = expr_at(boards, (*RECORDED_AS[name], "A"), __rate_interval=recorded.WINDOW)
    for at_s in (CALM_S, TROUBLE_S, AFTER_S):
        shown, told = past.at(expr, at_s), past.at(recorded.RECORDED[name], at_s)
        assert shown
        assert sorted(told.values()) == pytest.approx(sorted(shown.values()))


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
