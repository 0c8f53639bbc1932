"""LangChain's stories: both models in every way of asking, and a LangGraph agent with tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from telling import Tokens, Told, tell

import agentscope

HELLO: Any = {"messages": [{"role": "user", "content": "Hello"}]}


def chat(url: str, knobs: str = "depth=0", **options: Any) -> Any:
    return ChatOpenAI(
        model=f"mock@{knobs}", base_url=f"{url}/v1", api_key="mock", stream_usage=True, **options
    )


def responses(url: str, knobs: str = "depth=0", **options: Any) -> Any:
    return chat(url, knobs, use_responses_api=True, **options)


def messages(url: str, knobs: str = "depth=0", **options: Any) -> Any:
    return ChatAnthropic(model=f"mock@{knobs}", base_url=url, api_key="mock", **options)


@tool
async def look_up(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


@tool
def look_up_in_a_thread(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


def used(answers: Iterable[Any]) -> Tokens:
    usages = [each.usage_metadata for each in answers if isinstance(each, AIMessage)]
    usages = [usage for usage in usages if usage]
    return Tokens(
        sum(usage["input_tokens"] for usage in usages),
        sum(usage["output_tokens"] for usage in usages),
    )


def invoke(model: Any) -> Told:
    return lambda url: used([model(url).invoke("Hello")])


def ainvoke(model: Any) -> Told:
    async def ask(url: str) -> Tokens:
        return used([await model(url).ainvoke("Hello")])

    return ask


def stream(model: Any) -> Told:
    return lambda url: used(model(url).stream("Hello"))


def astream(model: Any) -> Told:
    async def read(url: str) -> Tokens:
        return used([chunk async for chunk in model(url).astream("Hello")])

    return read


def batch(model: Any) -> Told:
    return lambda url: used(model(url).batch(["One", "Two"]))


def retried_inside(model: Any) -> Told:
    return lambda url: used([model(url, "status=429,200").invoke("Hello")])


def agent(model: Any, *tools: Any, knobs: str = "depth=1;calls=1") -> Told:
    async def run(url: str) -> Tokens:
        graph = create_agent(model(url, knobs), list(tools))
        return used((await graph.ainvoke(HELLO))["messages"])

    return run


def agent_streamed(model: Any) -> Told:
    async def read(url: str) -> None:
        graph = create_agent(model(url, "depth=1;calls=1"), [look_up])
        async for _ in graph.astream(HELLO, stream_mode="messages"):
            pass

    return read


def with_fallbacks(url: str) -> Tokens:
    """What LangChain repeats is the model, so each time is a call of its own."""
    model = chat(url, "status=500", max_retries=0).with_retry(
        stop_after_attempt=2, wait_exponential_jitter=False
    )
    return used([model.with_fallbacks([messages(url)]).invoke("Hello")])


if __name__ == "__main__":
    stories: dict[str, Told] = {}
    for model in (chat, responses, messages):
        for way in (invoke, ainvoke, stream, astream, batch, retried_inside):
            stories[f"{model.__name__}, {way.__name__}"] = way(model)
        stories[f"{model.__name__}, agent"] = agent(model, look_up)
        stories[f"{model.__name__}, agent streamed"] = agent_streamed(model)
    stories["two tools at once"] = agent(
        chat, look_up, look_up_in_a_thread, knobs="depth=1;calls=2"
    )
    stories["with_retry, with_fallbacks"] = with_fallbacks
    tell(stories)
