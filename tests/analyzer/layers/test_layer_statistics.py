"""What is said of a difference: right by hand on few figures, and right often enough on many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agentscope_analyzer.layers import Layer, compare
from agentscope_analyzer.layers.document import Difference
from agentscope_analyzer.layers.resampling import Resampled, shift
from agentscope_analyzer.layers.strata import unstratified

MakeLayer = Callable[..., Layer]
FIGURES = ("ratio", "mean_s", "p50_s", "p95_s")


def resampled(
    layer: MakeLayer, *durations_s: float, weights: tuple[float, ...] = (1.0,), kinds: str = ""
) -> Resampled:
    """Turns of one session each; ``kinds`` gives each turn's kind, "-" for one that is left out."""
    sample = layer("x", users=len(durations_s), turns=1).sample
    seconds = np.zeros_like(sample.seconds)
    seconds[:, 0] = durations_s
    object.__setattr__(sample, "duration_s", np.array(durations_s))
    object.__setattr__(sample, "seconds", seconds)
    numbers = [-1 if kind == "-" else int(kind) for kind in kinds or "0" * len(durations_s)]
    return Resampled(sample, np.array(numbers), np.array(weights))


def test_quantiles_are_those_of_the_report(layer: MakeLayer) -> None:
    """Interpolated between ranks, as numpy's and the report's are."""
    durations = (4.0, 1.0, 9.0, 2.0, 7.0)
    for p in (0.0, 0.3, 0.5, 0.95, 1.0):
        assert resampled(layer, *durations).quantile_s(p) == pytest.approx(
            np.quantile(durations, p)
        )


def test_kinds_count_by_their_weight(layer: MakeLayer) -> None:
    """Three quick turns and one slow one, weighted half and half: the mean is the kinds' mean."""
    run = resampled(layer, 1.0, 1.0, 1.0, 5.0, 99.0, weights=(0.5, 0.5), kinds="0001-")
    assert float(run.mean_s.sum()) == pytest.approx(3.0)
    assert run.quantile_s(0.0) == 1.0
    assert run.quantile_s(1.0) == 5.0


def test_the_shift_is_the_median_of_all_differences() -> None:
    """Hodges and Lehmann's: 2 against 1, 2, 9 and 5 against them gives 4, 3, -4, 1, 0, -7."""
    assert shift(np.array([1.0, 2.0, 9.0]), np.array([5.0, 2.0])) == 0.5


def test_the_bootstraps_quantiles_are_those_of_drawn_sessions(layer: MakeLayer) -> None:
    """The short cut without sorting each draw spreads as sorting each draw does."""
    sample = layer("x", users=80, turns=10, spread=0.3, jitter=0.3).sample
    strata = unstratified([sample])
    run = Resampled(sample, strata.kinds[0], strata.weights)
    random = np.random.default_rng(1)
    turns_of = [np.flatnonzero(sample.session == number) for number in range(80)]
    for p in (0.5, 0.95):
        sorted_draws = [
            np.quantile(
                sample.duration_s[
                    np.concatenate([turns_of[i] for i in random.integers(0, 80, 80)])
                ],
                p,
            )
            for _ in range(500)
        ]
        assert np.std(run.quantile_drawn_s(p)) == pytest.approx(np.std(sorted_draws), rel=0.4)
        assert np.mean(run.quantile_drawn_s(p)) == pytest.approx(np.mean(sorted_draws), rel=0.02)


def test_sessions_not_turns_are_what_is_drawn(layer: MakeLayer) -> None:
    """Ten times the turns of the same sessions tell no more about other sessions."""
    widths = []
    for turns in (5, 50):
        (step,) = compare([layer(name, turns=turns, spread=0.3) for name in "ab"]).steps
        assert step.mean_s.high is not None
        assert step.mean_s.low is not None
        widths.append(step.mean_s.high - step.mean_s.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.35)


def test_a_difference_too_small_to_see_is_open_and_says_what_would_show_it(
    layer: MakeLayer,
) -> None:
    """Twelve sessions that differ widely: so many more of them make the margin detectable."""

    def seen(sessions: int) -> Difference:
        (step,) = compare(
            [layer(name, users=sessions, spread=0.4) for name in ("first", "again")]
        ).steps
        return step.mean_s

    few = seen(12)
    assert few.change == "inconclusive"
    assert few.detectable is not None
    assert few.detectable > few.margin
    assert few.sessions_needed is not None
    enough = seen(few.sessions_needed)
    assert enough.detectable is not None
    assert enough.detectable == pytest.approx(enough.margin, rel=0.3)


def test_nothing_is_unchanged_by_being_unknown(layer: MakeLayer) -> None:
    """An interval wider than the margin is never called unchanged, one within it always is."""
    (step,) = compare([layer(name, spread=0.01, jitter=0.01) for name in "ab"]).steps
    assert {cause.change for cause in step.causes} == {"unchanged"}
    for row in (step.mean_s, *step.causes):
        assert row.low is not None
        assert row.high is not None
        assert -row.margin <= row.low <= row.high <= row.margin
    assert step.statement.startswith("b changes a turn by less than ")


def test_a_p95_of_few_sessions_has_no_interval(layer: MakeLayer) -> None:
    """Where sessions differ more than turns do, the slowest twentieth belongs to three of them."""
    (step,) = compare([layer(name, users=30, spread=0.5, jitter=0.01) for name in "ab"]).steps
    assert (step.p95_s.change, step.p95_s.low, step.p95_s.detectable) == ("not_judged", None, None)
    assert step.p50_s.low is not None


@pytest.mark.proofs
def test_intervals_hold_the_truth_as_often_as_they_say(layer: MakeLayer) -> None:
    """150 pairs of runs whose sessions differ by 30 %, and their turns as much: 95 % intervals."""
    pairs = 150
    differing = {"spread": 0.3, "jitter": 0.3}
    whole = [
        layer(name, users=20_000, db_ms=ms, **differing) for name, ms in (("a", 5.0), ("c", 35.0))
    ]
    (truth,) = compare(whole).steps
    held, judged, alarms = dict.fromkeys(FIGURES, 0), dict.fromkeys(FIGURES, 0), 0
    for seed in range(pairs):
        plain = [layer(name, users=40, seed=seed, **differing) for name in "ab"]
        (same,) = compare(plain).steps
        alarms += same.mean_s.change in ("added", "saved")
        alarms += any(cause.change in ("added", "saved") for cause in same.causes)
        slower = layer("c", users=40, db_ms=35.0, seed=seed, **differing)
        (step,) = compare([plain[0], slower]).steps
        for key in FIGURES:
            row = getattr(step, key)
            if row.low is not None:
                judged[key] += 1
                held[key] += row.low <= getattr(truth, key).difference <= row.high
    print({key: held[key] / judged[key] for key in FIGURES}, judged, "false alarms", alarms / pairs)
    assert all(held[key] >= 0.9 * judged[key] for key in FIGURES)
    assert all(judged[key] > pairs / 2 for key in FIGURES)
    assert alarms / pairs <= 0.12  # two families of 5 % each
