"""Runs are compared under the same load only: what is the same, what is weighted, what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentscope_analyzer.layers import Layer, LayersReport, compare

MakeLayer = Callable[..., Layer]


def sameness(report: LayersReport) -> dict[str, str]:
    return {check.check: check.sameness for check in report.load}


def difference(report: LayersReport, cause: str) -> float:
    (found,) = [row for row in report.steps[0].causes if row.cause == cause]
    return found.difference


def test_turns_that_ask_more_often_are_compared_with_their_like(layer: MakeLayer) -> None:
    """More turns with three calls in the second run, 40 ms each: that adds nothing to a turn."""
    few = layer("few", calls=lambda random: random.choice([1, 3], p=[0.7, 0.3]))
    many = layer("many", calls=lambda random: random.choice([1, 3], p=[0.3, 0.7]))
    report = compare([few, many])
    plain = [one.calls_per_turn for one in report.layers]
    assert plain == pytest.approx([1.6, 2.4], abs=0.15)
    assert report.adjusted == "calls, input_tokens"  # a call reads 100 tokens
    assert sameness(report)["calls"] == "adjusted"
    assert abs(difference(report, "llm.first_token")) < 0.002
    assert [one.mean_s for one in report.layers] == pytest.approx([0.095, 0.095], rel=0.04)
    assert report.steps[0].mean_s.change == "unchanged"


def test_one_mix_makes_the_steps_add_up(layer: MakeLayer) -> None:
    """Three runs are weighted to the same mix: what each step adds is what all of them add."""
    runs = [
        layer(name, db_ms=db_ms, calls=lambda random, p=p: random.choice([1, 3], p=[p, 1 - p]))
        for name, db_ms, p in (("a", 5, 0.7), ("b", 15, 0.5), ("c", 30, 0.3))
    ]
    first, second, both = compare(runs).steps
    assert both.mean_s.difference == pytest.approx(
        first.mean_s.difference + second.mean_s.difference
    )
    assert both.mean_s.difference == pytest.approx(0.025, abs=0.004)


def test_calls_that_hardly_overlap_are_not_compared(layer: MakeLayer) -> None:
    """All turns of the one run ask once, nearly all of the other four times: there is no common mix."""
    report = compare(
        [
            layer("once", calls=lambda _: 1),
            layer("often", calls=lambda random: random.choice([1, 4], p=[0.05, 0.95])),
        ]
    )
    assert report.steps == []
    assert report.withheld is not None
    assert report.withheld.startswith("the loads are not the same: 1 → ")
    assert sameness(report)["calls"] == "differs"


def test_users_who_wait_longer_send_less_and_that_is_no_other_load(layer: MakeLayer) -> None:
    """The same users with the same think time: fewer turns a second are a consequence."""
    report = compare([layer("a"), layer("b", llm_ms=900.0)])
    checks = sameness(report)
    told = checks["users"], checks["think_time"], checks["offered_rate"]
    assert told == ("same", "same", "noted")
    assert report.withheld is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"users": 60}, "40 → 60 users"),
        ({"think_s": 2.0}, "users think 1 s → 2 s between turns (median)"),
        (
            {"route": "/agent"},
            "the mix of routes: 100 % of turns differ, and only 0 % are of kinds",
        ),
        ({"users_told": None, "rate": 90.0}, "36.6 → 90 turns a second"),
        ({"error_rate": 0.6}, "0 % → 60 % of turns failed"),
    ],
)
def test_another_load_is_not_compared(
    layer: MakeLayer, other: dict[str, object], said: str
) -> None:
    """More users, slower ones, other routes, another rate: the runs' own figures and no step."""
    report = compare([layer("a"), layer("b", db_ms=50.0, **other)])
    assert report.steps == []
    assert report.withheld is not None
    assert report.withheld.startswith(f"the loads are not the same: {said}")
    assert [one.name for one in report.layers] == ["a", "b"]


def test_models_that_write_more_are_told_of_and_compared(layer: MakeLayer) -> None:
    """A real model's longer answers are part of what it adds."""
    report = compare([layer("mocked"), layer("real", output_tokens=300)])
    (check,) = [check for check in report.load if check.check == "output_tokens"]
    assert check.sameness == "noted"
    assert check.detail.endswith("different length, which is part of what they add")
    assert len(report.steps) == 1


def test_without_sessions_intervals_are_withheld(layer: MakeLayer) -> None:
    """Turns that name no session may all be one user's: figures, and nothing called certain."""
    report = compare([layer("a", known=False), layer("b", known=False, db_ms=80.0)])
    (step,) = report.steps
    assert [one.sessions for one in report.layers] == [None, None]
    assert {row.change for row in step.causes} == {"not_judged"}
    assert {row.low for row in step.causes} == {None}
    assert step.ratio is None
    assert step.statement.startswith("b takes 7")
    assert step.statement.endswith("how much of it is chance cannot be told")


def test_a_run_without_turns_is_named(layer: MakeLayer) -> None:
    """Nothing to compare: no division by nothing, one sentence."""
    report = compare([layer("a"), layer("b", users=0)])
    assert report.steps == []
    assert report.withheld is not None
    assert [one.mean_s is None for one in report.layers] == [False, True]
