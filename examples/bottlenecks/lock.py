"""One lock around the model: the service answers one customer at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from openai import AsyncOpenAI

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

app = service("One lock for everybody")
client = AsyncOpenAI()
one_for_all = asyncio.Lock()
one_each: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    async with one_each[session_id] if HEALTHY else one_for_all:
        return await ask(client, new.message)
