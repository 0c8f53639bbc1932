"""Quotas as providers and users spell them."""

import pytest

from agentscope_analyzer.ceilings.headers import number, reset_in_s
from agentscope_analyzer.ceilings.quotas import (
    Quota,
    quota_given,
    quotas_from_headers,
    quotas_of,
    window_told,
)
from agentscope_analyzer.sql import Asker


@pytest.mark.parametrize(
    ("text", "value"),
    [('["150"]', 150.0), ("150", 150.0), ('["-1"]', None), ("[]", None), ("[", None), (None, None)],
)
def test_header_values_are_numbers_or_lists_of_them(text: str | None, value: float | None) -> None:
    """Semantic conventions record headers as lists, which reach the tables as JSON."""
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["29.791s"]', 29.791),
        ("6m0s", 360.0),
        ("6ms", 0.006),
        ("1h2m3s", 3723.0),
        ("7", 7.0),
        ("soon", None),
        ("", None),
    ],
)
def test_reset_headers_are_durations(text: str, value: float | None) -> None:
    """Every spelling that providers send; others are not guessed at."""
    assert reset_in_s(text, None) == value


def said(remaining: str, reset: str, *, refused: bool = False) -> dict[str, object]:
    return {
        "provider": "openai",
        "model": "m",
        "refused": refused,
        "quota": "10000",
        "remaining": remaining,
        "reset": reset,
        "refills": None,
        "date": None,
        "end_ns": None,
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("remaining", "reset", "window"),
    [
        ("9996", "29.791s", 86_400),  # a publicly recorded answer: 3.448 of 10 000 used
        ("5000", "30s", 60),
        ("9999", "6ms", None),  # less than one unit used in either reading
        ("5000", "7m0s", None),
        ("10000", "0s", None),
    ],
)
def test_the_reset_header_tells_a_minute_from_a_day(
    remaining: str, reset: str, window: float | None
) -> None:
    """A bucket is full again after used / limit of its window."""
    assert window_told(10_000, [said(remaining, reset)]) == window


def test_a_quota_counts_refusals_that_left_nothing() -> None:
    """Refused with some requests left means that another quota was the reason."""
    rows = [
        said("5000", "30s"),
        said("0", "60s", refused=True),
        said("7", "59.96s", refused=True),
        said("0", "60s"),
    ]
    assert quotas_from_headers("requests", rows) == [
        Quota(
            "openai",
            "m",
            "requests",
            10_000.0,
            60.0,
            "rate-limit headers",
            window_known=True,
            refused_at_zero=1,
            refused_with=0.0,
        )
    ]


def test_a_limit_is_read_as_typed() -> None:
    """Per minute unless a day is meant."""
    assert quota_given("llm.requests=150/min").per_minute == 150
    assert quota_given("llm.tokens=30000").resource == "llm.tokens"
    assert quota_given("llm.requests = 14400 / day").per_minute == 10


@pytest.mark.parametrize(
    "text", ["requests=150", "llm.requests=0", "llm.requests=150/week", "1/hour", ""]
)
def test_another_limit_is_refused_with_an_example(text: str) -> None:
    """The message shows what to type."""
    with pytest.raises(
        ValueError, match=r"as in llm\.requests=150/min; .* UNIT s, min, hour or day"
    ):
        quota_given(text)


class Recorded:
    """An engine whose spans say 60 requests a minute and whose metrics say 90 and some tokens."""

    def query(self, sql: str, /, **params: str) -> list[dict[str, object]]:
        if "prefix" in params:
            return [{"attribute": params["prefix"] + "x-ratelimit-limit-requests", "attempts": 1}]
        if "limit_header" in params:
            return [{**said("30", "30s"), "quota": "60"}]
        alias = {"provider": "openai", "model": "alias"}
        return [
            {**alias, "dimension": "requests", "quota": 90.0, "window_s": None},
            {**alias, "dimension": "tokens", "quota": 5000.0, "window_s": 86_400.0},
        ]


def test_headers_come_before_metrics_and_the_user_before_both() -> None:
    """A limit that somebody typed is used; headers name the model, so metrics only fill gaps."""
    recorded = quotas_of(Asker(Recorded()), {})
    assert [(q.dimension, q.limit, q.window) for q in recorded] == [
        ("requests", 60.0, "minute"),
        ("tokens", 5000.0, "day"),
    ]
    typed = quota_given("llm.requests=150/min")
    assert quotas_of(Asker(Recorded()), {typed.resource: typed}) == [recorded[1], typed]


@pytest.mark.parametrize(("early", "others"), [(40, (500.0,)), (4, ())])
def test_a_limit_that_changed_during_the_run_is_told(early: int, others: tuple[float, ...]) -> None:
    """The one said most often counts; another one that held for a while is named beside it."""
    rows = [said("9000", "6s") | {"attempts": 100}, said("90", "6s") | {"quota": "500"}]
    (quota,) = quotas_from_headers("requests", [rows[0], rows[1] | {"attempts": early}])
    assert (quota.limit, quota.others) == (10_000.0, others)
