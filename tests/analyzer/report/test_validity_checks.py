"""What the report says of the run itself."""

from typing import Any

import pytest

from agentscope_analyzer.attribution import AttributionSummary
from agentscope_analyzer.document import Check, Report

MANIFEST = {"run_id": "story", "complete": True, "ledger": [], "internal_errors": {}}


def checks(report: Report, name: str) -> list[tuple[str, str, Any]]:
    return [(c.status, c.detail, c.value) for c in report.validity if c.check == name]


def turns(story: Any, n: int = 40) -> list[str]:
    return [story.turn("s", i * 2.0, ("llm.generation", 1.0)) for i in range(n)]


def request(trace_id: str | None, turn: int | None, **columns: Any) -> dict[str, Any]:
    plain = {"t_intended": 100.0, "t_start": 100.0, "duration_s": 1.0, "status": 200}
    return {**plain, "trace_id": trace_id, "turn": turn, "session": "s", **columns}


def test_a_healthy_run_passes(story: Any) -> None:
    """Every check that has data says ok, and how much it saw."""
    turns(story)
    assert [c for c in story.report().validity if c.check != "not_measured"] == [
        Check(check="turns", status="ok", detail="40 turns", value=40),
        Check(check="length", status="ok", detail="turns span 79 s", value=79.0),
        Check(
            check="sums",
            status="ok",
            detail="the causes of 40 of 40 turns add up to their duration, to the nanosecond",
            value=0,
        ),
        Check(check="rejected", status="ok", detail="nothing was refused; 40 spans read", value=0),
        Check(check="goodbye", status="ok", detail="the instance said goodbye", value=0),
        Check(check="failed", status="ok", detail="0 of 40 turns failed", value=0.0),
        Check(
            check="timeouts",
            status="ok",
            detail="no duration repeats as one of a time-out would",
            value=0,
        ),
        Check(
            check="think_time",
            status="ok",
            detail="users think 1 s between two turns of a session, median",
            value=1.0,
        ),
        Check(
            check="unattributed",
            status="ok",
            detail="0 % of turn time has no recorded explanation",
            value=0.0,
        ),
    ]


def test_a_killed_process_is_named(story: Any) -> None:
    """No goodbye: the manifest's last word says how many turns were open."""
    turns(story)
    killed = {"instance": "web-1", "ended_ns": None, "open_turns": 7}
    report = story.report(manifest={**MANIFEST, "complete": False}, manifests=[killed])
    assert checks(report, "goodbye") == [
        (
            "warn",
            (
                "cut off: instance web-1 said no goodbye (killed, or still running); 7 turns open in "
                "its last second, lost"
            ),
            7,
        )
    ]
    assert not report.run.complete


def test_requests_and_turns_are_compared_one_by_one(story: Any) -> None:
    """Every difference between what was sent and what was recorded has its name."""
    traces = turns(story)
    story.load = [request(trace, 1) for trace in traces[:38]]
    story.load += [request("f" * 32, 1, status=503), request(None, 2), request(None, None)]
    assert checks(story.report(), "load_joined") == [
        (
            "warn",
            (
                "turns: 40 sent by the load generator, 40 recorded, 38 joined by trace id: "
                "1 sent without a trace id, 1 sent but not recorded (1 of them failed), "
                "2 recorded that the generator did not report"
            ),
            0,
        )
    ]


@pytest.mark.parametrize(
    ("duration_s", "status", "words"),
    [
        (1.02, "ok", "0.516 requests at the generator, 0.506 turns in the service"),
        (2.0, "warn", "50 % of users' waiting is outside the recorded turns"),
        (0.5, "warn", "turns last longer than users waited"),
    ],
)
def test_littles_law_finds_time_outside_the_turns(
    story: Any, duration_s: float, status: str, words: str
) -> None:
    """L = λW on both sides must agree within 5 %."""
    story.load = [request(trace, 1, duration_s=duration_s) for trace in turns(story)]
    ((said, detail, _),) = checks(story.report(), "little")
    assert (said, words in detail) == (status, True)


def test_a_late_generator_is_told_from_think_time(story: Any) -> None:
    """Half a second late is much for a think time of two seconds."""
    story.load = [request(trace, 1, t_start=100.5) for trace in turns(story)]
    report = story.report(manifest={**MANIFEST, "load": {"think_time_s": [1, 3]}})
    assert checks(report, "generator_late") == [
        (
            "warn",
            (
                "the load generator sent 95 % of requests within 500 ms of due: more than 200 ms, so "
                "it was overloaded itself: give it more processes (--processes N) or a machine of its "
                "own, or fewer users"
            ),
            0.5,
        )
    ]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (
            {"created": 500, "delivered": 500, "dropped": {}, "pending": 0},
            ("ok", "created = delivered + pending for 500 records, none dropped", 0),
        ),
        (
            {"created": 500, "delivered": 497, "dropped": {"queue_full": 3}, "pending": 0},
            ("warn", "3 records of 500 dropped: spans queue_full 3", 3),
        ),
        (
            {"created": 500, "delivered": 400, "dropped": {"queue_full": 100}, "pending": 0},
            ("fail", "100 records of 500 dropped: spans queue_full 100", 100),
        ),
        (
            {"created": 500, "delivered": 490, "dropped": {}, "pending": 3},
            (
                "fail",
                "the ledger does not balance: 7 records of 500 neither delivered nor dropped",
                7,
            ),
        ),
    ],
)
def test_the_ledger_tells_what_was_lost(
    story: Any, account: dict[str, Any], expected: tuple[str, str, int]
) -> None:
    """Created = delivered + dropped + pending, or the report says what is missing."""
    turns(story)
    ledger = [{"signal": "spans", "sink": "run_directory", **account}]
    report = story.report(manifest={**MANIFEST, "ledger": ledger})
    assert checks(report, "ledger") == [expected]


def test_a_failed_check_lowers_the_confidence(story: Any) -> None:
    """A verdict on a run that lost a fifth of its records is worth less."""
    turns(story)
    ledger = [
        {
            "signal": "spans",
            "sink": "run_directory",
            "created": 500,
            "delivered": 400,
            "dropped": {"queue_full": 100},
            "pending": 0,
        }
    ]
    lossy = story.report(manifest={**MANIFEST, "ledger": ledger})
    assert lossy.verdict.confidence == "medium"


def test_sums_that_do_not_add_up_withhold_the_verdict(story: Any) -> None:
    """A nanosecond is enough: then something is counted twice or not at all."""
    turns(story)
    story.sections[0]["end_ns"] += 1
    report = story.report()
    assert checks(report, "sums") == [
        ("fail", "the causes of 1 of 40 turns do not add up, by up to 1 ns", 1)
    ]
    assert report.verdict.confidence == "withheld"


def test_what_was_not_measured_is_not_ruled_out(story: Any) -> None:
    """Each cause is found, ruled out or listed here with what would have to be recorded."""
    turns(story)
    report = story.report()
    listed = {value for _, _, value in checks(report, "not_measured")}
    found = {finding.cause for finding in report.findings}
    assert listed & found == set()
    assert found == {"llm.generation"}
    assert ("warn", "runtime.gc: no agentscope.gc.pause metric", "runtime.gc") in checks(
        report, "not_measured"
    )


@pytest.mark.parametrize(("scope", "open_causes"), [("agentscope", set()), ("other", {"db.pool"})])
def test_queries_rule_a_pool_out_only_if_waits_would_show(
    story: Any, scope: str, open_causes: set[str]
) -> None:
    """An instrumentation that does not see waits for connections hides them inside queries."""
    for trace in turns(story):
        query = {"db_system": "postgresql", "scope": scope}
        story.span(trace, kind="CLIENT", start_ns=0, end_ns=1, **query)
    listed = {value for _, _, value in checks(story.report(), "not_measured")}
    assert listed & {"db.pool"} == open_causes


def test_the_ramp_and_the_length_are_judged(story: Any) -> None:
    """Most of a short run went by before the load was full."""
    turns(story, 30)
    t0 = 1_790_000_000_000_000_000
    stages = [
        {"name": "ramp", "users": 9, "start_ns": t0, "end_ns": t0 + 40 * 10**9},
        {"name": "steady", "users": 9, "start_ns": t0 + 40 * 10**9, "end_ns": t0 + 60 * 10**9},
    ]
    report = story.report(manifest={**MANIFEST, "load": {"stages": stages}})
    assert checks(report, "ramp") == [
        ("warn", "full load began after 68 % of the run", pytest.approx(40 / 59))
    ]
    assert checks(report, "length") == [
        ("warn", "turns span 59 s: shorter than the minute that quotas are counted in", 59.0)
    ]


def test_attribution_says_what_it_put_up_with(story: Any) -> None:
    """Parallel work that can be divided in two ways, turns that were guessed, spans mended."""
    turns(story)
    summary = AttributionSummary(
        turns=40,
        spans_used=40,
        anomalies={"clamped": 2},
        background_s=0.0,
        sweep_disagreement=0.25,
        sweep_group="tools",
        inferred={"server": 40},
    )
    report = story.report(summary=summary)
    assert checks(report, "parallel") == [
        (
            "warn",
            (
                "parallel work: equal shares give tools 25 % of turn time more or less than the "
                "critical path does"
            ),
            0.25,
        )
    ]
    assert checks(report, "turns_inferred") == [
        ("warn", "no span is marked agentscope.turn, so these stand for turns: server 40", 40)
    ]
    assert checks(report, "anomalies") == [
        ("ok", "spans were mended before they were added up: clamped 2", 2)
    ]
