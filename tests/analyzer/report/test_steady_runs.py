"""Which part of a run is steady: warm-up left out, and what still moves as it ends."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from agentscope_analyzer.audit.trends import Trend, theil_sen, trends_of
from agentscope_analyzer.audit.warm_up import (
    WarmUp,
    mann_whitney_z,
    mser,
    warm_up_of,
    welch_z,
)
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.validity.steadiness import MIN_CHANGE, _of_start

T0_NS = 1_790_000_000_000_000_000


def checks(report: Any, name: str) -> list[tuple[str, str, Any]]:
    return [(c.status, c.detail, c.value) for c in report.validity if c.check == name]


def look(story: Any) -> tuple[tuple[Trend, ...], WarmUp | None]:
    """Trends and warm-up of the whole run, as if nobody had told of stages."""
    asker = Asker(story.told())
    asker.prepare("turns/_sessions")
    starts_s = [turn["start_ns"] / 1e9 for turn in story.turns]
    whole = {"from_s": min(starts_s), "to_s": max(starts_s) + 10.0}
    live = LiveSessions.of_rows(asker.ask("ceilings/sessions"))
    pace = asker.ask("run/pace")[0]
    trends = trends_of(asker, live=live, pace=pace, skip_ramp=True, **whole)
    return trends, warm_up_of(asker, turns=len(story.turns), **whole)


def even(at_s: float, random: Random) -> float:
    return random.lognormvariate(0.0, 0.3)


def cold(at_s: float, random: Random) -> float:
    """Three times as long in the first 30 s."""
    return even(at_s, random) * (3.0 if at_s < 30.0 else 1.0)


def queueing(at_s: float, random: Random) -> float:
    """A queue that grows as long as the run lasts."""
    return even(at_s, random) + at_s / 30.0


def quick_at_first(at_s: float, random: Random) -> float:
    """A full bucket carries the first 30 s."""
    return even(at_s, random) * (1.0 if at_s < 30.0 else 3.0)


def test_a_warm_up_is_found_left_out_and_said(story: Any) -> None:
    """The cut is where turns stop being slow, to a few seconds; p95 is given with and without."""
    story.crowd(12, 180.0, cold)
    report = story.report()
    ((status, detail, length_s),) = checks(report, "warm_up")
    assert status == "warn"  # the p95 of all turns is not the p95 of the service
    assert length_s == pytest.approx(29.0, abs=5.0)
    assert (
        "left out of quota ceilings, trends and what grows with load, not of turn times" in detail
    )
    assert detail.endswith("warm the service up before a run whose p95 counts")
    ((status, _, _),) = checks(report, "steady")
    assert status == "ok"  # nor does it make a trend


def test_a_warm_up_is_no_load_and_no_kind_of_session(story: Any) -> None:
    """Slow turns are many in flight: nothing grew with load, and no session is of another kind."""
    story.crowd(15, 120.0, lambda at_s, random: even(at_s, random) * (8.0 if at_s < 30.0 else 1.0))
    report = story.report()
    assert "a turn is not proved to take longer" in report.growth.statement
    assert checks(report, "mixed_workload") == []


def test_a_short_warm_up_hardly_moves_the_p95(story: Any) -> None:
    """Twelve seconds of two minutes: found, and the p95 after it is nearly that of all turns."""
    story.crowd(12, 120.0, lambda at_s, random: even(at_s, random) * (2.0 if at_s < 12.0 else 1.0))
    _, found = look(story)
    assert found is not None
    assert (found.kept, found.length_s, found.ratio) == (
        False,
        pytest.approx(11.0, abs=4.0),
        pytest.approx(2.0, abs=0.4),
    )
    whole_s = float(np.quantile([turn["duration_s"] for turn in story.turns], 0.95))
    assert found.p95_s == pytest.approx(whole_s, rel=0.2)


def test_what_is_left_after_a_warm_up_must_stand_alone(story: Any) -> None:
    """A minute of which half was warm-up: what follows is too short, so it is kept."""
    story.crowd(20, 55.0, cold)
    _, found = look(story)
    assert found is not None
    assert found.kept


@pytest.mark.parametrize("took_s", [even, quick_at_first])
def test_no_warm_up_is_found_where_none_is(
    story: Any, took_s: Callable[[float, Random], float]
) -> None:
    """Quicker turns at the start are a load that builds up: demand is not cut by them."""
    story.crowd(12, 120.0, took_s)
    _, found = look(story)
    assert found is None


def test_the_ceiling_is_taken_after_the_warm_up(story: Any) -> None:
    """A session that waits for a cold service asks less: only the warm part says how much it asks."""
    story.crowd(12, 180.0, cold, think_s=(0.5, 0.5))
    for turn in story.turns:
        turn["session"] = turn["session"].partition("/")[0]
        story.call(turn["trace_id"], (turn["start_ns"] - T0_NS) / 1e9, 200)
    report = story.report()
    (ceiling,) = [one for one in report.ceilings if one.resource == "llm.requests"]
    warm = [turn for turn in story.turns if turn["start_ns"] > T0_NS + 32_000_000_000]
    length_min = (180.0 - 32.0) / 60
    assert ceiling.demand_per_session == pytest.approx(len(warm) / 12 / length_min, rel=0.05)
    all_of_them = len(story.turns) / 12 / 3.0
    assert ceiling.demand_per_session > 1.05 * all_of_them


def test_a_queue_that_grows_to_the_end_is_told(story: Any) -> None:
    """What is then a lower bound is said, and the verdict says it too."""
    story.crowd(30, 120.0, queueing)
    report = story.report()
    ((status, detail, change),) = checks(report, "steady")
    assert (status, change > 0.5) == ("warn", True)
    assert detail.endswith(
        "; a queue was still growing, so turn times and contention are lower bounds: hold the load "
        "until turn times stay"
    )
    assert report.verdict.statement.endswith("; mind of this run: it was still moving as it ended")


def test_a_load_that_grows_to_the_end_moves(story: Any) -> None:
    """A user every four seconds, to the last: throughput and live sessions are still rising."""
    story.crowd(30, 120.0, even, every_s=4.0)
    trends, _ = look(story)
    moving = {trend.measure: trend.change > 0.5 for trend in trends if trend.is_sure}
    assert moving == {"throughput": True, "live sessions": True}


def test_a_ramp_that_ended_is_no_trend(story: Any) -> None:
    """Twelve users within twelve seconds, then two minutes of them, and no stages that say so."""
    story.crowd(12, 130.0, even, every_s=1.0)
    trends, _ = look(story)
    assert [trend.measure for trend in trends if trend.is_sure] == []


@pytest.mark.parametrize("seed", range(8))
def test_healthy_users_are_steady(story: Any, seed: int) -> None:
    """Sessions come and go, some moments are busier: chance is no trend and no warm-up."""
    story.crowd(10, 100.0, even, seed=seed)
    found, warm_up = look(story)
    assert [trend.measure for trend in found] == ["throughput", "turn times", "live sessions"]
    assert not [trend for trend in found if trend.is_sure and abs(trend.change) >= MIN_CHANGE]
    assert warm_up is None


def test_little_data_says_nothing(story: Any) -> None:
    """Thirty turns cannot show a trend: nothing is said rather than that all is well."""
    for i in range(30):
        story.turn("s", i * 2.0, ("llm.first_token", 1.0))
    assert look(story) == ((), None)


def test_a_ramp_that_never_ended_fails(story: Any) -> None:
    """The generator told of the ramp alone: all its users were never there."""
    story.crowd(4, 40.0, even)
    stages = [{"name": "ramp", "users": 90, "start_ns": T0_NS, "end_ns": T0_NS + 60 * 10**9}]
    report = story.report(manifest={"complete": True, "load": {"stages": stages}})
    ((status, detail, share),) = checks(report, "ramp")
    assert (status, detail.split(":")[0], share) == ("fail", "the ramp never ended", 1.0)
    assert "its ramp never ended" in report.verdict.statement


def test_mser_cuts_what_is_unlike_the_rest() -> None:
    """White's rule on a step: the mean of the rest is known best without it; it never cuts half."""
    step = np.array([5.0] * 10 + [1.0, 1.2] * 30)
    assert mser(step) == 10
    assert mser(np.arange(40.0)) <= 20


def test_both_tests_know_which_side_is_larger() -> None:
    """Figures of a textbook: no overlap of 4 and 6 gives U = 24, z = 12 / sqrt(22)."""
    one, other = np.array([7.0, 8.0, 9.0, 10.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert mann_whitney_z(one, other) == pytest.approx(12 / 22**0.5)
    assert mann_whitney_z(other, one) == pytest.approx(-12 / 22**0.5)
    assert welch_z(one, other) == pytest.approx(5.0 / (1.6666667 / 4 + 3.5 / 6) ** 0.5)


def test_slopes_of_chance_are_rarely_sure() -> None:
    """99.9 % intervals leave out zero in at most one of a hundred series, alike or not."""
    random = np.random.default_rng(7)
    at = np.arange(24.0)
    for alike in (0.0, 0.6):
        sure = 0
        for _ in range(300):
            noise = random.normal(size=24)
            for i in range(1, 24):
                noise[i] += alike * noise[i - 1]
            _, low, high = theil_sen(at, noise)
            sure += low * high > 0
        assert sure <= 3


def test_a_plain_slope_is_found() -> None:
    """One a window, with a tenth of it as noise."""
    at = np.arange(24.0)
    slope, low, high = theil_sen(at, at + 0.1 * np.sin(at))
    assert (low < 1.0 < high, slope) == (True, pytest.approx(1.0, abs=0.02))


@pytest.mark.parametrize(
    ("of_mean", "of_start"),
    [(-1.0, -2 / 3), (-1.7, -1.7 / 1.85), (-3.1, -1.0), (0.5, 2 / 3), (1.9, 7.6)],
)
def test_a_change_is_told_of_what_there_was_at_first(of_mean: float, of_start: float) -> None:
    """From 1.5 to 0.5 of its mean is two thirds less; nothing falls by more than all of it."""
    assert _of_start(of_mean) == pytest.approx(of_start)
