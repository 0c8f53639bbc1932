"""The LangGraph example over real HTTP: what one line records of a graph that nobody decorated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agentscope import conventions as names
from agentscope.lab.mock_llm import MockLlmSettings, running

Example = Any  # the folder's RecordedExample
Events = Callable[[str], list[tuple[str, Any]]]

ROUTE = "POST /api/threads/{thread_id}/messages"
PATH = "/api/threads/alice/messages"
QUESTION = {"message": "How do I get from Vienna to Prague, and what is 39 EUR in crowns?"}

ONE_ROUND = "out=8;depth=1;calls=2;tools=find_train:1,convert_money:1,get_weather:0"
"""Two tools at a time, then an answer in words."""

TREE = [
    ROUTE,
    "  agent",
    "    chat gpt-4o-mini",
    "      POST",
    "  execute_tool convert_money",
    "  execute_tool find_train",
    "  agent",
    "    chat gpt-4o-mini",
    "      POST",
]


@pytest.fixture
def example(recorded_example: Callable[[str], Example]) -> Iterator[Example]:
    example = recorded_example("langgraph_agent")
    yield example
    assert "Traceback" not in example.log.read_text(), example.log.read_text()


def tree_of(spans: list[dict[str, Any]], root: dict[str, Any]) -> list[str]:
    """The names below ``root``, indented.

    Parallel tools stand in the order of their names; the waits for connections are left out.
    """
    lines: list[str] = []

    def walk(span: dict[str, Any], depth: int) -> None:
        lines.append("  " * depth + span["name"])
        below = [each for each in spans if each.get("parentSpanId") == span["spanId"]]
        tools = iter(sorted((each for each in below if _is_tool(each)), key=lambda s: s["name"]))
        for each in below:
            if not each["name"].startswith("wait "):
                walk(next(tools) if _is_tool(each) else each, depth + 1)

    walk(root, 0)
    return lines


def _is_tool(span: dict[str, Any]) -> bool:
    return span["attributes"].get(names.OPERATION_NAME) == "execute_tool"


def turns_of(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in spans if names.TURN in span["attributes"]]


def calls_of(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in spans if span["attributes"].get(names.OPERATION_NAME) == "chat"]


def test_a_turn_is_recorded_node_by_node_and_tool_by_tool(example: Example) -> None:
    """Two turns in one thread: nodes are phases, tools lie under the turn, one span a model call."""
    settings = MockLlmSettings(port=0, knobs=f"profile=instant;{ONE_ROUND}")
    with running(settings) as mock, example.serving(mock) as client:
        answers = [client.post(PATH, json=QUESTION) for _ in range(2)]
        stats = httpx.get(f"{mock.base_url.removesuffix('/v1')}/stats").json()
        assert client.get("/nowhere").status_code == 404

    assert [answer.status_code for answer in answers] == [200, 200]
    assert all(answer.json()["response"] for answer in answers)
    spans = example.spans()
    turns = turns_of(spans)
    assert [tree_of(spans, turn) for turn in turns] == [TREE, TREE]
    assert {turn["attributes"][names.CONVERSATION_ID] for turn in turns} == {"alice"}
    assert len(calls_of(spans)) == stats["requests"]["received"] == 4
    sizes = [int(call["attributes"][names.INPUT_TOKENS]) for call in calls_of(spans)]
    assert sizes == sorted(set(sizes)), "the thread's history grows from call to call"
    tools = [span for span in spans if _is_tool(span)]
    assert len({span["attributes"][names.TOOL_CALL_ID] for span in tools}) == 4
    for first, second in (tools[:2], tools[2:]):
        assert int(second["startTimeUnixNano"]) < int(first["endTimeUnixNano"]), "side by side"


def test_a_streamed_turn_has_the_same_tree_and_its_first_moments(
    example: Example, events_of: Events
) -> None:
    """The caller sees the tools, then the words; the recording, each first chunk and first byte."""
    settings = MockLlmSettings(port=0, knobs=f"ttft=40;itl=10;{ONE_ROUND}")
    with running(settings) as mock, example.serving(mock) as client:
        answer = client.post(PATH, json=QUESTION, headers={"accept": "text/event-stream"})
        assert mock.app.counters.received == 2

    *events, (last, done) = events_of(answer.text)
    assert [name for name, _ in events[:2]] == ["tool", "tool"]
    assert {data["name"] for _, data in events[:2]} == {"convert_money", "find_train"}
    assert {name for name, _ in events[2:]} == {"token"}
    assert (last, done["response"]) == ("done", "".join(data["text"] for _, data in events[2:]))
    spans = example.spans()
    (turn,) = turns_of(spans)
    assert tree_of(spans, turn) == TREE
    for call in calls_of(spans):
        assert call["attributes"][names.REQUEST_STREAM] is True
        assert call["attributes"][names.TIME_TO_FIRST_CHUNK] >= 0.04
        assert int(call["attributes"][names.OUTPUT_TOKENS]) > 0
    assert turn["attributes"][names.TIME_TO_FIRST_BYTE] >= 0.04
    assert turn["attributes"][names.OUTCOME] == "ok"


def test_a_caller_who_goes_away_leaves_nothing_open(example: Example) -> None:
    """Everything under way is cancelled, and the thread can go on."""
    with (
        running(MockLlmSettings(port=0, knobs="ttft=20;itl=40;out=20;depth=0")) as mock,
        example.serving(mock) as client,
    ):
        with client.stream("POST", PATH, json={**QUESTION, "stream": True}) as answer:
            assert next(answer.iter_lines()) == "event: token"
        counters = mock.app.counters
        deadline = time.monotonic() + 20
        while counters.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (counters.in_flight, counters.abandoned) == (0, 1)
        assert client.post(PATH, json=QUESTION).status_code == 200

    spans = example.spans()
    broken, whole = turns_of(spans)
    assert tree_of(spans, broken) == tree_of(spans, whole) == TREE[:4]
    outcomes = [turn["attributes"][names.OUTCOME] for turn in (broken, whole)]
    assert outcomes == ["cancelled", "ok"]
    ended = [call["attributes"][names.OUTCOME] for call in calls_of(spans)]
    assert ended[0] in {"cancelled", "abandoned"}
    assert ended[1] == "ok"
    manifest = example.manifest()
    assert manifest["open_turns"] == 0
    assert manifest["internal_errors"] == {}


def test_a_model_that_refuses_fails_the_turn(example: Example) -> None:
    """The caller is told 502; node, call and attempt each say that they failed."""
    settings = MockLlmSettings(port=0, knobs="fault=400:1")
    with running(settings) as mock, example.serving(mock) as client:
        assert client.post(PATH, json=QUESTION).status_code == 502

    turn, node, call, attempt = (
        span for span in example.spans() if not span["name"].startswith("wait ")
    )
    assert turn["attributes"][names.OUTCOME] == "error"
    # langchain-openai says what openai said with a class of its own.
    assert node["attributes"][names.ERROR_TYPE].endswith("OpenAIInvalidRequestError")
    assert call["attributes"][names.ERROR_TYPE] == "openai.BadRequestError"
    assert attempt["attributes"][names.ERROR_TYPE] == "400"
