"""Calls of LangChain's models, and an agent that asks twice around a tool."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
async def look_up(key: str) -> str:
    """Look something up."""
    return key.upper()


def ask() -> None:
    for model in (ChatOpenAI(model="mock"), ChatAnthropic(model="mock")):
        model.invoke("Hello")
        list(model.stream("Hello"))
    asyncio.run(ask_async())


async def ask_async() -> None:
    await ChatOpenAI(model="mock").ainvoke("Hello")
    graph = create_agent(ChatOpenAI(model="mock@depth=1;calls=1"), [look_up])
    hello: Any = {"messages": [{"role": "user", "content": "Hello"}]}
    await graph.ainvoke(hello)
