"""What the services share: the routes that a conversation needs, a model, the switch."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel

import agentscope

HEALTHY = os.environ.get("BOTTLENECK_HEALTHY") == "1"
"""The same service without its bottleneck."""

MODEL = "gpt-4o-mini"
MESSAGES = "/api/sessions/{session_id}/messages"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class NewMessage(BaseModel):
    message: str


class Answer(BaseModel):
    response: str


def service(title: str, lifespan: Lifespan | None = None) -> FastAPI:
    """An instrumented service that opens and closes sessions; the turn's route is the caller's."""
    app = FastAPI(title=title, lifespan=lifespan)
    agentscope.instrument(app)

    @app.post("/api/sessions", status_code=201)
    async def open_session() -> dict[str, str]:
        return {"session_id": str(uuid.uuid4())}

    @app.delete("/api/sessions/{session_id}", status_code=204)
    async def end_session(session_id: str) -> None:
        return None

    return app


async def ask(client: AsyncOpenAI, text: str) -> Answer:
    """What the model says to ``text``."""
    completion = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}]
    )
    return Answer(response=completion.choices[0].message.content or "")
