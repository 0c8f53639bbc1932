"""Connections to models' servers: as many as attempts hold, checked against what gauges saw."""

import json
from typing import Any

import pytest
from msgspec import to_builtins

from agentscope_analyzer.ceilings.connections import connection_ceilings
from agentscope_analyzer.ceilings.little import Little, looking_error
from agentscope_analyzer.document import Ceiling
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.reporters.json import dumps
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
NAMES = "in_use", "limit"


def calling(story: Any, sessions: int, *, in_use: float, limit: float = 10.0) -> Any:
    """Sessions live for 200 s, a call every 10 s whose one attempt lasts 2 s."""
    for session in range(sessions):
        trace = story.turn(f"s{session}", 0.0, ("llm.first_token", 200.0))
        for i in range(20):
            start_ns = T0_NS + round((i * 10 + session * 0.1) * 1e9)
            times = {"start_ns": start_ns, "end_ns": start_ns + 2_000_000_000}
            model = {"operation": "chat", "provider": "openai", "model": "gpt-4o-mini"}
            call = story.span(trace, kind="CLIENT", scope="agentscope", **model, **times)
            story.span(
                trace,
                parent_id=call,
                kind="CLIENT",
                scope="agentscope",
                http_method="POST",
                http_status=200,
                attrs={"server.address": "api.openai.com", "server.port": "443"},
                **times,
            )
    for name, value in zip(NAMES, (in_use, limit), strict=True):
        story.gauge(f"agentscope.http.pool.{name}", *[value] * 200, pool="api.openai.com")
    return story.report()


def test_connections_are_held_as_long_as_attempts_last(story: Any) -> None:
    """2 s of every 10 are a fifth of a connection a session: ten of them carry fifty."""
    report = calling(story, 8, in_use=1.6)
    (ceiling,) = json.loads(dumps(report))["ceilings"]
    assert ceiling == to_builtins(report.ceilings[0])
    ceiling = report.ceilings[0]
    assert (ceiling.resource, ceiling.limit, ceiling.unit) == ("llm.connections", 10, "connections")
    assert ceiling.demand_per_session == pytest.approx(0.2)
    assert (ceiling.sessions, ceiling.low, ceiling.high) == (50, 50, 50)
    assert ceiling.reached is False
    assert ceiling.basis == (
        "connections to 'api.openai.com': 1.6 in use on average; attempts hold one for 2 s; "
        "8 sessions"
    )
    assert ceiling.relief.startswith("a larger pool or more processes help")


def test_connections_that_no_span_explains_are_said_to_be_missing(story: Any) -> None:
    """Little's law fails: gauges see twice as many in use, and the larger figure counts."""
    (ceiling,) = calling(story, 8, in_use=3.2).ceilings
    assert ceiling.sessions == 25
    assert "spans are missing: 3.2 connections in use, of which spans explain 50 %" in ceiling.basis


def test_waiting_for_a_connection_holds_none(story: Any) -> None:
    """An attempt that queues for half of its time holds a connection for the other half."""
    calling(story, 8, in_use=0.8)
    for attempt in [span for span in story.spans if span.get("http_method")]:
        start_ns = attempt["start_ns"]
        story.span(
            attempt["trace_id"],
            parent_id=attempt["span_id"],
            wait_kind="http.pool",
            start_ns=start_ns,
            end_ns=start_ns + 1_000_000_000,
        )
    with Engine.in_memory(threads=1) as story.engine:
        (ceiling,) = story.report().ceilings
    assert ceiling.sessions == 100
    assert "attempts hold one for 1 s" in ceiling.basis
    assert "missing" not in ceiling.basis


def test_a_pool_to_something_else_has_no_ceiling_here(story: Any) -> None:
    """Pools are told apart by their server."""
    calling(story, 8, in_use=1.6)
    caps = [{"resource": "search.internal", "mean": 9.0, "spread": 0.1, "points": 9, "size": 10}]
    held = Asker(story.engine).ask("ceilings/connections", from_ns=T0_NS, to_ns=T0_NS + 10**11)
    assert {row["server"] for row in held} == {"api.openai.com:443"}
    assert list(connection_ceilings(held, caps, length_s=100.0, waited_share=0.0)) == []


def test_few_attempts_are_not_enough(story: Any) -> None:
    """Two sessions' worth of calls say what is missing."""
    held = [{"server": "m", "row_number": 0, "live_s": 9.0, "attempts": 3, "held_s": 1.0}]
    caps = [{"resource": "m", "mean": 1.0, "spread": 0.1, "points": 9, "size": 10}]
    assert list(connection_ceilings(held, caps, length_s=9.0, waited_share=0.0)) == [
        "llm.connections: not enough data (3 attempts to 'm')"
    ]


@pytest.mark.parametrize(
    ("seen", "told", "error", "says"),
    [
        (10.0, 9.6, 0.0, None),
        (10.0, 9.0, 0.8, None),
        (10.0, 9.0, 0.1, "spans are missing: 10 connections in use, of which spans explain 90 %"),
        (8.0, 10.0, 0.1, "a pool was not looked at: spans say 10 connections in use, gauges 8"),
        (0.0, 0.0, 0.0, None),
    ],
)
def test_littles_law_holds_within_a_twentieth(
    seen: float, told: float, error: float, says: str | None
) -> None:
    """Or within what looking once a second leaves open."""
    assert Little(seen, told, error).says("connections", "spans") == says


def test_looks_at_the_same_use_count_once() -> None:
    """A hundred looks at uses of five seconds are ten independent ones."""
    assert looking_error(1.0, 100, 5.0) == pytest.approx(looking_error(1.0, 10, 0.1))


def test_the_pool_of_a_database_has_an_interval_and_the_same_check(story: Any) -> None:
    """Uses that ended against connections seen in use: here half of them are missing."""
    for session in range(8):
        story.turn(f"s{session}", session * 0.01, ("db.query", 240.0))
    pool = {"db.client.connection.pool.name": "main"}
    used = [2.0 + (i % 3 - 1) for i in range(240)]
    story.gauge("db.client.connection.max", *[10.0] * 240, **pool)
    story.gauge(
        "db.client.connection.count", *used, **pool, **{"db.client.connection.state": "used"}
    )
    story.metrics.append(
        {
            "name": "db.client.connection.use_time",
            "kind": "histogram",
            "temporality": "cumulative",
            "time_ns": T0_NS + 240 * 10**9,
            "count": 480,
            "total": 240.0,
            "attrs": pool,
        }
    )
    (ceiling,) = [one for one in story.report().ceilings if one.resource == "db.pool:main"]
    assert isinstance(ceiling, Ceiling)
    assert ceiling.sessions == 80  # one in use on average, of ten, at eight sessions
    assert ceiling.low is not None
    assert ceiling.high is not None
    assert ceiling.low <= 80 <= ceiling.high <= 90
    assert "spans are missing: 2 connections in use, of which uses that ended explain 50 %" in (
        ceiling.basis
    )
