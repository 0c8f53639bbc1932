"""Stories of a process that stood still: times are milliseconds."""

from __future__ import annotations

import pytest

CHAT = {"operation": "chat", "model": "m"}
BLOCK = {"runtime_event": "loop_blocked", "trace_id": f"{2:032x}"}
PAUSE = {"runtime_event": "gc_pause", "trace_id": f"{3:032x}"}


def test_a_tool_that_blocks_the_loop_is_the_loop(tell, span):
    """The turn's own synchronous call stopped everybody: certain, so low and high are the same."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("tool", "turn", 10, 90, tool="t"),
        span("block", "", 20, 70, **BLOCK),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("tool", "tool.execution", 10, 20),
        ("tool", "runtime.event_loop", 20, 70),
        ("tool", "tool.execution", 70, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.bounds == [("turn", "runtime.event_loop", 50, 50)]


def test_a_block_that_ended_just_before_the_answer_came_took_half_of_itself(tell, span):
    """The answer was ready at any moment of the block: half is the estimate, 0 to all the bounds."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 90, **CHAT),
        span("post", "chat", 0, 80, http_method="POST", http_status=200),
        span("block", "", 39, 79, **BLOCK),
    )
    assert story.sections == [
        ("post", "llm.first_token", 0, 60),
        ("post", "runtime.event_loop", 60, 80),
        ("chat", "unattributed", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.bounds == [
        ("turn", "llm.first_token", 40, 80),
        ("turn", "runtime.event_loop", 0, 40),
    ]


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (10, 60, "it ended long before the answer came"),
        (70, 78, "the await was not held up by a block of another process"),
    ],
)
def test_other_blocks_explain_nothing(tell, span, start, end, why):
    """A block in the middle of an await, or of another process, delayed nothing here."""
    other = {"instance": "p2"} if "another" in why else {}
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("select", "turn", 0, 80, db_system="postgresql"),
        span("block", "", start, end, **BLOCK, **other),
    )
    assert story.sections == [
        ("select", "db.query", 0, 80),
        ("turn", "unattributed", 80, 100),
    ]
    assert story.bounds == []


def test_a_backed_up_loop_delays_by_two_rounds_at_most(tell, span):
    """What was ready before the round at 90 began ran in it: the one at 50 delayed others."""
    story = tell(
        span("turn", "", 0, 200, is_turn=True),
        span("select", "turn", 0, 150, db_system="postgresql"),
        span("round1", "", 50, 80, **BLOCK),
        span("round2", "", 90, 110, **BLOCK),
        span("round3", "", 110, 150, **BLOCK),
    )
    assert story.sections == [
        ("select", "db.query", 0, 120),
        ("select", "runtime.event_loop", 120, 150),
        ("turn", "unattributed", 150, 200),
    ]
    assert story.bounds == [
        ("turn", "db.query", 90, 150),
        ("turn", "runtime.event_loop", 0, 60),
    ]


def test_a_step_that_blocks_the_loop_itself_was_late_by_what_came_before(tell, span):
    """Ours resumed at 100 and went on to block the loop: it had waited since 60 at most, and for
    certain since the round began in which it was resumed."""
    story = tell(
        span("turn", "", 0, 200, is_turn=True),
        span("chat", "turn", 0, 100, **CHAT),
        span("tool", "turn", 100, 180, tool="t"),
        span("others", "", 60, 99.5, **BLOCK),
        span("ours", "", 99.5, 160, **BLOCK),
    )
    assert story.sections == [
        ("chat", "llm.first_token", 0, 79.75),
        ("chat", "runtime.event_loop", 79.75, 100),
        ("tool", "runtime.event_loop", 100, 160),
        ("tool", "tool.execution", 160, 180),
        ("turn", "unattributed", 180, 200),
    ]
    assert story.bounds == [
        ("turn", "llm.first_token", 60, 99.5),
        ("turn", "runtime.event_loop", 60.5, 100),
    ]


def test_a_synchronous_call_is_the_loops_as_for_everybody_else(tell, span):
    """A call that began and ended within one block did not let the loop run: it was no await."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 10, 90, **CHAT),
        span("post", "chat", 12, 88, http_method="POST", http_status=200),
        span("block", "", 9, 91, **BLOCK),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 9),
        ("turn", "runtime.event_loop", 9, 10),
        ("chat", "runtime.event_loop", 10, 12),
        ("post", "runtime.event_loop", 12, 88),
        ("chat", "runtime.event_loop", 88, 90),
        ("turn", "runtime.event_loop", 90, 91),
        ("turn", "unattributed", 91, 100),
    ]
    assert story.bounds == [
        ("turn", "llm.first_token", 0, 76),
        ("turn", "runtime.event_loop", 6, 82),
    ]


def test_a_stream_is_late_only_at_its_end(tell, span):
    """A block at the first chunk did not delay the last one."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 90, streamed=True, first_chunk_s=0.03, **CHAT),
        span("post", "chat", 0, 90, http_method="POST", http_status=200),
        span("block1", "", 10, 30, **BLOCK),
        span("block2", "", 70, 90, **BLOCK),
    )
    assert story.sections == [
        ("post", "llm.first_token", 0, 30),
        ("post", "llm.generation", 30, 80),
        ("post", "runtime.event_loop", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]


def test_nothing_is_late_at_the_end_of_the_turn(tell, span):
    """With no next step in the process there was nothing for the loop to delay."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 150, **CHAT),
        span("block", "", 60, 99, **BLOCK),
    )
    assert story.sections == [("chat", "llm.first_token", 0, 100)]


def test_a_collector_pause_is_the_collectors_also_within_a_block(tell, span):
    """Certain in own code; in an await half of it, as for the rest of the block."""
    story = tell(
        span("turn", "", 0, 200, is_turn=True),
        span("tool", "turn", 0, 50, tool="t"),
        span("select", "turn", 50, 150, db_system="postgresql"),
        span("block1", "", 10, 40, **BLOCK),
        span("pause1", "", 20, 30, **PAUSE),
        span("block2", "", 90, 150, **BLOCK),
        span("pause2", "", 100, 120, **PAUSE),
        span("pause3", "", 160, 170, **PAUSE),
    )
    assert story.sections == [
        ("tool", "tool.execution", 0, 10),
        ("tool", "runtime.event_loop", 10, 20),
        ("tool", "runtime.gc", 20, 30),
        ("tool", "runtime.event_loop", 30, 40),
        ("tool", "tool.execution", 40, 50),
        ("select", "db.query", 50, 120),
        ("select", "runtime.gc", 120, 130),
        ("select", "runtime.event_loop", 130, 150),
        ("turn", "unattributed", 150, 160),
        ("turn", "runtime.gc", 160, 170),
        ("turn", "unattributed", 170, 200),
    ]
    assert story.bounds == [
        ("turn", "db.query", 40, 100),
        ("turn", "runtime.event_loop", 20, 60),
        ("turn", "runtime.gc", 20, 40),
    ]


def test_a_pause_alone_delays_an_await_too(tell, span):
    """A stopped process needs no slow callback."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("select", "turn", 0, 80, db_system="postgresql"),
        span("pause", "", 60, 78, **PAUSE),
    )
    assert story.sections == [
        ("select", "db.query", 0, 71),
        ("select", "runtime.gc", 71, 80),
        ("turn", "unattributed", 80, 100),
    ]
    assert story.bounds == [("turn", "db.query", 62, 80), ("turn", "runtime.gc", 0, 18)]


def test_waking_up_late_from_a_back_off_is_the_loops(tell, span):
    """Sleep between attempts ends when the loop runs the timer, not when it was due."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 90, **CHAT),
        span("post1", "chat", 0, 10, http_method="POST", http_status=429),
        span("post2", "chat", 60, 90, http_method="POST", http_status=200),
        span("block", "", 40, 60, **BLOCK),
    )
    assert story.sections == [
        ("post1", "llm.rate_limit", 0, 10),
        ("chat", "llm.rate_limit", 10, 50),
        ("chat", "runtime.event_loop", 50, 60),
        ("post2", "llm.first_token", 60, 90),
        ("turn", "unattributed", 90, 100),
    ]


def test_a_blocked_turn_leaves_the_caller_only_what_is_left(tell, span):
    """Where the process stood still it did not wait for its caller."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True, first_byte_s=0.02, send_wait_s=0.03),
        span("block", "", 30, 60, **BLOCK),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 20),
        ("turn", "client.send", 20, 30),
        ("turn", "runtime.event_loop", 30, 60),
        ("turn", "client.send", 60, 80),
        ("turn", "unattributed", 80, 100),
    ]
    assert story.bounds == [
        ("turn", "client.send", 0, 30),
        ("turn", "runtime.event_loop", 30, 30),
    ]
