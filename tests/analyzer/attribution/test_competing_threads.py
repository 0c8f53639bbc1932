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
    """``compete(wait_ms, spans, threads=2)``: causes and bounds, with a point a second for 4 s.

    ``cpu_s`` is what the process uses in each second, or one figure for each of them.
    """

    def told(wait_ms, *spans, threads=2, cpu_s=1.0):
        used = [cpu_s] * 4 if isinstance(cpu_s, float) else cpu_s
        gauges = {
            "agentscope.interpreter.lock_wait": lambda i: wait_ms / 1e3,
            "agentscope.threadpool.borrowed": lambda i: threads,
            "process.cpu.time": lambda i: sum(used[:i]),
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
                    for i in range(len(used) + 1)
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


def test_what_computes_when_it_is_alone_waits_for_the_lock_when_it_is_not(compete, span):
    """One tool a second computes for longer and longer; of four at once none awaits anything, though
    a ready thread waits for two only."""
    spans, cpu_s = [], []
    for i in range(30):
        length = 300 + 20 * i
        spans += calls(span, i, 1000 * i, 1000 * i + length)
        cpu_s.append(length / 1000)
    for i in range(30, 34):
        spans += calls(span, i, 30_000, 34_000)
    causes, bounds = compete(10.0, *spans, cpu_s=[*cpu_s, *[1.0] * 4])
    assert causes == {"runtime.cpu": 17_700 + 16_000}
    assert bounds == [("runtime.cpu", pytest.approx(33_700, rel=0.01), 33_700)]


def calls(span, number, start, end):
    """A turn that is one tool."""
    trace = {"trace_id": f"{number + 10:032x}"}
    return (
        span(f"turn{number}", "", start, end, is_turn=True, **trace),
        span(f"tool{number}", f"turn{number}", start, end, tool="score", name="tool", **trace),
    )


def test_a_loop_that_stood_still_meanwhile_waited_for_the_same_lock(compete, span):
    """Blocks in the tool's time are the interpreter's, for which nobody vouches: neither part is certain."""
    block = span("block", "", 2500, 3900, **BLOCK)
    assert compete(15.0, *tool(span, block), cpu_s=1.0) == (
        {"llm.first_token": 2000, "runtime.cpu": 2000},
        [("runtime.cpu", 600, 2000), ("runtime.event_loop", 0, 1400)],
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
