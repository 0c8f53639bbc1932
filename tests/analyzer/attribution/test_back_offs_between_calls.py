"""Retry loops of the user's own, whose sleeps nobody recorded. Times are milliseconds."""

from __future__ import annotations

import pytest

CHAT = {"operation": "chat", "provider": "openai", "model": "m"}
REFUSED = {**CHAT, "status": "ERROR", "error_type": "openai.RateLimitError"}
POST = {"http_method": "POST"}


def test_a_loop_around_refused_calls_waits_for_the_quota(tell, span):
    """From the end of a refused call to the start of the next; the rest of the turn stays its own.

    What the loop did in between is not recorded: the sleeps count in the upper bound alone.
    """
    story = tell(
        span("turn", "", 0, 1000, is_turn=True),
        span("chat1", "turn", 10, 20, **REFUSED),
        span("post1", "chat1", 10, 20, **POST, http_status=429),
        span("chat2", "turn", 420, 430, **REFUSED),
        span("post2", "chat2", 420, 430, **POST, http_status=429),
        span("chat3", "turn", 830, 980, **CHAT),
        span("post3", "chat3", 830, 980, **POST, http_status=200),
    )
    assert story.sections == [
        ("turn", "unattributed", 0, 10),
        ("post1", "llm.rate_limit", 10, 20),
        ("turn", "llm.rate_limit", 20, 420),
        ("post2", "llm.rate_limit", 420, 430),
        ("turn", "llm.rate_limit", 430, 830),
        ("post3", "llm.first_token", 830, 980),
        ("turn", "unattributed", 980, 1000),
    ]
    assert story.bounds == [("turn", "llm.rate_limit", 20, 820)]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("openai.APITimeoutError", "llm.retry"),
        ("openai.APIConnectionError", "llm.retry"),
        ("openai.InternalServerError", "llm.retry"),
        ("anthropic.OverloadedError", "llm.rate_limit"),
        ("openai.BadRequestError", "unattributed"),
        ("404", "unattributed"),
        ("asyncio.exceptions.CancelledError", "unattributed"),
    ],
)
def test_what_follows_depends_on_the_failure(tell, span, error, cause):
    """No back-off mends a call that is wrong, and nobody backs off after giving up himself."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **CHAT, status="ERROR", error_type=error),
        span("chat2", "turn", 60, 100, **CHAT),
    )
    assert story.sections[1:] == [
        ("turn", cause, 20, 60),
        ("chat2", "llm.first_token", 60, 100),
    ]
    assert story.bounds == ([] if cause == "unattributed" else [("turn", cause, 20, 60)])


@pytest.mark.parametrize(
    "second",
    [
        {**CHAT, "model": "other"},
        {**CHAT, "provider": "anthropic"},
        {**CHAT, "model": None},
    ],
    ids=["model", "provider", "unknown"],
)
def test_a_fallback_to_another_model_is_no_back_off(tell, span, second):
    """Whoever asks somebody else has not waited for the first one's quota."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **REFUSED),
        span("chat2", "turn", 60, 100, **second),
    )
    assert story.sections[1] == ("turn", "unattributed", 20, 60)
    assert story.bounds == []


def test_the_model_that_was_asked_counts_and_not_the_one_that_answered(tell, span):
    """A refusal names the alias; the answer names the version behind it."""
    asked = {"gen_ai.request.model": "m"}
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **REFUSED, attrs=asked),
        span("chat2", "turn", 60, 100, **{**CHAT, "model": "m-2026-01-01"}, attrs=asked),
    )
    assert story.sections[1] == ("turn", "llm.rate_limit", 20, 60)


@pytest.mark.parametrize(
    "first", [{**REFUSED, "billing_code": "insufficient_quota"}, CHAT], ids=["billing", "answered"]
)
def test_without_a_failure_that_passes_nothing_is_inferred(tell, span, first):
    """Time after an answer is the turn's own, and so is time after a refusal for money."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **first),
        span("chat2", "turn", 60, 100, **CHAT),
    )
    assert story.sections[1] == ("turn", "unattributed", 20, 60)


def test_nothing_is_inferred_where_no_call_follows(tell, span):
    """A loop that gave up may have slept; nobody can tell from what came after."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **REFUSED),
        span("chat2", "turn", 60, 80, **REFUSED),
    )
    assert story.sections == [
        ("chat1", "llm.rate_limit", 0, 20),
        ("turn", "llm.rate_limit", 20, 60),
        ("chat2", "llm.rate_limit", 60, 80),
        ("turn", "unattributed", 80, 100),
    ]


def test_recorded_work_between_two_calls_keeps_its_cause(tell, span):
    """A query, and a step that the user named."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **REFUSED),
        span("select", "turn", 30, 40, db_system="postgresql"),
        span("shorten", "turn", 45, 55),
        span("chat2", "turn", 60, 100, **CHAT),
    )
    assert story.sections == [
        ("chat1", "llm.rate_limit", 0, 20),
        ("turn", "llm.rate_limit", 20, 30),
        ("select", "db.query", 30, 40),
        ("turn", "llm.rate_limit", 40, 45),
        ("shorten", "unattributed", 45, 55),
        ("turn", "llm.rate_limit", 55, 60),
        ("chat2", "llm.first_token", 60, 100),
    ]


@pytest.mark.parametrize("around", [{"phase": "llm_call"}, {"operation": "invoke_agent"}, {}])
def test_a_loop_around_a_function_that_asks(tell, span, around):
    """What is tried again is the function; it failed with the call."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask1", "turn", 0, 20, **around, status="ERROR", error_type="RateLimitError"),
        span("chat1", "ask1", 0, 20, **REFUSED),
        span("ask2", "turn", 60, 100, **around),
        span("chat2", "ask2", 60, 100, **CHAT),
    )
    assert story.sections == [
        ("chat1", "llm.rate_limit", 0, 20),
        ("turn", "llm.rate_limit", 20, 60),
        ("chat2", "llm.first_token", 60, 100),
    ]
    assert story.bounds == [("turn", "llm.rate_limit", 20, 60)]


def test_a_function_that_dealt_with_the_refusal_is_not_tried_again(tell, span):
    """It returned: the next call is another one."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask1", "turn", 0, 20, phase="llm_call"),
        span("chat1", "ask1", 0, 20, **REFUSED),
        span("chat2", "turn", 60, 100, **CHAT),
    )
    assert story.sections[1] == ("turn", "unattributed", 20, 60)


def test_a_loop_within_a_tool_waits_too_and_one_across_tools_is_none(tell, span):
    """The tool's own time is a catch-all; two tools are two pieces of work."""
    failed = {"status": "ERROR", "error_type": "RateLimitError"}
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("tool1", "turn", 0, 60, tool="a", **failed),
        span("chat1", "tool1", 0, 10, **REFUSED),
        span("chat2", "tool1", 30, 60, **REFUSED),
        span("tool2", "turn", 80, 100, tool="a"),
        span("chat3", "tool2", 80, 100, **CHAT),
    )
    assert story.sections == [
        ("chat1", "llm.rate_limit", 0, 10),
        ("tool1", "llm.rate_limit", 10, 30),
        ("chat2", "llm.rate_limit", 30, 60),
        ("turn", "unattributed", 60, 80),
        ("chat3", "llm.first_token", 80, 100),
    ]
    assert story.bounds == [("turn", "llm.rate_limit", 40, 60)]


def test_after_an_answer_nothing_is_inferred_of_another_loop(tell, span):
    """Two loops side by side: they wait until one of them is answered; then work may go on."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("a1", "turn", 0, 10, **REFUSED),
        span("b1", "turn", 0, 20, **REFUSED),
        span("b2", "turn", 50, 60, **CHAT),
        span("a2", "turn", 70, 100, **CHAT),
    )
    assert [section[1:] for section in story.sections if section[0] == "turn"] == [
        ("llm.rate_limit", 20, 50),
        ("unattributed", 60, 70),
    ]


@pytest.mark.parametrize(
    ("blocked", "sections", "low", "high"),
    [
        # Slept with the loop held, as time.sleep does: the loop's, whatever it was for.
        ((20, 60), [("runtime.event_loop", 20, 60)], 20, None),
        # Somebody else's block in the middle of a sleep held nobody up.
        ((30, 45), [("llm.rate_limit", 20, 60)], 20, 60),
    ],
)
def test_stops_of_the_process_explain_first(tell, span, blocked, sections, low, high):
    """What the runtime has evidence for is not inferred."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat1", "turn", 0, 20, **REFUSED),
        span("chat2", "turn", 60, 100, **CHAT),
        {
            **span("block", "", *blocked, runtime_event="loop_blocked"),
            "trace_id": f"{9:032x}",
        },
    )
    assert [section[1:] for section in story.sections if section[0] == "turn"] == sections
    rate = [bound[2:] for bound in story.bounds if bound[1] == "llm.rate_limit"]
    assert rate == ([] if high is None else [(low, high)])
