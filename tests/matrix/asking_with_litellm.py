"""Calls of LiteLLM, through the openai client and through its own."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm

HELLO = [{"role": "user", "content": "Hello"}]


def ask() -> None:
    for model in ("openai/mock", "anthropic/mock"):
        litellm.completion(model, HELLO)
        list(litellm.completion(model, HELLO, stream=True))
        asyncio.run(ask_async(model))


async def ask_async(model: str) -> Any:
    await litellm.acompletion(model, HELLO)
    async for _ in await litellm.acompletion(model, HELLO, stream=True):
        pass
