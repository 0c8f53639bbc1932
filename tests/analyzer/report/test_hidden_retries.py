"""Retries inside calls without recorded attempts: estimated from evidence, never claimed without."""

from typing import Any

import pytest

from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
TURNS = 60
SERVER = "api.anthropic.com"


def foreign(story: Any, at_s: float, took_s: float, **columns: Any) -> None:
    """A turn of one call that another instrumentation recorded as one span."""
    trace = story.turn(f"s{len(story.turns) % 6}", at_s, ("llm.first_token", took_s))
    start_ns = T0_NS + round(at_s * 1e9)
    story.span(
        trace,
        kind="CLIENT",
        operation="chat",
        provider="anthropic",
        model="claude-sonnet-4-5",
        start_ns=start_ns,
        end_ns=start_ns + round(took_s * 1e9),
        input_tokens=100,
        **{"output_tokens": 20, "server_address": SERVER, **columns},
    )


def regular(story: Any, **columns: Any) -> None:
    """Calls of 1.0 to 1.19 s, one after the other: the model's own time and nothing else."""
    for i in range(TURNS):
        foreign(story, i * 2.0, 1.0 + i % 20 / 100, **columns)


def refusals(story: Any, count: int, total_s: float, **attrs: str) -> None:
    """What an instrumented HTTP client counts, one point for all of the run."""
    told = {"http.response.status_code": "429", "server.address": SERVER, **attrs}
    story.metrics.append(
        {
            "name": "http.client.request.duration",
            "time_ns": T0_NS,
            "kind": "histogram",
            "temporality": "cumulative",
            "unit": "s",
            "attrs": told,
            "count": count,
            "total": total_s,
        }
    )


def said(report: Any) -> str:
    checks = [check.detail for check in report.validity if check.check == "attempts"]
    findings = [finding.statement for finding in report.findings]
    return " | ".join([report.verdict.statement, *checks, *findings])


def bounds(report: Any, cause: str) -> tuple[float | None, ...] | None:
    share = report.attribution.causes.get(cause)
    if share is None:
        return None
    return tuple(
        None if value is None else round(value, 2)
        for value in (share.seconds, share.low, share.high)
    )


def test_a_healthy_run_claims_nothing(story: Any) -> None:
    """Durations vary, nothing counts a retry: no finding, no bounds; only what to install."""
    regular(story)
    report = story.report()
    assert {f.cause for f in report.findings} == {"llm.first_token"}
    assert bounds(report, "llm.first_token") == (65.7, None, None)
    assert bounds(report, "llm.rate_limit") is bounds(report, "llm.retry") is None
    (detail,) = [check.detail for check in report.validity if check.check == "attempts"]
    assert detail == (
        "60 of 60 model calls show no HTTP attempt: retries and back-off inside them look like "
        "inference; agentscope.instrument() records them"
    )
    assert (report.llm.attempts, report.llm.retries_hidden, report.llm.backoff_s) == (
        None,
        None,
        None,
    )


def test_resends_that_the_span_counts_are_an_estimate(story: Any) -> None:
    """Six calls took 3 s and say they were sent again twice: 1.9 s each beyond the median of 1.095."""
    regular(story)
    for i in range(6):
        foreign(story, TURNS * 2.0 + i * 4.0, 3.0, resend_count=2)
    report = story.report()
    finding = next(f for f in report.findings if f.cause == "llm.retry")
    assert finding.kind == "watch"
    assert finding.statement == (
        "failed model calls and their retries: 6 model calls without recorded attempts were sent "
        "again, 12 times in all; by estimate they took 11.4 s, between 10.9 s and 11.9 s (14 % of "
        "turn time at most), which is counted as the model's own; agentscope.instrument() "
        "records them"
    )
    # No second is moved: the estimate is in the bounds.
    assert bounds(report, "llm.first_token") == (83.7, 71.76, 83.7)
    assert bounds(report, "llm.retry") == (0.0, 0.0, 11.94)
    assert (report.llm.attempts, report.llm.retries_hidden) == (18, 12)
    assert (report.llm.rate_limited, report.llm.backoff_s) == (None, None)


def test_resends_with_nothing_to_compare_with_have_no_estimate(story: Any) -> None:
    """Every call was sent again: how long one takes is not known, so neither is the rest."""
    regular(story, resend_count=1)
    report = story.report()
    finding = next(f for f in report.findings if f.cause == "llm.retry")
    assert "by estimate they took an unknown time, between 0 s and 65.7 s" in finding.statement
    assert bounds(report, "llm.first_token") == (65.7, 0.0, 65.7)


def test_one_resend_in_a_healthy_run_is_not_worth_a_finding(story: Any) -> None:
    """It may have taken 0.1 s of 66: below the share from which anything is watched."""
    regular(story)
    foreign(story, TURNS * 2.0, 1.1, resend_count=1)
    assert {f.cause for f in story.report().findings} == {"llm.first_token"}


def test_refusals_that_a_client_counted_are_an_estimate_of_the_quota(story: Any) -> None:
    """Ten refusals, 0.5 s of answering them: the ten longest calls bound what they can have taken."""
    regular(story)
    for i in range(10):
        foreign(story, TURNS * 2.0 + i * 4.0, 3.0)
    refusals(story, 10, 0.5)
    report = story.report()
    finding = next(f for f in report.findings if f.cause == "llm.rate_limit")
    assert finding.kind == "watch"
    assert finding.statement.startswith(
        "the provider's quota: an HTTP client's metrics count 10 refusals (429 or 529) that no span "
        "shows; by estimate they took "
    )
    assert [(one.name, one.value, one.question) for one in finding.evidence] == [
        ("refusals that metrics count", 10, "llm/refusals_counted"),
        ("time they took at most", pytest.approx(19.8, abs=0.1), "llm/hidden_retries"),
    ]
    seconds, low, high = bounds(report, "llm.rate_limit") or ()
    assert (seconds, low) == (0.0, 0.0)
    assert high == pytest.approx(19.8, abs=0.1)
    assert report.verdict.cause != "llm.rate_limit"


def test_refusals_by_other_servers_are_not_the_models(story: Any) -> None:
    """A search service that refuses says nothing about a quota of tokens."""
    regular(story)
    refusals(story, 500, 60.0, **{"server.address": "search.example"})
    report = story.report()
    assert {f.cause for f in report.findings} == {"llm.first_token"}
    assert bounds(report, "llm.rate_limit") is None


def test_refusals_that_ended_a_call_are_not_hidden(story: Any) -> None:
    """The call's own span says that it failed."""
    regular(story)
    for i in range(5):
        foreign(story, TURNS * 2.0 + i * 4.0, 0.1, status="ERROR", error_type="RateLimitError")
    refusals(story, 5, 0.5)
    assert bounds(story.report(), "llm.rate_limit") is None


def test_a_model_that_slows_down_is_not_told_from_back_off(story: Any) -> None:
    """Calls take four times as long with five in flight, and nobody counted a refusal."""
    for i in range(30):
        foreign(story, i * 4.0, 1.0)
    for i in range(30):
        foreign(story, 200.0 + i * 0.8, 4.0)
    report = story.report()
    assert {f.cause for f in report.findings} == {"llm.first_token"}
    assert bounds(report, "llm.rate_limit") is None
    (detail,) = [check.detail for check in report.validity if check.check == "attempts"]
    assert detail.startswith(
        "60 of 60 model calls show no HTTP attempt: retries and back-off inside them look like "
        "inference; with "
    )
    assert (
        "they take 4 s, with 1 1 s for as much output: a model that slows down and hidden back-off (up "
        "to "
    ) in detail
    assert detail.endswith("cannot be told apart; agentscope.instrument() records them")


def test_longer_answers_under_load_are_no_growth(story: Any) -> None:
    """Whoever writes sixteen times as much takes longer: only like is compared with like."""
    for i in range(30):
        foreign(story, i * 4.0, 1.0, output_tokens=20)
    for i in range(30):
        foreign(story, 200.0 + i * 0.8, 4.0, output_tokens=320)
    assert "cannot be told apart" not in said(story.report())


def test_calls_that_show_their_attempts_hide_nothing(story: Any) -> None:
    """What was recorded is a fact; resend counts on top of it add nothing."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("llm.rate_limit", 0.5), ("llm.first_token", 0.5))
        story.call(trace, i * 2.0, 429, 200)
        story.spans[-3] |= {"resend_count": 1}
    refusals(story, TURNS, 1.0)
    report = story.report()
    assert bounds(report, "llm.rate_limit") == (30.0, None, None)
    assert not [check for check in report.validity if check.check == "attempts"]
    asker = Asker(story.engine)
    assert asker.ask("llm/hidden_retries")[0]["calls"] == 0
