"""What binds, what to watch, what is ruled out: a small run for each."""

from typing import Any

import pytest

from agentscope_analyzer.document import Report, Verdict
from agentscope_analyzer.report import Targets

TURNS = 30


def kinds(report: Report) -> dict[str, str]:
    return {finding.cause: finding.kind for finding in report.findings}


def test_refused_requests_bind(story: Any) -> None:
    """Waits for a quota take a third of turn time and the provider counted the refusals."""
    for i in range(TURNS):
        trace = story.turn(f"s{i % 6}", i * 6.0, ("llm.rate_limit", 1.0), ("llm.first_token", 2.0))
        story.call(trace, i * 6.0, 429, 200)
        story.span(trace, wait_kind="rate_limit", start_ns=i * 10**9, end_ns=i * 10**9 + 9 * 10**8)
    report = story.report()
    assert report.verdict == Verdict(
        group="llm",
        cause="llm.rate_limit",
        share=pytest.approx(1 / 3),
        statement=(
            "the provider's quota binds: 33 % of turn time; 30 of 60 attempts refused with 429 or "
            "529; p95 3 s (2 s without any contention); 60 requests/min are used up at 27 live "
            "sessions [25, 35] or fewer, so more pods will not help"
        ),
        confidence="high",
    )
    assert report.findings[0].traces == [f"{n:032x}" for n in (1, 2, 3)]
    assert kinds(report)["llm.retry"] == "ruled_out"


def test_a_pool_at_its_cap_binds(story: Any) -> None:
    """Connections are all in use, requests pend, and a connection is held beside its queries."""
    for i in range(TURNS):
        trace = story.turn(f"s{i % 3}", i * 2.0, ("db.pool", 0.9), ("db.query", 0.1))
        story.span(trace, kind="CLIENT", db_system="postgresql", start_ns=0, end_ns=4_000_000)
    pool = {"db.client.connection.pool.name": "main"}
    used = {**pool, "db.client.connection.state": "used"}
    story.gauge("db.client.connection.max", 5.0, **pool)
    story.gauge("db.client.connection.count", 5.0, 5.0, **used)
    story.gauge("db.client.connection.pending_requests", 0.0, 3.0, **pool)
    story.metrics.append(
        {
            "name": "db.client.connection.use_time",
            "kind": "histogram",
            "temporality": "cumulative",
            "time_ns": 1,
            "attrs": pool,
            "count": 30,
            "total": 36.0,
        }
    )
    report = story.report()
    assert report.verdict == Verdict(
        group="database",
        cause="db.pool",
        share=pytest.approx(0.9),
        statement=(
            "the database connection pool binds: 90 % of turn time; all 5 connections in use; "
            "a connection is held 1.2 s although a query takes 4 ms; 5 connections are used up at 19 "
            "live sessions"
        ),
        confidence="high",
    )
    held = [e for e in report.findings[0].evidence if e.unit == "s"]
    assert [(e.name, e.value, e.limit) for e in held] == [
        ("a connection of pool 'main' is held", 1.2, 0.004)
    ]


def test_a_blocked_loop_binds_and_its_line_is_named(story: Any) -> None:
    """The verdict says which function stopped the loop."""
    for i in range(TURNS):
        at_ns = 1_790_000_000_000_000_000 + i * 2_000_000_000
        trace = story.turn("s", i * 2.0, ("runtime.event_loop", 0.5), ("llm.first_token", 1.0))
        story.bounds.append(
            {
                "turn_id": story.turns[-1]["turn_id"],
                "cause": "runtime.event_loop",
                "low_s": 0.0,
                "high_s": 0.75,
            }
        )
        story.span(
            trace,
            runtime_event="loop_blocked",
            start_ns=at_ns,
            end_ns=at_ns + 500_000_000,
            code_function="render_pdf",
            code_file="/srv/app/documents.py",
            code_line=88,
        )
    report = story.report()
    assert report.verdict == Verdict(
        group="runtime",
        cause="runtime.event_loop",
        share=pytest.approx(1 / 3),
        statement=(
            "the blocked event loop binds: 33 % of turn time; the loop stood still for 25 % of the "
            "run; render_pdf (documents.py:88) stopped it 30 times, 15 s in all"
        ),
        confidence="high",
    )
    loop = report.attribution.causes["runtime.event_loop"]
    assert (loop.seconds, loop.low, loop.high) == (15.0, 0.0, 22.5)


def test_a_slow_model_binds_when_no_contention_explains_the_wait(story: Any) -> None:
    """The p95 target is missed with one turn in flight as with two: more servers cannot help."""
    for i in range(TURNS):
        together, at_s = i % 2, (i - i % 2) * 60.0
        parts = ("llm.generation", 71.0), ("db.query", 29.0)
        story.call(story.turn(f"s{together}", at_s, *parts), at_s, 200)
    report = story.report()
    assert report.verdict == Verdict(
        group="llm",
        cause="llm.generation",
        share=pytest.approx(0.71),
        statement=(
            "the model itself binds: 71 % of turn time is its own answer time (0 % before the first "
            "token, unstreamed answers included; 71 % generating); p95 100 s against a target of "
            "8 s; no load effect (71 s and 71 s a turn with 1 or 2 turns in flight)"
        ),
        confidence="high",
    )
    assert (kinds(report)["llm.generation"], kinds(report)["db.query"]) == ("binds", "watch")


def test_nothing_binds_within_the_target(story: Any) -> None:
    """The largest share is not a bottleneck; the first limit in sight is named with its distance."""
    for i in range(TURNS):
        trace = story.turn(f"s{i % 6}", i * 6.0, ("llm.first_token", 1.2), ("db.query", 0.8))
        story.call(trace, i * 6.0, 200)
    story.gauge("agentscope.event_loop.delay.max", 0.002, 0.004)
    report = story.report()
    assert report.verdict == Verdict(
        group=None,
        cause=None,
        share=None,
        statement=(
            "nothing binds at this load: p95 2 s is within the 8 s target; the largest share is "
            "llm.first_token, 60 %, inherent; first limit in sight: llm.requests at 28 live "
            "sessions [25, 34] (seen: 6)"
        ),
        confidence="high",
    )
    assert kinds(report) == {
        "llm.first_token": "ruled_out",
        "db.query": "ruled_out",
        "llm.rate_limit": "ruled_out",
        "llm.retry": "ruled_out",
        "runtime.event_loop": "ruled_out",
    }
    assert [f.statement for f in report.findings][-1] == (
        "the blocked event loop: 0 % of turn time (watched from 3 %); the loop stood still for 0 % "
        "of the run; the loop was never later than 4 ms"
    )


def test_hidden_attempts_leave_doubt_about_a_healthy_run(story: Any) -> None:
    """Retries inside a call that shows no attempts would look like the model's own time."""
    for i in range(TURNS):
        story.call(story.turn("s", i * 6.0, ("llm.first_token", 1.2)), i * 6.0)
    report = story.report()
    assert (report.verdict.cause, report.verdict.confidence) == (None, "medium")


def test_a_model_that_binds_in_two_parts_is_named_with_both(story: Any) -> None:
    """Half of the wait comes before the first token: the group tells the whole of it."""
    for i in range(TURNS):
        trace = story.turn("s", i * 20.0, ("llm.first_token", 6.0), ("llm.generation", 4.0))
        story.call(trace, i * 20.0, 200)
    report = story.report()
    assert report.verdict.statement == (
        "the model itself binds: 100 % of turn time is its own answer time (60 % before the first "
        "token, unstreamed answers included; 40 % generating); p95 10 s against a target of 8 s; "
        "load did not vary enough to see if it grows"
    )
    assert [f.statement for f in report.findings if f.kind == "watch"] == [
        "the model's own generation time: 40 % of turn time, part of the verdict"
    ]


def test_targets_decide_whether_inherent_work_binds(story: Any) -> None:
    """The same run binds for an impatient user."""
    for i in range(TURNS):
        trace = story.turn("s", i * 6.0, ("llm.first_token", 1.2), ("db.query", 0.8))
        story.call(trace, i * 6.0, 200)
    report = story.report(targets=Targets(p50_s=0.5, p95_s=8.0))
    assert report.verdict.statement == (
        "the model itself binds: 60 % of turn time is its own answer time, none of it known as "
        "streamed; p50 2 s against a target of 500 ms; load did not vary enough to see if it grows"
    )


def test_contention_that_makes_the_target_fail_leaves_the_model_in_peace(story: Any) -> None:
    """Turns take 12 s, 7 of them the model's: without the pool users would not complain."""
    for i in range(TURNS):
        trace = story.turn("s", i * 20.0, ("db.pool", 5.0), ("llm.generation", 2.9))
        for _ in range(2):
            story.span(trace, wait_kind="db.pool", start_ns=0, end_ns=10**9)
    assert kinds(story.report()) == {"db.pool": "binds", "llm.generation": "ruled_out"}


def test_a_share_that_no_other_figure_confirms_is_watched(story: Any) -> None:
    """Wall time alone proves nothing."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("wait.lock", 0.5), ("llm.generation", 0.5))
    report = story.report()
    assert report.verdict.cause is None
    assert report.findings[0].kind == "watch"
    assert report.findings[0].statement == (
        "locks and semaphores in the service: 50 % of turn time; no independent figure confirms it"
    )


def test_few_turns_lower_the_confidence(story: Any) -> None:
    """Ten turns say what thirty would, less surely."""
    for i in range(10):
        trace = story.turn("s", i * 2.0, ("db.pool", 0.5), ("llm.generation", 0.5))
        story.span(trace, wait_kind="db.pool", start_ns=0, end_ns=10**9)
    report = story.report()
    assert (report.verdict.cause, report.verdict.confidence) == ("db.pool", "low")


def test_time_without_explanation_is_no_verdict(story: Any) -> None:
    """Where most of the time is unattributed the report says what is missing."""
    for i in range(TURNS):
        story.turn("s", i * 20.0, ("unattributed", 8.0), ("db.query", 2.0))
    report = story.report()
    assert (report.verdict.cause, report.verdict.statement) == (
        None,
        (
            "what binds was not recorded: p95 10 s against a target of 8 s, and 80 % of turn time has "
            "no recorded explanation"
        ),
    )


def test_an_empty_run_has_no_verdict(story: Any) -> None:
    """No turns, no claim; unknown figures are None."""
    report = story.report()
    assert report.verdict == Verdict(
        group=None,
        cause=None,
        share=None,
        statement="verdict withheld: no turn was found in this run",
        confidence="withheld",
    )
    assert (report.findings, report.ceilings, report.turns.p95_s) == ([], [], None)


def test_damaged_input_withholds_the_verdict(story: Any) -> None:
    """What was read is still reported, but nothing is claimed."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.generation", 1.0))
    report = story.report(rejected={"not_json": 12}, damaged=True)
    assert report.verdict.statement == (
        "verdict withheld: more than 1 % of the input could not be read"
    )
    assert (report.verdict.confidence, report.run.complete, report.turns.p50_s) == (
        "withheld",
        False,
        1.0,
    )
