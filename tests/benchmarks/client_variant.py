"""One instrumentation of openai in a process of its own, measured block by block on request.

    python tests/benchmarks/client_variant.py VARIANT RUN_DIR

``client_cost.py`` starts it. For each line of its input, ``call`` or ``chunk``, it makes a block of
calls or reads a block of streams, and prints as JSON the µs of CPU that one took: of the calling
thread, and of all threads until everything that was recorded is delivered. ``instrument`` switches
the instrumentation on; before that, the calls are bare.

A peer gets a tracer provider that exports nowhere and no meter provider: the cheapest it can be.
Ours writes spans and metrics into a run directory.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mocked_openai

CALLS, STREAMS = 100, 8
"""In one block."""

Turn = Callable[[], AbstractContextManager[Any]]
Flush = Callable[[], object]


def bare(_: str) -> tuple[Turn, Flush]:
    """No instrumentation."""
    return nullcontext, lambda: None


def ours(run_dir: str) -> tuple[Turn, Flush]:
    """Ours, with its thread and its other monitors."""
    import agentscope

    agentscope.configure(service_name="bench", run_dir=run_dir)
    agentscope.instrument()
    return lambda: agentscope.turn("turn"), lambda: agentscope.flush(10)


def genai(_: str) -> tuple[Turn, Flush]:
    """OpenTelemetry GenAI."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    return _with_sdk(OpenAIInstrumentor())


def openllmetry(_: str) -> tuple[Turn, Flush]:
    """OpenLLMetry."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return _with_sdk(OpenAIInstrumentor())


def openinference(_: str) -> tuple[Turn, Flush]:
    """OpenInference."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    return _with_sdk(OpenAIInstrumentor())


def _with_sdk(instrumentor: Any) -> tuple[Turn, Flush]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    instrumentor.instrument(tracer_provider=provider)
    tracer = provider.get_tracer("bench")
    return lambda: tracer.start_as_current_span("turn"), provider.force_flush


VARIANTS = {
    "bare": bare,
    "bare again": bare,
    "agentscope": ours,
    "opentelemetry-instrumentation-genai-openai": genai,
    "opentelemetry-instrumentation-openai": openllmetry,
    "openinference-instrumentation-openai": openinference,
}


def block_us(ask: Callable[[], None], times: int, turn: Turn, flush: Flush) -> dict[str, float]:
    """CPU of one of ``times``."""
    ask()
    flush()  # what is due once a second is done now, and not in the block
    gc.collect()
    all_s, caller_s = time.process_time(), time.thread_time()
    with turn():
        for _ in range(times):
            ask()
    taken = {"caller": time.thread_time() - caller_s}
    flush()
    taken["all"] = time.process_time() - all_s
    return {who: seconds / times * 1e6 for who, seconds in taken.items()}


def main(name: str, run_dir: str) -> None:
    """Measure what is asked for until nothing more is."""
    turn, flush = bare("")
    with mocked_openai.client() as client:
        for line in sys.stdin:
            if line.strip() == "instrument":
                turn, flush = VARIANTS[name](run_dir)
                taken = {}
            elif line.strip() == "call":
                taken = block_us(lambda: mocked_openai.ask(client), CALLS, turn, flush)
            else:
                taken = block_us(lambda: mocked_openai.ask_streamed(client), STREAMS, turn, flush)
                taken = {who: us / mocked_openai.CHUNKS for who, us in taken.items()}
            print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
