"""What recording costs: CPU of all threads, each beside a control of the same run.

``make bench``. Each case runs in turn, several rounds; the medians are compared. Read the ratios:
the microseconds move with the machine.

* a phase, recorded and written, beside a span of the OpenTelemetry SDK that is exported nowhere;
* a request through the middleware, beside the same bare ASGI application;
* a streamed chunk, the same.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import agentscope
from agentscope.asgi import AgentScopeMiddleware

ROUNDS = 7
CHUNKS = 50


class Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def scope() -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": "/x", "scheme": "http", "query_string": b"",
        "headers": [(b"host", b"x"), (b"x-session-id", b"s1")], "root_path": "",
    }  # fmt: skip


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(CHUNKS):
        more = number < CHUNKS - 1
        await send({"type": "http.response.body", "body": b"data: token\n\n", "more_body": more})


def request(app: Callable[..., Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None: ...

    async def once() -> None:
        await app(scope(), receive, send)

    return once


def sdk_span() -> Callable[[], Awaitable[None]]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("bench")

    async def once() -> None:
        with tracer.start_as_current_span("chat m", attributes={"gen_ai.request.model": "m"}):
            pass

    return once


@agentscope.llm_call(model="m")
async def our_phase() -> None: ...


async def cpu_us(once: Callable[[], Awaitable[None]], times: int) -> float:
    """CPU microseconds of every thread of the process, for one call."""
    gc.collect()
    began = time.process_time()
    for number in range(times):
        await once()
        if number % 500 == 499:
            await asyncio.sleep(0.001)  # a service waits for its sockets; the recorder works then
    await asyncio.to_thread(agentscope.flush, 10)
    return (time.process_time() - began) / times * 1e6


async def main() -> int:
    agentscope.configure(service_name="bench", run_dir=tempfile.mkdtemp(prefix="bench-run-"))
    cases = {
        "phase": (our_phase, sdk_span(), 5000),
        "request": (request(AgentScopeMiddleware(application)), request(application), 5000),
        "stream": (request(AgentScopeMiddleware(streaming)), request(streaming), 1000),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (ours, control, times) in cases.items():
            measured[name].append((await cpu_us(ours, times), await cpu_us(control, times)))
    median = {
        name: (statistics.median(a for a, _ in rows), statistics.median(b for _, b in rows))
        for name, rows in measured.items()
    }
    phase, span = median["phase"]
    per_request = median["request"][0] - median["request"][1]
    per_chunk = (median["stream"][0] - median["stream"][1] - per_request) / (CHUNKS - 1)
    print(f"a phase, written to disk          {phase:7.2f} us")
    print(f"an OpenTelemetry SDK span, unsent {span:7.2f} us   ratio {phase / span:.2f}")
    print(f"a request, over bare ASGI         {per_request:7.2f} us")
    print(f"a streamed chunk, over bare ASGI  {per_chunk:7.2f} us")
    agentscope.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
