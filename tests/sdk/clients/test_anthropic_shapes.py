"""Every way of calling the anthropic client gives one inference, and gives what it gave before."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pydantic
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import agentscope
from agentscope import lifecycle
from agentscope.clients import uninstrument_clients
from agentscope.clients.anthropic import _provider
from agentscope.testing import Recorded

Story = Callable[[], list[str]]

ASK: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "canary"}],
}
CHAT = ["chat claude-test ok", " POST #0 200"]


class Answer(pydantic.BaseModel):
    answer: str


def usage(recorded: Recorded) -> list[tuple[Any, Any]]:
    return [
        (s.attributes.get("gen_ai.usage.input_tokens"), s.attributes.get("gen_ai.response.id"))
        for s in recorded.spans
        if "gen_ai.operation.name" in s.attributes
    ]


def plain(client: anthropic.Anthropic) -> Any:
    return client.messages.create(**ASK).id


def parsed(client: anthropic.Anthropic) -> Any:
    answer = client.messages.parse(**ASK, output_format=Answer)
    return answer.parsed_output == Answer(answer="canary") and answer.id


def raw(client: anthropic.Anthropic) -> Any:
    response = client.messages.with_raw_response.create(**ASK)
    assert response.headers["x-request-id"] == "req-1"
    assert response.parse() is response.parse()
    return response.parse().id


def raw_streamed(client: anthropic.Anthropic) -> Any:
    stream: Any = client.messages.with_raw_response.create(**ASK, stream=True).parse()
    assert isinstance(stream, anthropic.Stream)
    first, *_ = stream
    return first.message.id


def streaming_response(client: anthropic.Anthropic) -> Any:
    with client.messages.with_streaming_response.create(**ASK) as response:
        return response.parse().id


def streamed(client: anthropic.Anthropic) -> Any:
    first, *_ = client.messages.create(**ASK, stream=True)
    return first.message.id


def helper(client: anthropic.Anthropic) -> Any:
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == "one two three"
        return stream.get_final_message().id


def beta(client: anthropic.Anthropic) -> Any:
    return client.beta.messages.create(**ASK).id


def beta_helper(client: anthropic.Anthropic) -> Any:
    with client.beta.messages.stream(**ASK) as stream:
        return stream.get_final_message().id


def tool_runner(client: anthropic.Anthropic) -> Any:
    return client.beta.messages.tool_runner(**ASK, tools=[]).until_done().id


@pytest.mark.parametrize(
    "call",
    [
        plain, parsed, raw, raw_streamed, streaming_response, streamed, helper, beta, beta_helper,
        tool_runner,
    ],
    ids=lambda c: c.__name__,
)  # fmt: skip
def test_one_inference_however_it_is_called(
    provider: Any, recorded: Recorded, story: Story, call: Any
) -> None:
    """The answer is the client's, and its usage is on the one span."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        assert call(client) == "msg-1"
    assert story() == CHAT
    assert usage(recorded) == [(20, "msg-1")]


async def plain_async(client: anthropic.AsyncAnthropic) -> Any:
    return (await client.messages.create(**ASK)).id


async def parsed_async(client: anthropic.AsyncAnthropic) -> Any:
    return (await client.messages.parse(**ASK, output_format=Answer)).id


async def raw_async(client: anthropic.AsyncAnthropic) -> Any:
    response = await client.messages.with_raw_response.create(**ASK)
    answer = response.parse()
    return (await answer if inspect.isawaitable(answer) else answer).id


async def streaming_response_async(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.with_streaming_response.create(**ASK) as response:
        return (await response.parse()).id


async def helper_async(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.stream(**ASK) as stream:
        assert [text async for text in stream.text_stream] == ["one ", "two ", "three"]
        return (await stream.get_final_message()).id


async def beta_helper_async(client: anthropic.AsyncAnthropic) -> Any:
    async with client.beta.messages.stream(**ASK) as stream:
        return (await stream.get_final_message()).id


@pytest.mark.parametrize(
    "call",
    [
        plain_async, parsed_async, raw_async, streaming_response_async, helper_async,
        beta_helper_async,
    ],
    ids=lambda c: c.__name__,
)  # fmt: skip
def test_one_inference_however_it_is_awaited(
    provider: Any, recorded: Recorded, story: Story, call: Any
) -> None:
    """The same with the asynchronous client."""

    async def main() -> None:
        async with provider.async_claude("200") as client:
            with agentscope.turn("turn"):
                assert await call(client) == "msg-1"

    asyncio.run(main())
    assert story() == CHAT
    assert usage(recorded) == [(20, "msg-1")]


@pytest.mark.parametrize(("read", "outcome"), [(True, "ok"), (False, "abandoned")])
def test_a_streaming_response_read_as_bytes(
    provider: Any, story: Story, read: bool, outcome: str
) -> None:
    """Whoever reads the body themselves ends the call with its last byte, or by leaving it."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        asking = client.messages.with_streaming_response.create(**ASK)
        with asking as response:
            if read:
                assert b"msg-1" in b"".join(response.iter_bytes())
    assert story() == [f"chat claude-test {outcome}", " POST #0 200"]


def test_thoughts_are_no_content(provider: Any, recorded: Recorded) -> None:
    """The first chunk is the first one that shows something; a thought before it is not."""
    thinking = {"type": "enabled", "budget_tokens": 10}
    seen = []
    with (
        provider.claude("200") as client,
        client.messages.create(**ASK, stream=True, thinking=thinking) as stream,
    ):
        for event in stream:
            (span,) = recorded.recorder.open.values()
            seen.append((event.type, "gen_ai.response.time_to_first_chunk" in span.attributes))
            if event.type == "message_delta":
                break
    assert seen == [
        ("message_start", False),
        ("content_block_start", False),
        ("content_block_delta", False),
        ("content_block_stop", False),
        ("content_block_start", False),
        ("content_block_delta", True),
        ("content_block_delta", True),
        ("content_block_delta", True),
        ("content_block_stop", True),
        ("message_delta", True),
    ]


def test_chunks_are_the_clients_objects(provider: Any, recorded: Recorded) -> None:
    """Every chunk once, the same object, and the stream is the library's."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        made: list[Any] = []
        build = client._process_response_data

        def keep(**given: Any) -> Any:
            made.append(build(**given))
            return made[-1]

        client._process_response_data = keep
        stream = client.messages.create(**ASK, stream=True)
        assert type(stream) is anthropic.Stream
        got = list(stream)
    assert len(got) == 8
    assert all(one is other for one, other in zip(got, made, strict=True))


def test_a_resource_fetched_before(provider: Any, recorded: Recorded, story: Story) -> None:
    """A ``client.messages`` that somebody kept from before is recorded too."""
    uninstrument_clients()
    with provider.claude("200,200") as client:
        create = client.messages.create
        assert create(**ASK).id == "msg-1"
        agentscope.clients.instrument_clients()
        with agentscope.turn("turn"):
            assert create(**ASK).id == "msg-1"
    assert story() == CHAT


def test_counting_tokens_is_no_inference(provider: Any, story: Story) -> None:
    """Other calls of the client are HTTP calls."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        client.messages.count_tokens(model="claude-test", messages=ASK["messages"])
    assert story() == ["POST 200"]


def test_the_users_own_inference_is_filled(provider: Any, recorded: Recorded, story: Story) -> None:
    """@llm_call(model=…) around the client is one inference, with what the client knows."""
    mine = agentscope.llm_call(model="mine")
    with agentscope.turn("turn"), provider.claude("529,200") as client, mine:
        client.messages.create(**ASK)
    assert story() == ["chat mine ok", " POST #0 529 529", " wait rate_limit", " POST #1 200"]
    assert usage(recorded) == [(20, "msg-1")]


def test_the_provider_is_who_is_asked() -> None:
    """The platforms that sell Anthropic's models are providers of their own."""
    providers = {
        anthropic.Anthropic: "anthropic",
        anthropic.AnthropicFoundry: "anthropic",
        anthropic.AnthropicBedrock: "aws.bedrock",
        anthropic.AsyncAnthropicVertex: "gcp.vertex_ai",
    }
    assert {client: _provider(client) for client in providers} == providers


@pytest.mark.parametrize("kind", ["messages", "beta"])
def test_a_call_of_vertex(recorded: Recorded, story: Story, kind: str) -> None:
    """A platform's client builds another URL and copies methods; its calls are recorded alike."""
    message = {
        "id": "msg-1", "type": "message", "role": "assistant", "model": "claude-test-2026",
        "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 20, "output_tokens": 7},
    }  # fmt: skip
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=message))
    client = anthropic.AnthropicVertex(
        region="r",
        project_id="p",
        access_token="t",
        http_client=httpx2.Client(transport=transport),
    )
    with agentscope.turn("turn"), client:
        resource: Any = client.messages if kind == "messages" else client.beta.messages
        assert resource.create(**ASK).id == "msg-1"
    assert story() == CHAT
    assert recorded.span("chat claude-test").attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert usage(recorded) == [(20, "msg-1")]


@pytest.fixture
def exported() -> Any:
    """Spans that the library's own tracing would export, and its client option."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter, {"open_telemetry": {"tracer_provider": provider}}
    provider.shutdown()


traces_itself = pytest.mark.skipif(
    not hasattr(anthropic._base_client, "start_api_call_span"),
    reason="this version of anthropic does not trace itself",
)


@traces_itself
@pytest.mark.parametrize("call", [plain, raw_streamed, helper], ids=lambda c: c.__name__)
def test_one_inference_beside_the_librarys_own_tracing(
    provider: Any, recorded: Recorded, story: Story, exported: Any, call: Any
) -> None:
    """While we record a call the library does not; the request carries no trace context of ours."""
    exporter, option = exported
    with agentscope.turn("turn"), provider.claude("429,200", **option) as client:
        assert call(client) == "msg-1"
    assert story() == [
        "chat claude-test ok",
        " POST #0 429 429",
        " wait rate_limit",
        " POST #1 200",
    ]
    assert exporter.get_finished_spans() == ()
    assert not any("traceparent" in headers for headers in provider.headers)


@traces_itself
def test_the_librarys_other_spans_stay(
    provider: Any, recorded: Recorded, exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we make no inference of is the library's to trace, and everything when we do not record."""
    exporter, option = exported
    with provider.claude("200", **option) as client:
        with agentscope.turn("turn"):
            client.messages.count_tokens(model="claude-test", messages=ASK["messages"])
        monkeypatch.setattr(lifecycle, "recorder", None)
        client.messages.create(**ASK)
    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["anthropic.messages.count_tokens", "anthropic.messages.create"]
    assert usage(recorded) == []


def test_signatures_stay(recorded: Recorded) -> None:
    """What inspects the methods finds what it found."""
    request: Any = anthropic.AsyncAnthropic.request
    original = request.__wrapped__
    assert inspect.iscoroutinefunction(request)
    assert inspect.signature(request) == inspect.signature(original)
