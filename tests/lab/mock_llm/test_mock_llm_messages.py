"""Anthropic's Messages over real HTTP, with Anthropic's own client: what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

Start = Callable[..., Any]

QUESTION = [{"role": "user", "content": "Where are my orders 12345 and 67890?"}]
TOOLS = [
    {
        "name": "lookup_order",
        "input_schema": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}},
            "required": ["order_id"],
        },
    }
]
ASKED: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": QUESTION}


def test_a_plain_message(start: Start) -> None:
    """Text of the length that was asked for, and the usage that goes with it."""
    with start().anthropic() as client:
        answer = client.messages.create(**ASKED, system="You help.")

    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "claude")
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert [(block.type, block.text) for block in answer.content] == [
        ("text", "You asked: Where are my orders 12345 and 67890? ")
    ]
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (10 + 4, 12)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (0, 0)


def test_the_events_of_a_stream(start: Start) -> None:
    """Start, block, ping, a delta a token, the block's end, reason with usage, and the end."""
    server = start("profile=instant;out=3")
    status, text = server.text("POST", "/v1/messages", {**ASKED, "stream": True})

    events = [event.splitlines() for event in text.strip().split("\n\n")]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert status == 200
    assert [name for name, _ in events] == [f"event: {each['type']}" for each in data]
    assert data[0]["message"]["content"] == []
    assert data[0]["message"]["stop_reason"] is None
    assert data[0]["message"]["usage"]["input_tokens"] == 10
    assert data[1:] == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "", "citations": None},
        },
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in ("You ", "aske", "d: W")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 3,
                "output_tokens_details": {"thinking_tokens": 0},
            },
        },
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize("tools", [[], TOOLS])
def test_a_stream_adds_up_to_the_plain_message(start: Start, tools: list[Any]) -> None:
    """Text and tool calls, whose arguments come in pieces of JSON, and the same usage."""
    with start("profile=instant;out=40;depth=1;calls=2").anthropic() as client:
        plain = client.messages.create(**ASKED, tools=tools)
        with client.messages.stream(**ASKED, tools=tools) as stream:
            streamed = stream.get_final_message()

    def told(message: Any) -> Any:
        return message.model_dump(exclude={"id": True, "content": {"__all__": {"parsed_output"}}})

    assert told(streamed) == told(plain)
    assert len(plain.content) == (2 if tools else 1)


async def ask_until_answered(client: AsyncAnthropic, messages: list[Any]) -> list[int]:
    """A tool loop as services write it: parallel calls of each round, and how many they were."""
    rounds = []
    while True:
        async with client.messages.stream(
            model="claude", max_tokens=100, messages=messages, tools=TOOLS
        ) as stream:
            answer = await stream.get_final_message()
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            assert answer.stop_reason == "end_turn"
            return rounds
        assert answer.stop_reason == "tool_use"
        rounds.append(len(calls))
        ended = {call.id: [{"type": "text", "text": f"{call.input} ok"}] for call in calls}
        results = [
            {"type": "tool_result", "tool_use_id": call_id, "content": content}
            for call_id, content in ended.items()
        ]
        messages.append({"role": "user", "content": [*results, REMINDER]})


REMINDER = {"type": "text", "text": "Keep it short."}


def test_tool_calls_then_text_with_the_asynchronous_client(start: Start) -> None:
    """Two rounds of two calls, in spite of text beside the results; then an answer that read them."""
    server = start("profile=instant;depth=2;calls=2;out=60")
    messages: list[Any] = list(QUESTION)

    async def ask() -> list[int]:
        async with AsyncAnthropic(base_url=server.anthropic_base_url, api_key="key") as client:
            return await ask_until_answered(client, messages)

    assert asyncio.run(ask()) == [2, 2]
    first_round = [block.input for block in messages[1]["content"]]
    assert first_round == [{"order_id": "12345"}, {"order_id": "67890"}]
    assert messages[-1]["content"][0].text.startswith("I looked it up: {'order_id': '67890'} ok.")


@pytest.mark.parametrize(
    ("choice", "depth", "calls"),
    [
        ({"type": "auto"}, 1, 3),
        ({"type": "auto", "disable_parallel_tool_use": True}, 1, 1),
        ({"type": "auto"}, 0, 0),
        ({"type": "any"}, 0, 3),
        ({"type": "tool", "name": "lookup_order"}, 0, 1),
        ({"type": "none"}, 1, 0),
    ],
)
def test_the_tool_choice_is_respected(
    shared: Any, choice: dict[str, Any], depth: int, calls: int
) -> None:
    """A forced call comes at depth 0 too, and none where there must be none."""
    asked = {**ASKED, "model": f"claude@depth={depth};calls=3"}
    with shared.anthropic() as client:
        answer = client.messages.create(**asked, tools=TOOLS, tool_choice=choice)

    assert [block.type for block in answer.content] == ["tool_use"] * calls or ["text"]
    assert answer.stop_reason == ("tool_use" if calls else "end_turn")


def test_an_output_limit_ends_the_message(start: Start) -> None:
    """max_tokens cuts the text and says so; with 0 there is none at all."""
    with start("profile=instant;out=12;reasoning=2").anthropic() as client:
        short = client.messages.create(**{**ASKED, "max_tokens": 5})
        empty = client.messages.create(**{**ASKED, "max_tokens": 0})

    assert (short.stop_reason, short.content[0].text) == ("max_tokens", "You asked: W")
    assert short.usage.output_tokens == 5
    assert short.usage.output_tokens_details is not None
    assert short.usage.output_tokens_details.thinking_tokens == 2
    assert (empty.stop_reason, empty.content, empty.usage.output_tokens) == ("max_tokens", [], 0)


def test_structured_output_follows_its_schema(start: Start) -> None:
    """output_config gives JSON that the schema describes."""
    schema = {
        "type": "object",
        "properties": {"order_id": {"type": "integer"}},
        "required": ["order_id"],
    }
    wanted = {"format": {"type": "json_schema", "schema": schema}}
    with start().anthropic() as client:
        answer = client.messages.create(**ASKED, output_config=wanted)

    assert json.loads(answer.content[0].text) == {"order_id": 12345}


def test_only_what_is_marked_is_cached(start: Start) -> None:
    """The first call pays for the marked prefix, the next reads it; unmarked input is never read."""
    system = [{"type": "text", "text": "x" * 8_000, "cache_control": {"type": "ephemeral"}}]
    later = [
        *QUESTION,
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": "Thanks."},
    ]

    def usage(**request: Any) -> tuple[int, int, int]:
        used = client.messages.create(**{**ASKED, **request}).usage
        return (
            used.input_tokens,
            used.cache_creation_input_tokens or 0,
            used.cache_read_input_tokens or 0,
        )

    with start().anthropic() as client:
        assert usage(system=system) == (10, 2_001, 0)
        assert usage(system=system, messages=later) == (10 + 3 + 3, 0, 2_001)
        assert usage(system="x" * 8_000, messages=later) == (2_001 + 16, 0, 0)
        everything = {"type": "ephemeral"}
        assert usage(system=system, messages=later, cache_control=everything) == (0, 6, 2_011)
        assert usage(cache_control=everything) == (10, 0, 0)  # too short to be cached


def call(*ids: str) -> dict[str, Any]:
    blocks = [{"type": "tool_use", "id": i, "name": "lookup_order", "input": {}} for i in ids]
    return {"role": "assistant", "content": blocks}


def results(*ids: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i} for i in ids]}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"messages": []}, "at least one message is required"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'must use the "user" role'),
        ({"messages": [{"role": "user", "content": 5}]}, "Expected `str | array`"),
        ({"messages": [*QUESTION, results("a")]}, "unexpected `tool_use_id` found"),
        ({"messages": [*QUESTION, call("a", "b"), results("a")]}, "immediately after: b."),
        ({"messages": [*QUESTION, call("a"), *QUESTION]}, "messages.1: `tool_use` ids were found"),
        (
            {
                "messages": [
                    *QUESTION,
                    call("a"),
                    {"role": "user", "content": [REMINDER, *results("a")["content"]]},
                ]
            },
            "must come before any other content",
        ),
        ({"tool_choice": {"type": "any"}}, "only be specified while providing `tools`"),
        ({"tools": TOOLS, "tool_choice": {"type": "all"}}, "Input tag 'all'"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "tool 'x' not found"),
        ({"model": ""}, "model: expected 1 to 1000 characters"),
        ({"model": "m@dpeth=1"}, "unknown knob 'dpeth=1'"),
    ],
)
def test_bad_requests_are_answered_in_anthropics_shape(
    shared: Any, change: dict[str, Any], part: str
) -> None:
    """Status 400, the error's kind, and a message that says what is wrong."""
    with shared.anthropic() as client, pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**{**ASKED, **change})

    body: Any = caught.value.body
    assert part in body["error"]["message"]
    assert body == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": body["error"]["message"]},
        "request_id": caught.value.request_id,
    }


def test_results_may_come_in_several_messages(start: Start) -> None:
    """User messages in a row are one, as Anthropic reads them."""
    history = [*QUESTION, call("a", "b"), results("a"), results("b")]
    with start("profile=instant;depth=1").anthropic() as client:
        answer = client.messages.create(**{**ASKED, "messages": history}, tools=TOOLS)

    assert answer.stop_reason == "end_turn"


def test_other_errors_have_their_kinds(start: Start) -> None:
    """No such address, a body that is too large, and JSON that is none."""
    server = start(max_body_bytes=1_000)

    def kind(path: str, body: bytes) -> tuple[int, str]:
        status, answer = server.raw("POST", path, body, anthropic_version="2023-06-01")
        return status, answer["error"]["type"]

    assert kind("/v1/v1/messages", b"{}") == (404, "not_found_error")
    assert kind("/v1/messages", b" " * 5_000) == (413, "request_too_large")
    assert kind("/v1/messages", b"{") == (400, "invalid_request_error")


def test_anthropics_client_lists_the_models(start: Start) -> None:
    """The profiles, by name."""
    with start().anthropic() as client:
        assert "frontier" in [model.id for model in client.models.list()]
