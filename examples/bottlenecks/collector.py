"""A garbage collection forced after every turn, over a heap that takes long to walk."""

from __future__ import annotations

import gc

from openai import AsyncOpenAI

from .common import HEALTHY, MESSAGES, Answer, NewMessage, ask, service

app = service("A collection after every turn")
client = AsyncOpenAI()
index = [{"article": [number], "links": {}} for number in range(400_000)]


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    answer = await ask(client, new.message)
    if not HEALTHY:
        gc.collect()  # "to keep the memory down"
    return answer
