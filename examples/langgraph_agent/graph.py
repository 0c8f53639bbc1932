"""The graph: ask the model, run the tools it wants, until it answers in words."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage, trim_messages
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from .tools import TOOLS

INSTRUCTIONS = SystemMessage(
    "You plan train journeys. Look up trains, weather and prices with the tools before you state "
    "them; say so when there is no train. Be brief and friendly."
)

HISTORY_MESSAGES = 60
"""Older messages are kept, but no longer sent to the model."""


def build_graph(model: BaseChatModel) -> CompiledStateGraph[Any]:
    """A ReAct agent (Yao et al., 2022) that remembers each thread in this process's memory."""
    with_tools = model.bind_tools(TOOLS)

    async def agent(state: MessagesState) -> dict[str, list[AnyMessage]]:
        messages = [INSTRUCTIONS, *conversation(state["messages"])]
        return {"messages": [await with_tools.ainvoke(messages)]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return graph.compile(checkpointer=InMemorySaver())


def conversation(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The latest messages, from a user's on, without calls that were never answered.

    A caller who goes away in the middle of a turn leaves such calls, and the model's API refuses
    a history that has one.
    """
    latest = trim_messages(
        messages,
        max_tokens=HISTORY_MESSAGES,
        token_counter=len,
        strategy="last",
        start_on="human",
    )
    answered = {each.tool_call_id for each in latest if isinstance(each, ToolMessage)}
    broken_off = {
        call["id"]
        for each in latest
        if isinstance(each, AIMessage) and not {c["id"] for c in each.tool_calls} <= answered
        for call in each.tool_calls
    }
    return [each for each in latest if not broken_off & _calls_of(each)]


def _calls_of(message: AnyMessage) -> set[str | None]:
    if isinstance(message, AIMessage):
        return {call["id"] for call in message.tool_calls}
    return {message.tool_call_id} if isinstance(message, ToolMessage) else set()
