"""The openai client as its users use it: how it is made, asked, and all that it can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pydantic

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
USAGE: Any = {"include_usage": True}
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]


class Answer(pydantic.BaseModel):
    """What a parsed answer is parsed into."""

    answer: str


def client(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="mock", **options)


def async_client(url: str, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="mock", **options)


def ask(client: Any, model: str, streamed: bool) -> Any:
    """The plain call, awaited or not."""
    options = {"stream": True, "stream_options": USAGE} if streamed else {}
    return client.chat.completions.create(model=model, messages=MESSAGES, **options)


def raw_response(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_raw_response.create
    response = create(model="mock", messages=MESSAGES)
    assert response.headers["x-request-id"]
    assert response.parse().choices[0].message.content


def streamed_raw_response(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_raw_response.create
    response = create(model="mock", messages=MESSAGES, stream=True, stream_options=USAGE)
    assert len(list(response.parse())) > 2


def streaming_response(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_streaming_response.create
    with create(model="mock", messages=MESSAGES) as response:
        assert response.parse().choices[0].message.content


def stream_helper(client: openai.OpenAI) -> None:
    stream = client.chat.completions.stream
    with stream(model="mock", messages=MESSAGES, stream_options=USAGE) as events:
        assert events.get_final_completion().choices[0].message.content


def parse(client: openai.OpenAI) -> None:
    parse = client.chat.completions.parse
    completion = parse(model="mock", messages=MESSAGES, response_format=Answer)
    assert isinstance(completion.choices[0].message.parsed, Answer)


def tools(client: openai.OpenAI) -> None:
    create = client.chat.completions.create
    completion = create(model="mock@depth=1", messages=MESSAGES, tools=TOOLS)
    assert completion.choices[0].message.tool_calls


def embeddings(client: openai.OpenAI) -> None:
    assert client.embeddings.create(model="mock", input="Hello").data[0].embedding


def responses(client: openai.OpenAI) -> None:
    assert client.responses.create(model="mock", input="Hello").output_text


def streamed_responses(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="mock", input="Hello", stream=True))
    assert events[-1].type == "response.completed"


def responses_stream_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(model="mock", input="Hello") as stream:
        assert stream.get_final_response().output_text


def parsed_responses(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="mock", input="Hello", text_format=Answer)
    assert isinstance(response.output_parsed, Answer)


async def awaited_raw_response(client: openai.AsyncOpenAI) -> None:
    create = client.chat.completions.with_raw_response.create
    response = await create(model="mock", messages=MESSAGES)
    assert response.parse().choices[0].message.content


async def awaited_streaming_response(client: openai.AsyncOpenAI) -> None:
    create = client.chat.completions.with_streaming_response.create
    async with create(model="mock", messages=MESSAGES) as response:
        assert (await response.parse()).choices[0].message.content


async def awaited_stream_helper(client: openai.AsyncOpenAI) -> None:
    stream = client.chat.completions.stream
    async with stream(model="mock", messages=MESSAGES, stream_options=USAGE) as events:
        assert (await events.get_final_completion()).choices[0].message.content


SHAPES: list[Callable[[openai.OpenAI], None]] = [
    raw_response,
    streamed_raw_response,
    streaming_response,
    stream_helper,
    parse,
    tools,
    embeddings,
    responses,
    streamed_responses,
    responses_stream_helper,
    parsed_responses,
]
AWAITED_SHAPES: list[Callable[[openai.AsyncOpenAI], Awaitable[None]]] = [
    awaited_raw_response,
    awaited_streaming_response,
    awaited_stream_helper,
]
