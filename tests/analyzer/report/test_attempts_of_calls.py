"""HTTP attempts of model calls: which there are, which failed, and what is hidden without them."""

from typing import Any

T0_NS = 1_790_000_000_000_000_000
TURNS = 30


def kinds(report: Any) -> dict[str, str]:
    return {finding.cause: finding.kind for finding in report.findings}


def not_measured(report: Any) -> dict[str, str]:
    return {c.value: c.detail for c in report.validity if c.check == "not_measured"}


def test_attempts_of_a_few_calls_rule_nothing_out(story: Any) -> None:
    """Three of thirty calls show their attempts: refusals may hide in the others."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("llm.first_token", 0.5), ("llm.rate_limit", 0.01))
        story.call(trace, i * 2.0, *([200] if i < 3 else []))
    report = story.report()
    told = "27 of 30 model calls show no HTTP attempt"
    assert kinds(report) == {"llm.first_token": "ruled_out"}
    assert not_measured(report)["llm.rate_limit"] == f"llm.rate_limit: {told}"
    assert not_measured(report)["llm.retry"] == f"llm.retry: {told}"


def test_a_slow_model_without_attempts_may_be_retries(story: Any) -> None:
    """Back-off inside a call looks like the model's own time: the verdict says so, and is unsure."""
    for i in range(TURNS):
        story.call(story.turn("s", i * 20.0, ("llm.first_token", 10.0)), i * 20.0)
    verdict = story.report().verdict
    assert verdict.statement.endswith(
        "; no HTTP attempt of a model call was recorded, so retries and back-off may hide in it"
    )
    assert (verdict.cause, verdict.confidence) == ("llm.first_token", "low")


def test_attempts_below_a_nested_call_belong_to_the_outer_one(story: Any) -> None:
    """One library wraps another's call: two spans, one call, its attempts counted once."""
    trace = story.turn("s", 0.0, ("llm.first_token", 1.0))
    call = {"kind": "CLIENT", "operation": "chat", "start_ns": T0_NS, "end_ns": T0_NS + 10**9}
    outer = story.span(trace, **call)
    inner = story.span(trace, **call, parent_id=outer)
    for status in (429, 200):
        story.span(trace, kind="CLIENT", http_method="POST", http_status=status, parent_id=inner)
    llm = story.report().llm
    assert (llm.calls, llm.attempts, llm.retries_hidden, llm.rate_limited) == (1, 2, 1, 1)


def test_an_attempt_that_was_sent_again_had_failed(story: Any) -> None:
    """Answered 200, broke off in the stream, was sent again: retries bind, the count agrees."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("llm.retry", 0.5), ("llm.generation", 0.5))
        story.call(trace, i * 2.0, 200, 200)
    report = story.report()
    assert (report.verdict.cause, kinds(report)["llm.retry"]) == ("llm.retry", "binds")
    assert "30 of 60 attempts failed (broken off after 200: 30)" in report.verdict.statement


def test_calls_known_by_phases_only_are_not_counted_as_none(story: Any) -> None:
    """A report that says 0 has counted; here nobody counted the calls."""
    for i in range(TURNS):
        story.turn("s", i * 2.0, ("llm.first_token", 1.0))
    report = story.report()
    assert (report.llm.calls, report.llm.calls_per_turn, report.llm.attempts) == (None, None, None)
    assert report.verdict.confidence == "medium"


def test_partly_streamed_calls_are_labelled_so(story: Any) -> None:
    """The first token of an answer that was not streamed is the answer."""
    for i in range(TURNS):
        trace = story.turn("s", i * 2.0, ("llm.first_token", 0.5))
        story.call(trace, i * 2.0, 200)
        story.spans[-2]["streamed"] = i % 2 == 0
    first = next(f for f in story.report().findings if f.cause == "llm.first_token")
    assert first.statement.startswith(
        "the model's time to the first token, unstreamed answers whole: 100 % of turn time"
    )
