"""The service: threads and their messages over HTTP.

uvicorn --app-dir examples langgraph_agent.app:app
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import openai
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from pydantic import BaseModel, Field

import agentscope

from .graph import build_graph

log = logging.getLogger(__name__)

MODEL_TIMEOUT_S = 120
UNREAD_EVENTS = 64
"""A caller that reads slowly slows the turn down; it does not fill the memory."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    model = os.environ.get("LANGGRAPH_AGENT_MODEL") or "gpt-4o-mini"
    app.state.graph = build_graph(
        ChatOpenAI(model=model, timeout=MODEL_TIMEOUT_S, stream_usage=True)
    )
    yield


app = FastAPI(title="Travel desk", lifespan=lifespan)
agentscope.instrument(app)


class NewMessage(BaseModel):
    message: str = Field(min_length=1, max_length=8_000)
    stream: bool = False


class Reply(BaseModel):
    response: str


@app.post("/api/threads/{thread_id}/messages", response_model=Reply)
async def send_message(
    thread_id: str, new: NewMessage, request: Request
) -> Reply | StreamingResponse:
    if not (new.stream or "text/event-stream" in request.headers.get("accept", "")):
        state = await request.app.state.graph.ainvoke(*_turn(thread_id, new))
        return Reply(response=state["messages"][-1].text)

    events = event_stream(request.app.state.graph, thread_id, new)
    first = await anext(events)  # raises what still deserves a status of its own

    async def body() -> AsyncIterator[str]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return StreamingResponse(body(), media_type="text/event-stream")


@app.delete("/api/threads/{thread_id}", status_code=204)
async def delete_thread(thread_id: str, request: Request) -> None:
    await request.app.state.graph.checkpointer.adelete_thread(thread_id)


async def event_stream(graph: Any, thread_id: str, new: NewMessage) -> AsyncGenerator[str, None]:
    """Yield ``token`` and ``tool`` events, then ``done`` or ``error``.

    The graph runs in a task of its own. A caller who goes away cancels the response again at each
    ``await``, which LangGraph's clean-up does not survive: its model would talk on to nobody. The
    task is cancelled once, and all of it ends.
    """
    events: asyncio.Queue[str | Exception | None] = asyncio.Queue(UNREAD_EVENTS)

    async def run() -> None:
        try:
            async for event in turn_events(graph, thread_id, new):
                await events.put(event)
        except Exception as error:  # noqa: BLE001 - the reader below raises or tells it
            await events.put(error)
        else:
            await events.put(None)

    turn = asyncio.create_task(run())
    begun = False
    try:
        while (event := await events.get()) is not None:
            if isinstance(event, Exception):
                if not begun:
                    raise event
                # The status was 200 by then: only the recorder and the event say otherwise.
                agentscope.record_error(event)
                log.error("the turn failed", exc_info=event)
                yield _event("error", {"error": "model_failed"})
                return
            yield event
            begun = True
    finally:
        turn.cancel()


async def turn_events(graph: Any, thread_id: str, new: NewMessage) -> AsyncGenerator[str, None]:
    """One turn of the graph, as its events."""
    response = ""
    parts = graph.astream(*_turn(thread_id, new), stream_mode=["messages", "updates"])
    async for mode, part in parts:
        if mode == "messages":
            message, _ = part
            if isinstance(message, AIMessageChunk) and message.text:
                yield _event("token", {"text": message.text})
        elif "agent" in part:
            answer = part["agent"]["messages"][-1]
            response = answer.text
            for call in answer.tool_calls:
                yield _event("tool", {"name": call["name"]})
    yield _event("done", {"response": response})


@app.exception_handler(openai.RateLimitError)
async def tell_rate_limit(_: Request, error: openai.RateLimitError) -> JSONResponse:
    wait = error.response.headers.get("retry-after", "5")
    return JSONResponse({"error": "rate_limited"}, 503, {"retry-after": wait})


@app.exception_handler(openai.APIError)
@app.exception_handler(GraphRecursionError)
async def tell_failure(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "model_failed"}, 502)


def _turn(thread_id: str, new: NewMessage) -> tuple[dict[str, Any], dict[str, Any]]:
    """The graph's input and configuration."""
    return {"messages": [("user", new.message)]}, {"configurable": {"thread_id": thread_id}}


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
