"""Quotas are counted in windows: a second, a minute, a day; each has a rule of its own."""

from typing import Any

import pytest

from agentscope_analyzer.ceilings.quotas import quota_given
from agentscope_analyzer.document import Ceiling

LIMITS = {"provider": "openai", "model": "gpt-4o-mini", "dimension": "requests"}


def regular(story: Any, sessions: int, minutes: int) -> None:
    """Sessions that are live throughout and call a model every ten seconds."""
    for session in range(sessions):
        for i in range(minutes * 6):
            at_s = i * 10.0 + session * 0.1
            story.call(story.turn(f"s{session}", at_s, ("llm.first_token", 1.0)), at_s)
        story.turn(f"s{session}", minutes * 60.0 - 1.0 + session * 0.1, ("db.query", 1.0))


def test_the_window_that_the_recorder_saw_is_used(story: Any) -> None:
    """60 requests in ten seconds are six times as many as 60 a minute."""
    regular(story, 6, 5)
    story.gauge("agentscope.llm.ratelimit.limit", 60, 60, **LIMITS)
    story.gauge("agentscope.llm.ratelimit.window", 10, 60, 10, **LIMITS)
    (ceiling,) = story.report().ceilings
    assert ceiling == Ceiling(
        resource="llm.requests",
        dimension="10 s",
        limit=60.0,
        unit="requests/10 s",
        demand_per_session=pytest.approx(1.0, rel=0.01),
        sessions=59.0,
        low=59.0,
        high=59.0,
        reached=False,
        binding=True,
        basis=(
            "limit of openai gpt-4o-mini from metric agentscope.llm.ratelimit.limit; window rule, at "
            "most 1 % of 10 s windows over; means alone say 59; 6 sessions"
        ),
        relief="more pods will not help: the quota is the account's",
    )


def test_a_window_that_nobody_told_is_taken_for_a_minute_and_said_to_be(story: Any) -> None:
    """The metric of the window came later than that of the limit; older runs do not have it."""
    regular(story, 6, 5)
    story.gauge("agentscope.llm.ratelimit.limit", 60, **LIMITS)
    (ceiling,) = story.report().ceilings
    assert (ceiling.dimension, ceiling.sessions) == ("minute", 9.0)
    assert ceiling.basis.endswith("a limit per minute, which nothing recorded confirms")


def test_a_days_quota_in_a_run_of_minutes_says_how_long_it_lasts(story: Any) -> None:
    """36 calls a minute use up 4 320 in two hours; around the clock half a session lives on them."""
    regular(story, 6, 5)
    story.gauge("agentscope.llm.ratelimit.limit", 4320, **LIMITS)
    story.gauge("agentscope.llm.ratelimit.window", 86_400, **LIMITS)
    report = story.report()
    (ceiling,) = report.ceilings
    assert (ceiling.dimension, ceiling.unit, ceiling.sessions, ceiling.reached) == (
        "day",
        "requests/day",
        0.0,
        False,
    )
    assert ceiling.demand_per_session == pytest.approx(8640, rel=0.01)
    assert ceiling.basis == (
        "limit of openai gpt-4o-mini from metric agentscope.llm.ratelimit.limit; 36 requests a "
        "minute as in this run use it up in 2 h, unless it refills meanwhile; sessions by the mean "
        "rule, live on average over a whole day; 6 sessions"
    )
    assert "should be used up" not in report.verdict.statement
    assert report.verdict.statement.endswith(
        "first limit in sight: 4 320 requests/day are used up at less than 1 live session all day long"
    )


def test_a_days_quota_that_the_rate_does_not_use_up(story: Any) -> None:
    """36 calls a minute are 51 840 a day: a quota of 100 000 is enough."""
    regular(story, 6, 5)
    (ceiling,) = story.report(limits=[quota_given("llm.requests=100000/day")]).ceilings
    assert (ceiling.sessions, ceiling.reached) == (11.0, False)
    assert "36 requests a minute as in this run do not use it up in a day" in ceiling.basis


def test_a_days_quota_is_reached_when_the_run_alone_used_it_up(story: Any) -> None:
    """Sent faster than it refills is not yet used up: a day's bucket starts full."""
    regular(story, 6, 5)
    limits = [quota_given("llm.requests=150/day"), quota_given("llm.tokens=500000/day")]
    reached = {c.resource: c.reached for c in story.report(limits=limits).ceilings}
    assert reached == {"llm.requests": True, "llm.tokens": False}


def test_two_windows_of_one_dimension_are_two_ceilings(story: Any) -> None:
    """Mistral and Cerebras name the window in the header: the minute's and the day's both bind."""
    regular(story, 6, 5)
    name = "http.response.header.x-ratelimit-{}-requests-{}"
    for call in [span for span in story.spans if span.get("operation") == "chat"]:
        attrs = {
            name.format("limit", "minute"): '["60"]',
            name.format("remaining", "minute"): '["30"]',
            name.format("limit", "day"): '["100000"]',
        }
        times = {"start_ns": call["start_ns"], "end_ns": call["end_ns"]}
        story.span(
            call["trace_id"],
            parent_id=call["span_id"],
            kind="CLIENT",
            http_method="POST",
            http_status=200,
            attrs=attrs,
            **times,
        )
    assert [(c.dimension, c.sessions, c.binding) for c in story.report().ceilings] == [
        ("minute", 9.0, True),
        ("day", 11.0, False),
    ]
