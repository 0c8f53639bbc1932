"""A small script of a user's: one streamed call that the provider refuses twice.

``python retrying.py openai|anthropic agentscope|opentelemetry URL``, run by ``hidden_retries.py``
in an environment that has all of them; URL is a mock LLM's. Prints the spans as JSON, those of
agentscope with what an inference says of its first token.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id

import agentscope
from agentscope import conventions as c
from agentscope.clients import instrument_clients
from agentscope.testing import recording

INSTRUMENTORS = {"openai": "OpenAIInstrumentor", "anthropic": "AnthropicInstrumentor"}

Spans = list[dict[str, Any]]


def main(library: str, instrumentation: str, url: str) -> None:
    calls = importlib.import_module(f"calls_of_{library}")

    def ask() -> None:
        with calls.client(url) as client:
            client.models.list()  # connect, and import what a first call imports
            list(calls.ask(client, "mock@status=429,429,200", streamed=True))

    spans = ours(ask) if instrumentation == "agentscope" else theirs(library, ask)
    print(json.dumps({"version": sys.modules[library].__version__, "spans": spans}))


def ours(ask: Callable[[], None]) -> Spans:
    instrument_clients()
    with recording(real_time=True) as recorded:
        with agentscope.turn("turn"):
            ask()
        return [
            {
                "name": span.name.partition("@")[0],
                "id": span.span_id,
                "parent": span.parent_id,
                "start_ns": int(span.raw["startTimeUnixNano"]),
                "end_ns": int(span.raw["endTimeUnixNano"]),
                "status": span.attributes.get(c.HTTP_STATUS_CODE),
                "first_token_s": span.attributes.get(c.TIME_TO_FIRST_CHUNK),
            }
            for span in sorted(recorded.spans, key=lambda span: span.start_s)
        ]


def theirs(library: str, ask: Callable[[], None]) -> Spans:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    module = importlib.import_module(f"opentelemetry.instrumentation.genai.{library}")
    getattr(module, INSTRUMENTORS[library])().instrument(tracer_provider=provider)
    ask()
    return [
        {
            "name": span.name.partition("@")[0],
            "id": format_span_id(span.context.span_id),
            "parent": format_span_id(span.parent.span_id) if span.parent else "",
            "start_ns": span.start_time,
            "end_ns": span.end_time,
        }
        for span in exporter.get_finished_spans()
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
