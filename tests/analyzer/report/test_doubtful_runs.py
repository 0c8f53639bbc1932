"""Runs whose turns failed, were cut off or are too few: no verdict may sound sure of them."""

from typing import Any

import pytest

TURNS = 30


def test_a_run_that_only_failed_is_not_called_healthy(story: Any) -> None:
    """Errors that come fast keep every target; that is no good news."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.first_token", 0.1), error=True)
    report = story.report()
    assert report.verdict.statement == (
        "100 % of turns failed, so their times say little about what binds; find out first why "
        "they fail"
    )
    assert report.verdict.confidence == "low"


def test_some_failures_are_named_beside_a_good_result(story: Any) -> None:
    """A tenth of the turns failed: nothing binds, but not all is well."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.first_token", 0.1), error=i % 10 == 0)
    verdict = story.report().verdict
    assert verdict.statement.endswith("; but 10 % of turns failed")
    assert verdict.confidence == "medium"


def test_failures_that_only_the_generator_saw_count(story: Any) -> None:
    """The service saw thirty good turns, its users got ten answers."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("llm.first_token", 0.1))
        error = "ReadTimeout" if i >= 10 else None
        story.load.append(
            {"t_start": 1.0 * i, "duration_s": 0.1, "trace_id": trace, "turn": 1, "error": error}
        )
    report = story.report()
    assert report.verdict.statement.startswith("67 % of requests at the load generator failed")
    assert [c.detail for c in report.validity if c.check == "failed"] == [
        (
            "0 of 30 turns failed; 20 of 30 requests failed at the load generator: times of failed turns "
            "say little"
        )
    ]


@pytest.mark.parametrize(
    ("turns", "confidence"), [(1, "low"), (9, "low"), (10, "medium"), (30, "high")]
)
def test_few_turns_are_never_sure_that_nothing_binds(
    story: Any, turns: int, confidence: str
) -> None:
    """One good turn proves nothing."""
    for i in range(turns):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 0.1)), i * 2.0, 200)
    assert story.report().verdict.confidence == confidence


def test_the_last_metric_tells_how_many_turns_a_kill_lost(story: Any) -> None:
    """The manifest says nothing of open turns; the gauge's last point does."""
    for i in range(TURNS):
        story.call(story.turn("s", i * 2.0, ("llm.first_token", 0.1)), i * 2.0, 200)
    story.gauge("agentscope.turns.active", 3.0, 9.0, 6.0)
    story.metrics = [{**point, "instance": "i1"} for point in story.metrics]
    report = story.report(manifests=[{"instance": "i1", "ended_ns": None}])
    assert [c.detail for c in report.validity if c.check == "goodbye"] == [
        (
            "cut off: instance i1 said no goodbye (killed, or still running); 6 turns open in its last "
            "second, lost"
        )
    ]
    assert report.verdict.confidence == "medium"  # the six may be the ones that hung


def test_contention_without_a_second_figure_is_no_health(story: Any) -> None:
    """Half of the time waits for a lock: within the target, but nobody may be sure."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("wait.lock", 0.5), ("llm.first_token", 0.5))
        story.call(trace, i * 2.0, 200)
    verdict = story.report().verdict
    assert "not confirmed by a second figure: wait.lock" in verdict.statement
    assert verdict.confidence == "medium"


def test_empty_turns_withhold_the_verdict(story: Any) -> None:
    """Turns that end when they start divide nothing by nothing."""
    for i in range(TURNS):
        story.turn("s", i * 2.0)
    assert story.report().verdict.statement == (
        "verdict withheld: all turns are empty: they end when they start"
    )


def test_garbage_is_named_before_the_missing_turns(story: Any) -> None:
    """Nothing could be read: that is why there is no turn."""
    verdict = story.report(rejected={"not_json": 9}, damaged=True).verdict
    assert verdict.statement == "verdict withheld: more than 1 % of the input could not be read"


def test_contention_of_the_slowest_turns_says_so(story: Any) -> None:
    """2 % of all time, but a quarter of what the slowest turns took."""
    for i in range(100):
        slow = (("llm.retry", 0.3),) if i >= 94 else ()
        trace = story.turn("s", i * 2.0, ("llm.first_token", 0.9), *slow)
        story.call(trace, i * 2.0, *([500, 200] if slow else [200]))
    assert story.report().verdict.statement.startswith(
        "failed model calls and their retries bind: 2 % of turn time, 25 % of the slowest turns'; "
    )


def test_a_wait_that_only_load_brings_grows_with_it(story: Any) -> None:
    """No wait at all with one turn in flight is the clearest growth of all."""
    for i in range(TURNS):
        for user in range(1 if i < 20 else 4):
            wait = (("wait.lock", 1.0),) if i >= 20 else ()
            story.turn(f"s{user}", i * 10.0, ("llm.first_token", 0.5), *wait)
    lock = next(f for f in story.report().findings if f.cause == "wait.lock")
    assert lock.kind == "binds"
    assert "0 s a turn with 1 turn in flight" in lock.statement


def test_requests_that_left_no_turn_are_not_called_turns(story: Any) -> None:
    """A service that went away: every turn it recorded was fine, a tenth of the requests was not."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.first_token", 0.1))
        story.load.append(
            {"t_start": i * 2.0, "duration_s": 0.1, "status": 500 if i % 10 == 0 else 200}
        )
    verdict = story.report().verdict
    assert "; but 10 % of requests at the load generator failed" in verdict.statement


def test_the_same_session_names_in_other_processes_are_another_run(story: Any) -> None:
    """A load script names its users alike in every run; no process of the first one came back."""
    for start_s, instance in ((0.0, "yesterday"), (200.0, "today")):
        for i in range(TURNS):
            story.turn("user-1", start_s + i * 2.0, ("llm.first_token", 1.0), instance=instance)
    (detail,) = [c.detail for c in story.report().validity if c.check == "together"]
    assert (
        "and no process served turns after it that had before: two runs in one directory?" in detail
    )


@pytest.mark.parametrize(("later", "told"), [("c", True), ("a", False)])
def test_two_runs_in_one_directory_are_told(story: Any, later: str, told: bool) -> None:
    """Nobody there for two minutes, and nobody came back: that is no pause of the same users."""
    for start_s, session in ((0.0, "a"), (200.0, later)):
        for i in range(TURNS):
            story.turn(session, start_s + i * 2.0, ("llm.first_token", 1.0))
    report = story.report()
    checks = [check for check in report.validity if check.check == "together"]
    assert [check.value for check in checks] == ([pytest.approx(141.0)] if told else [])
    assert ("it looks like two runs in one directory" in report.verdict.statement) is told
