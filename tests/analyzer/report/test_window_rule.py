"""Ceilings in sessions: the window rule, its demand and its interval."""

import math

import numpy as np
import pytest

from agentscope_analyzer.ceilings.demand import LiveSessions, demand_of, merged, window_of
from agentscope_analyzer.ceilings.window_rule import Demand, sessions_within


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


def test_live_sessions_are_counted_from_first_turn_to_last() -> None:
    """A session lives through the pauses between its turns."""
    live = LiveSessions.of_turns([("a", 0, 2), ("b", 5, 6), ("a", 8, 10), ("c", 10, 11)])
    assert (live.names, live.most(), live.mean(0, 10)) == (("a", "b", "c"), 2, 1.1)


@pytest.mark.parametrize(("stretch_s", "window_s"), [(600, 60), (180, 60), (90, 30)])
def test_short_runs_are_cut_into_three_windows(stretch_s: float, window_s: float) -> None:
    """Windows are a minute long where the run allows it."""
    assert window_of(stretch_s) == window_s


def test_demand_is_what_was_asked_for_each_minute_of_life() -> None:
    """Two sessions over three windows of 60 s; b lives for half of the time and asks as often."""
    live = LiveSessions.of_turns([("a", 0, 180), ("b", 0, 90)])
    asked = [("a", at, 1.0) for at in (0, 30, 60, 90, 120, 150)] + [("b", 0, 1.0), ("b", 30, 1.0)]
    demand = demand_of(live, asked, [], 0, 180)
    assert demand is not None
    # cells (c, e): a (2, 1) (2, 1) (2, 1), b (2, 1) (0, ½): μ = 8 / 4.5, σ² = Σ(c - μe)² / Σe
    mean = 8 / 4.5
    variance = (4 * (2 - mean) ** 2 + (mean / 2) ** 2) / 4.5
    assert demand.per_minute() == pytest.approx((mean, math.sqrt(variance)))


def test_time_held_back_is_no_time_to_ask() -> None:
    """Whoever slept half of its life after a 429 would have asked twice as often."""
    live = LiveSessions.of_turns([("a", 0, 180)])
    asked = [("a", at, 1.0) for at in (0, 60, 120)]
    held = [("a", at + 20, at + 50) for at in (0, 60, 120)]
    free, slept = demand_of(live, asked, [], 0, 180), demand_of(live, asked, held, 0, 180)
    assert free is not None
    assert slept is not None
    assert (free.per_minute(), slept.per_minute()) == ((1.0, 0.0), (2.0, 0.0))


def test_parallel_turns_of_a_session_are_held_back_once() -> None:
    """Two turns that sleep at the same time take the session's time only once."""
    held = [("a", 5.0, 9.0), ("b", 0.0, 1.0), ("a", 0.0, 6.0), ("a", 9.0, 10.0), ("a", 20.0, 21.0)]
    assert merged(held) == [("a", 0.0, 10.0), ("a", 20.0, 21.0), ("b", 0.0, 1.0)]


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
