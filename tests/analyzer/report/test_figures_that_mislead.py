"""Shares of turn time that are true and would mislead: what a verdict says beside them."""

from typing import Any

import pytest

TURNS = 60
T0_NS = 1_790_000_000_000_000_000


def test_half_of_nothing_binds_nobody(story: Any) -> None:
    """Turns of half a millisecond that spend half of it in send(): a mock answered, users wait for nothing."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.first_token", 0.0003), ("client.send", 0.0003))
        story.spans[-1]["send_wait_s"] = 0.0003
    report = story.report()
    assert report.verdict.statement.startswith("nothing binds at this load")
    assert [finding.statement for finding in report.findings if finding.cause == "client.send"] == [
        "slowly reading clients: 50 % of turn time, which is 0.3 ms a turn: too short to be felt"
    ]


def test_turns_that_all_failed_lend_no_verdict_confidence(story: Any) -> None:
    """The model took all of their time; that they all failed is said, whatever binds."""
    for i in range(TURNS):
        trace = story.turn("s", i * 40.0, ("llm.first_token", 30.0), error=True)
        story.call(trace, i * 40.0, 200, took_s=30.0)
    verdict = story.report().verdict
    assert verdict.cause == "llm.first_token"
    assert verdict.statement.endswith("; but 100 % of turns failed")
    assert verdict.confidence == "low"


def test_what_a_time_out_ends_shows_no_effect_of_load(story: Any) -> None:
    """Every call ends after 30 s, with few turns in flight and with many."""
    for i in range(TURNS):
        at_s = i * (40.0 if i < TURNS / 2 else 5.0)
        trace = story.turn(f"s{i % 12}", at_s, ("llm.first_token", 30.0))
        story.call(trace, at_s, 200, took_s=30.0)
        story.spans[-2]["error_type"] = "TimeoutError"
    statement = story.report().verdict.statement
    assert "60 of 60 model calls end after 30 s, as at a time-out" in statement
    assert "what a time-out ends cannot show whether it grows with load" in statement
    assert "no load effect" not in statement


def test_failures_are_named_by_what_came_instead(story: Any) -> None:
    """A context that is too long is no time-out and no 5xx."""
    for i in range(TURNS):
        trace = story.turn("s", i * 5.0, ("llm.retry", 1.0), ("llm.first_token", 1.0))
        story.call(trace, i * 5.0, 400, *([500] if i % 3 == 0 else []), 200)
    assert "80 of 140 attempts failed (400: 60, 500: 20)" in story.report().verdict.statement


def test_sleeping_without_a_refusal_is_no_quota(story: Any) -> None:
    """Every attempt is known and none was refused: whatever slept there, no quota binds."""
    for i in range(TURNS):
        trace = story.turn("s", i * 5.0, ("llm.rate_limit", 2.0), ("llm.first_token", 1.0))
        story.call(trace, i * 5.0, 200)
        start_ns = T0_NS + i * 5 * 10**9
        story.span(trace, wait_kind="rate_limit", start_ns=start_ns, end_ns=start_ns + 2 * 10**9)
    report = story.report()
    assert report.verdict.cause is None
    assert "not confirmed by a second figure: llm.rate_limit" in report.verdict.statement


@pytest.mark.parametrize(("calls", "told"), [(1, False), (8, True)])
def test_many_short_answers_are_no_slow_model(story: Any, calls: int, told: bool) -> None:
    """Ten seconds of the model in eight calls: the loop of the agent is what to look at."""
    for i in range(TURNS):
        trace = story.turn("s", i * 15.0, ("llm.first_token", 10.0))
        for call in range(calls):
            story.call(trace, i * 15.0 + call, 200)
    assert (", in 8 calls a turn" in story.report().verdict.statement) is told


@pytest.mark.parametrize(("turns", "cause"), [(14, None), (60, "http.upstream")])
def test_five_turns_show_no_growth_with_load(story: Any, turns: int, cause: str | None) -> None:
    """A service that takes longer the more ask of it, within the target: seen in sixty turns, not in 14."""
    for i in range(turns):
        crowded = i >= turns / 2
        at_s = i * 4.0 if not crowded else turns * 2.0 + i * 0.5
        took_s = 1.6 if crowded else 0.8
        trace = story.turn(f"s{i % 12}", at_s, ("http.upstream", took_s), ("llm.first_token", 0.5))
        times = {"start_ns": T0_NS, "end_ns": T0_NS + 10**9}
        story.span(trace, kind="CLIENT", http_method="GET", **times)
    assert story.report().verdict.cause == cause


def test_what_nobody_recorded_may_bind(story: Any) -> None:
    """Two thirds of the time has no explanation: that nothing binds would be a guess."""
    for i in range(TURNS):
        story.turn("s", i * 5.0, ("unattributed", 1.0), ("llm.first_token", 0.5))
    assert story.report().verdict.statement.startswith(
        "nothing that was recorded binds at this load: "
    )


def test_a_limit_that_is_reached_and_costs_little_is_said_to_be_reached(story: Any) -> None:
    """A second provider takes what the first one refuses."""
    for i in range(TURNS):
        at_s = i * 1.0
        trace = story.turn(f"s{i % 6}", at_s, ("llm.rate_limit", 0.02), ("llm.first_token", 0.98))
        story.call(trace, at_s, 429)
        story.call(trace, at_s + 0.1, 200)
    assert (
        "; one limit is reached already, at little cost so far: 60 requests/min are used up"
        in story.report().verdict.statement
    )
