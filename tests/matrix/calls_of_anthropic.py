"""The anthropic client as its users use it: how it is made, asked, and all that it can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import pydantic

ASK: Any = {
    "model": "mock",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "Hello"}],
}
TOOLS: Any = [{"name": "look_up", "input_schema": {"type": "object"}}]


class Answer(pydantic.BaseModel):
    """What a parsed answer is parsed into."""

    answer: str


def client(url: str, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="mock", **options)


def async_client(url: str, **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="mock", **options)


def ask(client: Any, model: str, streamed: bool) -> Any:
    """The plain call, awaited or not."""
    options = {"stream": True} if streamed else {}
    return client.messages.create(**{**ASK, "model": model}, **options)


def raw_response(client: anthropic.Anthropic) -> None:
    response = client.messages.with_raw_response.create(**ASK)
    assert response.headers["request-id"]
    assert response.parse().content[0].text


def streamed_raw_response(client: anthropic.Anthropic) -> None:
    response = client.messages.with_raw_response.create(**ASK, stream=True)
    assert len(list(response.parse())) > 2


def streaming_response(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ASK) as response:
        assert response.parse().content[0].text


def stream_helper(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream)


def parse(client: anthropic.Anthropic) -> None:
    message = client.messages.parse(**ASK, output_format=Answer)
    assert isinstance(message.parsed_output, Answer)


def tools(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**{**ASK, "model": "mock@depth=1"}, tools=TOOLS)
    assert message.stop_reason == "tool_use"


def beta(client: anthropic.Anthropic) -> None:
    assert client.beta.messages.create(**ASK).content[0].text


def beta_stream_helper(client: anthropic.Anthropic) -> None:
    with client.beta.messages.stream(**ASK) as stream:
        assert stream.get_final_message().content[0].text


async def awaited_raw_response(client: anthropic.AsyncAnthropic) -> None:
    response: Any = await client.messages.with_raw_response.create(**ASK)
    parsed = response.parse()
    message = await parsed if hasattr(parsed, "__await__") else parsed
    assert message.content[0].text


async def awaited_streaming_response(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.with_streaming_response.create(**ASK) as response:
        assert (await response.parse()).content[0].text


async def awaited_stream_helper(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ASK) as stream:
        assert [text async for text in stream.text_stream]


SHAPES: list[Callable[[anthropic.Anthropic], None]] = [
    raw_response,
    streamed_raw_response,
    streaming_response,
    stream_helper,
    parse,
    tools,
    beta,
    beta_stream_helper,
]
AWAITED_SHAPES: list[Callable[[anthropic.AsyncAnthropic], Awaitable[None]]] = [
    awaited_raw_response,
    awaited_streaming_response,
    awaited_stream_helper,
]
