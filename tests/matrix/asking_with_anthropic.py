"""Six calls of anthropic's client; the last answer is given up after its first chunk."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic

ASK: dict[str, Any] = {
    "model": "mock",
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "Hello"}],
}


def ask() -> None:
    with anthropic.Anthropic() as client:
        client.messages.create(**ASK)
        list(client.messages.create(**ASK, stream=True))
        with client.messages.stream(**ASK) as stream:
            stream.get_final_message()
    asyncio.run(ask_async())


async def ask_async() -> None:
    async with anthropic.AsyncAnthropic() as client:
        await client.messages.create(**ASK)
        async for _ in await client.messages.create(**ASK, stream=True):
            pass
        async with await client.messages.create(**ASK, stream=True) as stream:
            async for _ in stream:
                break
