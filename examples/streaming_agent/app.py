"""Answer every message with server-sent events, a token each, as the model says them.

uvicorn --app-dir examples streaming_agent.app:app
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from openai import APIError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, Field

import agentscope

log = logging.getLogger(__name__)

MODEL = os.environ.get("STREAMING_AGENT_MODEL") or "gpt-4o-mini"
KEPT_SESSIONS = 10_000
KEPT_MESSAGES = 40

Message = dict[str, Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncOpenAI() as client:
        app.state.client = client
        yield


app = FastAPI(title="Streaming agent", lifespan=lifespan)
agentscope.instrument(app)

sessions: OrderedDict[str, list[Message]] = OrderedDict()
"""What was said in each session; the one that was silent longest is forgotten first."""


class NewMessage(BaseModel):
    message: str = Field(min_length=1, max_length=8_000)


@app.post("/api/sessions/{session_id}/messages")
async def send_message(session_id: str, new: NewMessage, request: Request) -> StreamingResponse:
    said = [*sessions.get(session_id, []), {"role": "user", "content": new.message}]
    try:
        # Before the answer begins, so that a model which refuses still gets a status of its own.
        stream = await request.app.state.client.chat.completions.create(
            model=MODEL, messages=said, stream=True, stream_options={"include_usage": True}
        )
    except APIError as error:
        raise HTTPException(502, "the model cannot be reached or refused") from error
    events = event_stream(session_id, said, stream)
    return StreamingResponse(events, media_type="text/event-stream")


async def event_stream(
    session_id: str, said: list[Message], stream: AsyncStream[ChatCompletionChunk]
) -> AsyncGenerator[str, None]:
    """Yield ``token`` events, then ``done`` or ``error``.

    A caller who goes away cancels this generator at its ``yield`` or its ``async for``: the model's
    stream is closed, and nothing of the turn is kept.
    """
    answer, finished = "", False
    try:
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:  # the last chunk has none, only the usage
                    finished = finished or choice.finish_reason is not None
                    if choice.delta.content:
                        answer += choice.delta.content
                        yield _event("token", {"text": choice.delta.content})
        if not finished:
            raise EOFError("the model did not finish")
    except Exception as error:
        agentscope.record_error(error)  # the status was 200: nothing else would say so
        log.exception("the turn failed")
        yield _event("error", {"error": "the model's answer broke off"})
        return
    _remember(session_id, [*said, {"role": "assistant", "content": answer}])
    yield _event("done", {"response": answer})


def _remember(session_id: str, said: list[Message]) -> None:
    sessions[session_id] = said[-KEPT_MESSAGES:]
    sessions.move_to_end(session_id)
    while len(sessions) > KEPT_SESSIONS:
        sessions.popitem(last=False)


def _event(name: str, data: Message) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
