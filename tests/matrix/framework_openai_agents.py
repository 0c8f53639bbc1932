"""openai-agents' stories: an agent with tools over both interfaces of OpenAI."""

from __future__ import annotations

from typing import Any

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from telling import Tokens, Told, tell

import agentscope


@function_tool
async def look_up(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


@function_tool
def look_up_in_a_thread(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


@function_tool
@agentscope.tool
async def look_up_decorated(key: str) -> str:
    """Look something up."""
    return key.upper()


@function_tool
async def fail(key: str) -> str:
    """Fail; the agent tells the model so."""
    raise LookupError(key)


def agent_of(model: Any, url: str, tools: tuple[Any, ...], knobs: str) -> Any:
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="mock")
    return Agent(
        name="agent",
        model=model(model=f"mock@{knobs}", openai_client=client),
        model_settings=ModelSettings(include_usage=True),
        tools=list(tools),
    )


def used(result: Any) -> Tokens:
    usage = result.context_wrapper.usage
    return Tokens(usage.input_tokens, usage.output_tokens)


def run(model: Any, *tools: Any, knobs: str = "depth=1;calls=1") -> Told:
    async def ask(url: str) -> Tokens:
        return used(await Runner.run(agent_of(model, url, tools or (look_up,), knobs), "Hello"))

    return ask


def run_sync(url: str) -> Tokens:
    tools = (look_up_in_a_thread,)
    return used(
        Runner.run_sync(
            agent_of(OpenAIChatCompletionsModel, url, tools, "depth=1;calls=1"), "Hello"
        )
    )


def run_streamed(model: Any) -> Told:
    async def read(url: str) -> Tokens:
        result = Runner.run_streamed(agent_of(model, url, (look_up,), "depth=1;calls=1"), "Hello")
        async for _ in result.stream_events():
            pass
        return used(result)

    return read


if __name__ == "__main__":
    set_tracing_disabled(True)  # its own traces go to OpenAI
    chat, responses = OpenAIChatCompletionsModel, OpenAIResponsesModel
    tell(
        {
            "chat": run(chat),
            "responses": run(responses),
            "chat, run_sync": run_sync,
            "chat, streamed": run_streamed(chat),
            "responses, streamed": run_streamed(responses),
            "chat, 429 first": run(chat, knobs="depth=0;status=429,200"),
            "responses, 429 first": run(responses, knobs="depth=0;status=429,200"),
            "two tools at once": run(chat, look_up, look_up_in_a_thread, knobs="depth=1;calls=2"),
            "a decorated tool": run(chat, look_up_decorated),
            "a tool that fails": run(chat, fail),
        }
    )
