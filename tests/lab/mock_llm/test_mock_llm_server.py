"""The server over real HTTP, with the clients that services use: what it answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

Start = Callable[..., Any]

QUESTION = [{"role": "user", "content": "Where are my orders 12345 and 67890?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup_order",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string"}},
                "required": ["order_id"],
            },
        },
    }
]


def test_a_plain_answer(start: Start) -> None:
    """Text of the length that was asked for, and the usage that goes with it."""
    with start().client() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION)

    choice = answer.choices[0]
    assert (answer.model, choice.finish_reason, choice.message.role) == (
        "gpt-4o",
        "stop",
        "assistant",
    )
    assert choice.message.content == "You asked: Where are my orders 12345 and 67890? "
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens == 10
    assert answer.usage.total_tokens == 22


def test_a_streamed_answer_is_the_plain_one_in_pieces(start: Start) -> None:
    """One event a token; usage in the last chunk, where it was asked for."""
    with start("profile=instant;out=40").client() as client:
        plain = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
        with client.chat.completions.create(
            model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        ) as stream:
            chunks = list(stream)

    pieces = [c.choices[0].delta.content for c in chunks if c.choices]
    assert "".join(piece or "" for piece in pieces) == plain.choices[0].message.content
    assert len([piece for piece in pieces if piece]) == 40
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-2:] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage
    assert {chunk.usage for chunk in chunks[:-1]} == {None}


async def ask_until_answered(client: AsyncOpenAI, messages: list[Any], **more: Any) -> list[int]:
    """A tool loop as services write it: parallel calls of each round, and how many they were."""
    rounds = []
    while True:
        answer = await client.chat.completions.create(
            model="gpt-4o", messages=messages, tools=TOOLS, **more
        )
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            assert answer.choices[0].finish_reason == "stop"
            return rounds
        assert answer.choices[0].finish_reason == "tool_calls"
        rounds.append(len(message.tool_calls))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.arguments} ok"}
            for call in message.tool_calls
        ]


def test_tool_calls_then_text_with_the_asynchronous_client(start: Start) -> None:
    """Two rounds of two parallel calls, then an answer that has read the last result."""
    server = start("profile=instant;depth=2;calls=2;out=60")
    messages: list[Any] = list(QUESTION)

    async def ask() -> list[int]:
        async with AsyncOpenAI(base_url=server.base_url, api_key="key") as client:
            return await ask_until_answered(client, messages)

    assert asyncio.run(ask()) == [2, 2]
    first_round = [json.loads(c["function"]["arguments"]) for c in messages[1]["tool_calls"]]
    assert first_round == [{"order_id": "12345"}, {"order_id": "67890"}]
    assert messages[-1]["content"].startswith('I looked it up: {"order_id": "67890"} ok.')


def test_streamed_tool_calls_add_up_to_the_plain_ones(start: Start) -> None:
    """Names and ids first, arguments in pieces, two calls after one another."""
    server = start("profile=instant;depth=1;calls=2")
    wanted: dict[str, Any] = {"model": "gpt-4o", "messages": QUESTION, "tools": TOOLS}
    with server.client() as client:
        plain = client.chat.completions.create(**wanted).choices[0].message
        with client.chat.completions.stream(**wanted) as stream:
            streamed = stream.get_final_completion().choices[0]

    assert plain.tool_calls is not None
    assert streamed.message.tool_calls is not None
    assert [(c.id, c.function.name, c.function.arguments) for c in plain.tool_calls] == [
        (c.id, c.function.name, c.function.arguments) for c in streamed.message.tool_calls
    ]
    assert streamed.finish_reason == "tool_calls"


def test_knobs_in_the_models_name_reach_one_request(start: Start) -> None:
    """``@depth=0`` turns the tools off for that request; the answer names the plain model."""
    with start("profile=instant;depth=1").client() as client:
        called = client.chat.completions.create(model="m", messages=QUESTION, tools=TOOLS)
        spoken = client.chat.completions.create(
            model="m@depth=0;out=3", messages=QUESTION, tools=TOOLS
        )
        with pytest.raises(openai.BadRequestError, match="unknown knob 'dpeth=0'"):
            client.chat.completions.create(model="m@dpeth=0", messages=QUESTION)

    assert called.choices[0].message.tool_calls
    assert (spoken.model, spoken.choices[0].message.content) == ("m", "You asked: W")


def test_answers_in_json_follow_their_schema(start: Start) -> None:
    """json_schema gives what the schema describes, json_object an object."""
    described = {
        "type": "object",
        "properties": {"order_id": {"type": "integer"}, "urgent": {"type": "boolean"}},
        "required": ["order_id", "urgent"],
        "additionalProperties": False,
    }
    with start().client() as client:
        by_schema, free = (
            json.loads(
                client.chat.completions.create(
                    model="m", messages=QUESTION, response_format=wanted
                ).choices[0].message.content
                or ""
            )
            for wanted in (
                {"type": "json_schema", "json_schema": {"name": "o", "schema": described}},
                {"type": "json_object"},
            )
        )  # fmt: skip

    assert by_schema == {"order_id": 12345, "urgent": by_schema["urgent"]}
    assert isinstance(by_schema["urgent"], bool)
    assert list(free) == ["answer"]


def test_an_output_limit_ends_the_answer(start: Start) -> None:
    """max_tokens cuts the text and says so."""
    with start().client() as client:
        answer = client.chat.completions.create(model="m", messages=QUESTION, max_tokens=5)

    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "You asked: Where are"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_reasoning_is_counted_and_a_long_history_is_cached(start: Start) -> None:
    """Reasoning tokens are output tokens; what an earlier call had sent is cached input."""
    long_history = [
        {"role": "system", "content": "x" * 8_000},
        *QUESTION,
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": "Thanks."},
    ]
    with start("profile=instant;out=12;reasoning=30").client() as client:
        usage = client.chat.completions.create(model="m", messages=long_history).usage

    assert usage is not None
    assert usage.prompt_tokens == 2_001 + 10 + 3 + 3
    assert usage.completion_tokens == 42
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 30
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1_920


def test_the_answer_keeps_its_times(start: Start) -> None:
    """First token after 120 ms, then 10 ms each: streamed or not, it is never early."""
    with start("ttft=120;itl=10;out=20").client() as client:
        began = time.monotonic()
        with client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
            arrivals = [time.monotonic() - began for _ in stream]
        began = time.monotonic()
        plain = client.chat.completions.with_raw_response.create(model="m", messages=QUESTION)
        whole_s = time.monotonic() - began

    assert 0.115 < arrivals[0] < 1.0
    assert arrivals[11] > 0.215  # the role's chunk, then tokens 0 to 10
    assert 0.315 < arrivals[-1] < 2.0
    assert 0.315 < whole_s < 2.0
    assert 315 <= int(plain.headers["openai-processing-ms"]) < 2_000


def test_other_addresses(start: Start) -> None:
    """Health, the list of models, and a hint for a wrong base_url."""
    server = start()
    with server.client() as client:
        names = [model.id for model in client.models.list()]

    assert "frontier" in names
    assert server.raw("GET", "/healthz") == (200, {"status": "ok"})
    status, answer = server.raw("POST", "/chat/completions", b"{}")
    assert status == 404
    assert "POST /v1/chat/completions" in answer["error"]["message"]


def test_the_same_seed_gives_the_same_answers_at_another_server(start: Start) -> None:
    """Answers depend on seed and conversation; another seed gives others."""
    settings = [{"seed": 1}, {"seed": 1}, {"seed": 2}]
    runs = []
    for chosen in settings:
        with start("profile=instant", **chosen).client() as client:
            answers = [
                client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": f"question {n}"}], tools=TOOLS
                ).choices[0].message.model_dump()
                for n in range(10)
            ]  # fmt: skip
            runs.append(answers)

    assert runs[0] == runs[1] != runs[2]
