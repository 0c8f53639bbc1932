"""A tracer provider of the user's gets our spans as its own kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

import agentscope
from agentscope.errors import ConfigError


@pytest.fixture(autouse=True)
def stop_recording() -> Iterator[None]:
    yield
    agentscope.shutdown()


def test_its_exporters_get_every_span() -> None:
    """Tree, kinds, times, attributes, events and status; its own resource."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    agentscope.configure(service_name="svc", otlp=False, tracer_provider=provider)
    with suppress(ValueError), agentscope.turn("t", session="s"):
        with agentscope.llm_call(model="m", provider="openai"):
            agentscope.record_usage(input_tokens=3)
        raise ValueError
    assert agentscope.flush(5)
    call, turn = exporter.get_finished_spans()
    assert (turn.name, turn.parent, turn.resource.attributes["service.name"]) == (
        "t", None, "theirs",
    )  # fmt: skip
    assert turn.attributes is not None
    assert turn.attributes["gen_ai.conversation.id"] == "s"
    assert turn.status.status_code is StatusCode.ERROR
    assert call.parent is not None
    assert (call.name, call.kind, call.parent.span_id) == (
        "chat m", SpanKind.CLIENT, turn.context.span_id,
    )  # fmt: skip
    assert call.attributes is not None
    assert call.attributes["gen_ai.usage.input_tokens"] == 3
    assert turn.start_time is not None
    assert turn.end_time is not None
    assert call.start_time is not None
    assert call.end_time is not None
    assert turn.start_time <= call.start_time <= call.end_time <= turn.end_time
    assert call.instrumentation_scope is not None
    assert call.instrumentation_scope.name == "agentscope"


def test_what_is_no_sdk_provider_is_refused() -> None:
    """At the start, and nowhere later."""
    with pytest.raises(ConfigError, match="NoOpTracerProvider"):
        agentscope.configure(otlp=False, tracer_provider=NoOpTracerProvider())
