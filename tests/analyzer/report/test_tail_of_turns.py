"""Why slow turns are slow: told by difference, with intervals, or said not to be told."""

from typing import Any

import pytest

from agentscope_analyzer.document import Tail, TailCause
from agentscope_analyzer.intervals import Clusters
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.tail import tail_of


def explained(story: Any) -> Tail:
    """The part of the report that is looked at here, without the rest."""
    asker = Asker(story.told())
    asker.prepare("llm/_model_spans", "llm/_twins", "llm/_inferences")
    asker.prepare("turns/_sessions", "turns/_spent", "turns/_parts")
    questions = ("turns/clusters", "turns/causes_by_cluster", "turns/causes_at_edges")
    clusters = Clusters.of_rows(*map(asker.ask, questions))
    return tail_of(clusters, asker.ask("turns/shapes")[0], streamed=False)


def tell(
    story: Any,
    *,
    turns: int = 400,
    sessions: int | None = 40,
    slow: tuple[str, float] = ("llm.rate_limit", 8.0),
    calls: tuple[int, int] = (2, 2),
) -> None:
    """Every 20th turn is slow by one cause; all have 4 s of the model and 0.1 s of the database.

    ``calls`` are the model calls of a turn that is not slow, and of one that is.
    """
    for i in range(turns):
        extra = [slow] if i % 20 == 7 else []
        varied_s = 4.0 + (i * 7 % 20) / 1000
        trace = story.turn(
            f"s{(i + i // 20 * 7) % sessions}" if sessions else None,
            i * 20.0,
            ("llm.first_token", varied_s),
            ("db.query", 0.1),
            *extra,
            route="/chat",
        )
        for k in range(calls[bool(extra)]):
            story.call(trace, i * 20.0 + k, took_s=0.5)


def test_what_slow_turns_have_more_of_is_named(story: Any) -> None:
    """The model fills fast and slow turns alike; the quota is what makes the slow ones slow.

    Other sessions might have had a slow turn in 24 or in 16: then the p95 turns are not all so slow.
    """
    tell(story)
    tail = explained(story)
    quota, *others = tail.causes
    assert (tail.slow_turns, tail.middle_turns) == (20, 80)
    assert quota == TailCause(
        cause="llm.rate_limit",
        slow_s=8.0,
        middle_s=0.0,
        difference_s=8.0,
        share=pytest.approx(1.0, abs=0.01),
        low_s=pytest.approx(6.6, abs=0.2),
        high_s=pytest.approx(9.5, abs=0.2),
    )
    assert {one.cause for one in others} == {"llm.first_token", "db.query"}
    assert all(abs(one.difference_s) < 0.02 for one in others)
    assert tail.difference_s == pytest.approx(sum(one.difference_s for one in tail.causes))
    assert tail.statement == (
        "the slowest turns take 8 s longer than middle ones (12.1 s against 4.11 s): "
        "100 % [83 %, 100 %] of it the provider's quota"
    )


def test_turns_that_do_more_are_told_from_work_that_takes_longer(story: Any) -> None:
    """Six model calls instead of two: no cause of waiting is to blame for that."""
    tell(story, slow=("llm.first_token", 8.0), calls=(2, 6))
    tail = explained(story)
    assert (tail.slow_calls, tail.middle_calls) == (6.0, 2.0)
    assert tail.shape_s == pytest.approx(tail.difference_s, rel=0.01)
    assert tail.statement.endswith("; 100 % goes with what they do: 6 model calls a turn against 2")


def test_shapes_of_a_few_turns_explain_nothing(story: Any) -> None:
    """A route of its own for each turn is no reason for its duration."""
    for i in range(400):
        slow = [("wait.lock", 8.0)] if i % 20 == 7 else []
        story.turn(f"s{i % 40}", i * 20.0, ("db.query", 4.0), *slow, route=f"/items/{i}")
    tail = explained(story)
    assert tail.shape_s == pytest.approx(0.0)
    assert "what they do" not in tail.statement


def test_few_turns_are_no_tail(story: Any) -> None:
    """Of a hundred turns five are slow: anecdotes."""
    tell(story, turns=100)
    tail = explained(story)
    assert tail.statement == (
        "not enough turns to explain the slow ones: 5 turns at or above the p95, 10 needed"
    )


def test_turns_of_one_length_have_no_tail(story: Any) -> None:
    """The p95 of a steady run is its median."""
    tell(story, slow=("llm.rate_limit", 0.5))
    tail = explained(story)
    assert tail.statement == (
        "no tail to explain: the slowest turns take hardly longer than middle ones "
        "(4.61 s against 4.11 s)"
    )


@pytest.mark.parametrize("sessions", [None, 4])
def test_without_sessions_enough_nothing_is_certain(story: Any, sessions: int | None) -> None:
    """The difference is told, its interval is not made up from turns that belong together."""
    tell(story, sessions=sessions)
    report = story.report()
    assert {(one.low_s, one.high_s) for one in report.tail.causes} == {(None, None)}
    assert report.tail.statement.endswith(
        "100 % of it the provider's quota, of too few sessions to be sure of it"
    )
    shares = report.attribution.causes["llm.rate_limit"]
    assert (shares.share_low, shares.share_high, shares.p95_share_low) == (None, None, None)


def test_a_run_without_turns_has_no_tail(story: Any) -> None:
    """Every key is there, and nothing is 0 that nobody counted."""
    tail = explained(story)
    assert tail == Tail(
        slow_turns=0,
        middle_turns=0,
        slow_s=None,
        middle_s=None,
        difference_s=None,
        shape_s=None,
        slow_calls=None,
        middle_calls=None,
        causes=[],
        statement="not enough turns to explain the slow ones: 0 turns at or above the p95, "
        "10 needed",
    )


def test_shares_come_with_intervals_that_hold_them(story: Any) -> None:
    """Of all turn time and of the slowest turns' time."""
    tell(story)
    quota = story.report().attribution.causes["llm.rate_limit"]
    assert quota.share_low is not None
    assert quota.share_high is not None
    assert 0 < quota.share_low < quota.share < quota.share_high < 2 * quota.share
    assert quota.p95_share is not None
    assert quota.p95_share_low == pytest.approx(quota.p95_share, abs=0.06)
    assert quota.p95_share_high == pytest.approx(quota.p95_share, abs=0.06)
