"""A 429 that means "pay" is no rate limit. Times are milliseconds."""

from __future__ import annotations

import pytest

POST = {"http_method": "POST"}
CHAT = {"operation": "chat", "model": "m"}


def test_a_call_refused_for_billing_is_a_failed_call_throughout(tell, span):
    """The provider says why only when the call fails; the attempts before it failed for that, too."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 90, **CHAT, billing_code="insufficient_quota"),
        span("post1", "chat", 0, 10, **POST, http_status=429),
        span("sleep", "chat", 10, 60, wait_kind="rate_limit"),
        span("post2", "chat", 60, 80, **POST, http_status=429),
    )
    assert story.sections == [
        ("post1", "llm.retry", 0, 10),
        ("sleep", "llm.retry", 10, 60),
        ("post2", "llm.retry", 60, 80),
        ("chat", "llm.retry", 80, 90),
        ("turn", "unattributed", 90, 100),
    ]


def test_an_attempt_may_say_it_itself(tell, span):
    """Below a phase there is no call that could: the attempt's own code counts, and so its sleep."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask", "turn", 0, 100, phase="llm_call"),
        span("post1", "ask", 0, 10, **POST, http_status=429, billing_code="insufficient_quota"),
        span("sleep", "ask", 10, 60, wait_kind="rate_limit"),
        span("post2", "ask", 60, 100, **POST, http_status=200),
    )
    assert story.sections == [
        ("post1", "llm.retry", 0, 10),
        ("sleep", "llm.retry", 10, 60),
        ("post2", "llm.first_token", 60, 100),
    ]


def test_a_call_without_attempts_says_it_too(tell, span):
    """One span a call, its error is the provider's word: no rate limit, although it was a 429."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("chat", "turn", 0, 100, **CHAT, billing_code="insufficient_quota", http_status=429),
    )
    assert story.sections == [("chat", "llm.retry", 0, 100)]


@pytest.mark.parametrize(("second", "cause"), [(429, "llm.rate_limit"), (503, "llm.retry")])
def test_the_call_beside_it_is_judged_by_itself(tell, span, second, cause):
    """Another call of the same phase that met a quota, or a fault, keeps its own cause."""
    story = tell(
        span("turn", "", 0, 100, is_turn=True),
        span("ask", "turn", 0, 100, phase="llm_call"),
        span("chat1", "ask", 0, 20, **CHAT, billing_code="billing_not_active"),
        span("post1", "chat1", 0, 20, **POST, http_status=429),
        span("chat2", "ask", 20, 100, **CHAT),
        span("post2", "chat2", 20, 40, **POST, http_status=second),
        span("post3", "chat2", 60, 100, **POST, http_status=200),
    )
    assert story.sections == [
        ("post1", "llm.retry", 0, 20),
        ("post2", cause, 20, 40),
        ("chat2", cause, 40, 60),
        ("post3", "llm.first_token", 60, 100),
    ]
