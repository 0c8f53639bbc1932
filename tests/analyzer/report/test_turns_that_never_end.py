"""Turns that were still running when their process shut down: cut short, or hung."""

from typing import Any

import pytest

TURNS = 60


def run(story: Any, open_for_s: float, cause: str = "unattributed") -> Any:
    """Good turns of a second, and ten that the shutdown ended."""
    for i in range(TURNS):
        story.turn(f"s{i % 12}", i * 1.0, ("llm.first_token", 0.9 + i % 3 / 10))
    for i in range(10):
        story.turn(f"open{i}", 20.0 + i, (cause, open_for_s), outcome="open")
        story.spans[-1]["outcome"] = "open"
    return story.report()


def test_a_deadlock_is_no_good_health(story: Any) -> None:
    """Every turn that ended kept the target; ten users wait for ever."""
    report = run(story, 100.0)
    told = (
        "10 turns never ended: open for up to 100 s, and none that ended took over 1.1 s; 100 % of their "
        "time is unattributed"
    )
    assert report.verdict.statement == f"{told}: a deadlock, or a call without a time-out"
    assert report.verdict.confidence == "low"  # a seventh of the turns have no end
    assert [check.detail for check in report.validity if check.check == "open_turns"] == [
        f"10 turns still running at shutdown, ended there: too short; {told}"
    ]


def test_a_hung_lock_that_binds_is_told_with_its_turns(story: Any) -> None:
    """What binds is known, and that it never gave them back."""
    for i in range(10):
        start_ns = 1_790_000_020_000_000_000 + i * 10**9
        times = {"start_ns": start_ns, "end_ns": start_ns + 100 * 10**9}
        story.span(f"{i + 61:032x}", wait_kind="lock", wait_resource="db.py:7", **times)
    verdict = run(story, 100.0, "wait.lock").verdict
    assert verdict.cause == "wait.lock"
    assert "; 10 turns never ended: open for up to 100 s" in verdict.statement


@pytest.mark.parametrize("open_for_s", [0.5, 1.0])
def test_turns_that_a_shutdown_cut_short_are_none_of_them(story: Any, open_for_s: float) -> None:
    """They had run for no longer than turns do."""
    report = run(story, open_for_s)
    assert "never ended" not in report.verdict.statement
