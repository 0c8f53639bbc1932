"""Figures and manifests that no honest recorder writes: counted or left aside, never a crash."""

from typing import Any

import pytest

from agentscope_analyzer.ceilings.demand import window_of
from agentscope_analyzer.ceilings.quotas import quota_given, quotas_from_headers

T0_NS = 1_790_000_000_000_000_000
LAST_NS = 2**63 - 1
TURNS = 30


def told(story: Any) -> Any:
    for i in range(TURNS):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 0.5)), i * 2.0, 200)
    return story


@pytest.mark.parametrize(
    "stages",
    [
        "abc",
        {"a": 1},
        [1, None, "x"],
        [{"start_ns": "1", "end_ns": "2", "users": "3"}],
        [{"start_ns": [1], "end_ns": {}, "users": None}],
        [{"start_ns": 1, "end_ns": 2, "users": "many"}],
        [{"start_ns": 1e300, "end_ns": 1e308, "users": 1e308}],
    ],
)
def test_stages_that_are_none_leave_the_run_whole(story: Any, stages: Any) -> None:
    """A manifest is a file like any other: whatever stands in it, there is a report."""
    manifest = {"complete": True, "load": {"stages": stages, "think_time_s": 3}}
    assert told(story).report(manifest=manifest).verdict.confidence == "high"


@pytest.mark.parametrize("open_turns", ["seven", [1], -1, True, None])
def test_open_turns_that_are_no_count_are_unknown(story: Any, open_turns: Any) -> None:
    """The run was cut off; how many turns it lost is not known."""
    killed = {"instance": "i", "ended_ns": None, "open_turns": open_turns}
    report = told(story).report(manifests=[killed])
    assert [c.detail for c in report.validity if c.check == "goodbye"] == [
        "cut off: instance i said no goodbye (killed, or still running); turns open then are lost"
    ]


@pytest.mark.parametrize("limit", ["inf", "nan", "1e400", "1e308", "-5", "0", "many"])
def test_limits_that_limit_nothing_are_no_quota(limit: str) -> None:
    """Their arithmetic would overflow, or divide by zero."""
    row = {"provider": "p", "model": "m", "http_status": 200, "quota": limit}
    assert (
        quotas_from_headers("requests", [{**row, "remaining": "1", "reset": None, "attempts": 1}])
        == []
    )


def test_a_limit_of_four_hundred_digits_is_a_mistake() -> None:
    """What the user types is held to the same bound."""
    with pytest.raises(ValueError, match=r"as in llm\.requests=150/min"):
        quota_given(f"llm.requests={'9' * 400}")


def test_one_wrong_clock_makes_no_endless_run() -> None:
    """A turn that began in 1970: decades are cut into longer windows, not into millions."""
    assert window_of(1.79e9) == pytest.approx(1.79e9 / 5000)


def test_a_run_of_decades_fails_the_check_of_its_length(story: Any) -> None:
    """Nobody measures for years: a clock was wrong, and no verdict is sure."""
    told(story).turn("s", -1e9, ("llm.first_token", 0.5))
    report = story.report()
    assert [(c.status, c.detail) for c in report.validity if c.check == "length"] == [
        ("fail", "turns span 11 574 days: a clock was wrong")
    ]
    assert report.verdict.confidence == "medium"


def test_spans_at_the_end_of_time_are_measured(story: Any) -> None:
    """The largest instant that OTLP can hold overflows no sum."""
    trace = told(story).turn("s", 0.0, ("llm.first_token", 0.5))
    late = {"start_ns": LAST_NS - 5, "end_ns": LAST_NS, "first_chunk_s": 0.9, "streamed": True}
    story.span(trace, kind="CLIENT", operation="chat", **late)
    assert story.report().run.turns == TURNS + 1


def test_a_chunk_after_the_end_of_time_is_clamped(tell_late: Any) -> None:
    """A first chunk later than its span's end changes nothing, wherever the span lies."""
    assert tell_late == [("llm.first_token", 5)]


@pytest.fixture
def tell_late() -> Any:
    from agentscope_analyzer.attribution import attribute
    from agentscope_analyzer.engine import Engine
    from agentscope_analyzer.ingest import insert_spans

    times = {"trace_id": "1" * 32, "start_ns": LAST_NS - 5, "end_ns": LAST_NS}
    call = {"operation": "chat", "streamed": True, "first_chunk_s": 0.9, "parent_id": "a" * 16}
    with Engine.in_memory(threads=1) as engine:
        insert_spans(
            engine,
            [
                {**times, "span_id": "a" * 16, "kind": "SERVER", "is_turn": True},
                {**times, **call, "span_id": "b" * 16, "kind": "CLIENT"},
            ],
        )
        attribute(engine)
        return engine.rows("SELECT cause, end_ns - start_ns FROM sections")


def test_what_blocked_before_the_first_turn_held_up_nobody(story: Any) -> None:
    """Ten seconds of imports are not a stopped loop of the run."""
    trace = told(story).turn("s", 70.0, ("runtime.event_loop", 0.02))
    for start_s, end_s in ((-12, -2), (70, 70.02)):
        story.span(
            trace,
            runtime_event="loop_blocked",
            start_ns=T0_NS + round(start_s * 1e9),
            end_ns=T0_NS + round(end_s * 1e9),
            code_function="warm_up",
            code_file="app.py",
        )
    loop = next(f for f in story.report().findings if f.cause == "runtime.event_loop")
    assert "warm_up (app.py) stopped it 1 time, 20 ms in all" in loop.statement
