"""Throughput against load: the Universal Scalability Law, what it is compared with, and the knee."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from agentscope_analyzer.ceilings.knee import knee_of
from agentscope_analyzer.ceilings.laws import fit_of
from agentscope_analyzer.ceilings.scalability import scalability_of
from agentscope_analyzer.ceilings.windows import Gauge, Windows
from agentscope_analyzer.document import Scalability

Floats = npt.NDArray[np.float64]
THINK_S = 2.0


def told(
    throughput: Callable[[Floats], Floats],
    *,
    seed: int = 1,
    loads: tuple[float, float] = (1.0, 60.0),
    windows: int = 120,
    turn_s: float | Floats | None = None,
    at: Floats | None = None,
) -> Scalability:
    """A ramp between two loads, in windows of 5 s with as many turns as chance gives them.

    ``at`` gives the load of each window instead. Turns take ``turn_s``, or what is left of a closed
    loop in which users think for 2 s.
    """
    chance = np.random.default_rng(seed)
    meant = np.linspace(*loads, windows) if at is None else at
    sessions = np.clip(meant + chance.normal(0, 0.5, windows), 0.5, None)
    turns = chance.poisson(throughput(sessions) * 5.0).astype(np.float64)
    closed_s = np.maximum(0.1, sessions / throughput(sessions) - THINK_S)
    took_s = closed_s if turn_s is None else np.broadcast_to(turn_s, windows)
    empty = np.full((1, windows), np.nan)
    gauge = Gauge(empty, empty, empty)
    always = np.full(windows, True)
    return scalability_of(
        Windows(
            start_s=0.0,
            window_s=5.0,
            processes=(),
            here=always[np.newaxis],
            cpu=empty,
            memory=gauge,
            descriptors=gauge,
            turns_per_s=turns[np.newaxis] / 5.0,
            ended_turns=turns[np.newaxis],
            ended_turns_s=(turns * took_s)[np.newaxis],
            sessions=sessions,
            steady=always,
            known=always,
        )
    )


def law(gamma: float, alpha: float, beta: float) -> Callable[[Floats], Floats]:
    return lambda n: gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))


def test_a_published_benchmark_is_fitted_as_published() -> None:
    """SPEC SDM91 as in R's package usl: γ 89.995, α 0.0277, β 0.000104, most at 96.5."""
    n = np.array([1.0, 18, 36, 72, 108, 144, 216])
    x = np.array([64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2])
    fit = fit_of("usl", n, x, np.ones(7))
    assert (round(fit.gamma, 2), round(fit.alpha, 4), round(fit.beta, 6)) == (
        90.0,
        0.0277,
        0.000104,
    )
    assert fit.peak == pytest.approx(96.52, abs=0.01)


def test_contention_and_crosstalk_have_a_peak_with_its_interval() -> None:
    """√((1 - 0.02) / 0.0008) = 35 sessions."""
    found = [told(law(0.4, 0.02, 0.0008), seed=seed) for seed in range(10)]
    usl = [one for one in found if one.model == "usl"]
    assert len(usl) >= 6
    assert {one.model for one in found} <= {"usl", "asymptotes"}
    holds = [(one.peak_low or 0) <= 35 <= (one.peak_high or 0) for one in usl]
    assert sum(holds) >= 0.9 * len(usl)
    assert usl[0].peak_turns_per_s == pytest.approx(5.4, rel=0.1)
    assert "the Universal Scalability Law explains it best" in usl[0].statement


def test_one_bottleneck_has_a_plateau_and_a_knee() -> None:
    """0.4 turns a second of a session, 8 in all: from 20 sessions on turns only take longer."""
    found = [told(lambda n: np.minimum(0.4 * n, 8.0), seed=seed) for seed in range(10)]
    assert {one.model for one in found} == {"asymptotes"}
    assert all(one.peak_sessions == pytest.approx(20, rel=0.1) for one in found)
    assert all(one.knee_sessions == pytest.approx(20, rel=0.15) for one in found)
    holds = [(one.knee_low or 0) <= 20 <= (one.knee_high or 0) for one in found]
    assert sum(holds) >= 9
    assert found[0].knee.startswith("throughput stops to grow at")


def test_proportion_has_no_limit_and_no_knee() -> None:
    """A service far from its limits: nothing is found by chance."""
    found = [told(lambda n: 0.4 * n, seed=seed) for seed in range(20)]
    assert {one.model for one in found} == {"linear"}
    assert {(one.peak_sessions, one.knee_sessions) for one in found} == {(None, None)}
    assert "it shows no limit" in found[0].statement
    assert found[0].knee == "no knee: throughput may as well grow in proportion to sessions"


def test_the_window_in_which_users_come_is_no_load_of_its_own() -> None:
    """Of turns that begin in it only short ones end, so all later ones would look slow beside it."""
    load, took_s = np.linspace(23.0, 40.0, 120), np.full(120, 1.0)
    load[0], took_s[0] = 1.0, 0.2
    found = told(lambda n: np.minimum(n, 12.0), at=load, turn_s=took_s)
    assert (found.peak_sessions, found.knee_sessions) == (None, None)
    assert found.knee.startswith("no knee: load went from 2")


def test_sessions_that_ask_for_less_are_no_limit() -> None:
    """Throughput stays behind, but no turn takes longer: users were slower, not the service."""
    found = told(lambda n: np.minimum(0.4 * n, 8.0), turn_s=2.0)
    assert (found.model, found.peak_sessions, found.knee_sessions) == (None, None, None)
    assert "turns take no longer: sessions asked for less" in found.statement


def test_a_handful_of_turns_scales_nowhere() -> None:
    """Chance draws any curve through thirty turns."""
    found = told(lambda n: 0.003 * n, turn_s=2.0)
    assert found.model is None
    assert found.statement.endswith("turns to go by, 100 are needed")


def test_nothing_is_said_beyond_one_and_a_half_times_the_largest_load() -> None:
    """A peak at 100 sessions is not told from loads up to 40."""
    found = told(law(0.4, 0.02, 0.98 / 100**2), loads=(1.0, 40.0))
    assert found.valid_to_sessions == pytest.approx(60, rel=0.05)
    assert (found.peak_sessions, found.peak_low, found.peak_high) == (None, None, None)
    assert "where it peaks lies beyond" in found.statement


@pytest.mark.parametrize(
    ("loads", "why"),
    [
        ((20.0, 20.0), "load went from 18.6 to 21.1 sessions only; a ramp or stages would tell"),
        ((15.0, 25.0), "load went from 14.6 to 25.3 sessions only; a ramp or stages would tell"),
    ],
)
def test_a_load_that_hardly_varies_is_no_scaling_test(loads: tuple[float, float], why: str) -> None:
    """Six loads at least, the largest twice the smallest."""
    found = told(lambda n: 0.4 * n, loads=loads)
    assert (found.model, found.statement) == (None, f"not enough data: {why}")
    assert found.knee == f"no knee: {why}"


def test_stages_of_fewer_than_six_loads_are_refused() -> None:
    """Three parameters through five points would fit anything."""
    found = told(lambda n: 4 * n, loads=(1.0, 7.0), windows=6, seed=2)
    assert (found.model, found.statement) == (
        None,
        "not enough data: 5 levels of load, 6 are needed; a ramp or stages would tell",
    )


@pytest.mark.parametrize(
    ("throughput", "turn_s", "why"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1], "throughput still grows at"),
        ([3, 6, 9, 9, 9, 9], [1, 1, 1, 1, 1, 1], "turns take no longer beyond it"),
        ([5, 5, 5, 5, 5, 5], [1, 1, 1, 2, 3, 4], "throughput did not grow with load"),
        ([1, 2, 3, 2.5, 2, 1.5], [1, 1, 1, 2, 3, 4], None),
    ],
)
def test_a_knee_must_bend_enough_and_slow_turns_down(
    throughput: list[float], turn_s: list[float], why: str | None
) -> None:
    """The rule says why there is none."""
    load = np.arange(1.0, 7.0)
    knee = knee_of(load, np.array(throughput, dtype=float), np.array(turn_s, dtype=float), [], 10)
    if why is None:
        assert knee.sessions == pytest.approx(3, abs=0.3)
    else:
        assert knee.sessions is None
        assert knee.says.startswith(f"no knee: {why}")
