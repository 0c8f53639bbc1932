"""The ceilings of a run, in live sessions."""

from typing import Any

import pytest

from agentscope_analyzer.ceilings.pools import pool_ceiling
from agentscope_analyzer.ceilings.quotas import quota_given
from agentscope_analyzer.document import Ceiling


def regular(story: Any, sessions: int, minutes: int, *statuses: int) -> None:
    """Sessions that take a turn of one model call every ten seconds, for some minutes."""
    for session in range(sessions):
        for i in range(minutes * 6):
            at_s = i * 10.0 + session * 0.1
            trace = story.turn(f"s{session}", at_s, ("llm.first_token", 1.0))
            story.call(trace, at_s, *statuses)
        end_s = minutes * 60.0 - 10.0 + session * 0.1
        story.turn(f"s{session}", end_s + 9.0, ("db.query", 1.0))


def test_a_quota_becomes_a_number_of_sessions(story: Any) -> None:
    """Six calls a minute without variance: 60 requests a minute carry ten sessions."""
    regular(story, 6, 5, 200)
    (ceiling,) = story.report().ceilings
    assert ceiling == Ceiling(
        resource="llm.requests",
        dimension="minute",
        limit=60.0,
        unit="requests/min",
        demand_per_session=pytest.approx(6.0, rel=0.01),
        sessions=9.0,
        low=9.0,
        high=9.0,
        reached=False,
        binding=True,
        basis=(
            "limit of openai gpt-4o-mini from rate-limit headers; window rule, at most 1 % of "
            "minutes over; means alone say 9; 6 sessions"
        ),
        relief="more pods will not help: the quota is the account's",
    )


def test_retries_are_no_demand(story: Any) -> None:
    """Two attempts for every call leave the demand as it was; the quota counts as reached."""
    regular(story, 6, 5, 429, 200)
    (ceiling,) = story.report().ceilings
    assert (ceiling.demand_per_session, ceiling.reached) == (pytest.approx(6.0, rel=0.01), True)


def test_a_limit_given_by_hand_is_used(story: Any) -> None:
    """A mock's own quota says nothing about the deployment that the user asks about."""
    regular(story, 6, 5, 200)
    (ceiling,) = story.report(limits=[quota_given("llm.requests=600/min")]).ceilings
    assert (ceiling.limit, ceiling.sessions) == (600.0, 99.0)
    assert ceiling.basis.startswith("limit from --limit; window rule")


def test_tokens_have_a_ceiling_of_their_own_and_the_lowest_one_binds(story: Any) -> None:
    """120 tokens a call, 720 a minute: 3 600 tokens a minute are used up before 60 requests."""
    regular(story, 6, 5, 200)
    report = story.report(limits=[quota_given("llm.tokens=3600/min")])
    assert [(c.resource, c.sessions, c.binding) for c in report.ceilings] == [
        ("llm.tokens", 4.0, True),
        ("llm.requests", 9.0, False),
    ]
    assert "usage tokens; what the provider charges may differ" in report.ceilings[0].basis


def test_few_calls_are_no_ceiling(story: Any) -> None:
    """The report says what is missing instead of guessing."""
    for i in range(4):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 1.0)), i * 2.0, 200)
    report = story.report()
    assert report.ceilings == []
    assert [c.detail for c in report.validity if c.check == "ceilings"] == [
        (
            "llm.requests: not enough data (4 calls of known sessions; 10 calls of 2 sessions are "
            "needed)"
        )
    ]


def test_without_a_quota_the_report_says_how_to_give_one(story: Any) -> None:
    """No header, no metric: the user may know."""
    for i in range(20):
        story.call(story.turn(f"s{i % 4}", i * 2.0, ("llm.first_token", 1.0)), i * 2.0)
    assert [c.detail for c in story.report().validity if c.check == "ceilings"] == [
        "llm.requests: no quota was recorded; give it: --limit llm.requests=150/min"
    ]


def test_a_pool_is_full_where_littles_law_says() -> None:
    """Ten connections, two in use at eight sessions on average: forty sessions fill it."""
    pool = {
        "pool": "main",
        "pools": 1,
        "size_connections": 10.0,
        "used_mean": 2.0,
        "used_most": 5.0,
        "pending_most": 0.0,
        "uses": None,
        "use_mean_s": None,
    }
    assert pool_ceiling(pool, live_mean=8.0, stretch_s=60.0, waited_share=0.0) == Ceiling(
        resource="db.pool:main",
        dimension="instant",
        limit=10.0,
        unit="connections",
        demand_per_session=0.25,
        sessions=40.0,
        low=None,
        high=None,
        reached=False,
        binding=False,
        basis="Little's law on connections in use, sampled: 2 at 8 live sessions",
        relief=(
            "a larger pool helps, or holding connections shorter; more pods will not help once the "
            "database itself is full"
        ),
    )
    unknown = {**pool, "size_connections": None}
    assert pool_ceiling(unknown, live_mean=8.0, stretch_s=60.0, waited_share=0.0) == (
        "db.pool:main: not enough data (its size is not recorded)"
    )


def test_uses_times_holding_come_before_a_sampled_gauge() -> None:
    """L = λW, with every use counted: 120 uses of half a second in a minute are one connection in use."""
    pool = {
        "pool": "",
        "pools": 1,
        "size_connections": 5.0,
        "used_mean": 0.0,
        "used_most": 0.0,
        "pending_most": None,
        "uses": 120,
        "use_mean_s": 0.5,
    }
    ceiling = pool_ceiling(pool, live_mean=4.0, stretch_s=60.0, waited_share=0.0)
    assert isinstance(ceiling, Ceiling)
    assert (ceiling.sessions, ceiling.basis) == (
        20.0,
        "Little's law on uses a second times seconds held: 1 at 4 live sessions",
    )
