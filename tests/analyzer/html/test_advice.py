"""What to do next follows from the verdict, and never from hope."""

from typing import Any

import pytest
from msgspec.structs import replace

from agentscope.conventions import CAUSES, UNATTRIBUTED
from agentscope_analyzer.document import Ceiling, Check, Report
from agentscope_analyzer.reporters.advice import ADVICE, MISSED, next_steps

LIMIT = Ceiling(
    resource="db.pool:main",
    dimension="instant",
    limit=10.0,
    unit="connections",
    demand_per_session=0.1,
    sessions=90.0,
    low=80.0,
    high=110.0,
    reached=False,
    binding=True,
    basis="",
    relief="a larger pool helps",
)


def test_every_cause_has_advice() -> None:
    """A cause that is added to the vocabulary needs a word on what to do about it."""
    assert set(ADVICE) == set(CAUSES) - {UNATTRIBUTED}


def test_a_verdict_is_followed_by_its_advice_and_the_first_limit(report: Report) -> None:
    """The limit's own relief is said with it."""
    verdict = replace(report.verdict, cause="db.pool", group="database")
    told = replace(report, verdict=verdict, ceilings=[LIMIT], validity=[])
    assert next_steps(told) == [
        *ADVICE["db.pool"],
        (
            "Plan with no more than 90 live sessions [80, 110] as they behaved in this run: beyond, "
            "db.pool:main is used up (10 connections); a larger pool helps."
        ),
    ]


def test_where_nothing_binds_the_next_run_is_larger(story: Any) -> None:
    """Towards the first limit in sight, if one is."""
    for i in range(40):
        story.turn("s", i * 2.0, ("llm.first_token", 1.0))
    report = replace(story.report(), ceilings=[], validity=[])
    assert report.verdict.cause is None
    assert next_steps(report) == [
        "Run it again with more users: no limit came into sight at this load."
    ]
    assert next_steps(replace(report, ceilings=[LIMIT])) == [
        (
            "Run it again with more users to see the first limit in sight: db.pool:main at "
            "90 live sessions [80, 110]."
        )
    ]


def test_what_nobody_recorded_is_to_be_recorded(story: Any) -> None:
    """Time without an explanation is not a reason to add users."""
    for i in range(40):
        story.turn("s", i * 2.0, ("llm.first_token", 1.0), (UNATTRIBUTED, 2.0))
    (step,) = next_steps(replace(story.report(), validity=[]))
    assert step.startswith("Find the 67 % of turn time that nothing explains")


def test_turns_that_are_too_slow_without_one_cause_begin_with_the_largest(story: Any) -> None:
    """As the verdict does not name one."""
    for i in range(40):
        parts = [(name, 3.0) for name in ("db.query", "tool.execution", "context.load")]
        story.turn("s", i * 20.0, *parts, ("http.upstream", 3.5))
    report = replace(story.report(), validity=[])
    assert report.verdict.statement.startswith(MISSED)
    assert "Begin with the largest share, http.upstream." in next_steps(report)


@pytest.mark.parametrize("failed", [0.5, 1.0])
def test_failures_come_before_their_times(report: Report, failed: float) -> None:
    """Where half of all turns fail nothing else is worth doing."""
    verdict = replace(report.verdict, cause=None, statement="")
    turns = replace(report.turns, error_rate=failed)
    told = replace(report, verdict=verdict, turns=turns, validity=[])
    assert next_steps(told) == [
        "Find out first why turns fail: the times of failed ones say little."
    ]


def test_a_withheld_verdict_is_mended_first(story: Any) -> None:
    """By what the failed checks say."""
    report = story.report()
    assert report.verdict.confidence == "withheld"
    checks = [Check(check=f"c{i}", status="fail", detail=f"wrong {i}", value=i) for i in range(6)]
    assert next_steps(replace(report, validity=checks)) == [
        (
            "Mend what the checks of the run itself found: c0: wrong 0; c1: wrong 1; c2: wrong 2; "
            "c3: wrong 3; and 2 more."
        ),
        "Then record the run again: no figure below can be relied on yet.",
    ]
