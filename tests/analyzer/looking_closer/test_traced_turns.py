"""A turn looked at closely: its path, its causes and its spans, from the tables of a run."""

import time

import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.traced import Section, Trace, TracedEvent, TracedSpan, trace_of

T0 = 1_790_000_000_000_000_000
MS = 1_000_000
TRACE = f"{1:032x}"


def test_a_turn_is_its_spans_its_path_and_what_stood_still(tell, span):
    """Everything a picture of the turn needs, in the order in which it is drawn."""
    engine = tell(
        span("turn", "caller", 0, 100, is_turn=True, session="s1", status="ERROR", http_status=200),
        span("slept", "turn", 50, 80, wait_kind="rate_limit", wait_resource="openai"),
        span("tool", "turn", 10, 40, tool="t"),
        span("select", "tool", 20, 40, db_system="postgresql"),
        span("beside", "turn", 12, 30, tool="t"),
        span("block", "", 42, 48, trace=2, runtime_event="loop_blocked", code_function="f",
             code_file="/a/b.py", code_line=7),
    )  # fmt: skip
    whole = trace_of(engine, TRACE)
    assert whole == Trace(
        trace_id=TRACE,
        turn_id="turn",
        name="turn",
        session="s1",
        start_ns=T0,
        end_ns=T0 + 100 * MS,
        duration_s=0.1,
        critical_path=[
            Section("turn", "turn", "unattributed", T0, T0 + 10 * MS),
            Section("tool", "tool", "tool.execution", T0 + 10 * MS, T0 + 20 * MS),
            Section("select", "select", "db.query", T0 + 20 * MS, T0 + 40 * MS),
            Section("turn", "turn", "unattributed", T0 + 40 * MS, T0 + 42 * MS),
            Section("turn", "turn", "runtime.event_loop", T0 + 42 * MS, T0 + 48 * MS),
            Section("turn", "turn", "unattributed", T0 + 48 * MS, T0 + 50 * MS),
            Section("slept", "slept", "llm.rate_limit", T0 + 50 * MS, T0 + 80 * MS),
            Section("turn", "turn", "unattributed", T0 + 80 * MS, T0 + 100 * MS),
        ],
        causes={
            "llm.rate_limit": 0.03,
            "db.query": 0.02,
            "runtime.event_loop": 0.006,
            "tool.execution": 0.01,
            "unattributed": 0.034,
        },
        spans=[
            TracedSpan("turn", "caller", "turn", "SERVER", "unattributed", 0, T0, T0 + 100 * MS,
                       "ERROR", "p1", True, "200"),
            TracedSpan("tool", "turn", "tool", "INTERNAL", "tool.execution", 1, T0 + 10 * MS,
                       T0 + 40 * MS, "UNSET", "p1", True),
            TracedSpan("select", "tool", "select", "CLIENT", "db.query", 2, T0 + 20 * MS,
                       T0 + 40 * MS, "UNSET", "p1", True),
            TracedSpan("beside", "turn", "beside", "INTERNAL", None, 1, T0 + 12 * MS,
                       T0 + 30 * MS, "UNSET", "p1", False),
            TracedSpan("slept", "turn", "slept", "INTERNAL", "llm.rate_limit", 1, T0 + 50 * MS,
                       T0 + 80 * MS, "UNSET", "p1", True, "openai"),
        ],
        events=[TracedEvent("block", T0 + 42 * MS, T0 + 48 * MS, "f /a/b.py:7")],
        bounds=whole.bounds,
    )  # fmt: skip
    assert list(whole.causes) == [cause for cause in CAUSES if cause in whole.causes]
    low_s, high_s = whole.bounds["runtime.event_loop"]
    assert low_s <= whole.causes["runtime.event_loop"] <= high_s


def test_spans_of_a_host_with_a_wrong_clock_are_drawn_where_they_belong(tell, span):
    """The picture agrees with the path: what attribution moved is moved, events of it as well."""
    engine = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 20, 80, http_method="GET"),
        span("served", "call", 5000, 5040, kind="SERVER", instance="p2"),
        span("select", "served", 5010, 5030, db_system="postgresql", instance="p2"),
        span("pause", "", 5012, 5014, trace=2, runtime_event="gc_pause", instance="p2"),
        span("late", "", 50, 60, trace=3, runtime_event="gc_pause", instance="p2"),
    )
    whole = trace_of(engine, TRACE)
    assert [((s.start_ns - T0) / MS, (s.end_ns - T0) / MS) for s in whole.spans] == [
        (0, 100),
        (20, 80),
        (30, 70),
        (40, 60),
    ]
    assert [(e.name, (e.start_ns - T0) / MS) for e in whole.events] == [("pause", 42)]


def test_a_span_whose_parent_was_lost_is_drawn_below_the_turn(tell, span):
    """As attribution adopts it; what lies above the turn is not part of it."""
    engine = tell(
        span("user", "lost too", 0, 200),
        span("turn", "user", 0, 100, is_turn=True),
        span("first", "turn", 5, 10, tool="t"),
        span("orphan", "lost", 10, 90, tool="t"),
        span("below", "orphan", 20, 30, db_system="x"),
    )
    assert [(s.span_id, s.depth) for s in trace_of(engine, TRACE).spans] == [
        ("turn", 0),
        ("first", 1),
        ("orphan", 1),
        ("below", 2),
    ]


def test_parents_in_a_circle_and_spans_that_came_twice_end(tell, span):
    """Whatever a run says of its parents, every span of the path is drawn once."""
    engine = tell(
        span("turn", "a", 0, 100, is_turn=True),
        span("a", "b", 10, 90, tool="t"),
        span("b", "turn", 5, 95, tool="t"),
        span("a", "b", 10, 60, tool="t"),
    )
    whole = trace_of(engine, TRACE)
    assert [(s.span_id, s.depth) for s in whole.spans] == [("turn", 0), ("b", 1), ("a", 2)]
    assert whole.spans[2].end_ns == T0 + 90 * MS
    assert {s.span_id for s in whole.critical_path} == {"turn", "a", "b"}


def test_a_trace_with_several_turns_shows_the_longest_or_the_one_asked_for(tell, span):
    """Each turn has its own spans, and none of the other's."""
    engine = tell(
        span("user", "", 0, 500),
        span("short", "user", 0, 100, is_turn=True, kind="INTERNAL"),
        span("tool", "short", 20, 80, tool="t"),
        span("long", "user", 200, 400, is_turn=True, kind="INTERNAL"),
    )
    assert [s.span_id for s in trace_of(engine, TRACE).spans] == ["long"]
    asked = trace_of(engine, TRACE, turn_id="short")
    assert [s.span_id for s in asked.spans] == ["short", "tool"]
    with pytest.raises(LookupError, match="has no turn other; give long or short"):
        trace_of(engine, TRACE, turn_id="other")


def test_what_holds_no_turn_is_said(tell, span):
    """The message says what to type."""
    engine = tell(span("turn", "", 0, 100, is_turn=True), span("health", "", 0, 1, trace=2))
    with pytest.raises(LookupError, match=r"holds no turn; give one that agentscope trace RUN"):
        trace_of(engine, f"{2:032x}")
    with pytest.raises(LookupError, match=r"there is no trace 0+3 in this run; agentscope trace"):
        trace_of(engine, f"{3:032x}")


def test_thousands_of_levels_and_of_children_take_no_stack_and_little_time(tell, span):
    """A deep trace and a broad one, in one."""
    deep = [
        span(f"d{i}", f"d{i - 1}" if i else "turn", i, 9_000 - i, tool="t") for i in range(3_000)
    ]
    broad = [span(f"b{i}", "turn", 9_000 + i, 9_001 + i, tool="t") for i in range(3_000)]
    engine = tell(span("turn", "", 0, 12_000, is_turn=True), *deep, *broad)
    started_s = time.process_time()
    whole = trace_of(engine, TRACE)
    assert time.process_time() - started_s < 2
    assert (len(whole.spans), max(s.depth for s in whole.spans)) == (6_001, 3_000)
    assert sum(s.end_ns - s.start_ns for s in whole.critical_path) == 12_000 * MS
