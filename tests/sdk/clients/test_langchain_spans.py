"""LangChain's tools and LangGraph's nodes: one span each, under the right parent, in any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry.context import get_current
from pydantic import BaseModel

import agentscope
from agentscope.clients import uninstrument_clients
from agentscope.testing import Recorded

Story = Callable[[], list[str]]
CALL = {"name": "look_up", "args": {"key": "a"}, "id": "call_1", "type": "tool_call"}


@tool
def look_up(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


@tool("look_up")
async def look_up_async(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        await asyncio.sleep(0)
        return key.upper()


class LookUp(BaseTool):
    """A tool as a class, synchronous only."""

    name: str = "look_up"
    description: str = "Look something up."

    def _run(self, key: str) -> str:
        with agentscope.phase("inside"):
            return key.upper()


@tool("look_up")
@agentscope.tool(name="look_up")
def look_up_decorated(key: str) -> str:
    """Look something up."""
    with agentscope.phase("inside"):
        return key.upper()


class DecoratedLookUp(BaseTool):
    """A tool as a class whose work is decorated."""

    name: str = "look_up"
    description: str = "Look something up."

    @agentscope.tool(name="look_up")
    def _run(self, key: str) -> str:
        with agentscope.phase("inside"):
            return key.upper()


@agentscope.tool(name="look_up")
def look_up_from_above(call: dict[str, Any]) -> Any:
    return look_up.invoke(call)


def ask_async(awaitable: Any) -> Any:
    async def run() -> Any:
        return await awaitable

    return asyncio.run(run())


# --- tools ----------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[], Any]] = {
    "invoke": lambda: look_up.invoke(CALL),
    "run": lambda: look_up.run({"key": "a"}),
    "ainvoke, in a worker thread": lambda: ask_async(look_up.ainvoke(CALL)),
    "arun, in a worker thread": lambda: ask_async(look_up.arun({"key": "a"})),
    "ainvoke": lambda: ask_async(look_up_async.ainvoke(CALL)),
    "arun": lambda: ask_async(look_up_async.arun({"key": "a"})),
    "a class's invoke": lambda: LookUp().invoke(CALL),
    "a class's ainvoke": lambda: ask_async(LookUp().ainvoke(CALL)),
    "decorated below": lambda: look_up_decorated.invoke(CALL),
    "decorated below, in a worker thread": lambda: ask_async(look_up_decorated.ainvoke(CALL)),
    "a class decorated below": lambda: DecoratedLookUp().invoke(CALL),
    "decorated above": lambda: look_up_from_above(CALL),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_is_one_span_however_it_is_called(
    way: str, recorded: Recorded, story: Story
) -> None:
    """Work inside the tool lies under its span, in other threads too."""
    with agentscope.turn("turn"):
        result = WAYS[way]()
    assert getattr(result, "content", result) == "A"
    assert story() == ["execute_tool look_up", " inside"]


def test_a_tool_span_says_which_call_of_the_model_it_is(recorded: Recorded) -> None:
    """Name, operation, the call's id; and the turn is one, for the agent has begun to work."""
    with agentscope.turn("turn"):
        look_up.invoke(CALL)
    assert recorded.span("execute_tool look_up").attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.call.id": "call_1",
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failing_tool_raises_as_it_did_and_says_so(
    asynchronous: bool, recorded: Recorded, story: Story
) -> None:
    """The same exception object comes out; the span has its class."""
    thrown = LookupError("canary")

    def fail() -> str:
        raise thrown

    async def fail_async() -> str:
        raise thrown

    failing = StructuredTool.from_function(fail, fail_async, name="fail", description="Fail.")
    with agentscope.turn("turn"), pytest.raises(LookupError) as raised:
        ask_async(failing.ainvoke({})) if asynchronous else failing.invoke({})
    assert raised.value is thrown
    assert story() == ["execute_tool fail error LookupError"]


def test_an_error_that_langchain_handles_is_still_the_tools(
    recorded: Recorded, story: Story
) -> None:
    """The model is told of it, the caller is not; the tool has failed all the same."""

    def fail() -> str:
        raise ToolException("no such key")

    failing = StructuredTool.from_function(
        fail, name="fail", description="Fail.", handle_tool_error=True
    )
    with agentscope.turn("turn"):
        answer = failing.invoke({**CALL, "name": "fail", "args": {}})
    assert answer.content == "no such key"
    assert story() == ["execute_tool fail _OTHER"]


def test_a_cancelled_tool_is_cancelled(recorded: Recorded, story: Story) -> None:
    """The span ends with the cancellation, which passes."""
    begun = asyncio.Event()

    @tool
    async def hang() -> None:
        """Hang."""
        begun.set()
        await asyncio.Event().wait()

    async def run() -> None:
        with agentscope.turn("turn"):
            running = asyncio.create_task(hang.ainvoke({}))
            await begun.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(run())
    assert story() == ["execute_tool hang cancelled"]


def test_the_context_is_left_as_it_was(recorded: Recorded) -> None:
    """After a tool and after a graph, failed ones too, the turn is current again."""

    def fail(_: Any) -> None:
        raise LookupError("canary")

    with agentscope.turn("turn"):
        before = get_current()
        look_up.invoke(CALL)
        chain(("work", lambda state: work("work"))).compile().invoke({"log": []})
        with pytest.raises(LookupError):
            chain(("fail", fail)).compile().invoke({"log": []})
        assert get_current() is before


def test_outside_of_a_turn_nothing_is_recorded(recorded: Recorded) -> None:
    """A tool or a graph on its own is no part of an agent's work; the user's own phases are."""
    assert look_up.run({"key": "a"}) == "A"
    assert fan().invoke({"log": []})["log"] == ["first", "left", "right"]
    names = [span.name for span in recorded.spans]
    assert sorted(names) == ["in first", "in left", "in right", "inside"]


# --- graphs ---------------------------------------------------------------------------------------


class Log(TypedDict):
    """A graph's state: what was done."""

    log: Annotated[list[str], add]


threads: dict[str, int] = {}


def work(name: str) -> dict[str, list[str]]:
    threads[name] = threading.get_ident()
    with agentscope.phase(f"in {name}"):
        return {"log": [name]}


def fan() -> Any:
    """First, then left and right side by side: LangGraph runs these two in threads."""
    graph = StateGraph(Log)
    for name in ("first", "left", "right"):
        graph.add_node(name, lambda state, name=name: work(name))
    graph.add_edge(START, "first")
    graph.add_edge("first", "left")
    graph.add_edge("first", "right")
    return graph.compile()


def chain(*nodes: tuple[str, Any]) -> StateGraph[Any]:
    graph = StateGraph(Log)
    before = START
    for name, action in nodes:
        graph.add_node(name, action)
        graph.add_edge(before, name)
        before = name
    return graph


async def consume(parts: Any) -> None:
    async for _ in parts:
        pass


GRAPHS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda graph: graph.invoke({"log": []}),
    "stream": lambda graph: list(graph.stream({"log": []})),
    "ainvoke": lambda graph: ask_async(graph.ainvoke({"log": []})),
    "astream": lambda graph: asyncio.run(consume(graph.astream({"log": []}))),
}


@pytest.mark.parametrize("way", GRAPHS)
def test_nodes_are_phases_of_the_turn_in_every_thread(
    way: str, recorded: Recorded, story: Story
) -> None:
    """Three nodes, two of them in worker threads; what each does lies under it and nothing else."""
    threads.clear()
    with agentscope.turn("turn"):
        GRAPHS[way](fan())
    told = story()
    assert told[:2] == ["first", " in first"]
    assert sorted([told[2:4], told[4:6]]) == [["left", " in left"], ["right", " in right"]]
    assert len(told) == 6
    assert threads["left"] != threading.get_ident(), "otherwise this test shows nothing"
    for name in ("first", "left", "right"):
        assert recorded.span(name).attributes == {"agentscope.phase": name}


def test_a_graph_in_a_graph_lies_below_its_node(recorded: Recorded, story: Story) -> None:
    """The inner graph's nodes are phases of the outer one's."""
    inner = chain(("inner", lambda state: work("inner"))).compile()
    with agentscope.turn("turn"):
        chain(("outer", inner)).compile().invoke({"log": []})
    assert story() == ["outer", " inner", "  in inner"]


def test_tasks_of_the_functional_interface_are_phases_too(recorded: Recorded, story: Story) -> None:
    """An entrypoint and what it calls, nested."""

    @task
    def step(number: int) -> int:
        return number + 1

    @entrypoint()
    def workflow(number: int) -> int:
        return step(number).result()

    with agentscope.turn("turn"):
        assert workflow.invoke(1) == 2
    assert story() == ["workflow", " step"]


def test_a_node_that_fails_says_so(recorded: Recorded, story: Story) -> None:
    """The exception passes; the node has its class."""

    def fail(_: Any) -> None:
        raise LookupError("canary")

    with agentscope.turn("turn"), pytest.raises(LookupError):
        chain(("fail", fail)).compile().invoke({"log": []})
    assert story() == ["fail error LookupError"]


def test_an_interrupt_is_no_failure(recorded: Recorded, story: Story) -> None:
    """A graph that asks a human stops by an exception of its own: node and tool have not failed."""

    @tool
    def ask_a_human() -> str:
        """Ask."""
        return str(interrupt("may I?"))

    def act(_: Any) -> dict[str, list[str]]:
        return {"log": [ask_a_human.invoke({})]}

    graph = chain(("act", act)).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with agentscope.turn("turn"):
        assert "__interrupt__" in graph.invoke({"log": []}, thread)
        assert graph.invoke(Command(resume="yes"), thread)["log"] == ["yes"]
    assert story() == ["act", " execute_tool ask_a_human"] * 2


# --- models ---------------------------------------------------------------------------------------


class Answer(BaseModel):
    """What the model is asked for."""

    answer: str


ASKING: dict[str, Callable[[ChatOpenAI], Any]] = {
    "invoke": lambda model: model.invoke("canary"),
    "ainvoke": lambda model: ask_async(model.ainvoke("canary")),
    "stream": lambda model: list(model.stream("canary")),
    "astream": lambda model: asyncio.run(consume(model.astream("canary"))),
    "with tools": lambda model: model.bind_tools([look_up]).invoke("canary"),
    "structured": lambda model: model.with_structured_output(Answer).invoke("canary"),
    "with headers": lambda model: model.model_copy(
        update={"include_response_headers": True}
    ).invoke("canary"),
}


@pytest.mark.parametrize("script", ["200", "429,200"])
@pytest.mark.parametrize("way", ASKING)
def test_chat_openai_is_one_inference_a_call(
    way: str, script: str, recorded: Recorded, story: Story, provider: Any
) -> None:
    """The client's hook makes it, LangChain adds none; hidden attempts and their wait lie below."""
    url = provider.url(script)
    with agentscope.turn("turn"):
        ASKING[way](ChatOpenAI(model="gpt-test", base_url=url, api_key="canary"))  # type: ignore[arg-type] # a str is taken
    attempts = script.split(",")
    assert sum(len(attempts) for key in provider.seen if f"/{key}/" in url) == len(attempts)
    assert story() == ["chat gpt-test ok"] + (
        [" POST #0 200"]
        if len(attempts) == 1
        else [" POST #0 429 429", " wait rate_limit", " POST #1 200"]
    )


def test_everything_is_put_back(recorded: Recorded) -> None:
    """Hooked while recording, the library's own after it; a graph made before goes on."""
    from langgraph.pregel import _runner

    def hooked() -> list[Any]:
        tools = [vars(BaseTool)[name] for name in ("run", "arun")]
        return [*tools, _runner.run_with_retry, _runner.arun_with_retry]

    assert all(hasattr(each, "__wrapped__") for each in hooked())
    originals = [each.__wrapped__ for each in hooked()]
    graph = fan()
    uninstrument_clients()
    assert all(now is then for now, then in zip(hooked(), originals, strict=True))
    with agentscope.turn("turn"):
        assert graph.invoke({"log": []})["log"] == ["first", "left", "right"]
    assert [span.name for span in recorded.spans if span.name == "first"] == []
