"""Clocks of processes that call each other, and clocks that were set during a run."""

from typing import Any

import pytest

from agentscope_analyzer.audit.clocks import clock_pairs_of, clock_step_of
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
T0_S = 1_790_000_000.0


def checks(report: Any, name: str) -> list[tuple[str, str]]:
    return [(c.status, c.detail) for c in report.validity if c.check == name]


def calls(story: Any, *ahead_s: float, lasts_s: float = 0.5) -> None:
    """Sixty calls of half a second from one process to another, whose clock is ahead."""
    for i in range(60):
        trace = story.turn("s", 2.0 * i, ("http.upstream", 0.6))
        story.spans[-1]["instance"] = "web"
        start_ns = T0_NS + round((2.0 * i + 0.05) * 1e9)
        times = {"start_ns": start_ns, "end_ns": start_ns + 500_000_000, "instance": "web"}
        call = story.span(trace, kind="CLIENT", http_method="GET", **times)
        # The way there takes 1 to 6 ms, the way back as long.
        way_s = 0.001 + 0.005 * (i % 6) / 5
        served_ns = start_ns + round((way_s + ahead_s[i * len(ahead_s) // 60]) * 1e9)
        end_ns = served_ns + round((lasts_s - 2 * way_s) * 1e9)
        story.span(
            trace,
            parent_id=call,
            kind="SERVER",
            instance="search",
            start_ns=served_ns,
            end_ns=end_ns,
        )


def test_clocks_that_agree_pass(story: Any) -> None:
    """Every called side lies within its call: nothing to move."""
    calls(story, 0.0)
    assert checks(story.report(), "instance_clocks") == [
        ("ok", "60 calls between 1 pair of processes lie within their callers")
    ]


def test_milliseconds_are_corrected_and_said(story: Any) -> None:
    """Twenty milliseconds are what hosts differ by: moved, and no warning."""
    calls(story, 0.020)
    assert checks(story.report(), "instance_clocks") == [
        (
            "ok",
            (
                "60 calls between 1 pair of processes; 60 were moved, by up to 20 ms, to lie within "
                "their callers"
            ),
        )
    ]


def test_seconds_are_found_with_their_bounds(story: Any) -> None:
    """Three seconds ahead: the quickest way bounds it to a millisecond, both ways."""
    calls(story, 3.0)
    assert checks(story.report(), "instance_clocks") == [
        (
            "warn",
            (
                "the clock of search is 3 s ahead of web's, to 1 ms; the called side of 60 of 60 calls was "
                "moved into the middle of the call, by up to 3 s; what users wait between processes is "
                "open by as much: synchronise the hosts' clocks"
            ),
        )
    ]
    (pair,) = clock_pairs_of(Asker(story.engine))
    assert (pair.least_s, pair.most_s) == (pytest.approx(2.999), pytest.approx(3.001))


def test_a_clock_that_moves_satisfies_no_single_difference(story: Any) -> None:
    """Half of the calls a second behind, the others two seconds behind."""
    calls(story, -1.0, -2.0)
    (pair,) = clock_pairs_of(Asker(story.told()))
    assert (pair.calls, pair.misplaced, pair.moved_s) == (60, 60, pytest.approx(0.998))


def test_what_goes_on_after_the_answer_is_no_clock(story: Any) -> None:
    """The called side outlasts its call: it says nothing of clocks."""
    calls(story, 0.0, lasts_s=3.0)
    assert clock_pairs_of(Asker(story.told())) == ()


def sent(story: Any, *ahead_s: float, queue_s: float = 0.0, works_on_s: float = 0.0) -> Any:
    """A hundred requests 2 s apart; waits grow up to ``queue_s``, half the turns work on."""
    for i in range(100):
        wait_s = 0.001 + queue_s * i / 100
        works_s = works_on_s if i >= 50 else 0.0
        at_s = 2.0 * i + wait_s + ahead_s[i * len(ahead_s) // 100]
        trace = story.turn(f"s{i % 4}", at_s, ("llm.first_token", 0.5 + works_s))
        line = {"t_start": T0_S + 2.0 * i, "duration_s": wait_s + 0.501, "turn": i, "session": "s"}
        story.load.append({**line, "trace_id": trace})
    return clock_step_of(Asker(story.told()))


def test_a_clock_that_was_set_during_the_run_fails(story: Any) -> None:
    """Half a second back after half of the requests: both bounds show it."""
    step = sent(story, 0.0, -0.5)
    assert step.by_s == pytest.approx(-0.5)
    ((status, detail),) = checks(story.report(), "clocks")
    assert (status, detail.split(" against")[0]) == ("fail", "the service's clock went 500 ms back")


def test_a_clock_is_set_when_it_is_set(story: Any) -> None:
    """A third of the way through: in the middle of a tenth, where nothing tells the two apart."""
    assert sent(story, 0.0, -0.5, -0.5).by_s == pytest.approx(-0.5)


def test_a_set_clock_makes_nobody_wait_before_a_turn(story: Any) -> None:
    """Times of both sides say nothing of each other then: that is no queue in front of the turns."""
    sent(story, 0.0, -0.5, -0.5)
    report = story.report()
    assert "users wait" not in report.verdict.statement
    assert "mind of this run: a clock was set while it lasted" in report.verdict.statement


def test_queues_and_work_after_the_answer_are_no_clock(story: Any) -> None:
    """A queue moves the one bound, work that goes on the other."""
    assert abs(sent(story, 0.0, queue_s=5.0, works_on_s=1.3).by_s) < 0.01
