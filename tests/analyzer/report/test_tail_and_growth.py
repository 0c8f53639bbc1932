"""What grows with load is told from what is inherent, by intervals over sessions."""

import random
from typing import Any

import pytest

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Growth
from agentscope_analyzer.growth import growth_of
from agentscope_analyzer.intervals import Clusters
from agentscope_analyzer.sql import Asker


def compared(story: Any) -> Growth:
    """The part of the report that is looked at here, without the rest."""
    asker = Asker(story.told())
    asker.prepare("turns/_sessions", "turns/_spent", "turns/_parts")
    questions = ("turns/clusters", "turns/causes_by_cluster", "turns/causes_at_edges")
    return growth_of(Clusters.of_rows(*map(asker.ask, questions)), streamed=False)


def ramp(
    story: Any, *, quota_s: float = 0.3, seed: int = 1, high: int = 12, others: tuple[str, ...] = ()
) -> Growth:
    """Sixty sessions, two turns at once at first and ``high`` at the end.

    The model takes 2 s, give or take a third by session and by turn; the quota takes ``quota_s``
    for every turn in flight beyond two; each of the others takes 20 s of one turn in twenty.
    """
    chance = random.Random(seed)
    sessions = [chance.uniform(0.8, 1.2) for _ in range(60)]
    at_s = 0.0
    for flight in (2, high // 2, high):
        for _ in range(120):
            session = chance.randrange(60)
            model_s = 2.0 * sessions[session] * chance.uniform(0.7, 1.3)
            waited_s = quota_s * (flight - 2) * chance.uniform(0.5, 1.5)
            waits = [("llm.rate_limit", waited_s)] if waited_s else []
            chances = [(cause, 20.0) for cause in others if chance.random() < 0.05]
            story.turn(f"s{session}", at_s, ("llm.first_token", model_s), *waits, *chances)
            at_s += (2.0 + quota_s * (flight - 2)) / flight
        at_s += 30.0
    return compared(story)


def test_the_quota_grows_and_the_model_does_not(story: Any) -> None:
    """A statement for each, with the interval that excludes the opposite."""
    growth = ramp(story)
    kinds = {one.cause: one.kind for one in growth.causes}
    assert kinds == {"llm.rate_limit": "grows", "llm.first_token": kinds["llm.first_token"]}
    assert kinds["llm.first_token"] in {"inherent", "unclear"}
    quota = growth.causes[0]
    assert quota.low_s < quota.change_s < quota.high_s
    assert quota.low_s > 1.5
    assert quota.high_s < 4.5
    assert (growth.least_turns, growth.most_turns) == (120, 120)
    assert growth.most_in_flight > 3 * growth.least_in_flight
    assert growth.low_s > 0
    assert "; what grows: the provider's quota by 2." in growth.statement


def test_work_that_is_the_same_at_any_load_is_inherent(story: Any) -> None:
    """Proved not to grow, which is more than not proved to grow."""
    for i in range(600):
        crowd = 1 if i < 300 else 6
        story.turn(
            f"s{i % 50}",
            i * 3.0 / crowd + 900 * (crowd > 1),
            ("llm.first_token", 2.0 + i % 7 / 100),
        )
    growth = compared(story)
    assert [(one.cause, one.kind) for one in growth.causes] == [("llm.first_token", "inherent")]
    assert growth.statement.startswith("between 1 and ")
    assert growth.statement.endswith("; what does not: the model's own response time")


def test_hardly_any_healthy_run_is_said_to_grow(story: Any) -> None:
    """Ten runs of fifteen causes in which nothing grows: the intervals of a run hold together."""
    others = tuple(cause for cause in CAUSES if cause != "llm.first_token")[:14]
    alarms = 0
    for seed in range(10):
        story.turns, story.sections, story.spans = [], [], []
        story.engine.execute("DELETE FROM spans")
        growth = ramp(story, quota_s=0.0, seed=seed, others=others)
        alarms += any(one.kind == "grows" for one in growth.causes)
    assert alarms <= 1


def test_where_load_hardly_varied_nothing_is_said_to_grow(story: Any) -> None:
    """A steady run cannot tell, and says so."""
    for i in range(200):
        story.turn(f"s{i % 20}", i * 3.0, ("llm.first_token", 2.0 + i / 1000))
    growth = compared(story)
    assert {one.kind for one in growth.causes} == {"unclear"}
    assert growth.statement == (
        "load hardly varied (1 and 1 turns in flight): nothing can be said to grow with it"
    )


def test_few_turns_or_sessions_are_said_to_be_too_few(story: Any) -> None:
    """Not enough data is an answer."""
    for i in range(20):
        story.turn("s", i * 3.0, ("llm.first_token", 2.0))
    growth = compared(story)
    assert (growth.causes, growth.change_s) == ([], None)
    assert growth.statement == "not enough turns to compare loads: 13 turns at both ends of it"


@pytest.mark.parametrize("sessions", [1, 4])
def test_turns_of_few_sessions_tell_nothing_of_others(story: Any, sessions: int) -> None:
    """However many turns there are, what they share is not told from what load does."""
    for i in range(300):
        crowd = 1 if i < 150 else 6
        story.turn(
            f"s{i % sessions}", i * 3.0 / crowd + 900 * (crowd > 1), ("db.query", 2.0 * crowd)
        )
    growth = compared(story)
    assert growth.low_s is None
    assert growth.statement.startswith("too few sessions to say what grows between 1 and ")
