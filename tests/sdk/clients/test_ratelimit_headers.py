"""What rate-limit headers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope.clients.headers import MAX_HEADERS, kept_headers, server_processing_s
from agentscope.clients.ratelimit import Quota, amount, duration_s, quotas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6ms", 0.006),
        ("1.2s", 1.2),
        ("29.791s", 29.791),
        ("0s", 0),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("500", 500),
        ("7.5", 7.5),
        ("", None),
        ("soon", None),
        ("-3s", None),
        ("2026-11-14T00:00:00Z", None),
        ("nan", None),
        ("inf", None),
        (None, None),
    ],
)
def test_resets(text: str | None, expected: float | None) -> None:
    """Every spelling that was seen or is documented; anything else is no reading."""
    assert duration_s(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("59", 59), ("-1", None), ("x", None), (None, None)]
)
def test_amounts(text: str | None, expected: float | None) -> None:
    """0 is a reading; Azure's -1 is none."""
    assert amount(text) == expected


def test_quotas_of_a_response() -> None:
    """Each dimension that a header names, with what is told of it."""
    headers = kept_headers(
        [
            (b"X-RateLimit-Limit-Requests", b"60"),
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", b"6m0s"),
            (b"x-ratelimit-remaining-tokens", b"149984"),
        ]
    )
    assert quotas(headers) == [Quota("requests", 60, 0, 360), Quota("tokens", None, 149984, None)]
    assert quotas({}) == []


def test_only_listed_headers_are_kept() -> None:
    """By name or family, in lower case, repeated ones together; cookies and the rest are not."""
    kept = kept_headers(
        [
            (b"Set-Cookie", b"canary"),
            (b"Authorization", b"canary"),
            (b"x-custom", b"canary"),
            (b"Retry-After", b"1"),
            (b"anthropic-ratelimit-requests-remaining", b"3"),
            (b"x-request-id", b"a"),
            (b"x-request-id", b"b"),
        ]
    )
    assert kept == {
        "retry-after": ["1"],
        "anthropic-ratelimit-requests-remaining": ["3"],
        "x-request-id": ["a", "b"],
    }


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=600))))
def test_any_headers_are_bounded(headers: list[tuple[bytes, bytes]]) -> None:
    """A server's headers cannot fail us or fill a span."""
    kept = kept_headers([(b"x-ratelimit-" + name, value) for name, value in headers])
    assert len(kept) <= MAX_HEADERS
    assert all(len(str(one)) <= 256 for values in kept.values() for one in list(values))  # type: ignore[arg-type]
    quotas(kept)


@pytest.mark.parametrize(
    ("text", "expected"), [(b"250", 0.25), (b"0", 0), (b"-5", None), (b"x", None), (b"inf", None)]
)
def test_server_processing(text: bytes, expected: float | None) -> None:
    """Milliseconds become seconds; what is no time is no reading."""
    assert server_processing_s(kept_headers([(b"openai-processing-ms", text)])) == expected
