"""The GenAI conventions renamed their metrics: older names, newer ones, or both, by one setting."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from prometheus_client.parser import text_string_to_metric_families

import agentscope
from agentscope import conventions as c
from agentscope.export.prometheus import render
from agentscope.recording.genai_names import Names, respelled
from agentscope.testing import Recorded

OLD = "gen_ai_client_operation_duration_seconds_count"
NEW = "gen_ai_client_inference_duration_seconds_count"


def calls(recorded: Recorded) -> None:
    with agentscope.turn("t", session="s"):
        with agentscope.llm_call(model="m", provider="openai"):
            agentscope.record_usage(input_tokens=30, output_tokens=4)
        with agentscope.llm_call(model="e", provider="openai"):
            span = trace.get_current_span()
            span.set_attribute(c.OPERATION_NAME, "embeddings")
            span.set_attribute(c.INPUT_TOKENS, 5)


def scraped(recorded: Recorded, name: str) -> list[tuple[str, float]]:
    text = render(recorded.recorder)[0].decode()
    return [
        (sample.labels.get("gen_ai_operation_name", ""), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


@pytest.mark.parametrize(
    ("names", "old", "new"),
    [
        ("old", [("chat", 1), ("embeddings", 1)], []),
        ("both", [("chat", 1), ("embeddings", 1)], [("chat", 1)]),
        ("new", [("embeddings", 1)], [("chat", 1)]),
    ],
)
def test_metrics_and_scrapes_have_the_names_that_are_wished_for(
    recorded: Recorded, names: Names, old: Any, new: Any
) -> None:
    """Embeddings keep their name; the plain names are there in any case."""
    recorded.recorder.genai_names = names
    calls(recorded)
    assert sorted(scraped(recorded, OLD)) == old
    assert scraped(recorded, NEW) == new
    tokens = scraped(recorded, "gen_ai_client_inference_usage_input_tokens_total")
    assert tokens == ([("chat", 30)] if new else [])
    assert len(scraped(recorded, "llm_call_latency_seconds_count")) == 2
    told = {metric.name for metric, _ in respelled(recorded.instruments.snapshot(), names)}
    assert (c.INFERENCE_DURATION.name in told) is bool(new)
    assert c.OPERATION_DURATION.name in told


def test_the_setting_is_checked() -> None:
    """A word that is none of the three is refused at the start."""
    with pytest.raises(agentscope.errors.ConfigError, match="genai_metrics"):
        agentscope.configure(genai_metrics="newest")


def test_cached_and_reasoning_tokens_are_counted_by_their_only_names(recorded: Recorded) -> None:
    """The older edition has none for them."""
    with (
        agentscope.turn("t", session="s"),
        agentscope.llm_call(model="m", provider="openai"),
    ):
        span = trace.get_current_span()
        span.set_attribute(c.CACHE_READ_TOKENS, 20)
        span.set_attribute(c.REASONING_TOKENS, 7)
    labels = ("chat", "openai", "m", "unknown")
    assert recorded.value(c.INFERENCE_CACHE_READ_TOKENS, *labels) == 20
    assert recorded.value(c.INFERENCE_REASONING_TOKENS, *labels) == 7
    assert recorded.value(c.INFERENCE_CACHE_WRITE_TOKENS, *labels) is None
