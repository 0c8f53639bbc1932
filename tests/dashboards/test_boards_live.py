"""Two workers of the example agent, scraped by a real Prometheus, one of them killed in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asked import choices, queries
from live_run import Found, live
from live_service import JOB, MODEL, ROUTE
from prometheus_server import Prometheus, needs_prometheus

from alerts import recorded

pytestmark = [needs_prometheus, pytest.mark.timeout(240)]

LOAD_S = 6.0
WINDOW = "8s"
"""Holds several scrapes, one a second, also where the machine is busy."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Found, Prometheus]]:
    with live(tmp_path_factory.mktemp("live"), seconds=LOAD_S) as seen:
        yield seen


def test_prometheus_metrics_and_run_directory_agree(seen: tuple[Found, Prometheus]) -> None:
    """Turns, calls, tokens, attempts, tools, errors, waits: the killed worker's are in all three."""
    found, _ = seen
    assert found.differences() == []
    kinds = {name for name, counts in found.truth.items() if sum(counts.values()) > 0}
    assert kinds == set(found.truth)


def test_the_dead_speak_no_more(seen: tuple[Found, Prometheus]) -> None:
    """Gauges are of the two that live."""
    found, _ = seen
    assert (found.processes, found.alive) == (2, 2)
    assert found.killed not in found.memory_bytes


def test_exemplars_lead_to_traces_of_the_run(seen: tuple[Found, Prometheus]) -> None:
    """Of both workers, as Prometheus keeps them."""
    found, _ = seen
    assert found.exemplars
    assert found.exemplars <= found.traces


def test_a_scrape_is_small(seen: tuple[Found, Prometheus]) -> None:
    """Less than a tenth of what a scrape may be; Prometheus gave none of them up."""
    found, prometheus = seen
    assert found.body_bytes < 100_000
    ups = prometheus.over(f'up{{job="{JOB}"}}', found.started_s + 2, found.ended_s, 1)
    assert [min(values) for values in ups.values()] == [1]


NOTHING_HAPPENED = {
    "": {"Load stages ", "Restarts "},  # no load generator of ours; the workers' counts go on
    "agentscope-overview": {"Records given up A", "Recorder's own faults A"},
    "agentscope-llm": {
        "Asked of each quota B", "Asked of each quota C", "Asked of each quota D",
        "Time to exhaustion A", "Cached and reasoning shares B", "Calls without a price A",
    },
    "agentscope-runtime": {
        "Time-outs of the pool A", "Sessions forgotten early A", "Turns of a session A",
        "Wait for a thread, p95 A", "Memory B", "Processors and processes A",
        "Database sessions A", "Database sessions that wait A", "Oldest transaction A",
        "CPU refused by the quota A",
    },
    "agentscope-load-run": {
        "Users and turns in flight A", "Users' requests by outcome A",
        "Request duration, as users see it A", "Request duration, as users see it B",
    },
}  # fmt: skip
"""Queries that may stay empty in such a run, by board; those of the first line on all."""


FILLED = {
    "job": JOB, "instance": ".+", "route": ".+", "model": ".*",
    "__rate_interval": WINDOW, "__range": "300s", "__interval": "2s",
}  # fmt: skip
"""All is chosen; the last five minutes are shown."""


def test_every_query_is_answered(board: dict[str, Any], seen: tuple[Found, Prometheus]) -> None:
    """None is refused, and all but a few show this run."""
    found, prometheus = seen
    empty = {
        f"{one.panel} {one.target}"
        for one in queries(board, FILLED)
        if not prometheus.over(one.expr, found.started_s, found.ended_s, 2)
    }
    assert empty - NOTHING_HAPPENED[""] - NOTHING_HAPPENED[board["uid"]] == set()


def test_variables_offer_what_there_is(
    boards: list[dict[str, Any]], seen: tuple[Found, Prometheus]
) -> None:
    """The job, the instance, the route of the turns, the model that was called."""
    found, prometheus = seen
    offered = {
        name: prometheus.get(
            f"label/{label}/values",
            **{"match[]": series}, start=found.started_s, end=found.ended_s,
        )
        for board in boards
        for name, series, label in choices(board, FILLED)
    }  # fmt: skip
    assert [len(offered.pop("instance"))] == [1]
    assert offered == {"job": [JOB], "route": [ROUTE], "model": [MODEL]}


def test_what_is_recorded_for_alerts_is_there(seen: tuple[Found, Prometheus]) -> None:
    """Labels that are joined on are the same on both sides in real life, too."""
    found, prometheus = seen
    missing = [
        name
        for name, expr in recorded.RECORDED.items()
        if not prometheus.over(
            expr.replace(f"[{recorded.WINDOW}]", f"[{WINDOW}]"), found.started_s, found.ended_s, 2
        )
    ]
    assert missing == [recorded.QUOTA_TIME_LEFT]  # nothing runs out
