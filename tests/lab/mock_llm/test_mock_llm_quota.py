"""Quotas: the arithmetic of a continuously refilled bucket, on a clock moved by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider
from agentscope.lab.mock_llm.quota import (
    MINUTE_NS,
    Bucket,
    Charge,
    Quota,
    Quotas,
    Reading,
    Refusal,
    duration_text,
    retry_headers,
)

SECOND_NS = 1_000_000_000
OPENAI = OpenAIProvider()


def asked(tokens: int) -> Charge:
    return {"requests": 1, "tokens": tokens}


@pytest.mark.parametrize(
    ("limit", "used", "requested", "says"),
    [
        (10_000, 8_554, 3_082, "9.816s"),  # FoundationAgents/MetaGPT#523
        (30_000, 14_567, 24_754, "18.642s"),  # semanser/codel#72
        (30_000, 29_937, 385, "644ms"),  # BuilderIO/micro-agent#86
        (30_000, 18_928, 11_159, "174ms"),  # continuedev/continue#11472
        (200_000, 162_960, 42_288, "1.574s"),  # openai/codex#88
    ],
)
def test_public_error_texts_are_reproduced_to_the_millisecond(
    limit: int, used: int, requested: int, says: str
) -> None:
    """Limit, used and requested of published 429s give the waiting time that they publish."""
    quota = Quota({"tokens": limit}, now_ns=0)
    assert quota.admit(asked(used), now_ns=0) is None

    refusal = quota.admit(asked(requested), now_ns=0)

    assert refusal is not None
    assert OPENAI.refused(refusal, "gpt-4").message == (
        "Rate limit reached for gpt-4 in organization org-mock on tokens per min (TPM): "
        f"Limit {limit}, Used {used}, Requested {requested}. Please try again in {says}. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )


def test_a_request_larger_than_the_bucket_is_told_so() -> None:
    """No wait is promised to a request that a full bucket could not serve."""
    refusal = Quota({"tokens": 30_000}, now_ns=0).admit({"tokens": 31_538}, now_ns=0)

    assert refusal is not None
    assert retry_headers(refusal) == []
    error = OPENAI.refused(refusal, "gpt-4o")
    assert (error.status, error.kind, error.code) == (429, "tokens", "rate_limit_exceeded")
    assert "Request too large for gpt-4o" in error.message
    assert "Limit 30000, Requested 31538." in error.message
    assert "Used" not in error.message


def test_requests_are_counted_before_tokens_and_a_refused_one_costs_nothing() -> None:
    """Each dimension refuses on its own; what it refuses is charged to neither."""
    quota = Quota({"requests": 2, "tokens": 1_000}, now_ns=0)
    assert quota.admit(asked(600), now_ns=0) is None

    by_tokens = quota.admit(asked(500), now_ns=0)
    assert by_tokens == Refusal("tokens", 1_000, 600, 500, wait_ns=6 * SECOND_NS)
    assert quota.admit(asked(400), now_ns=0) is None
    by_requests = quota.admit(asked(9_999), now_ns=0)
    assert by_requests == Refusal("requests", 2, 2, 1, wait_ns=30 * SECOND_NS)


def test_who_waits_as_long_as_he_was_told_is_admitted() -> None:
    """One nanosecond earlier he is not."""
    quota = Quota({"requests": 7}, now_ns=0)
    for _ in range(7):
        assert quota.admit(asked(0), now_ns=0) is None
    refusal = quota.admit(asked(0), now_ns=0)
    assert refusal is not None

    assert quota.admit(asked(0), now_ns=refusal.wait_ns - 1) is not None
    assert quota.admit(asked(0), now_ns=refusal.wait_ns) is None


def test_headers_come_from_the_bucket() -> None:
    """Limit, what remains and the time until full follow the charges and the clock."""
    quota = Quota({"requests": 3, "tokens": 60_000}, now_ns=0)
    quota.admit(asked(1_200), now_ns=0)

    def headers_at(now_ns: int) -> dict[bytes, bytes]:
        return {k.removeprefix(b"x-ratelimit-"): v for k, v in OPENAI.quota_headers(quota, now_ns)}

    assert headers_at(0) == {
        b"limit-requests": b"3", b"remaining-requests": b"2", b"reset-requests": b"20s",
        b"limit-tokens": b"60000", b"remaining-tokens": b"58800", b"reset-tokens": b"1.2s",
    }  # fmt: skip
    assert headers_at(SECOND_NS) == {
        b"limit-requests": b"3", b"remaining-requests": b"2", b"reset-requests": b"19s",
        b"limit-tokens": b"60000", b"remaining-tokens": b"59800", b"reset-tokens": b"200ms",
    }  # fmt: skip


def test_retry_headers_are_rounded_up() -> None:
    """A client that trusts them never comes back too early."""
    refusal = Refusal("tokens", 200_000, 162_960, 42_288, wait_ns=1_574_400_000)

    assert retry_headers(refusal) == [(b"retry-after", b"2"), (b"retry-after-ms", b"1575")]
    assert retry_headers(refusal, in_ms=False) == [(b"retry-after", b"2")]


def test_a_day_bucket_refills_over_a_day() -> None:
    """A recorded response: 10 000 a day, 9 996 remaining, full again after 29.791 s."""
    bucket = Bucket(10_000, now_ns=0, window_ns=86_400 * SECOND_NS)
    bucket.charge(4, now_ns=0)

    later_ns = 4 * 8_640_000_000 - 29_791_000_000
    assert bucket.reading(later_ns) == Reading(10_000, 9_996, 29_791_000_000)


@given(
    limit=st.integers(1, 5_000),
    steps=st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(1, 50)), max_size=200),
)
def test_no_window_admits_more_than_a_full_bucket_and_its_refill(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    """Whatever comes when: admitted ≤ limit + elapsed · limit / 60 s, exactly, from the start."""
    bucket, now_ns, admitted = Bucket(limit, now_ns=0), 0, 0
    for pause_ns, amount in steps:
        now_ns += pause_ns
        if bucket.wait_ns(amount, now_ns) == 0:
            bucket.charge(amount, now_ns)
            admitted += amount
        assert admitted * MINUTE_NS <= limit * (MINUTE_NS + now_ns)
        assert 0 <= bucket.reading(now_ns).remaining <= limit


def test_keys_and_models_have_quotas_of_their_own() -> None:
    """One key's use of one model leaves the others untouched."""
    quotas = Quotas({"requests": 1}, clock_ns=lambda: 0)

    admitted = [
        quotas.of(key, model).admit(asked(0), 0) is None
        for key, model in [("a", "m"), ("a", "m"), ("a", "n"), ("b", "m")]
    ]

    assert admitted == [True, False, True, True]


def test_the_quotas_of_many_keys_are_bounded() -> None:
    """The one idle longest goes first, and is counted."""
    quotas = Quotas({"requests": 1}, clock_ns=lambda: 0)
    quotas.of("kept", "m").admit(asked(0), 0)
    for number in range(10_000):
        quotas.of("kept", "m")
        quotas.of(str(number), "m")

    assert quotas.forgotten == 1
    assert quotas.of("kept", "m").admit(asked(0), 0) is not None


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (6_000_000, "6ms"),
        (1_200_000_000, "1.2s"),
        (29_791_000_000, "29.791s"),
        (59_999_700_000, "1m0s"),
        (360 * SECOND_NS, "6m0s"),
        (432 * SECOND_NS, "7m12s"),
        (3_600 * SECOND_NS, "1h0m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(duration_ns: int, text: str) -> None:
    """Milliseconds below a second, then seconds, minutes, hours."""
    assert duration_text(duration_ns) == text
    assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d+)?m?s", text)
