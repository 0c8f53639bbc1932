"""What users wait before their turns begin: measured at the generator, explained by the process."""

from typing import Any

import pytest

T0_NS = 1_790_000_000_000_000_000
T0_S = 1_790_000_000.0
TURNS = 40


def told(story: Any, before_s: float, *events: str, **columns: Any) -> Any:
    """Turns of 0.5 s, 4 s apart, each asked for ``before_s`` earlier, and what stopped meanwhile."""
    for i in range(TURNS):
        at_s = i * 4.0
        trace = story.turn(f"s{i % 4}", at_s, ("llm.first_token", 0.5))
        story.call(trace, at_s, 200)
        story.load.append(
            {
                "t_start": T0_S + at_s - before_s,
                "duration_s": before_s + 0.5,
                "trace_id": trace,
                "turn": i,
                "session": "s",
            }
        )
        for event in events:
            story.span(
                f"{i + 5000:032x}",
                runtime_event=event,
                start_ns=T0_NS + round((at_s - before_s - 0.5) * 1e9),
                end_ns=T0_NS + round((at_s - 0.1 * before_s) * 1e9),
                **{"instance": "instance-1", **columns},
            )
    return story.report()


def test_a_loop_that_stands_still_while_users_wait_binds(story: Any) -> None:
    """The turns alone show nothing: each is the model's. The requests were not taken up."""
    line = {"code_function": "ask", "code_file": "/srv/app.py", "code_line": 20}
    report = told(story, 2.0, "loop_blocked", **line)
    assert (report.verdict.cause, report.verdict.share, report.verdict.statement) == (
        "runtime.event_loop",
        0.0,
        (
            "the blocked event loop binds: 0 % of turn time; the loop stood still for 57 % of the run; "
            "ask (app.py:20) stopped it 39 times, 89.7 s in all; users wait 2 s before their turn "
            "begins, 90 % of it while the loop stood still"
        ),
    )
    assert report.attribution.causes.keys() == {"llm.first_token"}
    (before,) = [e for e in report.findings[0].evidence if e.question == "load/before_turns"]
    assert (before.value, before.unit) == (pytest.approx(0.72), "share")
    (little,) = [check.detail for check in report.validity if check.check == "little"]
    assert little.endswith(
        "80 % of users' waiting is outside the recorded turns, 2 s before each turn "
        "(90 % runtime.event_loop, 10 % accept queue, network, set-up)"
    )


@pytest.mark.parametrize(
    ("event", "cause"), [("gc_pause", "runtime.gc"), ("cpu_throttled", "runtime.throttled")]
)
def test_a_stop_that_explains_the_loops_is_named_instead(
    story: Any, event: str, cause: str
) -> None:
    """The loop stood still because of the collector, or of the quota: theirs is all of it."""
    report = told(story, 2.0, "loop_blocked", event)
    assert (report.verdict.cause, report.attribution.causes.keys()) == (cause, {"llm.first_token"})


def test_waiting_that_nothing_explains_is_said_and_blames_nobody(story: Any) -> None:
    """The process ran and was not blocked: an accept queue, the network, connection set-up."""
    report = told(story, 2.0)
    assert (report.verdict.cause, report.verdict.confidence) == (None, "medium")
    assert report.verdict.statement.split("; ")[2] == (
        "but users wait 2 s before their turn begins, 100 % of it in an accept queue, on the network "
        "or for a connection"
    )


def test_another_process_that_stood_still_explains_nothing(story: Any) -> None:
    """Only the process that served the turn counts."""
    report = told(story, 2.0, "loop_blocked", instance="instance-2")
    assert report.verdict.cause is None
    assert "100 % of it in an accept queue" in report.verdict.statement


@pytest.mark.parametrize("ahead_s", [-30.0, 30.0])
def test_another_clock_makes_no_waiting(story: Any, ahead_s: float) -> None:
    """Half a minute between two hosts is no queue."""
    for i in range(TURNS):
        trace = story.turn(f"s{i % 4}", i * 2.0, ("llm.first_token", 1.0))
        sent_s = T0_S + i * 2.0 - ahead_s - 0.01
        story.load.append(
            {"t_start": sent_s, "duration_s": 1.02, "trace_id": trace, "turn": i, "session": "s"}
        )
    report = story.report()
    assert "before" not in report.verdict.statement
    assert report.verdict.cause is None
