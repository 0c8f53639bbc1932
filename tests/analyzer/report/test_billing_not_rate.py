"""Refusals that mean money: no rate limit, no demand, and said in plain words."""

from typing import Any

from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000


def refused(story: Any, session: str, at_s: float, code: str | None, took_ms: int = 300) -> None:
    """A turn whose call is refused twice with 429 and then gives up, with the provider's word."""
    cause = "llm.retry" if code else "llm.rate_limit"
    trace = story.turn(session, at_s, (cause, took_ms / 1e3), error=True)
    start_ns = T0_NS + round(at_s * 1e9)
    call = story.span(
        trace,
        kind="CLIENT",
        operation="chat",
        provider="openai",
        model="gpt-4o-mini",
        status="ERROR",
        billing_code=code,
        start_ns=start_ns,
        end_ns=start_ns + took_ms * MS,
    )
    post = {"kind": "CLIENT", "http_method": "POST", "http_status": 429, "status": "ERROR"}
    for at_ms in (0, 200):
        times = {"start_ns": start_ns + at_ms * MS, "end_ns": start_ns + (at_ms + 100) * MS}
        story.span(trace, parent_id=call, attrs=story.headers(429), **post, **times)
    times = {"start_ns": start_ns + 100 * MS, "end_ns": start_ns + 200 * MS}
    story.span(trace, parent_id=call, wait_kind="rate_limit", wait_resource="openai", **times)


def test_billing_is_counted_apart_from_rate(story: Any) -> None:
    """Three calls were refused for money, one for its rate: two attempts each."""
    for i in range(3):
        refused(story, "s", i * 2.0, "insufficient_quota")
    refused(story, "s", 6.0, None)
    report = story.report()
    llm = report.llm
    assert (llm.attempts, llm.rate_limited, llm.retries_hidden, round(llm.backoff_s, 6)) == (
        8,
        2,
        4,
        0.4,
    )
    (row,) = llm.by_model
    assert (row["rate_limited"], row["billed"]) == (2, 6)
    assert report.questions["llm/refused_for_billing"] == [
        {
            "billing_code": "insufficient_quota",
            "provider": "openai",
            "calls": 3,
            "attempts": 6,
        }
    ]
    assert [
        (row["kind"], row["waits"], round(row["wall_s"], 6))
        for row in report.questions["waits/by_kind"]
    ] == [("retry_backoff", 3, 0.3), ("rate_limit", 1, 0.1)]


def test_the_verdict_says_billing_and_not_rate(story: Any) -> None:
    """Retries bind, and the reason is in the sentence; the quota is ruled out."""
    for i in range(30):
        refused(story, f"s{i % 3}", i * 2.0, "insufficient_quota")
    report = story.report()
    findings = {finding.cause: finding for finding in report.findings}
    assert report.verdict.statement.startswith(
        "failed model calls and their retries bind: 100 % of turn time; billing, not rate: "
        "insufficient_quota (30 calls, 60 attempts refused by openai; neither waiting nor fewer "
        "sessions help)"
    )
    assert (findings["llm.retry"].kind, findings["llm.rate_limit"].kind) == ("binds", "ruled_out")
    assert findings["llm.rate_limit"].statement == (
        "the provider's quota: 0 % of turn time (watched from 3 %); none of 60 attempts was answered "
        "429 or 529 but for billing"
    )


def test_few_refusals_are_told_however_little_time_they_took(story: Any) -> None:
    """Calls that fail at once take no time: a share of turn time would hide them."""
    for i in range(40):
        trace = story.turn(f"s{i % 4}", i * 2.0, ("llm.first_token", 1.0))
        story.call(trace, i * 2.0, 200)
    refused(story, "s0", 80.0, "insufficient_quota", took_ms=300)
    finding = next(f for f in story.report().findings if f.cause == "llm.retry")
    assert finding.kind == "watch"
    assert finding.statement == (
        "failed model calls and their retries: 0.74 % of turn time; billing, not rate: "
        "insufficient_quota (1 call, 2 attempts refused by openai; neither waiting nor fewer sessions "
        "help)"
    )


def test_what_was_refused_for_billing_is_no_demand_and_empties_no_quota(story: Any) -> None:
    """The calls that count against a quota are the others; a 429 for money reached no limit."""
    for i in range(40):
        at_s = i * 5.0
        story.call(story.turn(f"s{i % 4}", at_s, ("llm.first_token", 1.0)), at_s, 200)
        refused(story, f"s{i % 4}", at_s + 2.0, "insufficient_quota")
    report = story.report()
    asker = Asker(story.engine)
    assert [row["calls"] for row in asker.ask("ceilings/asked")] == [40]
    (ceiling,) = report.ceilings
    assert ceiling.reached is False
    assert ceiling.demand_per_session < 4  # 12 calls a minute of four sessions


def test_without_billing_nothing_is_said_of_it(story: Any) -> None:
    """A run that only met its quota reads as before."""
    for i in range(30):
        refused(story, f"s{i % 3}", i * 2.0, None)
    report = story.report()
    assert report.verdict.cause == "llm.rate_limit"
    said = [report.verdict.statement, *(finding.statement for finding in report.findings)]
    assert not any("billing" in text for text in said)
