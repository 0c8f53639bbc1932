"""Quotas from the headers that attempts keep, in every spelling; the recorder reads the same."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from agentscope.clients import ratelimit
from agentscope_analyzer.ceilings.headers import families, reset_in_s
from agentscope_analyzer.ceilings.quotas import quotas_of
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
T0_S = T0_NS / 1e9
DATE = format_datetime(datetime.fromtimestamp(T0_S, UTC), usegmt=True)
IN_30_S = datetime.fromtimestamp(T0_S + 30, UTC).isoformat().replace("+00:00", "Z")

HEADERS: dict[str, tuple[dict[str, str], list[tuple[str, float, float, bool]]]] = {
    "OpenAI": (
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9996",
            "x-ratelimit-reset-requests": "29.791s",
            "x-ratelimit-limit-tokens": "200000",
            "x-ratelimit-remaining-tokens": "100000",
            "x-ratelimit-reset-tokens": "30s",
        },
        [("requests", 10_000, 86_400, True), ("tokens", 200_000, 60, True)],
    ),
    "Anthropic, resets are dates": (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": IN_30_S,
            "anthropic-ratelimit-input-tokens-limit": "30000",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "date": DATE,
        },
        [
            ("input_tokens", 30_000, 60, True),
            ("output_tokens", 8_000, 60, True),
            ("requests", 50, 60, True),
        ],
    ),
    "Mistral names the window": (
        {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-limit-tokens-10-second": "5000"},
        [("requests", 60, 60, True), ("tokens", 5_000, 10, True)],
    ),
    "Azure says in which time it refills": (
        {"x-ratelimit-limit-requests": "10", "x-ratelimit-renewalperiod-requests": "10"},
        [("requests", 10, 10, True)],
    ),
    "Fireworks": (
        {"x-ratelimit-limit-tokens-prompt": "60000", "x-ratelimit-limit-tokens-generated": "6000"},
        [("input_tokens", 60_000, 60, False), ("output_tokens", 6_000, 60, False)],
    ),
    "Together": (
        {"x-ratelimit-limit": "10", "x-tokenlimit-limit": "3000"},
        [("requests", 10, 60, False), ("tokens", 3_000, 60, False)],
    ),
    "the IETF draft": (
        {"ratelimit-policy": '"default";q=100;w=10', "ratelimit": '"default";r=50;t=5'},
        [("requests", 100, 10, True)],
    ),
    "an older draft": (
        {"ratelimit-policy": "100;w=10", "ratelimit": "limit=100, remaining=50, reset=5"},
        [("requests", 100, 10, True)],
    ),
    "LiteLLM passes its provider's on, after its own": (
        {"llm_provider-x-ratelimit-limit-requests": "500", "x-ratelimit-limit-requests": "20"},
        [("requests", 20, 60, False)],
    ),
    "a limit that is none": ({"x-ratelimit-limit-requests": "-1"}, []),
    "other headers": ({"x-request-id": "r", "retry-after": "7"}, []),
}


def attempt(story: Any, headers: dict[str, str], underscores: bool = False) -> Asker:
    """One call with one attempt that was answered with these headers."""
    trace = story.turn("s", 0.0, ("llm.first_token", 1.0))
    story.call(trace, 0.0, 200)
    story.spans[-1]["end_ns"] = T0_NS
    story.spans[-1]["attrs"] = {
        "http.response.header." + (name.replace("-", "_") if underscores else name): json.dumps(
            [value]
        )
        for name, value in headers.items()
    }
    asker = Asker(story.told())
    asker.prepare("llm/_model_spans", "llm/_inferences", "llm/_attempts")
    return asker


@pytest.mark.parametrize(("headers", "expected"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("underscores", [False, True], ids=["hyphens", "underscores"])
def test_a_dialect_is_read_from_spans_alone(
    story: Any,
    headers: dict[str, str],
    expected: list[tuple[str, float, float, bool]],
    underscores: bool,
) -> None:
    """Dimension, limit, window, and whether the window was told; older instrumentations underscore."""
    quotas = quotas_of(attempt(story, headers, underscores), {})
    found = [(q.dimension, q.limit, q.window_s, q.window_known) for q in quotas]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(("headers", "expected"), HEADERS.values(), ids=HEADERS)
def test_the_recorder_reads_the_same_limits(
    headers: dict[str, str], expected: list[tuple[str, float, float, bool]]
) -> None:
    """One vocabulary, read answer by answer while recording and for the whole run afterwards."""
    read = ratelimit.quotas({name: [value] for name, value in headers.items()}, T0_S)
    first: dict[str, ratelimit.Quota] = {}
    for quota in read:
        first.setdefault(quota.dimension, quota)
    assert {d: (q.limit, q.window_s) for d, q in first.items() if q.limit is not None} == {
        dimension: (limit, window_s if known else None)
        for dimension, limit, window_s, known in expected
    }


def test_a_dated_reset_counts_from_the_answers_own_date(story: Any) -> None:
    """The provider wrote both with the same clock; without a date the attempt's end stands for it."""
    headers = {
        "ratelimit-limit": "100",
        "ratelimit-remaining": "50",
        "ratelimit-reset": IN_30_S,
        "date": DATE,
    }
    (quota,) = quotas_of(attempt(story, headers), {})
    assert (quota.window_s, quota.window_known) == (60.0, True)
    assert reset_in_s(IN_30_S, T0_S) == 30.0
    assert reset_in_s(IN_30_S, T0_S + 31) == 0.0
    assert reset_in_s(IN_30_S, None) is None


def test_the_window_that_the_metrics_tell_completes_the_headers(story: Any) -> None:
    """Headers that do not say their window, and a recorder that saw enough answers to tell it."""
    told = {"provider": "openai", "model": "alias", "dimension": "requests"}
    story.gauge("agentscope.llm.ratelimit.limit", 10, **told)
    story.gauge("agentscope.llm.ratelimit.window", 86_400, **told)
    (quota,) = quotas_of(attempt(story, {"x-ratelimit-limit-requests": "10"}), {})
    assert (quota.model, quota.window, quota.window_known) == ("gpt-4o-mini", "day", True)


def test_headers_without_a_limit_are_no_family() -> None:
    """What is left of an unknown limit says nothing about sessions."""
    prefix = "http.response.header."
    assert families([prefix + "x-ratelimit-remaining-requests", prefix + "date", "other"]) == []
