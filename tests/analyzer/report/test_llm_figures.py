"""The ``llm`` part of the report: calls, attempts, tokens, speed and cost, by model."""

import socket
from typing import Any

import pytest

from agentscope_analyzer.costs import costs_of, price_date, price_source
from agentscope_analyzer.document import Prices, Unpriced

T0_NS = 1_790_000_000_000_000_000
MS = 1_000_000


def call(story: Any, at_s: float, took_ms: int = 1000, **columns: Any) -> str:
    """A turn of one call of openai's gpt-4o-mini, unless told otherwise; returns the call's id."""
    trace = story.turn("s", at_s, ("llm.first_token", took_ms / 1e3))
    start_ns = T0_NS + round(at_s * 1e9)
    times = {"start_ns": start_ns, "end_ns": start_ns + took_ms * MS}
    model = {"provider": "openai", "model": "gpt-4o-mini", "operation": "chat"}
    return str(story.span(trace, kind="CLIENT", **{**model, **times, **columns}))


def attempt(story: Any, call_id: str, from_ms: int, to_ms: int, status: int) -> None:
    parent = next(span for span in story.spans if span["span_id"] == call_id)
    story.span(
        parent["trace_id"],
        parent_id=call_id,
        kind="CLIENT",
        http_method="POST",
        http_status=status,
        start_ns=parent["start_ns"] + from_ms * MS,
        end_ns=parent["start_ns"] + to_ms * MS,
    )


def test_a_call_is_told_in_full(story: Any) -> None:
    """429, a sleep of 300 ms, 503, a sleep of 200 ms, a stream of 41 tokens in the last 400 ms."""
    one = call(
        story,
        0.0,
        took_ms=1200,
        streamed=True,
        first_chunk_s=0.8,
        input_tokens=1000,
        cache_read_tokens=400,
        output_tokens=51,
        reasoning_tokens=10,
    )
    for from_ms, to_ms, status in ((0, 100, 429), (400, 450, 503), (650, 1200, 200)):
        attempt(story, one, from_ms, to_ms, status)
    llm = story.report().llm
    assert (llm.calls, llm.calls_per_turn, llm.attempts, llm.retries_hidden) == (1, 1.0, 3, 2)
    assert (llm.rate_limited, llm.backoff_s) == (1, pytest.approx(0.5))
    assert llm.tokens == {
        "input": 1000,
        "output": 51,
        "cache_read": 400,
        "cache_write": None,
        "reasoning": 10,
        "calls_without_usage": 0,
    }
    usd = (600 * 0.15 + 400 * 0.075 + 51 * 0.60) / 1e6
    assert llm.cost_usd == pytest.approx(usd)
    assert llm.by_model == [
        {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "calls": 1,
            "attempts": 3,
            "retries": 2,
            "rate_limited": 1,
            "billed": 0,
            "backoff_s": pytest.approx(0.5),
            "p50_s": pytest.approx(1.2),
            "p95_s": pytest.approx(1.2),
            "ttft_p50_s": pytest.approx(0.8),
            "ttft_p95_s": pytest.approx(0.8),
            "tokens_per_s": pytest.approx(40 / 0.4),
            "input_tokens": 1000,
            "output_tokens": 51,
            "cache_read_tokens": 400,
            "cache_write_tokens": None,
            "reasoning_tokens": 10,
            "calls_without_usage": 0,
            "cost_usd": pytest.approx(usd),
        }
    ]
    assert llm.prices == Prices(source=price_source(), date=price_date(), unpriced=[])


def test_what_nobody_recorded_is_null_and_counted(story: Any) -> None:
    """A stream without usage, a call that failed, embeddings: only the first lacks something."""
    call(story, 0.0, streamed=True)
    call(story, 2.0, status="ERROR")
    call(story, 4.0, operation="embeddings", model="text-embedding-3-small", input_tokens=1000)
    llm = story.report().llm
    assert (llm.calls, llm.attempts, llm.retries_hidden, llm.rate_limited, llm.backoff_s) == (
        3,
        None,
        None,
        None,
        None,
    )
    assert llm.tokens == {
        "input": 1000,
        "output": None,
        "cache_read": None,
        "cache_write": None,
        "reasoning": None,
        "calls_without_usage": 1,
    }
    assert [
        (row["model"], row["calls_without_usage"], row["cost_usd"]) for row in llm.by_model
    ] == [
        ("gpt-4o-mini", 1, None),
        ("text-embedding-3-small", 0, pytest.approx(0.02e-3)),
    ]
    assert llm.cost_usd == pytest.approx(0.02e-3)
    assert llm.prices.unpriced == [
        Unpriced(
            provider="openai",
            model="gpt-4o-mini",
            calls=2,
            reason="no call says how many tokens it used",
        )
    ]


def test_a_model_without_a_price_is_named_and_never_free(story: Any) -> None:
    """Half of the calls have a price: the sum is of them, and says which are left out."""
    call(story, 0.0, input_tokens=1_000_000, output_tokens=0)
    call(story, 2.0, model="house-model-7b", input_tokens=1_000_000, output_tokens=5)
    llm = story.report().llm
    assert {row["model"]: row["cost_usd"] for row in llm.by_model} == {
        "gpt-4o-mini": pytest.approx(0.15),
        "house-model-7b": None,
    }
    assert llm.cost_usd == pytest.approx(0.15)
    (unpriced,) = llm.prices.unpriced
    assert unpriced.reason == f"{price_source()} knows no such model of this provider"


def test_a_run_of_unknown_models_has_no_cost(story: Any) -> None:
    """Null, not 0."""
    call(story, 0.0, model="house-model-7b", input_tokens=10, output_tokens=5)
    call(story, 2.0, model="", provider="", input_tokens=10, output_tokens=5)
    llm = story.report().llm
    assert llm.cost_usd is None
    assert {one.model: one.reason for one in llm.prices.unpriced} == {
        "house-model-7b": f"{price_source()} knows no such model of this provider",
        "": "the calls name no model",
    }


def usage(**columns: Any) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "asked_model": "claude-sonnet-4-5",
        "start_ns": T0_NS,
        "calls": 1,
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        **columns,
    }


def test_cached_tokens_are_part_of_the_input_and_priced_once() -> None:
    """Of 1 000 tokens read, 300 came from the cache at a tenth and 200 went into it at 1.25."""
    row = usage(input_tokens=1000, cache_read_tokens=300, cache_write_tokens=200)
    assert costs_of([row]).total_usd == pytest.approx((500 * 3.0 + 300 * 0.3 + 200 * 3.75) / 1e6)


def test_a_thousand_calls_cost_a_thousand_times_one() -> None:
    """Rows of many calls are priced by their mean: list prices are linear within a tier."""
    one = usage(input_tokens=1234, output_tokens=56, cache_read_tokens=789)
    many = {name: value * 1000 for name, value in one.items() if name.endswith("tokens")}
    total = costs_of([one | many | {"calls": 1000}]).total_usd
    assert total == pytest.approx(1000 * (costs_of([one]).total_usd or 0))


def test_long_inputs_are_priced_by_their_own_tier(story: Any) -> None:
    """$3 a million tokens up to 200 000 of them, $6 beyond; their mean is in the cheaper tier."""
    model = {"provider": "anthropic", "model": "claude-sonnet-4-5", "output_tokens": 0}
    for i in range(10):
        call(story, i * 2.0, input_tokens=100_000, **model)
        call(story, i * 2.0 + 1.0, input_tokens=250_000, **model)
    assert story.report().llm.cost_usd == pytest.approx(10 * 0.3 + 10 * 1.5)


def test_the_model_asked_for_prices_an_answer_of_unknown_name() -> None:
    """A deployment may call its model anything; whoever asked for it named one with a price."""
    costs = costs_of([usage(model="deployment-7", input_tokens=1000)])
    assert costs.of("anthropic", "deployment-7") == pytest.approx(0.003)


def test_a_sum_that_lacks_a_part_is_no_sum() -> None:
    """One row of a model contradicts itself: the model has no cost, not a smaller one."""
    costs = costs_of([usage(input_tokens=10), usage(input_tokens=10, cache_read_tokens=20)])
    assert (costs.total_usd, list(costs.unpriced)) == (None, [("anthropic", "claude-sonnet-4-5")])


def test_cached_input_beside_the_input_is_added(story: Any) -> None:
    """Some instrumentations count what was cached apart: more cached than read proves it."""
    call(
        story, 0.0, input_tokens=100, cache_read_tokens=900, cache_write_tokens=50, output_tokens=1
    )
    assert story.report().llm.tokens["input"] == 1050


def test_an_outer_span_takes_what_only_the_inner_one_says(story: Any) -> None:
    """LangChain's span around the client's: one call, whose tokens and model the inner one knows."""
    outer = call(story, 0.0, provider=None, model=None)
    parent = next(span for span in story.spans if span["span_id"] == outer)
    story.span(
        parent["trace_id"],
        parent_id=outer,
        kind="CLIENT",
        operation="chat",
        provider="openai",
        model="gpt-4o-mini",
        input_tokens=10,
        output_tokens=5,
        streamed=True,
        first_chunk_s=0.25,
        start_ns=parent["start_ns"] + 100 * MS,
        end_ns=parent["end_ns"],
    )
    (row,) = story.report().llm.by_model
    told = (
        row["model"],
        row["calls"],
        row["input_tokens"],
        row["output_tokens"],
        row["ttft_p50_s"],
    )
    assert told == ("gpt-4o-mini", 1, 10, 5, pytest.approx(0.35))


def test_prices_come_from_the_package_and_not_from_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No socket is opened."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert costs_of([usage(input_tokens=100_000)]).total_usd == pytest.approx(0.3)
