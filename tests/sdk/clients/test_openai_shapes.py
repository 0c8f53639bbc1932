"""Every way of calling the openai client gives one inference, and gives what it gave before."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pydantic
import pytest

import agentscope
from agentscope import lifecycle
from agentscope.clients.openai import _provider
from agentscope.recording.context import attach, detach
from agentscope.recording.guard import RAISE_VARIABLE, forget_internal_errors, internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.testing import Recorded

Story = Callable[[], list[str]]

CHAT = ["chat gpt-test ok", " POST #0 200"]


class Answer(pydantic.BaseModel):
    answer: str


def usage(recorded: Recorded) -> list[tuple[Any, Any]]:
    return [
        (s.attributes.get("gen_ai.usage.input_tokens"), s.attributes.get("gen_ai.response.id"))
        for s in recorded.spans
        if "gen_ai.operation.name" in s.attributes
    ]


def plain(client: openai.OpenAI, ask: Any) -> Any:
    return client.chat.completions.create(**ask).id


def parsed(client: openai.OpenAI, ask: Any) -> Any:
    answer = client.chat.completions.parse(**ask, response_format=Answer)
    return answer.choices[0].message.parsed == Answer(answer="canary") and answer.id


def raw(client: openai.OpenAI, ask: Any) -> Any:
    response = client.chat.completions.with_raw_response.create(**ask)
    assert response.headers["x-request-id"] == "req-1"
    assert response.parse() is response.parse()
    return response.parse().id


def raw_streamed(client: openai.OpenAI, ask: Any) -> Any:
    options = {"include_usage": True}
    response = client.chat.completions.with_raw_response.create(
        **ask, stream=True, stream_options=options
    )
    stream: Any = response.parse()
    assert isinstance(stream, openai.Stream)
    *_, last = stream
    return last.id


def streaming_response(client: openai.OpenAI, ask: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(**ask) as response:
        return response.parse().id


def helper(client: openai.OpenAI, ask: Any) -> Any:
    with client.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
        return stream.get_final_completion().id


@pytest.mark.parametrize(
    "call", [plain, parsed, raw, raw_streamed, streaming_response, helper], ids=lambda c: c.__name__
)
def test_one_inference_however_it_is_called(
    provider: Any, recorded: Recorded, story: Story, ask: Any, call: Any
) -> None:
    """The answer is the client's, and its usage is on the one span."""
    with agentscope.turn("turn"), provider.client("200") as client:
        assert call(client, ask) == "chatcmpl-1"
    assert story() == CHAT
    assert usage(recorded) == [(20, "chatcmpl-1")]


async def plain_async(client: openai.AsyncOpenAI, ask: Any) -> Any:
    return (await client.chat.completions.create(**ask)).id


async def parsed_async(client: openai.AsyncOpenAI, ask: Any) -> Any:
    return (await client.chat.completions.parse(**ask, response_format=Answer)).id


async def raw_async(client: openai.AsyncOpenAI, ask: Any) -> Any:
    response = await client.chat.completions.with_raw_response.create(**ask)
    return response.parse().id


async def streaming_response_async(client: openai.AsyncOpenAI, ask: Any) -> Any:
    async with client.chat.completions.with_streaming_response.create(**ask) as response:
        return (await response.parse()).id


async def helper_async(client: openai.AsyncOpenAI, ask: Any) -> Any:
    options = {"include_usage": True}
    async with client.chat.completions.stream(**ask, stream_options=options) as stream:
        return (await stream.get_final_completion()).id


@pytest.mark.parametrize(
    "call",
    [plain_async, parsed_async, raw_async, streaming_response_async, helper_async],
    ids=lambda c: c.__name__,
)
def test_one_inference_however_it_is_awaited(
    provider: Any, recorded: Recorded, story: Story, ask: Any, call: Any
) -> None:
    """The same with the asynchronous client."""

    async def main() -> None:
        async with provider.async_client("200") as client:
            with agentscope.turn("turn"):
                assert await call(client, ask) == "chatcmpl-1"

    asyncio.run(main())
    assert story() == CHAT
    assert usage(recorded) == [(20, "chatcmpl-1")]


@pytest.mark.parametrize(("read", "outcome"), [(True, "ok"), (False, "abandoned")])
def test_a_streaming_response_read_as_bytes(
    provider: Any, story: Story, ask: Any, read: bool, outcome: str
) -> None:
    """Whoever reads the body themselves ends the call with its last byte, or by leaving it."""
    with agentscope.turn("turn"), provider.client("200") as client:
        asking = client.chat.completions.with_streaming_response.create(**ask)
        with asking as response:
            if read:
                assert b"chatcmpl-1" in b"".join(response.iter_bytes())
    assert story() == [f"chat gpt-test {outcome}", " POST #0 200"]


def test_responses_and_embeddings(provider: Any, recorded: Recorded, story: Story) -> None:
    """The other interfaces name their operation and count their tokens."""
    with agentscope.turn("turn"), provider.client("200") as client:
        assert client.responses.create(model="gpt-test", input="canary").output_text == "canary"
        assert client.embeddings.create(model="vectors", input="canary").data[0].embedding == [0.5]
    assert story() == ["chat gpt-test ok", " POST #0 200", "embeddings vectors ok", " POST #0 200"]
    assert usage(recorded) == [(20, "resp-1"), (3, None)]


def test_chunks_are_the_clients_objects(provider: Any, ask: Any, recorded: Recorded) -> None:
    """Every chunk once, the same object, and the stream is the library's."""
    with agentscope.turn("turn"), provider.client("200") as client:
        stream = client.chat.completions.create(**ask, stream=True)
        assert type(stream) is openai.Stream
        made: list[Any] = []
        build = stream._client._process_response_data

        def keep(**given: Any) -> Any:
            made.append(build(**given))
            return made[-1]

        stream._client._process_response_data = keep  # type: ignore[method-assign]
        got = list(stream)
    assert len(got) == 5
    assert all(one is other for one, other in zip(got, made, strict=True))


def test_the_users_own_inference_is_filled(provider: Any, recorded: Recorded, ask: Any) -> None:
    """@llm_call(model=…) around the client is one inference, with what the client knows."""

    @agentscope.llm_call(model="mine")
    def think(client: openai.OpenAI) -> None:
        client.chat.completions.create(**ask)

    with agentscope.turn("turn"), provider.client("429,200") as client:
        think(client)
    span = recorded.span("chat mine")
    assert span.attributes["gen_ai.request.model"] == "mine"
    assert span.attributes["gen_ai.response.model"] == "gpt-test-2026"
    assert span.attributes["gen_ai.usage.input_tokens"] == 20
    below = [s.name for s in recorded.spans if s.parent_id == span.span_id]
    assert [name for name in below if not name.startswith("wait http")] == [
        "POST",
        "wait rate_limit",
        "POST",
    ]


def test_a_retry_loop_of_the_users(provider: Any, story: Story, ask: Any) -> None:
    """Retries around the client, inside one @llm_call(model=…), are attempts of one inference."""

    @agentscope.llm_call(model="mine")
    def think(client: openai.OpenAI) -> None:
        for _ in range(2):
            try:
                client.chat.completions.create(**ask)
            except openai.RateLimitError:
                time.sleep(0.01)

    with agentscope.turn("turn"), provider.client("429,200", max_retries=0) as client:
        think(client)
    assert story() == ["chat mine ok", " POST #0 429 429", " wait rate_limit", " POST #0 200"]


def test_two_calls_in_one_inference_of_the_users(
    provider: Any, recorded: Recorded, story: Story, ask: Any
) -> None:
    """The first fills the user's span; the second has its own, so no token is lost."""
    mine = agentscope.llm_call(model="mine")
    with agentscope.turn("turn"), provider.client("200") as client, mine:
        client.chat.completions.create(**ask)
        client.chat.completions.create(**ask)
    assert story() == ["chat mine ok", " POST #0 200", " chat gpt-test ok", "  POST #0 200"]
    assert usage(recorded) == [(20, "chatcmpl-1"), (20, "chatcmpl-1")]


def test_a_call_makes_its_request_a_turn(provider: Any, recorded: Recorded, ask: Any) -> None:
    """A bare client call, without any decorator, is the agent's work."""
    request = recorded.recorder.start_remote("POST /ask", Role.REQUEST, {}, 2, 0, 0)
    request.turn = request
    token = attach(request)
    with provider.client("200") as client:
        client.chat.completions.create(**ask)
    detach(token)
    request.end()
    assert recorded.span("POST /ask").attributes == {"agentscope.turn": True}


def test_the_provider_is_told_by_its_host() -> None:
    """It comes from where the requests go, also when that changes."""
    with (
        openai.AzureOpenAI(
            api_key="k", api_version="v", azure_endpoint="https://mine.openai.azure.com"
        ) as azure,
        openai.OpenAI(api_key="k") as client,
    ):
        assert _provider(azure.chat.completions) == "azure.ai.openai"
        assert _provider(client.chat.completions) == "openai"
        client.base_url = "https://api.groq.com/openai/v1"  # type: ignore[assignment]  # taken
        assert _provider(client.chat.completions) == "groq"


def test_signatures_stay(recorded: Recorded) -> None:
    """What inspects the methods finds what it found."""
    create = openai.resources.chat.AsyncCompletions.create
    original = create.__wrapped__
    assert inspect.iscoroutinefunction(create) == inspect.iscoroutinefunction(original)
    assert inspect.signature(create) == inspect.signature(original)
    assert create.__qualname__ == "AsyncCompletions.create"
    assert inspect.iscoroutinefunction(openai.resources.AsyncEmbeddings.create)


def test_wrong_arguments_are_refused_at_the_call(provider: Any, recorded: Recorded) -> None:
    """As without us: before anything is awaited."""

    async def main() -> None:
        async with provider.async_client("200") as client:
            with pytest.raises(TypeError, match="Missing required arguments"):
                client.chat.completions.create()

    asyncio.run(main())


@pytest.mark.parametrize("broken", ["start", "take", "end"])
def test_our_faults_are_ours(
    provider: Any,
    recorded: Recorded,
    ask: Any,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever fails in the recorder, answers and exceptions are the client's; faults are counted."""

    def fault(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.delenv(RAISE_VARIABLE)
    monkeypatch.setattr(logging.getLogger("agentscope"), "disabled", True)  # it would keep frames
    monkeypatch.setattr(Recorder, broken, fault)
    forget_internal_errors()
    with provider.client("200,200,429", max_retries=0) as client:
        assert client.chat.completions.create(**ask).id == "chatcmpl-1"
        assert len(list(client.chat.completions.create(**ask, stream=True))) == 5
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ask)
    assert sum(internal_errors().values()) > 0
    recorded.recorder.open.clear()
    forget_internal_errors()


def test_with_nothing_recorded_nothing_happens(
    provider: Any, recorded: Recorded, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look at the recorder, and the call is the library's."""
    monkeypatch.setattr(lifecycle, "recorder", None)
    with provider.client("429,200,200") as client:
        client.chat.completions.create(**ask)
        stream = client.chat.completions.create(**ask, stream=True)
        assert inspect.isgenerator(stream._iterator)
        stream.close()
    assert recorded.spans == []


def test_the_old_httpx_is_seen_too(provider: Any, story: Story, ask: Any) -> None:
    """A client made with an httpx client sends through httpx, not httpx2."""
    with httpx.Client() as http:
        client = provider.client("429,200", http_client=http)
        with agentscope.turn("turn"):
            client.chat.completions.create(**ask)
    assert story() == [
        "chat gpt-test ok",
        " POST #0 429 429",
        " wait rate_limit",
        " POST #1 200",
    ]
