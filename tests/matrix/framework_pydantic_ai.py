"""pydantic-ai's stories: an agent with tools over each client, run, streamed and retried."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from telling import Tokens, Told, tell

import agentscope


def chat(url: str, knobs: str) -> Any:
    return OpenAIChatModel(
        f"mock@{knobs}", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="mock")
    )


def responses(url: str, knobs: str) -> Any:
    return OpenAIResponsesModel(
        f"mock@{knobs}", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="mock")
    )


def messages(url: str, knobs: str) -> Any:
    return AnthropicModel(f"mock@{knobs}", provider=AnthropicProvider(base_url=url, api_key="mock"))


async def look_up(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


def look_up_in_a_thread(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


@agentscope.tool
async def look_up_decorated(key: str) -> str:
    """Look something up."""
    return key.upper()


async def fail(key: str) -> str:
    """Ask to be called otherwise."""
    raise ModelRetry("not so")


def used(result: Any) -> Tokens:
    return Tokens(result.usage.input_tokens, result.usage.output_tokens)


def run(model: Any, *tools: Any, knobs: str = "depth=1;calls=1") -> Told:
    async def ask(url: str) -> Tokens:
        return used(await Agent(model(url, knobs), tools=tools or [look_up]).run("Hello"))

    return ask


def run_sync(url: str) -> Tokens:
    return used(Agent(chat(url, "depth=1;calls=1"), tools=[look_up_in_a_thread]).run_sync("Hello"))


def run_streamed(model: Any) -> Told:
    async def read(url: str) -> Tokens:
        agent = Agent(model(url, "depth=1;calls=1"), tools=[look_up])
        async with agent.run_stream("Hello") as result:
            async for _ in result.stream_text():
                pass
        return used(result)

    return read


if __name__ == "__main__":
    tell(
        {
            "chat": run(chat),
            "responses": run(responses),
            "messages": run(messages),
            "chat, run_sync": run_sync,
            "chat, streamed": run_streamed(chat),
            "responses, streamed": run_streamed(responses),
            "messages, streamed": run_streamed(messages),
            "chat, 429 first": run(chat, knobs="depth=0;status=429,200"),
            "messages, 429 first": run(messages, knobs="depth=0;status=429,200"),
            "two tools at once": run(chat, look_up, look_up_in_a_thread, knobs="depth=1;calls=2"),
            "a decorated tool": run(chat, look_up_decorated),
            "a tool that asks again": run(chat, fail),
        }
    )
