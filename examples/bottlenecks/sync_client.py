"""The synchronous client of the model inside ``async def``: the loop stands still meanwhile."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI

from .common import HEALTHY, MESSAGES, MODEL, Answer, NewMessage, ask, service

app = service("A synchronous client on the loop")
client = AsyncOpenAI()
sync_client = OpenAI()


@app.post(MESSAGES)
async def send_message(session_id: str, new: NewMessage) -> Answer:
    return await ask(client, new.message) if HEALTHY else ask_blocking(new.message)


def ask_blocking(text: str) -> Answer:
    completion = sync_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}]
    )
    return Answer(response=completion.choices[0].message.content or "")
