"""Two connections to the model: the third call waits for one."""

from __future__ import annotations

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

app = service("Two connections to the model")
limits = httpx2.Limits(max_connections=200 if HEALTHY else 2)
client = AsyncOpenAI(http_client=DefaultAsyncHttpxClient(limits=limits, timeout=60))


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    return await ask(client, new.message)
