"""A small script of a user's: ask a model six times in one turn, with another instrumentation or not.

``python asking.py LIBRARY off|before|after``, run by the tests beside it in an environment that
has LIBRARY. The last word says whether its instrumentation is on, and who came first. Prints how
many inference spans that instrumentation made, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import agentscope

ASK: dict[str, Any] = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}

theirs = InMemorySpanExporter()


def genai() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def openllmetry() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def logfire() -> None:
    import logfire

    processor = SimpleSpanProcessor(theirs)
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    logfire.instrument_openai()


def _provider() -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    trace.set_tracer_provider(provider)
    return provider


LIBRARIES: dict[str, Callable[[], None]] = {
    "opentelemetry-instrumentation-genai-openai": genai,
    "opentelemetry-instrumentation-openai": openllmetry,
    "openinference-instrumentation-openai": openinference,
    "logfire": logfire,
}


def ask() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(**ASK)
        list(client.chat.completions.create(**STREAM))
        client.chat.completions.with_raw_response.create(**ASK).parse()


async def ask_async() -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(**ASK)
        async for _ in await client.chat.completions.create(**STREAM):
            pass
        async with await client.chat.completions.create(**STREAM) as stream:
            await anext(stream)


def main(library: str, order: str) -> None:
    if order == "before":
        LIBRARIES[library]()
    agentscope.instrument()
    if order == "after":
        LIBRARIES[library]()
    with agentscope.turn("turn"):
        ask()
        asyncio.run(ask_async())
    agentscope.shutdown()
    print(json.dumps({"theirs": len(theirs.get_finished_spans())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
