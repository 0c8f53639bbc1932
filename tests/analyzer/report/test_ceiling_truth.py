"""The ceiling told from a run at a third of the limit, against a bucket that is really emptied."""

import heapq
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from agentscope_analyzer.ceilings.demand import Demands
from agentscope_analyzer.ceilings.window_rule import sessions_within
from agentscope_analyzer.sql import Asker

T0_S = 1_790_000_000.0

Call = tuple[float, int]
"""When, by which session."""


def calls_of(sessions: int, seconds: float, answer_s: tuple[float, float]) -> Iterator[Call]:
    """Sessions that are always live: one or two calls a turn, 1 to 4 s of thinking in between."""
    draw = random.Random(sessions)
    waiting = [(draw.uniform(0, 5), number, 1) for number in range(sessions)]
    heapq.heapify(waiting)
    while waiting[0][0] < seconds:
        at_s, number, left = heapq.heappop(waiting)
        yield at_s, number
        next_s = at_s + draw.uniform(*answer_s)
        if left > 1:
            heapq.heappush(waiting, (next_s, number, left - 1))
        else:
            heapq.heappush(waiting, (next_s + draw.uniform(1, 4), number, draw.randint(1, 2)))


def empties_the_bucket(quota: int, sessions: int, answer_s: tuple[float, float]) -> bool:
    """Whether over 1 % of an hour's calls find a bucket of one minute's quota empty."""
    level, then_s, calls, refused = float(quota), 0.0, 0, 0
    for at_s, _ in calls_of(sessions, 3600, answer_s):
        level = min(quota, level + (at_s - then_s) * quota / 60)
        then_s, calls = at_s, calls + 1
        if level < 1:
            refused += 1
        else:
            level -= 1
    return refused > 0.01 * calls


@cache
def most_sessions(quota: int, answer_s: tuple[float, float]) -> int:
    """The truth, found by halving."""
    low, high = 3, quota // 4
    while high - low > 1:
        middle = (low + high) // 2
        if empties_the_bucket(quota, middle, answer_s):
            high = middle
        else:
            low = middle
    return low


@pytest.mark.parametrize(("quota", "answer_s"), [(600, (0.8, 1.5)), (900, (3.0, 6.0))])
@pytest.mark.parametrize("seconds", [60.0, 300.0])
def test_the_ceiling_is_within_a_tenth_of_the_truth(
    story: Any, quota: int, answer_s: tuple[float, float], seconds: float
) -> None:
    """The truth: the most sessions that the bucket carries with less than 1 % refused."""
    truth = most_sessions(quota, answer_s)
    third = truth // 3
    traces = [story.turn(str(n), 0.0, ("llm.first_token", seconds)) for n in range(third)]
    for at_s, number in calls_of(third, seconds, answer_s):
        story.call(traces[number], at_s)
    demands = Demands(Asker(story.told()), T0_S, T0_S + seconds)
    demand = demands.of("requests", "openai", "gpt-4o-mini")
    rate = demand.per_minute() if demand is not None else None
    assert rate is not None
    assert sessions_within(quota, *rate) == pytest.approx(truth, rel=0.10)
