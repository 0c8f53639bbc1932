"""Anthropic's quotas: input and output tokens per minute, estimated first and corrected later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.lab.mock_llm.dialects.anthropic import AnthropicProvider
from agentscope.lab.mock_llm.quota import MINUTE_NS, Bucket, Charge, Grant, Quota, Reading, Refusal

Start = Callable[..., Any]

SECOND_NS = 1_000_000_000
QUESTION = [{"role": "user", "content": "Where are my orders 12345 and 67890?"}]
"""10 tokens."""
CORRECTED = ("input_tokens", "output_tokens")


def charge(input_tokens: int, output_tokens: int) -> Charge:
    return {"requests": 1, "input_tokens": input_tokens, "output_tokens": output_tokens}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_each_dimension_refuses_on_its_own() -> None:
    """Requests before input before output, and a refused request costs none of them."""
    quota = Quota({"requests": 9, "input_tokens": 6_000, "output_tokens": 600}, now_ns=0)
    assert quota.admit(charge(5_000, 500), 0) is None

    by_input = quota.admit(charge(1_100, 200), 0)
    by_output = quota.admit(charge(1_000, 200), 0)

    assert by_input == Refusal("input_tokens", 6_000, 5_000, 1_100, wait_ns=1 * SECOND_NS)
    assert by_output == Refusal("output_tokens", 600, 500, 200, wait_ns=10 * SECOND_NS)
    assert quota.readings(0)["requests"].remaining == 8


def test_what_was_reserved_and_not_used_comes_back_at_once() -> None:
    """600 reserved, 100 used, told after 5 s in which 50 were refilled: 50 are in use."""
    clock = Clock()
    quota = Quota({"output_tokens": 600}, now_ns=0)
    reserved = charge(0, 600)
    assert quota.admit(reserved, 0) is None
    grant = Grant(quota, reserved, clock, CORRECTED)
    assert quota.admit(charge(0, 500), 0) is not None

    clock.now_ns = 5 * SECOND_NS
    assert quota.readings(clock.now_ns)["output_tokens"] == Reading(600, 50, 55 * SECOND_NS)
    grant.settle("output_tokens", 100)

    assert quota.readings(clock.now_ns)["output_tokens"] == Reading(600, 550, 5 * SECOND_NS)
    assert grant.corrected_tokens == -500
    grant.settle("output_tokens", 0)  # a second word on it changes nothing
    assert quota.readings(clock.now_ns)["output_tokens"] == Reading(600, 550, 5 * SECOND_NS)


def test_more_than_was_reserved_is_charged_too() -> None:
    """A bucket may be overdrawn by a correction, and then takes longer to fill."""
    quota = Quota({"output_tokens": 600}, now_ns=0)
    reserved = charge(0, 500)
    assert quota.admit(reserved, 0) is None
    Grant(quota, reserved, lambda: 0, CORRECTED).settle("output_tokens", 700)

    assert quota.readings(0)["output_tokens"] == Reading(600, 0, 70 * SECOND_NS)


def test_a_request_that_was_never_served_gives_its_tokens_back() -> None:
    """Closed without a word on what was used: only the request itself stays charged."""
    quota = Quota({"requests": 60, "input_tokens": 600, "output_tokens": 600}, now_ns=0)
    taken = charge(400, 400)
    assert quota.admit(taken, 0) is None
    Grant(quota, taken, lambda: 0, CORRECTED).close()

    assert {name: r.remaining for name, r in quota.readings(0).items()} == {
        "requests": 59,
        "input_tokens": 600,
        "output_tokens": 600,
    }


@given(
    limit=st.integers(1, 5_000),
    steps=st.lists(
        st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(1, 50), st.integers(0, 50)),
        max_size=200,
    ),
)
def test_corrected_charges_never_exceed_a_full_bucket_and_its_refill(
    limit: int, steps: list[tuple[int, int, int]]
) -> None:
    """Whatever is reserved and given back: used ≤ limit + elapsed · limit / 60 s, exactly."""
    bucket, now_ns, used = Bucket(limit, now_ns=0), 0, 0
    for pause_ns, reserved, actual in steps:
        now_ns += pause_ns
        if bucket.wait_ns(reserved, now_ns) == 0:
            bucket.charge(reserved, now_ns)
            now_ns += pause_ns // 2
            bucket.correct(min(actual, reserved) - reserved, now_ns)
            used += min(actual, reserved)
        assert used * MINUTE_NS <= limit * (MINUTE_NS + now_ns)
        assert 0 <= bucket.reading(now_ns).remaining <= limit


def test_headers_tell_when_each_bucket_is_full_again() -> None:
    """RFC 3339 times, rounded up; remaining tokens in thousands; ``tokens`` is both together."""
    # 2026-11-21T10:00:00.25Z
    provider = AnthropicProvider(wall_ns=lambda: 1_795_255_200_250_000_000)
    quota = Quota({"requests": 60, "input_tokens": 400_000, "output_tokens": 80_000}, now_ns=0)
    assert quota.admit(charge(100_400, 8_000), 0) is None

    headers = {
        name.decode().removeprefix("anthropic-ratelimit-"): value.decode()
        for name, value in provider.quota_headers(quota, 0)
    }

    assert headers == {
        "requests-limit": "60",
        "requests-remaining": "59",
        "requests-reset": "2026-11-21T10:00:02Z",
        "tokens-limit": "480000",
        "tokens-remaining": "372000",
        "tokens-reset": "2026-11-21T10:00:16Z",
        "input-tokens-limit": "400000",
        "input-tokens-remaining": "300000",
        "input-tokens-reset": "2026-11-21T10:00:16Z",
        "output-tokens-limit": "80000",
        "output-tokens-remaining": "72000",
        "output-tokens-reset": "2026-11-21T10:00:07Z",
    }


def ask(client: anthropic.Anthropic, max_tokens: int, **more: Any) -> Any:
    asked = {"model": "claude", "messages": QUESTION, "max_tokens": max_tokens, **more}
    return client.messages.create(**asked)


def test_output_is_reserved_by_max_tokens_and_given_back_to_the_token(start: Start) -> None:
    """Of 1 000 a minute two answers use 12 each: 976 more are admitted, and 977 are not."""
    server = start(otpm=1_000, clock_ns=lambda: 0)
    with server.anthropic() as client:
        ask(client, 1_000)
        ask(client, 988)
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client, 977)
        ask(client, 976)

    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "This request would exceed your organization's rate limit of 1000 output "
            "tokens per minute (organization: org-mock, model: claude). Used 24, requested 977. "
            "Please try again later.",
        },
        "request_id": caught.value.request_id,
    }
    headers = caught.value.response.headers
    assert headers["retry-after"] == "1"
    assert "retry-after-ms" not in headers
    assert headers["anthropic-ratelimit-output-tokens-limit"] == "1000"
    stats = server.stats()
    assert stats["requests"]["refused"]["output_tokens"] == 1
    # Each is charged 10 tokens of input and its max_tokens; 12 of those are used.
    assert stats["tokens_charged"] == 3 * 10 + 1_000 + 988 + 976
    assert stats["tokens_corrected"] == 3 * 12 - (1_000 + 988 + 976)


def test_input_is_charged_to_the_token(start: Start) -> None:
    """60 questions of 10 tokens against 205 a minute: 20 answers."""
    server = start(itpm=205, clock_ns=lambda: 0)
    statuses = []
    with server.anthropic() as client:
        for _ in range(60):
            try:
                ask(client, 50)
                statuses.append(200)
            except anthropic.RateLimitError as error:
                statuses.append(error.status_code)

    assert statuses == [200] * 20 + [429] * 40
    assert server.stats()["requests"]["refused"]["input_tokens"] == 40


def test_input_that_was_cached_is_given_back(start: Start) -> None:
    """2 000 tokens are charged each time; where the cache held them, they come back."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "x" * 7_996}]},
        {"role": "assistant", "content": "There."},
        *QUESTION,
    ]
    messages[0]["content"][0]["cache_control"] = {"type": "ephemeral"}
    server = start(itpm=2_100, clock_ns=lambda: 0)
    with server.anthropic() as client:
        for _ in range(5):
            usage = ask(client, 50, messages=messages).usage
            assert (usage.input_tokens, usage.cache_read_input_tokens) == (13, 2_000)
        messages[0]["content"][0].pop("cache_control")
        ask(client, 50, messages=messages)
        with pytest.raises(anthropic.RateLimitError, match="Used 2078, requested 2013"):
            ask(client, 50, messages=messages)


def test_a_stream_holds_its_reservation_until_it_ends(start: Start) -> None:
    """While it runs nobody gets its tokens; who leaves it early pays for what was written."""
    server = start("ttft=0;itl=20;out=5000", otpm=10_000, clock_ns=lambda: 0)
    with server.anthropic() as client:
        with client.messages.stream(model="claude", max_tokens=9_000, messages=QUESTION) as stream:
            next(iter(stream.text_stream))
            with pytest.raises(anthropic.RateLimitError, match="Used 9000, requested 2000"):
                ask(client, 2_000)
        stats = server.stats_when_idle()
        returned = -stats["tokens_corrected"]
        ask(client, 2_000, model="claude@profile=instant;out=1")

    assert stats["requests"]["abandoned"] == 1
    assert 8_000 < returned < 9_000


def test_failed_requests_cost_a_request_and_no_tokens(start: Start) -> None:
    """A 529 was not served: both reservations come back whole."""
    server = start(
        "profile=instant;out=12;status=529,200", rpm=2, itpm=100, otpm=100, clock_ns=lambda: 0
    )
    with server.anthropic(max_retries=1) as client:
        ask(client, 100)
        impatient = client.with_options(max_retries=0)
        with pytest.raises(anthropic.RateLimitError, match="2 requests per minute"):
            ask(impatient, 88)

    stats = server.stats()
    assert stats["tokens_charged"] + stats["tokens_corrected"] == 10 + 12


def test_a_request_above_the_quota_is_refused_for_good(start: Start) -> None:
    """What a full bucket does not hold gets no time to wait."""
    with (
        start(otpm=100).anthropic() as client,
        pytest.raises(anthropic.RateLimitError, match="reduce the prompt or max_tokens") as caught,
    ):
        ask(client, 101)

    assert "retry-after" not in caught.value.response.headers


def test_a_client_that_retries_waits_as_long_as_it_is_told(start: Start) -> None:
    """Refused with Retry-After: 1, it comes back after a second and is admitted."""
    clock = Clock()
    server = start(otpm=6_000, clock_ns=clock)
    with server.anthropic() as client:
        ask(client, 6_000, model="claude@out=6000")
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client, 100)
        assert caught.value.response.headers["retry-after"] == "1"
        clock.now_ns = SECOND_NS
        ask(client, 100)


def test_the_key_is_the_same_in_either_header(start: Start) -> None:
    """``x-api-key`` and a bearer token name one quota; another key has another."""
    server = start(rpm=1, clock_ns=lambda: 0)
    body = {"model": "m", "max_tokens": 5, "messages": QUESTION}

    statuses = [
        server.raw("POST", "/v1/messages", body, **{header: value})[0]
        for header, value in (
            ("x_api_key", "one"),
            ("authorization", "Bearer one"),
            ("x_api_key", "two"),
        )
    ]

    assert statuses == [200, 429, 200]


def test_openais_addresses_keep_to_their_own_limits(start: Start) -> None:
    """Input and output limits are Anthropic's, tokens per minute OpenAI's; neither binds the other."""
    server = start(tpm=5_000, itpm=1, otpm=1, clock_ns=lambda: 0)
    with server.client() as openai_client, server.anthropic() as anthropic_client:
        answered = openai_client.chat.completions.with_raw_response.create(
            model="m", messages=QUESTION
        )
        with pytest.raises(anthropic.RateLimitError):
            ask(anthropic_client, 1)

    names = {name for name in answered.headers if "ratelimit" in name}
    assert names == {f"x-ratelimit-{what}-tokens" for what in ("limit", "remaining", "reset")}
