"""A small agent service that somebody else's instrumentation records; run by ``record_foreign.py``.

Started by the Python of a throw-away environment that holds the instrumentation: nothing of
agentscope is imported here. It serves itself, asks itself, and says at its end what really
happened, as counted by those who did it: the truth that the report is held against.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from openai import AsyncOpenAI
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODEL = "gpt-4o-mini@ttft=60;itl=2;out=12"
REFUSED_FIRST = "gpt-4o-mini@ttft=60;itl=2;out=12;status=429,200;retry-after=0.3"
"""The client sleeps off the first answer, unseen by whoever records the call as one span."""

SESSIONS, TURNS = 8, 4
BROKEN_TURN = 5
"""Only others ask for it."""
TOOL_S = 0.03

truth: dict[str, Any] = {
    "turns": 0, "calls": 0, "input_tokens": 0, "output_tokens": 0, "refused_attempts": 0,
    "model_s": 0.0, "generation_s": 0.0, "tool_s": 0.0, "turn_s": 0.0,
}  # fmt: skip


def service(client: AsyncOpenAI, session: Any) -> FastAPI:
    """The agent: a call, a tool, and a second, streamed call a turn."""
    app = FastAPI()

    @app.post("/chat")
    async def chat(request: Request) -> dict[str, str]:
        asked = await request.json()
        if asked["turn"] == BROKEN_TURN:
            raise HTTPException(500)
        with session(asked["session"]):
            began_s = time.perf_counter()
            plan = await ask(client, MODEL, asked["text"])
            tool_s = time.perf_counter()
            truth["model_s"] += tool_s - began_s
            await asyncio.sleep(TOOL_S)
            truth["tool_s"] += time.perf_counter() - tool_s
            answer_s = time.perf_counter()
            model = REFUSED_FIRST if asked["turn"] == TURNS else MODEL
            text = await stream(client, model, f"{asked['text']} {asked['session']}")
            truth["model_s"] += time.perf_counter() - answer_s
        truth["turns"] += 1
        truth["refused_attempts"] += model == REFUSED_FIRST
        return {"response": f"{plan} {text}"}

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    return app


async def ask(client: AsyncOpenAI, model: str, text: str) -> str:
    answer = await client.chat.completions.create(model=model, messages=messages(text))
    count(answer.usage)
    return str(answer.choices[0].message.content)


async def stream(client: AsyncOpenAI, model: str, text: str) -> str:
    said = []
    chunks = await client.chat.completions.create(
        model=model, messages=messages(text), stream=True, stream_options={"include_usage": True}
    )
    first_s = None
    async for chunk in chunks:
        first_s = first_s or time.perf_counter()
        if chunk.usage is not None:
            count(chunk.usage)
        said += [choice.delta.content or "" for choice in chunk.choices]
    truth["generation_s"] += time.perf_counter() - (first_s or 0.0)
    return "".join(said)


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


def count(usage: Any) -> None:
    truth["calls"] += 1
    truth["input_tokens"] += usage.prompt_tokens
    truth["output_tokens"] += usage.completion_tokens


def instrument(producer: str, traces: Path) -> tuple[TracerProvider, Any]:
    """Set the producer up before anything is used; what marks a session, if it has a way to."""
    if producer == "logfire":
        import logfire

        exporter = BatchSpanProcessor(FileSpanExporter(traces), schedule_delay_millis=500)
        logfire.configure(
            send_to_logfire=False, console=False, service_name="support",
            additional_span_processors=[exporter], metrics=False,
        )  # fmt: skip
        return exporter, lambda _: nullcontext()
    provider = TracerProvider(resource=Resource({"service.name": "support"}))
    provider.add_span_processor(
        BatchSpanProcessor(FileSpanExporter(traces), schedule_delay_millis=500)
    )
    if producer == "genai":
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
    elif producer == "openllmetry":
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
    elif producer == "openinference":
        from openinference.instrumentation import using_session
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
        return provider, using_session
    return provider, lambda _: nullcontext()


def instrument_app(producer: str, app: FastAPI, provider: Any, client: AsyncOpenAI) -> None:
    if producer == "logfire":
        import logfire

        logfire.instrument_fastapi(app)
        logfire.instrument_openai(client)
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)


def users(url: str) -> None:
    """Sessions two at a time, each turn after the one before; a health check for each."""

    def hold(number: int) -> None:
        urllib.request.urlopen(f"{url}/health", timeout=10).read()
        for turn in range(1, TURNS + 1):
            asked = {"session": f"s{number}", "turn": turn, "text": f"What is order {turn}?"}
            request = urllib.request.Request(
                f"{url}/chat", json.dumps(asked).encode(), {"content-type": "application/json"}
            )
            began_s = time.perf_counter()
            urllib.request.urlopen(request, timeout=30).read()
            truth["turn_s"] += time.perf_counter() - began_s

    with ThreadPoolExecutor(2) as sessions:
        list(sessions.map(hold, range(1, SESSIONS + 1)))


def main(producer: str, model_url: str, folder: Path, *, asked_by_others: bool) -> None:
    provider, session = instrument(producer, folder / "traces.jsonl")
    client = AsyncOpenAI(base_url=model_url, api_key=f"sk-{producer}")
    app = service(client, session)
    instrument_app(producer, app, provider, client)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    if asked_by_others:
        print(url, flush=True)
        sys.stdin.read()
    else:
        users(url)
    server.should_exit = True
    thread.join()
    provider.force_flush()
    provider.shutdown()
    (folder / "truth.json").write_text(json.dumps(truth))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), asked_by_others="--serve" in sys.argv)
