"""Synchronous endpoints on four worker threads: the fifth customer waits for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from openai import OpenAI

from .common import HEALTHY, MESSAGES, MODEL, Answer, NewMessage, service

client = OpenAI()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    if not HEALTHY:
        current_default_thread_limiter().total_tokens = 4
    yield


app = service("Four worker threads", lifespan)


@app.post(MESSAGES)
def send_message(session_id: str, new: NewMessage) -> Answer:
    completion = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": new.message}]
    )
    return Answer(response=completion.choices[0].message.content or "")
