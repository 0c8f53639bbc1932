"""One request of the google-genai client to a model is one inference, whatever it went through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

import agentscope
from agentscope.testing import Recorded

with warnings.catch_warnings():  # of its own source, where it is compiled for the first time
    warnings.simplefilter("ignore")
    from google import genai
    from google.genai import errors, types

pytestmark = pytest.mark.filterwarnings(  # it subclasses what aiohttp would not have subclassed
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)

Story = Callable[[], list[str]]

ASK: dict[str, Any] = {"model": "gemini-test", "contents": "canary"}
NAME = "generate_content gemini-test"
OK = [f"{NAME} ok", " POST #0 200"]
RETRY = {"retry_options": types.HttpRetryOptions(attempts=2, initial_delay=0.02, jitter=0.01)}
LIMITED = [f"{NAME} ok", " POST #0 429 429", " wait rate_limit", " POST #1 200"]
FAILED = [f"{NAME} ok", " POST #0 500 500", " wait retry_backoff", " POST #1 200"]
REFUSED = [f"{NAME} error google.genai.errors.ClientError", " POST #0 429 429"]
TRUNCATED = [f"{NAME} error stream_truncated", " POST #0 200"]

WHOLE = [
    ("200", {}, OK),
    ("429,200", RETRY, LIMITED),
    ("500,200", RETRY, FAILED),
    ("429", {}, REFUSED),
]
STREAMED = [*WHOLE, ("mute", {}, TRUNCATED)]


def gemini(url: str, **options: Any) -> genai.Client:
    return genai.Client(
        api_key="canary-key", http_options=types.HttpOptions(base_url=url, **options)
    )


failing = contextlib.suppress(errors.APIError)


@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_a_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """A synchronous call: its attempts, its sleeps, its outcome."""
    with agentscope.turn("turn"), gemini(provider.url(script), **options) as client, failing:
        assert client.models.generate_content(**ASK).text == "canary"
    assert story() == expected


@pytest.mark.parametrize("over", ["aiohttp", "httpx", "httpx2"])
@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_an_asynchronous_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str], over: str
) -> None:
    """The same, awaited, whichever library carries it."""

    async def main() -> None:
        async with _http(over) as http:
            client = gemini(provider.url(script), **options, **http)
            with agentscope.turn("turn"), failing:
                assert (await client.aio.models.generate_content(**ASK)).text == "canary"
            await client.aio.aclose()

    asyncio.run(main())
    assert story() == expected


@contextlib.asynccontextmanager
async def _http(over: str) -> Any:
    if over == "aiohttp":
        yield {}
    else:
        async with {"httpx": httpx, "httpx2": httpx2}[over].AsyncClient() as http:
            yield {"httpx_async_client": http}


@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_a_streamed_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """A streamed call ends when its stream does, and a stream without a last word is an error."""
    with agentscope.turn("turn"), gemini(provider.url(script), **options) as client, failing:
        texts = [chunk.text for chunk in client.models.generate_content_stream(**ASK)]
        assert texts == [None, "one ", "two ", "three"][: 3 if script == "mute" else 4]
    assert story() == expected


@pytest.mark.parametrize("over", ["aiohttp", "httpx2"])
@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_an_asynchronous_streamed_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str], over: str
) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with _http(over) as http:
            client = gemini(provider.url(script), **options, **http)
            with agentscope.turn("turn"), failing:
                async for _ in await client.aio.models.generate_content_stream(**ASK):
                    pass
            await client.aio.aclose()

    asyncio.run(main())
    assert story() == expected


def test_a_stream_given_up(provider: Any, story: Story) -> None:
    """A stream that nobody reads on is abandoned; one that nobody began to read asked nothing."""
    with agentscope.turn("turn"), gemini(provider.url("200")) as client:
        stream = client.models.generate_content_stream(**ASK)
        next(stream)
        del stream
        unread = client.models.generate_content_stream(**ASK)
        del unread
        gc.collect()
        with agentscope.phase("next"):
            pass
    assert story() == [f"{NAME} abandoned", " POST #0 200", "next"]


def test_an_asynchronous_stream_given_up(provider: Any, story: Story) -> None:
    """The same, awaited."""

    async def main() -> None:
        client = gemini(provider.url("200"))
        with agentscope.turn("turn"):
            stream: Any = await client.aio.models.generate_content_stream(**ASK)
            async for _ in stream:
                break
            await stream.aclose()
            del stream
            gc.collect()
            await asyncio.sleep(0)
        await client.aio.aclose()

    asyncio.run(main())
    assert story() == [f"{NAME} abandoned", " POST #0 200"]


def test_a_cancelled_call(provider: Any, recorded: Recorded, story: Story) -> None:
    """Cancellation goes through at once; inference and attempt end then, and say so."""

    async def main() -> None:
        client = gemini(provider.url("slow"))
        with agentscope.turn("turn"):
            task = asyncio.create_task(client.aio.models.generate_content(**ASK))
            while not provider.headers:  # the request has not arrived
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await client.aio.aclose()

    asyncio.run(main())
    assert story() == [
        f"{NAME} cancelled",
        " POST #0 asyncio.exceptions.CancelledError",
    ]
    assert recorded.span(NAME).duration_s < 0.9


SAID = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.provider.name": "gcp.gemini",
    "gen_ai.request.model": "gemini-test",
    "gen_ai.request.max_tokens": 99,
    "gen_ai.response.id": "gen-1",
    "gen_ai.response.model": "gemini-test-2026",
    "gen_ai.response.finish_reasons": ["STOP"],
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 4,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.usage.reasoning.output_tokens": 2,
    "agentscope.outcome": "ok",
}


@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_call_says(provider: Any, recorded: Recorded, streamed: bool) -> None:
    """17 tokens of prompt and 3 of tool results are 20; 5 of answer and 2 of thought are 7."""
    config = types.GenerateContentConfig(max_output_tokens=99)
    with agentscope.turn("turn"), gemini(provider.url("200")) as client:
        if not streamed:
            client.models.generate_content(**ASK, config=config)
        else:
            list(client.models.generate_content_stream(**ASK, config=config))
    span = recorded.span(NAME)
    attributes = span.attributes
    if streamed:
        # The thought comes after 50 ms, the first text after 100.
        first_chunk_s = attributes.pop("gen_ai.response.time_to_first_chunk")
        assert 0.09 < first_chunk_s <= span.duration_s
        assert attributes.pop("gen_ai.request.stream") is True
    assert attributes == SAID
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_refusal_says_its_word(provider: Any, recorded: Recorded) -> None:
    """Google's status is the provider's own word for why."""
    with agentscope.turn("turn"), gemini(provider.url("429")) as client, failing:
        client.models.generate_content(**ASK)
    assert recorded.span(NAME).attributes["agentscope.llm.error_code"] == "RESOURCE_EXHAUSTED"


def test_functions_called_automatically_lie_between_inferences(
    recorded: Recorded, story: Story
) -> None:
    """One public call that runs a function of the user's is two inferences, with the tool between."""
    asks = {"functionCall": {"name": "lookup", "args": {"order": 7}}}
    says = {"text": "done"}
    parts = iter([asks, says])

    def answer(_: httpx2.Request) -> httpx2.Response:
        content = {"role": "model", "parts": [next(parts)]}
        candidates = [{"content": content, "finishReason": "STOP"}]
        return httpx2.Response(200, json={"candidates": candidates})

    @agentscope.tool
    def lookup(order: int) -> str:
        """Look an order up."""
        return f"order {order}"

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    options = types.HttpOptions(httpx_client=http)
    config = types.GenerateContentConfig(tools=[lookup])
    client = genai.Client(api_key="k", http_options=options)
    with agentscope.turn("turn"):
        assert client.models.generate_content(**ASK, config=config).text == "done"
    assert story() == [*OK, "execute_tool lookup", *OK]


def test_vertex_is_a_provider_of_its_own(recorded: Recorded) -> None:
    """The same library asks Vertex AI."""
    http = httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json={"candidates": []}))
    )
    options = types.HttpOptions(httpx_client=http)
    client = genai.Client(vertexai=True, api_key="k", http_options=options)
    with agentscope.turn("turn"):
        client.models.generate_content(**ASK)
    span = recorded.span(NAME)
    assert span.attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert "gen_ai.usage.input_tokens" not in span.attributes
