"""OpenAI's Responses over real HTTP, with OpenAI's own client: what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from agentscope.lab.mock_llm.dialects.responses_store import ResponseStore
from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.request import Message

Start = Callable[..., Any]

QUESTION = "Where are my orders 12345 and 67890?"
TOOLS = [
    {
        "type": "function",
        "name": "lookup_order",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}},
            "required": ["order_id"],
        },
    }
]


def test_a_plain_response(start: Start) -> None:
    """Text of the length that was asked for, the usage, and what was asked said back."""
    with start().client() as client:
        answer = client.responses.create(
            model="gpt-5", input=QUESTION, instructions="You help.", tools=TOOLS, tool_choice="none"
        )

    assert answer.output_text == "You asked: Where are my orders 12345 and 67890? "
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "gpt-5")
    assert (answer.instructions, answer.tool_choice) == ("You help.", "none")
    assert [tool.name for tool in answer.tools if tool.type == "function"] == ["lookup_order"]
    assert answer.usage is not None
    tools_tokens = -(-len(json.dumps(TOOLS, separators=(",", ":"))) // 4)
    assert answer.usage.model_dump(exclude_none=True) == {
        "input_tokens": 10 + 4 + tools_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 26 + tools_tokens,
    }


def test_the_events_of_a_stream(start: Start) -> None:
    """Created, item, part, a delta a token, all their ends, and the response; numbered from 0."""
    asked = {"model": "gpt-5", "input": QUESTION, "stream": True}
    status, text = start("profile=instant;out=3").text("POST", "/v1/responses", asked)

    events = [event.splitlines() for event in text.strip().split("\n\n")]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert status == 200
    assert [name for name, _ in events] == [f"event: {each['type']}" for each in data]
    assert [each["sequence_number"] for each in data] == list(range(len(data)))
    assert [each["type"].removeprefix("response.") for each in data] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [each["delta"] for each in data[4:7]] == ["You ", "aske", "d: W"]
    assert data[7]["text"] == "You asked: W"
    assert len({each["item_id"] for each in data if "item_id" in each}) == 1
    assert (data[0]["response"]["status"], data[0]["response"]["output"]) == ("in_progress", [])
    assert data[-1]["response"]["output"] == [data[-2]["item"]]


@pytest.mark.parametrize("tools", [[], TOOLS])
def test_a_stream_adds_up_to_the_plain_response(start: Start, tools: list[Any]) -> None:
    """Text and function calls, whose arguments come in pieces, and the same usage."""
    wanted: dict[str, Any] = {"model": "m", "input": QUESTION, "tools": tools}
    with start("profile=instant;out=40;depth=1;calls=2").client() as client:
        plain = client.responses.create(**wanted)
        with client.responses.stream(**wanted) as stream:
            deltas = [
                event.delta
                for event in stream
                if event.type
                in ("response.output_text.delta", "response.function_call_arguments.delta")
            ]
            streamed = stream.get_final_response()

    assert streamed.output_text == plain.output_text
    assert streamed.usage == plain.usage
    calls = [item for item in plain.output if item.type == "function_call"]
    assert [
        (item.call_id, item.name, item.arguments)
        for item in streamed.output
        if item.type == "function_call"
    ] == [(item.call_id, item.name, item.arguments) for item in calls]
    assert "".join(deltas) == plain.output_text + "".join(item.arguments for item in calls)
    assert len(calls) == (2 if tools else 0)


@pytest.mark.parametrize("stored", [True, False])
def test_tool_calls_then_text_with_the_asynchronous_client(start: Start, stored: bool) -> None:
    """Two rounds of two calls: by the id of the response before, or with all of it said again."""
    server = start("profile=instant;depth=2;calls=2;out=60")
    rounds = []

    async def ask() -> Any:
        said: list[Any] = [{"role": "user", "content": QUESTION}]
        more: dict[str, Any] = {} if stored else {"store": False}
        async with AsyncOpenAI(base_url=server.base_url, api_key="key") as client:
            while True:
                answer = await client.responses.create(model="m", input=said, tools=TOOLS, **more)
                calls = [item for item in answer.output if item.type == "function_call"]
                if not calls:
                    return answer
                rounds.append([json.loads(call.arguments) for call in calls])
                said = [] if stored else [*said, *answer.output]
                said += [
                    {
                        "type": "function_call_output",
                        "call_id": call.call_id,
                        "output": f"{call.arguments} ok",
                    }
                    for call in calls
                ]
                if stored:
                    more = {"previous_response_id": answer.id}

    answer = asyncio.run(ask())

    assert rounds == [[{"order_id": "12345"}, {"order_id": "67890"}]] * 2
    assert answer.output_text.startswith('I looked it up: {"order_id": "67890"} ok.')
    assert answer.usage.input_tokens > 100  # the whole history, wherever it came from


def test_both_ways_to_go_on_are_the_same_conversation(start: Start) -> None:
    """A response by its id gives the answer and the usage that its text said again gives."""
    with start("profile=instant;out=30").client() as client:
        first = client.responses.create(model="m", input=QUESTION)
        by_id = client.responses.create(
            model="m", input="And 11111?", previous_response_id=first.id
        )
        again = client.responses.create(
            model="m",
            input=[
                {"role": "user", "content": QUESTION},
                {"role": "assistant", "content": first.output_text},
                {"role": "user", "content": "And 11111?"},
            ],
        )

    assert by_id.previous_response_id == first.id
    assert (by_id.output_text, by_id.usage) == (again.output_text, again.usage)


def test_instructions_hold_for_one_response(start: Start) -> None:
    """The next one of the conversation does not have them."""
    with start().client() as client:
        first = client.responses.create(model="m", input=QUESTION, instructions="x" * 400)
        later = client.responses.create(model="m", input="Hi", previous_response_id=first.id)

    assert first.usage is not None
    assert later.usage is not None
    assert first.usage.input_tokens == 101 + 10
    assert later.usage.input_tokens == 10 + 13 + 2


def test_an_output_limit_leaves_the_response_incomplete(start: Start) -> None:
    """Plain and streamed: the status says so, and why."""
    with start("profile=instant;out=30").client() as client:
        plain = client.responses.create(model="m", input=QUESTION, max_output_tokens=3)
        with client.responses.create(
            model="m", input=QUESTION, max_output_tokens=3, stream=True
        ) as stream:
            last = list(stream)[-1]

    assert last.type == "response.incomplete"
    for answer in (plain, last.response):
        assert answer.incomplete_details is not None
        assert (answer.status, answer.incomplete_details.reason, answer.output_text) == (
            "incomplete",
            "max_output_tokens",
            "You asked: W",
        )


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        ("auto", 0),
        ("required", 3),
        ({"type": "function", "name": "lookup_order"}, 1),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "lookup_order"}],
            },
            3,
        ),
    ],
)
def test_the_tool_choice_is_respected(shared: Any, choice: Any, calls: int) -> None:
    """A forced call comes at depth 0 too."""
    model = "m@depth=0;calls=3"
    with shared.client() as client:
        answer = client.responses.create(
            model=model, input=QUESTION, tools=TOOLS, tool_choice=choice
        )

    assert [item.type for item in answer.output] == ["function_call"] * calls or ["message"]


def test_structured_output_follows_its_schema(start: Start) -> None:
    """text.format gives JSON that the schema describes."""
    schema = {
        "type": "object",
        "properties": {"order_id": {"type": "integer"}},
        "required": ["order_id"],
    }
    wanted = {"format": {"type": "json_schema", "name": "order", "schema": schema}}
    with start().client() as client:
        answer = client.responses.create(model="m", input=QUESTION, text=wanted)

    assert json.loads(answer.output_text) == {"order_id": 12345}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"input": []}, "Missing required parameter: 'input'"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "Invalid value: 'wizard'"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "Invalid value: 'item_reference'"),
        (
            {"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]},
            "No tool call found for function call output with call_id a.",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": ""}]},
            "No tool output found for function call a.",
        ),
        ({"previous_response_id": "resp_x"}, "Previous response with id 'resp_x' not found."),
        ({"background": True}, "This mock has no 'background'"),
        ({"max_output_tokens": 0}, "expected 1 or more"),
        ({"tool_choice": "required"}, "only allowed when 'tools'"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "x"}}, "'x' not found"),
        ({"text": {"format": {"type": "xml"}}}, "Invalid value: 'xml'"),
    ],
)
def test_bad_requests_say_what_is_wrong(shared: Any, change: dict[str, Any], part: str) -> None:
    """Status 400, in OpenAI's shape."""
    with shared.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"model": "m", "input": QUESTION, **change})

    assert part in caught.value.message


def test_an_unanswered_call_of_the_response_before_is_refused(start: Start) -> None:
    """Who goes on by id must bring the outputs of its calls."""
    with start("profile=instant;depth=1;calls=1").client() as client:
        first = client.responses.create(model="m", input=QUESTION, tools=TOOLS)
        with pytest.raises(openai.BadRequestError, match="No tool output found"):
            client.responses.create(model="m", input="Hi", previous_response_id=first.id)


def test_chat_and_responses_share_a_quota(start: Start) -> None:
    """One key and one model: what one address takes, the other does not have."""
    with start(rpm=2, clock_ns=lambda: 0).client() as client:
        client.responses.create(model="m", input=QUESTION)
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.RateLimitError, match="Limit 2, Used 2, Requested 1"):
            client.responses.create(model="m", input=QUESTION)


def test_the_store_is_bounded() -> None:
    """By histories and by the characters in them; the one used longest ago is forgotten."""
    store = ResponseStore(max_count=2, max_chars=100)
    for name in ("a", "b"):
        store.keep(name, [Message("user", name * 30)])
    store.history("a")
    store.keep("c", [Message("user", "c" * 30)])

    assert [message.text for message in store.history("a")] == ["a" * 30]
    with pytest.raises(ApiError, match="'b' not found"):
        store.history("b")
    store.keep("d", [Message("user", "d" * 90)])
    for name in ("a", "c"):
        with pytest.raises(ApiError, match=f"'{name}' not found"):
            store.history(name)
    assert len(store.history("d")) == 1
