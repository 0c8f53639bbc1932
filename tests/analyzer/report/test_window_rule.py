"""Ceilings in sessions: the window rule, its demand and its interval."""

import math
from typing import Any

import numpy as np
import pytest

from agentscope_analyzer.ceilings.demand import Demands, LiveSessions, window_of
from agentscope_analyzer.ceilings.window_rule import Demand, sessions_within
from agentscope_analyzer.sql import Asker, ask

T0_S = 1_790_000_000.0
MODEL = ("requests", "openai", "gpt-4o-mini")


def test_the_window_rule_solves_its_equation() -> None:
    """N* = ((-zσ + √(z²σ² + 4μQ)) / 2μ)²: 57.4 for μ = σ = 2 and Q = 150."""
    n = sessions_within(150, mean=2.0, deviation=2.0)
    assert n == pytest.approx(((-4.66 + math.sqrt(4.66**2 + 1200)) / 4) ** 2)
    assert round(n, 1) == 57.4
    assert 2.0 * n + 2.33 * 2.0 * math.sqrt(n) == pytest.approx(150)


@pytest.mark.parametrize(("minutes", "sessions"), [(2, 60), (3, 90)])
def test_means_alone_give_the_arithmetic_of_a_published_load_test(
    minutes: int, sessions: int
) -> None:
    """150 requests a minute, 5 calls a turn, a turn every 2 to 3 minutes: 60 to 90 sessions."""
    mean = 5 / minutes
    assert round(sessions_within(150, mean, deviation=0.0), 9) == sessions
    # Five calls come at once, so a minute has 0 or 5 of them: fewer sessions fit in truth.
    bursts = 5 * math.sqrt(1 / minutes * (1 - 1 / minutes))
    assert sessions_within(150, mean, bursts) < 0.75 * sessions


def test_live_sessions_are_counted_from_first_turn_to_last(story: Any) -> None:
    """A session lives through the pauses between its turns."""
    for session, at_s, took_s in (("a", 0, 2), ("b", 5, 1), ("a", 8, 2), ("c", 10, 1)):
        story.turn(session, at_s, ("llm.first_token", took_s))
    live = LiveSessions.of_rows(ask(story.told(), "ceilings/sessions"))
    assert (live.names, live.most(), live.mean(T0_S, T0_S + 10)) == (("a", "b", "c"), 2, 1.1)


@pytest.mark.parametrize(("stretch_s", "window_s"), [(600, 60), (180, 60), (90, 30)])
def test_short_runs_are_cut_into_three_windows(stretch_s: float, window_s: float) -> None:
    """Windows are a minute long where the run allows it."""
    assert window_of(stretch_s) == window_s


def test_demand_is_what_was_asked_for_each_minute_of_life(story: Any) -> None:
    """Two sessions over three windows of 60 s; b lives for half of the time and asks as often."""
    a = story.turn("a", 0, ("llm.first_token", 180))
    b = story.turn("b", 0, ("llm.first_token", 90))
    for trace, at_s in [*((a, at_s) for at_s in range(0, 180, 30)), (b, 0), (b, 30)]:
        story.call(trace, at_s)
    demand = Demands(Asker(story.told()), T0_S, T0_S + 180).of(*MODEL)
    assert demand is not None
    # cells (c, e): a (2, 1) (2, 1) (2, 1), b (2, 1) (0, ½): μ = 8 / 4.5, σ² = Σ(c - μe)² / Σe
    mean = 8 / 4.5
    variance = (4 * (2 - mean) ** 2 + (mean / 2) ** 2) / 4.5
    assert demand.per_minute() == pytest.approx((mean, math.sqrt(variance)))


def test_time_held_back_is_no_time_to_ask(story: Any) -> None:
    """Whoever slept half of its life after a 429 would have asked twice as often."""
    minute = [("llm.first_token", 20), ("llm.rate_limit", 30), ("llm.first_token", 10)]
    trace = story.turn("a", 0, *minute, *minute, *minute)
    for at_s in (0, 60, 120):
        story.call(trace, at_s)
    demands = Demands(Asker(story.told()), T0_S, T0_S + 180)
    free, slept = demands.of(*MODEL), demands.of(*MODEL, held_back="llm.rate_limit")
    assert free is not None
    assert slept is not None
    assert (free.per_minute(), slept.per_minute()) == ((1.0, 0.0), (2.0, 0.0))


def test_parallel_turns_of_a_session_are_held_back_once(story: Any) -> None:
    """Two turns that sleep at the same time take the session's time only once."""
    for session, from_s, to_s in (
        ("a", 5, 9),
        ("b", 0, 1),
        ("a", 0, 6),
        ("a", 9, 10),
        ("a", 20, 21),
    ):
        story.turn(session, from_s, ("llm.rate_limit", to_s - from_s))
    assert ask(story.told(), "ceilings/waited", cause="llm.rate_limit") == [
        {"wall_s": 12.0, "sessions": 2}
    ]
    demand = Demands(Asker(story.engine), T0_S, T0_S + 30).of(*MODEL, held_back="llm.rate_limit")
    assert demand is not None
    assert list(demand.e * demand.window_s) == pytest.approx([10.0, 0.0])  # a paused from 10 to 20


def test_short_windows_are_scaled_to_a_minute() -> None:
    """Mean and variance grow with time: 2 windows of 30 s with 1 and 3 calls."""
    cells = np.array([1.0, 3.0])
    demand = Demand.of_cells(np.array([0, 0]), cells, np.ones(2), 30.0)
    assert demand.per_minute() == pytest.approx((4.0, math.sqrt(1.0 * 2)))


def test_the_interval_is_the_same_every_time() -> None:
    """Resampling is seeded; alike sessions leave no doubt, different ones do."""
    session = np.arange(12)
    alike = Demand.of_cells(session, np.full(12, 2.0), np.ones(12), 60.0)
    mixed = Demand.of_cells(session, np.tile([1.0, 3.0], 6), np.ones(12), 60.0)
    sure = alike.interval(100)
    assert sure is not None
    assert (sure.low, sure.high) == pytest.approx((50.0, 50.0))
    first, second = mixed.interval(100), mixed.interval(100)
    assert first is not None
    assert first == second
    assert first.low < sessions_within(100, 2.0, 1.0) < first.high


def test_four_sessions_are_too_few_for_an_interval() -> None:
    """Resampling a handful of sessions would only look like knowledge."""
    assert Demand.of_cells(np.arange(4), np.ones(4), np.ones(4), 60.0).interval(100) is None
