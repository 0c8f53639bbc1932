"""Stories of a process whose container had used up its CPU quota: times are milliseconds."""

from __future__ import annotations

import pytest

FREEZE = {"runtime_event": "cpu_throttled", "trace_id": f"{4:032x}"}
BLOCK = {"runtime_event": "loop_blocked", "trace_id": f"{2:032x}"}
PAUSE = {"runtime_event": "gc_pause", "trace_id": f"{3:032x}"}


def doubtful(seconds):
    return {**FREEZE, "attrs": {"agentscope.runtime.start_uncertainty": str(seconds)}}


def test_a_freeze_is_the_quotas_also_within_a_block_and_a_pause(tell, span):
    """Nothing ran in it, not the loop and not the collector: certain in own code."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("block", "", 10, 90, **BLOCK),
        span("pause", "", 20, 60, **PAUSE),
        span("freeze", "", 50, 80, **FREEZE),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("turn", "runtime.event_loop", 10, 20),
        ("turn", "runtime.gc", 20, 50),
        ("turn", "runtime.throttled", 50, 80),
        ("turn", "runtime.event_loop", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.bounds == [
        ("turn", "runtime.event_loop", 20, 20),
        ("turn", "runtime.gc", 30, 30),
        ("turn", "runtime.throttled", 30, 30),
    ]


@pytest.mark.parametrize(("doubt_s", "low"), [(0.005, 20), (0.015, 0), (0.4, 0)])
def test_of_a_freeze_that_may_have_been_elsewhere_the_middle_is_certain(tell, span, doubt_s, low):
    """30 ms, give or take 5 at both ends: 20 are certain."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True), span("freeze", "", 40, 70, **doubtful(doubt_s))
    )
    causes = {}
    for _, cause, start, end in story.sections:
        causes[cause] = causes.get(cause, 0) + end - start
    assert causes == {"unattributed": 70, "runtime.throttled": 30}
    assert story.bounds == [("turn", "runtime.throttled", low, 30)]


@pytest.mark.parametrize("doubt_s", [0, 0.01])
def test_an_answer_that_came_during_a_freeze_was_late_by_half_of_it(tell, span, doubt_s):
    """It was ready at any moment of the freeze: the quota delayed it, not the loop."""
    story = tell(
        span("turn", "", 0, 120, is_turn=True),
        span("select", "turn", 0, 100, db_system="postgresql"),
        span("freeze", "", 40, 96, **doubtful(doubt_s)),
    )
    assert story.sections == [
        ("select", "db.query", 0, 72),
        ("select", "runtime.throttled", 72, 100),
        ("turn", "unattributed", 100, 120),
    ]
    assert story.bounds == [("turn", "db.query", 44, 100), ("turn", "runtime.throttled", 0, 56)]


def test_a_block_that_a_freeze_prolonged_is_divided(tell, span):
    """The loop needed 20 ms and was frozen for 40 of them: an await's lateness goes to both."""
    story = tell(
        span("turn", "", 0, 120, is_turn=True),
        span("select", "turn", 0, 100, db_system="postgresql"),
        span("block", "", 40, 100, **BLOCK),
        span("freeze", "", 50, 90, **FREEZE),
    )
    assert story.sections == [
        ("select", "db.query", 0, 70),
        ("select", "runtime.throttled", 70, 90),
        ("select", "runtime.event_loop", 90, 100),
        ("turn", "unattributed", 100, 120),
    ]


def test_another_process_was_not_frozen(tell, span):
    """A quota is the container's of one process, as far as this run tells."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("freeze", "", 40, 70, **{**FREEZE, "instance": "p2"}),
    )
    assert story.sections == [("turn", "unattributed", 0, 100)]


def test_a_tool_that_awaits_a_program_is_not_held_up_by_others(tell, span):
    """The loop was free for most of the time, so the tool was not on it: only the ends count."""
    story = tell(
        span("turn", "", 0, 1000, is_turn=True),
        span("tool", "turn", 0, 1000, tool="report"),
        span("starts", "", 0, 50, **BLOCK),
        span("others", "", 400, 500, **BLOCK),
        span("ends", "", 960, 998, **BLOCK),
    )
    assert story.sections == [
        ("tool", "runtime.event_loop", 0, 50),
        ("tool", "tool.execution", 50, 960),
        ("tool", "runtime.event_loop", 960, 998),
        ("tool", "tool.execution", 998, 1000),
    ]
    assert story.bounds == [("turn", "runtime.event_loop", 88, 188)]
