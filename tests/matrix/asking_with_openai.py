"""Six calls of openai's client; the last answer is given up after its first chunk."""

from __future__ import annotations

import asyncio
from typing import Any

import openai

ASK: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def ask() -> None:
    with openai.OpenAI() as client:
        client.chat.completions.create(**ASK)
        list(client.chat.completions.create(**STREAM))
        client.chat.completions.with_raw_response.create(**ASK).parse()
    asyncio.run(ask_async())


async def ask_async() -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(**ASK)
        async for _ in await client.chat.completions.create(**STREAM):
            pass
        async with await client.chat.completions.create(**STREAM) as stream:
            async for _ in stream:
                break
