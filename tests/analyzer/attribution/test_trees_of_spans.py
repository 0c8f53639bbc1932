"""Stories of damaged, misplaced and foreign traces: times are milliseconds."""

from __future__ import annotations

import pytest

CHAT = {"operation": "chat", "model": "m"}


def test_a_cycle_is_cut_and_counted(tell, span):
    """Two spans that name each other as parents end up below the turn of their trace."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("a", "b", 10, 50, tool="a"),
        span("b", "a", 20, 40, db_system="postgresql"),
        span("self", "self", 60, 80, tool="s"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("a", "tool.execution", 10, 20),
        ("b", "db.query", 20, 40),
        ("a", "tool.execution", 40, 50),
        ("turn", "unattributed", 50, 60),
        ("self", "tool.execution", 60, 80),
        ("turn", "unattributed", 80, 100),
    ]
    assert story.summary.anomalies == {"cycles_cut": 2, "orphans_adopted": 2}


def test_a_turn_in_a_cycle_is_still_a_turn(tell, span):
    """The turn loses its impossible parent, what is below it stays."""
    story = tell(span("turn", "tool", 0, 100, is_turn=True), span("tool", "turn", 10, 90, tool="t"))
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("tool", "tool.execution", 10, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.summary.anomalies == {"cycles_cut": 1}


def test_an_orphan_hangs_below_the_only_turn_of_its_trace(tell, span):
    """The span in between was lost, what the orphan was done for is known by its trace."""
    story = tell(
        span("turn", "caller-not-recorded", 0, 100, is_turn=True),
        span("select", "lost", 10, 90, db_system="postgresql"),
        span("late", "lost", 150, 160, tool="t"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("select", "db.query", 10, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.summary.anomalies == {"orphans_adopted": 1, "orphans_unused": 1}


def test_an_orphan_among_several_turns_is_nobodys(tell, span):
    """Where two turns share a trace, nothing says whose it was."""
    story = tell(
        span("turn1", "", 0, 100, is_turn=True),
        span("turn2", "", 50, 150, is_turn=True),
        span("orphan", "lost", 60, 90, tool="t"),
    )
    assert story.sections == [
        ("turn1", "unattributed", 0, 100),
        ("turn2", "unattributed", 50, 150),
    ]
    assert story.summary.anomalies == {"orphans_unused": 1}


def test_a_span_that_was_delivered_twice_counts_once(tell, span):
    """At-least-once delivery must not look like parallel work."""
    tool = span("tool", "turn", 10, 90, tool="t")
    story = tell(span("turn", "", 0, 100, is_turn=True), tool, tool)
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("tool", "tool.execution", 10, 90),
        ("turn", "unattributed", 90, 100),
    ]
    assert story.summary.anomalies == {"duplicate_spans": 1}
    assert story.summary.spans_used == 2


def test_a_consumer_is_not_waited_for(tell, span):
    """Who puts a message on a queue does not wait for it to be worked on."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("put", "turn", 10, 20, kind="PRODUCER"),
        span("work", "put", 15, 500, kind="CONSUMER"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("put", "unattributed", 10, 20),
        ("turn", "unattributed", 20, 100),
    ]
    assert story.summary.anomalies == {"consumers_not_awaited": 1}
    assert story.summary.background_s == 0


def test_another_hosts_clock_is_corrected_where_the_call_proves_it_wrong(tell, span):
    """The served span is centred in the call that contains it, with all that lies below it."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 20, 80, http_method="GET", http_status=200),
        span("served", "call", 5000, 5040, kind="SERVER", instance="p2"),
        span("select", "served", 5010, 5030, db_system="postgresql", instance="p2"),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 20),
        ("call", "http.upstream", 20, 30),
        ("served", "http.upstream", 30, 40),
        ("select", "db.query", 40, 60),
        ("served", "http.upstream", 60, 70),
        ("call", "http.upstream", 70, 80),
        ("turn", "unattributed", 80, 100),
    ]
    assert story.summary.anomalies == {"clocks_corrected": 1}


def test_a_clock_is_never_corrected_within_one_process(tell, span):
    """One process has one clock: what starts after its parent ended was not waited for."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("call", "turn", 20, 40, http_method="GET", http_status=200),
        span("served", "call", 50, 60, kind="SERVER"),
    )
    assert story.summary.anomalies == {"started_after_parent": 1}


def test_several_turns_of_one_trace_stand_side_by_side(tell, span):
    """A load generator's trace, or a WebSocket, holds many turns; each has its own sections."""
    story = tell(
        span("user", "", 0, 500),
        span("turn1", "user", 0, 100, is_turn=True),
        span("tool", "turn1", 20, 80, tool="t"),
        span("turn2", "user", 200, 300, is_turn=True, kind="INTERNAL"),
    )
    assert story.turns == ["turn1", "turn2"]
    assert story.sections == [
        ("turn1", "unattributed", 0, 20),
        ("tool", "tool.execution", 20, 80),
        ("turn1", "unattributed", 80, 100),
        ("turn2", "unattributed", 200, 300),
    ]


def test_a_turn_within_a_turn_is_part_of_it(tell, span):
    """A marked block within a marked request would count its time twice."""
    story = tell(
        span("outer", "", 0, 100, is_turn=True),
        span("phase", "outer", 10, 90),
        span("inner", "phase", 20, 80, is_turn=True),
    )
    assert story.turns == ["outer"]
    assert story.summary.anomalies == {"nested_turns": 1}


def test_only_marked_turns_count_where_any_is_marked(tell, span):
    """Health checks and the creation of sessions are requests, not turns."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("health", "", 200, 210, trace_id=f"{2:032x}", kind="SERVER"),
        span("chat", "", 300, 400, trace_id=f"{3:032x}", **CHAT),
    )
    assert story.turns == ["turn"]
    assert story.summary.inferred == {}


def test_a_foreign_turn_is_the_topmost_server_span_above_a_models_work(tell, span):
    """With nothing marked, what holds an inference is a turn and the rest is not."""
    story = tell(
        span("user", "", 0, 120, kind="CLIENT", http_method="POST"),
        span("POST /chat", "user", 10, 110, kind="SERVER", http_route="/chat"),
        span("agent", "POST /chat", 20, 100, operation="invoke_agent"),
        span("chat", "agent", 30, 90, session="s1", **CHAT),
        span("health", "", 0, 10, trace_id=f"{2:032x}", kind="SERVER"),
    )
    assert story.sections == [
        ("POST /chat", "unattributed", 10, 20),
        ("agent", "unattributed", 20, 30),
        ("chat", "llm.first_token", 30, 90),
        ("agent", "unattributed", 90, 100),
        ("POST /chat", "unattributed", 100, 110),
    ]
    assert story.summary.inferred == {"server": 1}
    assert story.engine.query("SELECT session, route, duration_s, error FROM turns") == [
        {"session": "s1", "route": "/chat", "duration_s": 0.1, "error": False}
    ]


@pytest.mark.parametrize(
    ("above", "turn", "sort"),
    [
        ({"operation": "invoke_agent"}, "above", "agent"),
        ({}, "above", "root"),
        ({"kind": "CONSUMER"}, "above", "root"),
        ({"kind": "CLIENT", "http_method": "POST"}, "chat", "root"),
    ],
)
def test_without_a_server_span_the_agent_or_the_root_is_the_turn(tell, span, above, turn, sort):
    """Scripts and workers have no request; a caller's HTTP span is not the agent's turn."""
    story = tell(span("above", "", 0, 100, **above), span("chat", "above", 10, 90, **CHAT))
    assert story.turns == [turn]
    assert story.summary.inferred == {sort: 1}


def test_an_agent_that_asks_another_service_is_one_turn(tell, span):
    """The other service's SERVER span lies within the agent's turn."""
    story = tell(
        span("agent", "", 0, 100, operation="invoke_agent"),
        span("call", "agent", 10, 90, http_method="POST", http_status=200),
        span("served", "call", 20, 80, kind="SERVER", instance="p2"),
        span("chat", "served", 30, 70, instance="p2", **CHAT),
    )
    assert story.turns == ["agent"]


def test_attribution_may_run_twice(tell, span):
    """The second run replaces the tables of the first."""
    for _ in range(2):
        story = tell(span("turn", "", 0, 100, is_turn=True))
    assert story.sections == [("turn", "unattributed", 0, 100)]


def test_a_run_without_turns_is_an_answer(tell, span):
    """No turn gives empty tables, not an error."""
    story = tell(span("health", "", 0, 10, kind="SERVER"))
    assert (story.summary.turns, story.sections, story.bounds) == (0, [], [])
    assert (story.summary.sweep_group, story.summary.sweep_disagreement) == (None, 0.0)


def test_what_a_turn_was_is_copied_with_its_status_and_outcome(tell, span):
    """A 5xx answer is an error even where no exception was recorded."""
    story = tell(
        span(
            "turn", "", 0, 1500, is_turn=True, session="s", http_route="/m/{id}", http_status=503,
            outcome="ok", first_byte_s=0.5,
        )
    )  # fmt: skip
    (turn,) = story.engine.query("SELECT * FROM turns")
    assert turn == {
        "turn_id": "turn",
        "trace_id": f"{1:032x}",
        "session": "s",
        "route": "/m/{id}",
        "instance": "p1",
        "service": "agent",
        "start_ns": 1_790_000_000_000_000_000,
        "end_ns": 1_790_000_001_500_000_000,
        "duration_s": 1.5,
        "status": 503,
        "error": True,
        "outcome": "ok",
        "first_byte_s": 0.5,
    }
