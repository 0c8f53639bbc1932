"""An agent of openai-agents that asks twice around a tool, run and streamed."""

from __future__ import annotations

import asyncio

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from agents.tracing import set_trace_processors
from openai import AsyncOpenAI

set_trace_processors([])  # else the library sends its own traces to OpenAI


@function_tool
async def look_up(key: str) -> str:
    """Look something up."""
    return key.upper()


def ask() -> None:
    asyncio.run(ask_async())


async def ask_async() -> None:
    async with AsyncOpenAI() as client:
        model = OpenAIChatCompletionsModel("mock@depth=1;calls=1", openai_client=client)
        agent = Agent(name="agent", model=model, tools=[look_up])
        await Runner.run(agent, "Hello")
        result = Runner.run_streamed(agent, "Hello")
        async for _ in result.stream_events():
            pass
