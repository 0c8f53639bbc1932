"""An agent of pydantic-ai that asks twice around a tool, run and streamed."""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent


async def look_up(key: str) -> str:
    """Look something up."""
    return key.upper()


def ask() -> None:
    asyncio.run(ask_async())


async def ask_async() -> None:
    for model in ("openai-chat:mock@depth=1;calls=1", "anthropic:mock@depth=1;calls=1"):
        agent = Agent(model, tools=[look_up])
        await agent.run("Hello")
        async with agent.run_stream("Hello") as result:
            async for _ in result.stream_text():
                pass
