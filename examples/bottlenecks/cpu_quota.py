"""Honest work on the loop, 10 ms a turn, in a container that may use a tenth of a core.

The quota is the container's: this file is the same with and without it.
"""

from __future__ import annotations

import hashlib

from openai import AsyncOpenAI

from .common import MESSAGES, Answer, NewMessage, ask, service

app = service("A tenth of a core")
client = AsyncOpenAI()


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    hashlib.pbkdf2_hmac("sha256", new.message.encode(), session_id.encode(), 5_000)
    return await ask(client, new.message)
