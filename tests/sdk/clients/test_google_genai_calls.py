"""One request of the google-genai client to a model is one inference, whatever it went through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.lab.mock_llm import MockLlmSettings, RunningMockLlm, running
from agentscope.testing import Recorded

with warnings.catch_warnings():  # of its own source, where it is compiled for the first time
    warnings.simplefilter("ignore")
    from google import genai
    from google.genai import errors, types

pytestmark = pytest.mark.filterwarnings(  # it subclasses what aiohttp would not have subclassed
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)

Story = Callable[[], list[str]]

VERSION = int(genai.__version__.partition(".")[0])
CARRIERS: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2} if VERSION >= 3 else {"httpx": httpx}

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


@pytest.mark.parametrize("over", ["aiohttp", *CARRIERS])
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
        async with CARRIERS[over].AsyncClient() as http:
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


@pytest.mark.parametrize("over", ["aiohttp", list(CARRIERS)[-1]])
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
        attributes.pop("agentscope.llm.longest_chunk_gap", None)
    assert attributes == SAID
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_refusal_says_its_word(provider: Any, recorded: Recorded) -> None:
    """Google's status is the provider's own word for why."""
    with agentscope.turn("turn"), gemini(provider.url("429")) as client, failing:
        client.models.generate_content(**ASK)
    assert recorded.span(NAME).attributes["agentscope.llm.error_code"] == "RESOURCE_EXHAUSTED"


@pytest.fixture(scope="module")
def mock() -> Iterator[RunningMockLlm]:
    """A mock LLM that calls one tool in a turn, then answers in 20 tokens, at once."""
    knobs = "profile=instant;out=20;depth=1;calls=1"
    with running(MockLlmSettings(port=0, knobs=knobs)) as server:
        yield server


def look_up(order: int) -> str:
    """Look an order up."""
    return f"order {order} is on its way"


look_up.__annotations__ = {"order": int, "return": str}  # 2.0 does not know them as texts
lookup = agentscope.tool(name="lookup")(look_up)

TOOLS = types.GenerateContentConfig(tools=[lookup])
ROUND = [*OK, "execute_tool lookup", *OK]


def test_functions_called_automatically_lie_between_inferences(
    mock: RunningMockLlm, story: Story
) -> None:
    """One public call that runs a function of the user's is two inferences, with the tool between."""
    with agentscope.turn("turn"), gemini(mock.root_url) as client:
        answer = client.models.generate_content(**ASK, config=TOOLS)
        assert "is on its way" in (answer.text or "")
    assert story() == ROUND


def test_a_streamed_answer_may_call_functions_too(mock: RunningMockLlm, story: Story) -> None:
    """The same as a stream."""
    with agentscope.turn("turn"), gemini(mock.root_url) as client:
        chunks = list(client.models.generate_content_stream(**ASK, config=TOOLS))
        assert "is on its way" in "".join(chunk.text or "" for chunk in chunks)
    assert story() == ROUND


def test_a_chat_that_is_awaited(mock: RunningMockLlm, story: Story) -> None:
    """Each message of a chat is what a call is; its history is the library's affair."""

    async def main() -> None:
        client = gemini(mock.root_url)
        chat = client.aio.chats.create(model="gemini-test", config=TOOLS)
        with agentscope.turn("turn"):
            assert "is on its way" in ((await chat.send_message("canary")).text or "")
            async for _ in await chat.send_message_stream("And order 8?"):
                pass
        await client.aio.aclose()

    asyncio.run(main())
    assert story() == [*ROUND, *ROUND]


def test_attempts_and_sleeps_add_up(mock: RunningMockLlm, recorded: Recorded) -> None:
    """429, 500, 200: what is not an attempt is a sleep of the library's, named by its reason."""
    options = types.HttpRetryOptions(attempts=3, initial_delay=0.1, exp_base=1, jitter=0.001)
    model = "gemini-test@status=429,500,200"
    with agentscope.turn("turn"), gemini(mock.root_url, retry_options=options) as client:
        client.models.generate_content(model=model, contents="canary")
    spans = [
        span
        for span in recorded.spans
        if span.parent_id == recorded.span(f"generate_content {model}").span_id
    ]
    told = [
        (s.name, s.attributes.get("http.response.status_code"))
        for s in sorted(spans, key=lambda s: s.start_s)
    ]
    assert told == [
        ("POST", 429),
        ("wait rate_limit", None),
        ("POST", 500),
        ("wait retry_backoff", None),
        ("POST", 200),
    ]
    sleeps = [span.duration_s for span in spans if span.name.startswith("wait ")]
    assert sleeps == pytest.approx([0.1, 0.1], abs=0.05)
    ends_s = [span.start_s + span.duration_s for span in spans]
    between_s = max(ends_s) - min(span.start_s for span in spans)
    assert sum(span.duration_s for span in spans) == pytest.approx(between_s, abs=1e-6)


@pytest.mark.parametrize("model", ["text-embedding-004", "gemini-embedding-2"])
@pytest.mark.parametrize("vertex", [False, True])
def test_embeddings(mock: RunningMockLlm, recorded: Recorded, model: str, vertex: bool) -> None:
    """One request is one inference, at Google's three addresses for vectors; its tokens are input."""
    options = types.HttpOptions(base_url=mock.root_url)
    client = genai.Client(api_key="canary-key", vertexai=vertex, http_options=options)
    asked: Any = {"model": model, "contents": "four words of text"}

    async def awaited() -> Any:
        try:
            return await client.aio.models.embed_content(**asked)
        finally:
            await client.aio.aclose()

    with agentscope.turn("turn"), client:
        answers = [client.models.embed_content(**asked), asyncio.run(awaited())]
    assert [len(answer.embeddings[0].values) for answer in answers] == [64, 64]
    first, second = (span for span in recorded.spans if span.name == f"embeddings {model}")
    assert first.attributes == second.attributes
    counted = {"gen_ai.usage.input_tokens": 5}
    if VERSION < 3 and not vertex:
        counted = {}  # it does not hand Gemini's count on
    assert first.attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "gcp.vertex_ai" if vertex else "gcp.gemini",
        "gen_ai.request.model": model,
        "agentscope.outcome": "ok",
        **counted,
    }


def test_a_refusal_names_the_quota(recorded: Recorded) -> None:
    """A minute's quota of one: read from the body of the 429, and gone when the model answers."""
    clock_ns = [0]
    settings = MockLlmSettings(port=0, rpm=1, knobs="profile=instant;out=12")
    quota = ("gcp.gemini", "gemini-test", "requests")

    def gauges() -> list[float | None]:
        metrics = (
            c.RATELIMIT_LIMIT, c.RATELIMIT_WINDOW, c.RATELIMIT_REMAINING, c.RATELIMIT_RESET
        )  # fmt: skip
        return [recorded.value(metric, *quota) for metric in metrics]

    with (
        running(settings, lambda: clock_ns[0]) as server,
        gemini(server.root_url) as client,
        agentscope.turn("turn"),
    ):
        client.models.generate_content(**ASK)
        assert gauges() == [None, None, None, None]
        clock_ns[0] += 15 * 10**9
        with failing:
            client.models.generate_content(**ASK)
        assert gauges() == pytest.approx([1, 60, 0, 45], abs=0.5)
        clock_ns[0] += 45 * 10**9
        client.models.generate_content(**ASK)
        assert gauges() == [1, 60, None, None]


def answering(*answers: dict[str, Any], **options: Any) -> genai.Client:
    """A client to which these are the parts of an answer; a stream where they are several."""
    body = "".join(f"data: {json.dumps(answer)}\r\n\r\n" for answer in answers)
    if len(answers) == 1:
        body = json.dumps(answers[0])
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
    http = types.HttpOptions(httpx_client=httpx.Client(transport=transport))
    return genai.Client(api_key="k", http_options=http, **options)


USED = {
    "promptTokenCount": 17,
    "toolUsePromptTokenCount": 3,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
}


@pytest.mark.parametrize(("total", "output"), [(27, 7), (25, 5), (None, 7)])
def test_thoughts_are_counted_once(recorded: Recorded, total: int | None, output: int) -> None:
    """Google's total tells whether its candidates' tokens hold the thoughts; they do not, usually."""
    usage = {**USED, "totalTokenCount": total}
    with agentscope.turn("turn"):
        answering({"candidates": [], "usageMetadata": usage}).models.generate_content(**ASK)
    attributes = recorded.span(NAME).attributes
    assert attributes["gen_ai.usage.input_tokens"] == 20
    assert attributes["gen_ai.usage.output_tokens"] == output
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 2


@pytest.mark.parametrize("bad", [-1, 2**62])
def test_what_is_no_count_is_missing(recorded: Recorded, bad: int) -> None:
    """The client takes any number; the other counts are kept."""
    usage = {"promptTokenCount": 17, "candidatesTokenCount": bad, "cachedContentTokenCount": bad}
    with agentscope.turn("turn"):
        answering({"candidates": [], "usageMetadata": usage}).models.generate_content(**ASK)
    attributes = recorded.span(NAME).attributes
    assert {key: attributes[key] for key in attributes if key.startswith("gen_ai.usage.")} == {
        "gen_ai.usage.input_tokens": 17
    }


def test_a_blocked_prompt_is_an_answer(recorded: Recorded) -> None:
    """A stream without a candidate is whole when it says why there is none."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USED}
    with agentscope.turn("turn"):
        list(answering(blocked, {}).models.generate_content_stream(**ASK))
    attributes = recorded.span(NAME).attributes
    assert attributes["agentscope.outcome"] == "ok"
    assert attributes["gen_ai.response.finish_reasons"] == ["SAFETY"]


def test_vertex_is_a_provider_of_its_own(recorded: Recorded) -> None:
    """The same library asks Vertex AI; an answer that counts nothing leaves nothing to tell."""
    with agentscope.turn("turn"):
        answering({"candidates": []}, vertexai=True).models.generate_content(**ASK)
    span = recorded.span(NAME)
    assert span.attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert "gen_ai.usage.input_tokens" not in span.attributes
