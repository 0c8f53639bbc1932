"""Intervals hold the truth as often as they say."""

from typing import Any

import numpy as np
import pytest

from agentscope_analyzer import intervals
from agentscope_analyzer.intervals import DRAWS, Clusters, interval_of, of_shares, shares_of

CAUSES = ("llm.first_token", "llm.rate_limit", "db.query")
SIZES = (30, 10)
"""Sessions of one run, turns of each."""


def drawn_run(chance: np.random.Generator, sessions: int, turns: int, spread: float = 0.2) -> Any:
    """Seconds by session, turn and cause: sessions differ, some turns wait for the quota."""
    slow = chance.normal(0, spread, (sessions, 1))
    model = np.exp(chance.normal(1, 0.2, (sessions, turns)) + slow)
    waits = chance.random((sessions, turns)) < 0.2
    quota = np.where(waits, chance.exponential(4, (sessions, turns)) * np.exp(slow), 0)
    return np.stack([model, quota, chance.exponential(0.2, (sessions, turns))], axis=-1)


def clusters_of(run: Any) -> Clusters:
    """As the questions under turns/ count them."""
    lasted = run.sum(axis=-1)
    place = lasted.ravel().argsort().argsort().reshape(lasted.shape) / (lasted.size - 1)
    parts = {
        "whole": place >= 0,
        "slow": lasted >= np.quantile(lasted, 0.95),
        "middle": (place >= 0.4) & (place <= 0.6),
        "least": place >= 0,
        "most": place >= 0,
        "below": place < 0.4,
    }
    near = max(0.02, 3 / lasted.size)
    edges = {"p95_s": 0.95, "lower_s": 0.4, "upper_s": 0.6}
    return Clusters(
        causes=CAUSES,
        turns={name: mask.sum(axis=1).astype(float) for name, mask in parts.items()},
        seconds={
            name: (run * parts[name][..., np.newaxis]).sum(axis=1) for name in intervals.PARTS
        },
        edges={name: run[np.abs(place - at) <= near].mean(axis=0) for name, at in edges.items()},
        in_flight={},
    )


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 400)


def difference(clusters: Clusters) -> Any:
    return clusters.per_turn("slow") - clusters.per_turn("middle")


@pytest.mark.usefixtures("fewer_draws")
def test_nine_of_ten_intervals_hold_the_truth_at_least() -> None:
    """Shares, the slowest turns' shares, and their difference to middle turns, of sessions that differ.

    95 % of an infinity of runs would; of a hundred, of slow turns of thirty sessions, more than 88.
    """
    chance = np.random.default_rng(11)
    everybody = clusters_of(drawn_run(chance, 20_000, SIZES[1]))
    held = np.zeros((3, len(CAUSES)))
    for _ in range(100):
        clusters = clusters_of(drawn_run(chance, *SIZES))
        slow = clusters.sessions("slow", "middle")
        for i, (drawn, truth) in enumerate(
            (
                (clusters.shares_drawn("whole"), everybody.shares("whole")),
                (clusters.shares_drawn("slow"), everybody.shares("slow")),
                (
                    clusters.per_turn_drawn("slow") - clusters.per_turn_drawn("middle"),
                    difference(everybody),
                ),
            )
        ):
            low, high = interval_of(drawn, sessions=slow if i else clusters.sessions("whole"))
            held[i] += (low <= truth) & (truth <= high)
    assert held.min() >= 88
    assert held.max() <= 100


@pytest.mark.usefixtures("fewer_draws")
def test_sessions_are_drawn_and_not_turns() -> None:
    """Where sessions differ, turns drawn one by one promise an interval that is far too narrow."""
    run = drawn_run(np.random.default_rng(3), 30, 40, spread=0.4)
    by_turn = run.reshape(-1, 1, len(CAUSES))
    widths = []
    for told in (run, by_turn):
        clusters = clusters_of(told)
        low, high = interval_of(clusters.per_turn_drawn("whole"), sessions=len(told))
        widths.append(high - low)
    assert widths[0][0] > 2 * widths[1][0]


@pytest.mark.usefixtures("fewer_draws")
def test_intervals_grow_as_sessions_get_fewer_and_figures_more() -> None:
    """Student's t and Bonferroni: the same draws, a wider interval."""
    drawn = np.random.default_rng(1).normal(0, 1, (100_000, 1))
    widths = [
        (high - low).item()
        for low, high in (
            interval_of(drawn, sessions=10_000),
            interval_of(drawn, sessions=10),
            interval_of(drawn, sessions=10, family=18),
        )
    ]
    # 2 z of 0.975; 2 t(9) of 0.975, by the root of 10/9; 2 t(9) of 1 - 0.025/18, by it
    assert widths[0] == pytest.approx(2 * 1.960, rel=0.02)
    assert widths[1] == pytest.approx(2 * 2.262 * 1.054, rel=0.03)
    assert widths[2] == pytest.approx(2 * 4.026 * 1.054, rel=0.1)


def test_the_same_run_gives_the_same_interval() -> None:
    """Drawn with a fixed seed: a report can be compared with itself."""
    run = drawn_run(np.random.default_rng(5), *SIZES)
    assert shares_of(clusters_of(run)) == shares_of(clusters_of(run))


def test_a_cause_that_slow_turns_do_not_have_has_a_share_of_nothing() -> None:
    """No division by what no draw has."""
    run = drawn_run(np.random.default_rng(5), *SIZES)
    run[..., 2] = 0
    found = shares_of(clusters_of(run))["db.query"]
    assert (found.low, found.high, found.p95_low, found.p95_high) == (0, 0, 0, 0)


def test_no_share_is_less_than_nothing() -> None:
    """Draws of the slowest turns are corrected to first order, which may lead below zero."""
    drawn = np.random.default_rng(5).normal([0.01, 0.99], 0.1, (DRAWS, 2))
    low, high = of_shares(drawn, 30)
    assert (low[0], high[1]) == (0.0, 1.0)
    assert 0.0 < high[0] < low[1] < 1.0
