"""What rate-limit headers say, in every provider's dialect."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentscope
from agentscope import conventions as c
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.clients.google_quotas import exceeded
from agentscope.clients.headers import MAX_HEADERS, kept_headers, selected, server_processing_s
from agentscope.clients.ratelimit import Quota, publish, quotas
from agentscope.ratelimit_headers import amount, duration_s, reset_s
from agentscope.recording.span import AttributeValue
from agentscope.testing import recording

NOON_S = 1_790_000_000.0


def kept(**headers: str) -> dict[str, AttributeValue]:
    """Headers as a span keeps them; an underscore is a hyphen."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read(lines)


def read(headers: list[tuple[bytes, bytes]]) -> dict[str, AttributeValue]:
    """Headers as they come, as a span keeps them."""
    return kept_headers(selected(headers))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6ms", 0.006),
        ("26ms", 0.026),
        ("1.2s", 1.2),
        ("29.791s", 29.791),
        ("10.332999999s", 10.332999999),
        ("0s", 0),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("500", 500),
        ("7.5", 7.5),
        ("", None),
        ("soon", None),
        ("-3s", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        (None, None),
    ],
)
def test_durations(text: str | None, expected: float | None) -> None:
    """Every spelling that was seen or is documented; anything else is no reading."""
    assert duration_s(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2s", 1.2),
        ("2024-04-07T07:31:00Z", 55),
        ("2024-04-07T09:31:00+02:00", 55),
        ("2024-04-07t07:30:05.5z", 0.5),
        ("2024-04-07T07:30:00Z", 0),  # full already
        ("1712475060", 55),  # the epoch's seconds
        ("1712475060000", 55),  # or milliseconds
        ("2024-13-07T07:31:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("99999999s", None),
        ("tomorrow", None),
        (None, None),
    ],
)
def test_resets(text: str | None, expected: float | None) -> None:
    """Durations stay what they are; dates are counted from the response, never below 0."""
    assert reset_s(text, from_s=1_712_475_005) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("59", 59), ("60.0", 60), ("100, 100;w=60", 100), ("-1", None), ("x", None)],
)
def test_amounts(text: str, expected: float | None) -> None:
    """0 is a reading; Azure's -1 is none."""
    assert amount(text) == expected


def test_openai() -> None:
    """Used / limit of the window is the reset: of a minute for tokens, of a day for requests."""
    headers = kept(
        x_ratelimit_limit_requests="10000",
        x_ratelimit_remaining_requests="9996",
        x_ratelimit_reset_requests="30.375s",
        x_ratelimit_limit_tokens="200000",
        x_ratelimit_remaining_tokens="199961",
        x_ratelimit_reset_tokens="11ms",
        x_ratelimit_limit_input_images="50",
    )
    assert quotas(headers, NOON_S) == [
        Quota("tokens", 200_000, 199_961, 0.011, 60),
        Quota("requests", 10_000, 9_996, 30.375, 86_400),
    ]
    assert quotas({}, NOON_S) == []


def test_azure() -> None:
    """Remaining alone, -1 for unknown, resets in bare seconds: no window can be told of them."""
    headers = kept(
        x_ratelimit_remaining_requests="-1",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="7",
    )
    assert quotas(headers, NOON_S) == [Quota("tokens", None, 0, 7, None)]
    headers = kept(
        x_ratelimit_limit_requests="10",
        x_ratelimit_remaining_requests="9",
        x_ratelimit_renewalperiod_requests="10",
    )
    assert quotas(headers, NOON_S) == [Quota("requests", 10, 9, None, 10)]


def test_anthropic() -> None:
    """Four dimensions a minute; resets are dates, and count from the response's own date."""
    headers = kept(
        date="Sun, 07 Apr 2024 07:30:05 GMT",
        anthropic_ratelimit_requests_limit="5",
        anthropic_ratelimit_requests_remaining="4",
        anthropic_ratelimit_requests_reset="2024-04-07T07:30:17Z",
        anthropic_ratelimit_input_tokens_limit="30000",
        anthropic_ratelimit_input_tokens_remaining="0",
        anthropic_ratelimit_output_tokens_remaining="8000",
        anthropic_ratelimit_tokens_limit="38000",
    )
    assert quotas(headers, NOON_S) == [
        Quota("requests", 5, 4, 12, 60),
        Quota("input_tokens", 30_000, 0, None, 60),
        Quota("output_tokens", None, 8_000, None, 60),
        Quota("tokens", 38_000, None, None, 60),
    ]


def test_mistral() -> None:
    """The window stands in the name; a month's quota comes after a minute's."""
    headers = kept(
        x_ratelimit_limit_tokens_month="10000000000",
        x_ratelimit_remaining_tokens_month="9999999225",
        x_ratelimit_limit_req_10_second="60",
        x_ratelimit_remaining_req_10_second="52",
        x_ratelimit_limit_tokens_minute="2000000",
        x_ratelimit_remaining_tokens_minute="1999225",
        x_ratelimit_tokens_query_cost="145",
    )
    assert quotas(headers, NOON_S) == [
        Quota("requests", 60, 52, None, 10),
        Quota("tokens", 2_000_000, 1_999_225, None, 60),
        Quota("tokens", 10_000_000_000, 9_999_999_225, None, 2_592_000),
    ]


def test_together_and_replicate() -> None:
    """Names without a dimension mean requests; a policy may say the window."""
    headers = kept(
        x_ratelimit_limit="600",
        x_ratelimit_remaining="599",
        x_ratelimit_reset="1",
        x_tokenlimit_limit="180000",
        x_tokenlimit_remaining="179000",
    )
    assert quotas(headers, NOON_S) == [
        Quota("requests", 600, 599, 1, None),
        Quota("tokens", 180_000, 179_000, None, None),
    ]
    headers = kept(ratelimit_remaining="2999", ratelimit_reset="1", ratelimit_policy="3000;w=60")
    assert quotas(headers, NOON_S) == [Quota("requests", 3000, 2999, 1, 60)]
    headers = kept(ratelimit='"default";r=50;t=30', ratelimit_policy='"default";q=100;w=60')
    assert quotas(headers, NOON_S) == [Quota("requests", 100, 50, 30, 60)]


def test_litellm() -> None:
    """The proxy's own quota comes before the provider's that it passes on; parts never mix."""
    headers = read(
        [
            (b"llm_provider-x-ratelimit-limit-requests", b"500"),
            (b"llm_provider-x-ratelimit-reset-requests", b"120ms"),
            (b"x-ratelimit-limit-requests", b"60"),
            (b"llm_provider-anthropic-ratelimit-input-tokens-remaining", b"7000"),
        ]
    )
    assert quotas(headers, NOON_S) == [
        Quota("input_tokens", None, 7_000, None, 60),
        Quota("requests", 60, None, None, None),
        Quota("requests", 500, None, 0.12, None),
    ]


def test_what_is_published() -> None:
    """A gauge each, 0 included; of two quotas of one dimension the shorter one."""
    headers = kept(
        x_ratelimit_limit_tokens_minute="2000000",
        x_ratelimit_remaining_tokens_minute="0",
        x_ratelimit_limit_tokens_month="10000000000",
        x_ratelimit_remaining_tokens_month="9999999225",
    )
    with recording() as recorded:
        publish(headers, "mistral_ai", "large", NOON_S, recorded.instruments)
        labels = ("mistral_ai", "large", "tokens")
        assert recorded.value(c.RATELIMIT_LIMIT, *labels) == 2_000_000
        assert recorded.value(c.RATELIMIT_REMAINING, *labels) == 0
        assert recorded.value(c.RATELIMIT_RESET, *labels) is None
        assert recorded.value(c.RATELIMIT_WINDOW, *labels) == 60


NOON = "Sun, 07 Apr 2024 12:00:00 GMT"
DIALECTS: dict[str, tuple[dict[str, str], set[tuple[str | float | None, ...]]]] = {
    # dimension, limit, remaining, reset in seconds, window in seconds
    "openai": (
        {
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1m0s",
            "x-ratelimit-limit-tokens": "30000",
            "x-ratelimit-remaining-tokens": "29000",
            "x-ratelimit-reset-tokens": "2s",
        },
        {("requests", 500, 0, 60, 60), ("tokens", 30_000, 29_000, 2, 60)},
    ),
    "azure.ai.openai": (
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-renewalperiod-requests": "10",
            "x-ratelimit-remaining-tokens": "-1",
            "retry-after": "7",
        },
        {("requests", 10, 0, None, 10)},
    ),
    "anthropic": (
        {
            "date": NOON,
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2024-04-07T12:00:12Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2024-04-07T12:00:00Z",
        },
        {("requests", 50, 0, 12, 60), ("output_tokens", 8000, 8000, 0, 60)},
    ),
    "groq": (
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-limit-tokens": "6000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "59.99s",
        },
        {("requests", 14_400, 14_370, 179.56, 86_400), ("tokens", 6000, 0, 59.99, 60)},
    ),
    "mistral_ai": (
        {
            "x-ratelimit-limit-req-minute": "60",
            "x-ratelimit-remaining-req-minute": "0",
            "x-ratelimit-limit-tokens-minute": "50000",
            "x-ratelimit-remaining-tokens-minute": "41000",
        },
        {("requests", 60, 0, None, 60), ("tokens", 50_000, 41_000, None, 60)},
    ),
    "together_ai": (
        {
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1",
            "x-tokenlimit-limit": "3000",
            "x-tokenlimit-remaining": "2999",
        },
        {("requests", 10, 0, 1, None), ("tokens", 3000, 2999, None, None)},
    ),
    "replicate": (  # the limit itself is in its documents only
        {"ratelimit-remaining": "0", "ratelimit-reset": "30", "retry-after": "30"},
        {("requests", None, 0, 30, None)},
    ),
    "litellm": (
        {
            "llm_provider-x-ratelimit-limit-requests": "500",
            "llm_provider-x-ratelimit-remaining-requests": "0",
            "llm_provider-x-ratelimit-reset-requests": "60s",
        },
        {("requests", 500, 0, 60, 60)},
    ),
    "aws.bedrock": ({"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com"}, set()),
    "gcp.gemini": ({"server-timing": "gfet4t7; dur=42"}, set()),  # its body tells: see below
}


@pytest.mark.parametrize("provider", DIALECTS)
def test_a_refusal_that_the_client_swallows_tells_of_the_quota(provider: str) -> None:
    """Each provider's headers on a 429, tried again and answered without any: they are published."""
    headers, expected = DIALECTS[provider]
    answers = [httpx2.Response(429, headers=headers), httpx2.Response(200)]
    with recording(real_time=True) as recorded:
        instrument_clients(["httpx2"])
        with (
            httpx2.Client(transport=httpx2.MockTransport(lambda _: answers.pop(0))) as client,
            agentscope.turn("turn"),
            agentscope.llm_call(provider=provider, model="large"),
        ):
            while client.post("https://model.test").status_code != 200:
                pass
        uninstrument_clients()
        published = {
            (
                dimension,
                *(whole(recorded.value(one, provider, "large", dimension)) for one in GAUGES),
            )
            for dimension in ("requests", "tokens", "input_tokens", "output_tokens")
        }
    told = {row for row in published if any(value is not None for value in row[1:])}
    assert told == {(dimension, *map(whole, values)) for dimension, *values in expected}


GAUGES = (c.RATELIMIT_LIMIT, c.RATELIMIT_REMAINING, c.RATELIMIT_RESET, c.RATELIMIT_WINDOW)


def whole(value: Any) -> int | None:
    """Seconds without the instant that has passed since the answer."""
    return None if value is None else round(value)


@pytest.mark.parametrize(
    ("seconds", "remaining", "reset_s"),
    [(0, 3, 20), (5, 3, 15), (20, 500, 0), (79, 500, 0), (80, None, None)],
)
def test_a_quota_fills_up_while_nobody_asks(
    seconds: float, remaining: float | None, reset_s: float | None
) -> None:
    """From its reset on all of it is there, by the provider's word; a minute later nothing is said.

    What an answer told stays true of the limit and the window.
    """
    headers = kept(
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="3",
        x_ratelimit_reset_requests="20s",
    )
    labels = ("openai", "large", "requests")
    with recording() as recorded:
        publish(headers, "openai", "large", NOON_S, recorded.instruments)
        recorded.instruments.pass_time(NOON_S + seconds)
        assert recorded.value(c.RATELIMIT_REMAINING, *labels) == remaining
        assert recorded.value(c.RATELIMIT_RESET, *labels) == reset_s
        assert recorded.value(c.RATELIMIT_LIMIT, *labels) == 500
        # The next answer counts, whatever was said before.
        publish(headers, "openai", "large", NOON_S + seconds, recorded.instruments)
        assert recorded.value(c.RATELIMIT_REMAINING, *labels) == 3


def test_what_is_left_of_a_quota_that_names_no_reset_is_soon_unknown() -> None:
    """It is not said to be full, for nobody said when it would be; nor to be as it was."""
    headers = kept(ratelimit_limit="10", ratelimit_remaining="0")
    labels = ("replicate", "large", "requests")
    with recording() as recorded:
        publish(headers, "replicate", "large", NOON_S, recorded.instruments)
        for seconds, remaining in ((119, 0), (120, None)):
            recorded.instruments.pass_time(NOON_S + seconds)
            assert recorded.value(c.RATELIMIT_REMAINING, *labels) == remaining
        assert recorded.value(c.RATELIMIT_LIMIT, *labels) == 10


def test_the_recorder_lets_time_pass() -> None:
    """Once a second, so that /metrics and the run directory say what is true by then."""
    headers = kept(x_ratelimit_remaining_requests="3", x_ratelimit_reset_requests="20s")
    labels = ("openai", "large", "requests")
    with recording() as recorded:
        clock = recorded.recorder.clock
        now_s = clock.epoch_ns(clock.monotonic_ns()) / 1e9
        publish(headers, "openai", "large", now_s, recorded.instruments)
        recorded.clock.advance(5)
        recorded.recorder.work()
        assert recorded.value(c.RATELIMIT_RESET, *labels) == pytest.approx(15)
        recorded.clock.advance(80)
        recorded.recorder.work()
        assert recorded.value(c.RATELIMIT_REMAINING, *labels) is None


FREE_TIER = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [
                    {
                        "quotaMetric": "generativelanguage.googleapis.com/"
                        "generate_content_free_tier_requests",
                        "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
                        "quotaValue": "250",
                    },
                    {
                        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                        "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
                        "quotaValue": "10",
                    },
                    {
                        "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier",
                        "quotaValue": "250000",
                    },
                ],
            },
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46.5s"},
        ],
    }
}


def violated(**violation: str) -> Any:
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"error": {"details": [{"@type": kind, "violations": [violation]}]}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Of a minute's quota and a day's the minute's; the wait is the reset of a minute's alone.
        (
            FREE_TIER,
            [Quota("requests", 10, 0, 46.5, 60), Quota("input_tokens", 250_000, 0, 46.5, 60)],
        ),
        (
            violated(quotaId="GenerateRequestsPerDayPerProjectPerModel", quotaValue="1500"),
            [Quota("requests", 1500, 0, None, 86_400)],
        ),
        (
            violated(quotaId="GenerateContentPaidTierInputTokensPerModelPerMinute"),
            [Quota("input_tokens", None, 0, None, 60)],
        ),
        (violated(quotaId="ConcurrentSessionsPerProject", quotaValue="3"), []),
        (violated(), []),
        (
            {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}},
            [],
        ),  # Vertex AI's shared capacity
        ({"error": {"details": "none"}}, []),
        ({"error": {"details": [None, {"@type": 3}]}}, []),
        ("Too many requests", []),
    ],
)
def test_googles_refusals(body: Any, expected: list[Quota]) -> None:
    """A quota's identity says what it counts and for how long; what names no quota tells nothing."""
    assert exceeded(body) == expected


def test_only_listed_headers_are_kept() -> None:
    """By name or family, in lower case, repeated ones together; cookies and the rest are not."""
    headers = read(
        [
            (b"Set-Cookie", b"canary"),
            (b"Authorization", b"canary"),
            (b"x-custom", b"canary"),
            (b"Date", b"Sun, 07 Apr 2024 07:30:05 GMT"),
            (b"Retry-After", b"1"),
            (b"X-RateLimit-Remaining-Requests", b"3"),
            (b"x-request-id", b"a"),
            (b"x-request-id", b"b"),
        ]
    )
    assert headers == {
        "retry-after": ["1"],
        "x-ratelimit-remaining-requests": ["3"],
        "x-request-id": ["a", "b"],
    }


def test_the_date_is_kept_where_a_reset_needs_it() -> None:
    """A reset that is a date says nothing without the provider's clock."""
    headers = kept(date="Sun, 07 Apr 2024 07:30:05 GMT", anthropic_ratelimit_tokens_reset="x")
    assert sorted(headers) == ["anthropic-ratelimit-tokens-reset", "date"]


FAMILIES = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit", "llm_provider-", "x-tokenlimit-")
PARTS = ("limit", "remaining", "reset", "requests", "tokens", "-", "policy", "minute", "9")
NAMES = st.builds("".join, st.tuples(st.sampled_from(FAMILIES), *[st.sampled_from(PARTS)] * 4))
VALUES = st.one_of(
    st.binary(max_size=300),
    st.from_regex(r"-?[0-9]{1,400}(\.[0-9]+)?(ms|s|d|;w=[0-9]+)?", fullmatch=True).map(str.encode),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}.{0,9}", fullmatch=True).map(str.encode),
)


@given(st.lists(st.tuples(NAMES.map(str.encode) | st.binary(max_size=300), VALUES)), VALUES)
def test_any_headers_are_bounded(headers: list[tuple[bytes, bytes]], date: bytes) -> None:
    """A server's headers cannot fail us, fill a span, or make a reading that is no number."""
    kept = read([(b"date", date), *headers])
    assert len(kept) <= MAX_HEADERS
    assert all(len(str(one)) <= 256 for values in kept.values() for one in list(values))  # type: ignore[arg-type]  # lists, all
    for quota in quotas(kept, NOON_S):
        assert all(value is None or 0 <= value < 1e19 for value in quota[1:])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("openai-processing-ms", "250", 0.25),
        ("openai-processing-ms", "0", 0),
        ("openai-processing-ms", "-5", None),
        ("openai-processing-ms", "x", None),
        ("openai-processing-ms", "inf", None),
        ("x-envoy-upstream-service-time", "1956", 1.956),
        ("server-timing", "gfet4t7; dur=812", 0.812),
        ("server-timing", "cache;desc=hit", None),
    ],
)
def test_server_processing(name: str, text: str, expected: float | None) -> None:
    """Milliseconds become seconds; what is no time is no reading."""
    assert server_processing_s(read([(name.encode(), text.encode())])) == expected


def test_openais_own_time_comes_first() -> None:
    """The proxy's time holds the model's and a little more."""
    headers = kept(x_envoy_upstream_service_time="285", openai_processing_ms="277")
    assert server_processing_s(headers) == 0.277
