"""Stories of threads that compete for one interpreter: times are milliseconds."""

from __future__ import annotations

import pytest

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest import insert_metrics

EPOCH_NS = 1_790_000_000_000_000_000
BLOCK = {"runtime_event": "loop_blocked", "trace_id": f"{2:032x}"}
PAUSE = {"runtime_event": "gc_pause", "trace_id": f"{3:032x}"}


@pytest.fixture
def compete(span):
    """``compete(wait_ms, spans, threads=2)``: causes and bounds, with a point a second for 4 s."""

    def told(wait_ms, *spans, threads=2, cpu_s=1.0):
        gauges = {
            "agentscope.interpreter.lock_wait": lambda i: wait_ms / 1e3,
            "agentscope.threadpool.borrowed": lambda i: threads,
            "process.cpu.time": lambda i: i * cpu_s,
        }
        with Engine.in_memory(threads=1) as engine:
            columns = sorted({name for one in spans for name in one})
            engine.insert("spans", {name: [s.get(name) for s in spans] for name in columns})
            insert_metrics(
                engine,
                [
                    {
                        "name": name,
                        "instance": "p1",
                        "kind": "sum" if name == "process.cpu.time" else "gauge",
                        "time_ns": EPOCH_NS + i * 1_000_000_000,
                        "value": value(i),
                    }
                    for name, value in gauges.items()
                    for i in range(5)
                ],
            )
            attribute(engine)
            causes = engine.rows(
                "SELECT cause, CAST(SUM(end_ns - start_ns) / 1e6 AS BIGINT) FROM sections "
                "GROUP BY cause ORDER BY cause"
            )
            bounds = engine.rows(
                "SELECT cause, round(SUM(low_s) * 1e3), round(SUM(high_s) * 1e3) FROM bounds "
                "GROUP BY cause ORDER BY cause"
            )
        return dict(causes), [*bounds]

    return told


def tool(span, *more):
    """A turn of 4 s, half of it in a tool."""
    return (
        span("turn", "", 0, 4000, is_turn=True),
        span("chat", "turn", 0, 2000, operation="chat", model="m"),
        span("tool", "turn", 2000, 4000, tool="score"),
        *more,
    )


def test_a_tool_that_competes_for_the_interpreter_is_the_services_own_code(compete, span):
    """A ready thread waits 10 ms: two others compute. The tool is one of them, all of the time."""
    assert compete(10.0, *tool(span), cpu_s=0.6) == (
        {"llm.first_token": 2000, "runtime.cpu": 2000},
        [("runtime.cpu", 1200, 2000)],
    )


def test_of_four_tools_two_can_compute(compete, span):
    """The wait tells of two threads: what the other two awaited is their tools' own."""
    turns, tools = [], []
    for i in range(4):
        trace = {"trace_id": f"{i + 10:032x}"}
        turns.append(span(f"turn{i}", "", 0, 4000, is_turn=True, **trace))
        tools.append(span(f"tool{i}", f"turn{i}", 0, 4000, tool="score", **trace))
    causes, bounds = compete(10.0, *turns, *tools)
    assert causes == {"runtime.cpu": 8000, "tool.execution": 8000}
    assert bounds == [("runtime.cpu", 4000, 16000)]


def test_a_loop_that_stood_still_meanwhile_waited_for_the_same_lock(compete, span):
    """Blocks in the tool's time are the interpreter's; the loop's certain part is less by them."""
    block = span("block", "", 2500, 3900, **BLOCK)
    assert compete(15.0, *tool(span, block), cpu_s=1.0) == (
        {"llm.first_token": 2000, "runtime.cpu": 2000},
        [("runtime.cpu", 2000, 2000), ("runtime.event_loop", 0, 1400)],
    )


@pytest.mark.parametrize(
    ("wait_ms", "threads", "event"),
    [
        (0.1, 2, None),  # the lock is free
        (10.0, 0, None),  # no worker thread was in use: an extension kept the lock
        (6.0, 2, BLOCK),  # a busy loop explains 5 ms
        (400.0, 2, PAUSE),  # the collector kept the lock
    ],
)
def test_nothing_is_claimed_where_threads_do_not_compete(compete, span, wait_ms, threads, event):
    """What else explains the wait is left to it."""
    more = [span("event", "", 0, 4000, **event)] if event else []
    causes, _ = compete(wait_ms, *tool(span, *more), threads=threads)
    assert "runtime.cpu" not in causes
