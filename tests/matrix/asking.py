"""A small script of a user's: ask models, or a database, in one turn, beside another
instrumentation or not.

``python asking.py ASKER FOLDER INSTRUMENTATION…``, run by the tests beside it in an environment that
has them. Asks once for each in each of ORDERS: with theirs off, without us, theirs on before ours
and on after. FOLDER/INSTRUMENTATION/ORDER is our run directory, and beside it ORDER.json has the
names of the spans they made.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ORDERS = ("off", "alone", "before", "after")

theirs = InMemorySpanExporter()

Instrument = Callable[[], object]
Prepare = Callable[[Any], Instrument]
"""Imports an instrumentation, for the module that asks; what it returns turns it on."""


def nothing(asker: Any) -> Instrument:
    """For libraries that trace themselves as soon as there is a provider."""
    return lambda: None


def logfire(name: str) -> Prepare:
    return lambda asker: getattr(importlib.import_module("logfire"), f"instrument_{name}")


def instrumentor(module: str, name: str) -> Prepare:
    def prepare(asker: Any) -> Instrument:
        kind = getattr(importlib.import_module(module), name)
        return lambda: kind().instrument()

    return prepare


def contrib_fastapi(asker: Any) -> Instrument:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    return lambda: FastAPIInstrumentor.instrument_app(asker.app)


def contrib_asgi(asker: Any) -> Instrument:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return lambda: asker.app.add_middleware(OpenTelemetryMiddleware)


OTEL, TRACELOOP, ARIZE = (
    "opentelemetry.instrumentation.genai",
    "opentelemetry.instrumentation",
    "openinference.instrumentation",
)
INSTRUMENTATIONS: dict[str, Prepare] = {
    "native": nothing,
    "genai-openai": instrumentor(f"{OTEL}.openai", "OpenAIInstrumentor"),
    "genai-anthropic": instrumentor(f"{OTEL}.anthropic", "AnthropicInstrumentor"),
    "genai-langchain": instrumentor(f"{OTEL}.langchain", "LangChainInstrumentor"),
    "genai-openai-agents": instrumentor(f"{OTEL}.openai_agents", "OpenAIAgentsInstrumentor"),
    "openllmetry-openai": instrumentor(f"{TRACELOOP}.openai", "OpenAIInstrumentor"),
    "openllmetry-anthropic": instrumentor(f"{TRACELOOP}.anthropic", "AnthropicInstrumentor"),
    "openllmetry-langchain": instrumentor(f"{TRACELOOP}.langchain", "LangchainInstrumentor"),
    "openllmetry-openai-agents": instrumentor(
        f"{TRACELOOP}.openai_agents", "OpenAIAgentsInstrumentor"
    ),
    "openinference-openai": instrumentor(f"{ARIZE}.openai", "OpenAIInstrumentor"),
    "openinference-anthropic": instrumentor(f"{ARIZE}.anthropic", "AnthropicInstrumentor"),
    "openinference-langchain": instrumentor(f"{ARIZE}.langchain", "LangChainInstrumentor"),
    "openinference-openai-agents": instrumentor(
        f"{ARIZE}.openai_agents", "OpenAIAgentsInstrumentor"
    ),
    "openinference-litellm": instrumentor(f"{ARIZE}.litellm", "LiteLLMInstrumentor"),
    "logfire-openai": logfire("openai"),
    "logfire-anthropic": logfire("anthropic"),
    "logfire-pydantic-ai": logfire("pydantic_ai"),
    "logfire-httpx": logfire("httpx"),
    "contrib-httpx": instrumentor(f"{TRACELOOP}.httpx", "HTTPX2ClientInstrumentor"),
    "contrib-fastapi": contrib_fastapi,
    "contrib-asgi": contrib_asgi,
    "contrib-asyncpg": instrumentor(f"{TRACELOOP}.asyncpg", "AsyncPGInstrumentor"),
    "contrib-psycopg": instrumentor(f"{TRACELOOP}.psycopg", "PsycopgInstrumentor"),
    "contrib-redis": instrumentor(f"{TRACELOOP}.redis", "RedisInstrumentor"),
    "contrib-sqlalchemy": instrumentor(f"{TRACELOOP}.sqlalchemy", "SQLAlchemyInstrumentor"),
    "contrib-sqlite3": instrumentor(f"{TRACELOOP}.sqlite3", "SQLite3Instrumentor"),
}


def main(name: str, folder: str, *instrumentations: str) -> None:
    # Libraries are imported first, as in most services; and once, for that is what takes long.
    asker = importlib.import_module(f"asking_with_{name}")
    for instrumentation in instrumentations:
        in_a_child(try_orders, asker, instrumentation, Path(folder, instrumentation))
    print("done")


def try_orders(asker: Any, instrumentation: str, folder: Path) -> None:
    folder.mkdir()
    instrument = INSTRUMENTATIONS[instrumentation](asker)
    for order in ORDERS:
        in_a_child(try_order, asker, instrumentation, instrument, folder, order)


def try_order(
    asker: Any, instrumentation: str, instrument: Instrument, folder: Path, order: str
) -> None:
    os.environ["AGENTSCOPE_RUN_DIR"] = str(folder / order)
    if order != "off":
        provide(instrumentation)
    ask(asker, instrument, order)
    spans = [span.name for span in theirs.get_finished_spans()]
    Path(folder, f"{order}.json").write_text(json.dumps(spans))


def in_a_child(run: Callable[..., None], *arguments: Any) -> None:
    """In a process of its own, for what is instrumented cannot be told to forget it."""
    child = os.fork()
    if not child:
        run(*arguments)
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{run.__name__} failed: {' '.join(map(str, arguments))}")


def provide(instrumentation: str) -> None:
    """Set up the SDK as a user of theirs would, with an exporter in memory."""
    processor = SimpleSpanProcessor(theirs)
    if instrumentation.startswith("logfire"):
        import logfire

        logfire.configure(
            send_to_logfire=False, console=False, additional_span_processors=[processor]
        )
    else:
        provider = TracerProvider()
        provider.add_span_processor(processor)
        trace.set_tracer_provider(provider)


def ask(asker: Any, instrument: Instrument, order: str) -> None:
    if order in ("alone", "before"):
        instrument()
    if order == "alone":
        asker.ask()
        return
    import agentscope

    app = getattr(asker, "app", None)
    agentscope.instrument(app)
    if order == "after":
        instrument()
    if app is None:
        with agentscope.turn("turn"):
            asker.ask()
    else:  # its requests are the turns
        asker.ask()
    agentscope.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
