"""One call of the openai client is one inference, whatever it went through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
import trio

import agentscope
from agentscope.testing import Recorded

Story = Callable[[], list[str]]

OK = ["chat gpt-test ok", " POST #0 200"]
LIMITED = [
    "chat gpt-test ok",
    " POST #0 429 429",
    " wait rate_limit",
    " POST #1 200",
]
FAILED = [
    "chat gpt-test ok",
    " POST #0 500 500",
    " wait retry_backoff",
    " POST #1 200",
]
TIMED_OUT = ["chat gpt-test error openai.APITimeoutError", " POST #0 httpx2.ReadTimeout"]
REFUSED = ["chat gpt-test error openai.RateLimitError", " POST #0 429 429"]

WHOLE = [
    ("200", {}, OK),
    ("429,200", {}, LIMITED),
    ("500,200", {}, FAILED),
    ("429", {"max_retries": 0}, REFUSED),
    ("slow", {"max_retries": 0, "timeout": 0.1}, TIMED_OUT),
]
STREAMED = [
    *WHOLE,
    ("mute", {}, ["chat gpt-test error stream_truncated", " POST #0 200"]),
    (
        "cut",
        {},
        [
            "chat gpt-test error openai.APIConnectionError",
            " POST #0 200 httpx2.RemoteProtocolError",
        ],
    ),
]


@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_a_call(
    provider: Any, story: Story, ask: Any, script: str, options: Any, expected: list[str]
) -> None:
    """A synchronous call: its attempts, its sleeps, its outcome."""
    refused = contextlib.suppress(openai.OpenAIError)
    with agentscope.turn("turn"), provider.client(script, **options) as client, refused:
        client.chat.completions.create(**ask)
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_an_asynchronous_call(
    provider: Any, story: Story, ask: Any, script: str, options: Any, expected: list[str]
) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with provider.async_client(script, **options) as client:
            with agentscope.turn("turn"), contextlib.suppress(openai.OpenAIError):
                await client.chat.completions.create(**ask)

    asyncio.run(main())
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_a_streamed_call(
    provider: Any, story: Story, ask: Any, script: str, options: Any, expected: list[str]
) -> None:
    """A streamed call ends when its stream does, and a stream without a last word is an error."""
    with agentscope.turn("turn"), provider.client(script, **options) as client:
        try:
            for _ in client.chat.completions.create(**ask, stream=True):
                pass
        except openai.OpenAIError:
            pass
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_an_asynchronous_streamed_call(
    provider: Any, story: Story, ask: Any, script: str, options: Any, expected: list[str]
) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with provider.async_client(script, **options) as client:
            with agentscope.turn("turn"):
                try:
                    async for _ in await client.chat.completions.create(**ask, stream=True):
                        pass
                except openai.OpenAIError:
                    pass

    asyncio.run(main())
    assert story() == expected


ABANDONED = ["chat gpt-test abandoned", " POST #0 200"]


@pytest.mark.parametrize("how", ["close", "with", "response", "drop", "unread"])
def test_a_stream_given_up(provider: Any, story: Story, ask: Any, how: str) -> None:
    """However a stream is given up, it ends once, as abandoned."""
    with agentscope.turn("turn"), provider.client("200") as client:
        stream = client.chat.completions.create(**ask, stream=True)
        if how == "unread":
            stream.close()
        elif how == "with":
            with stream:
                next(stream)
        else:
            next(stream)
            if how == "close":
                stream.close()
            if how == "response":
                stream.response.close()
        del stream
        gc.collect()
    assert story() == ABANDONED


@pytest.mark.parametrize("how", ["close", "with", "drop", "unread"])
def test_an_asynchronous_stream_given_up(provider: Any, story: Story, ask: Any, how: str) -> None:
    """The same, awaited; what comes next is not below the stream."""

    async def main() -> None:
        async with provider.async_client("200") as client:
            with agentscope.turn("turn"):
                stream = await client.chat.completions.create(**ask, stream=True)
                if how == "unread":
                    await stream.close()
                elif how == "with":
                    async with stream:
                        await anext(stream)
                else:
                    async for _ in stream:
                        break
                    if how == "close":
                        await stream.close()
                del stream
                gc.collect()
                await asyncio.sleep(0)
                with agentscope.phase("next"):
                    pass

    asyncio.run(main())
    assert story() == [*ABANDONED, "next"]


def test_stopping_at_the_last_word_abandons_nothing(provider: Any, story: Story, ask: Any) -> None:
    """Many consumers stop at finish_reason and never read on."""
    with (
        agentscope.turn("turn"),
        provider.client("200") as client,
        client.chat.completions.create(**ask, stream=True) as stream,
    ):
        for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
    assert story() == OK


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cancelled_call(
    provider: Any, recorded: Recorded, story: Story, ask: Any, streamed: bool
) -> None:
    """Cancellation goes through at once; inference and attempt end then, and say so."""

    async def main() -> None:
        async with provider.async_client("hold") as client:
            with agentscope.turn("turn"):
                call = client.chat.completions.create(**ask, stream=streamed)
                task = asyncio.create_task(call)
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert task.cancelled()

    asyncio.run(main())
    assert story() == [
        "chat gpt-test cancelled",
        " POST #0 asyncio.exceptions.CancelledError",
    ]
    assert recorded.span("chat gpt-test").duration_s < 0.25


def test_a_stream_cancelled_while_it_is_read(provider: Any, story: Story, ask: Any) -> None:
    """A client that goes away in mid-stream cancels whoever reads."""

    async def read(client: openai.AsyncOpenAI) -> None:
        async for _ in await client.chat.completions.create(**ask, stream=True):
            pass

    async def main() -> None:
        async with provider.async_client("200") as client:
            with agentscope.turn("turn"):
                task = asyncio.create_task(read(client))
                await asyncio.sleep(0.08)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())
    assert story() == [
        "chat gpt-test cancelled",
        " POST #0 200 asyncio.exceptions.CancelledError",
    ]


def test_what_a_call_says(provider: Any, recorded: Recorded, ask: Any) -> None:
    """All attributes of an inference; the counts are the provider's."""
    with agentscope.turn("turn"), provider.client("200") as client:
        client.chat.completions.create(**ask, max_tokens=99)
    assert recorded.span("chat gpt-test").attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-test",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-test-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "agentscope.outcome": "ok",
    }
    assert recorded.span("chat gpt-test").kind == 3


def test_a_stream_without_usage_says_none(provider: Any, recorded: Recorded, ask: Any) -> None:
    """Nothing is invented, and the request is not changed to get it."""
    with agentscope.turn("turn"), provider.client("200") as client:
        list(client.chat.completions.create(**ask, stream=True))
    attributes = recorded.span("chat gpt-test").attributes
    first_chunk_s = attributes.pop("gen_ai.response.time_to_first_chunk")
    longest_gap_s = attributes.pop("agentscope.llm.longest_chunk_gap")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-test",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-test-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "agentscope.outcome": "ok",
    }
    # The role comes after 50 ms, the first word after 100.
    assert 0.04 < longest_gap_s <= recorded.span("chat gpt-test").duration_s
    assert 0.09 < first_chunk_s <= recorded.span("chat gpt-test").duration_s


def test_usage_of_a_stream_that_was_asked_for(provider: Any, recorded: Recorded, ask: Any) -> None:
    """With include_usage the last chunk brings the counts."""
    options = {"include_usage": True}
    with agentscope.turn("turn"), provider.client("200") as client:
        list(client.chat.completions.create(**ask, stream=True, stream_options=options))
    attributes = recorded.span("chat gpt-test").attributes
    assert attributes["gen_ai.usage.input_tokens"] == 20
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4


def test_nothing_of_the_content_is_kept(provider: Any, recorded: Recorded, ask: Any) -> None:
    """Prompt, answer, key and cookies are in no record."""
    with agentscope.turn("turn"), provider.client("200") as client:
        client.chat.completions.create(**ask)
        list(client.chat.completions.create(**ask, stream=True))
    assert recorded.spans
    assert b"canary" not in b"".join(recorded.sink.span_fragments)


def test_a_call_outside_of_a_turn_is_a_trace_of_its_own(
    provider: Any, recorded: Recorded, ask: Any
) -> None:
    """Scripts and workers have no turn; their calls count all the same."""
    with provider.client("200") as client:
        client.chat.completions.create(**ask)
    assert [span.name for span in recorded.spans if not span.parent_id] == ["chat gpt-test"]


# Trio names the generators that openai leaves to the garbage collector; it does so without us too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_threads_and_trio(provider: Any, recorded: Recorded, ask: Any) -> None:
    """Calls of many threads and of another event loop: parents right, nothing mixed up."""

    def work(name: str) -> None:
        with agentscope.turn(name), provider.client("429,200") as client:
            client.chat.completions.create(**ask)

    async def work_on_trio() -> None:
        async with provider.async_client("200") as client:
            with agentscope.turn("trio"):
                stream = await client.chat.completions.create(**ask, stream=True)
                assert len([chunk async for chunk in stream]) == 5

    threads = [threading.Thread(target=work, args=(f"turn {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    trio.run(work_on_trio)
    for thread in threads:
        thread.join()
    by_id = {span.span_id: span for span in recorded.spans}
    turns = [span for span in by_id.values() if not span.parent_id]
    assert len(turns) == 9
    for turn in turns:
        calls = [span for span in by_id.values() if span.parent_id == turn.span_id]
        (call,) = calls
        attempts = [s for s in by_id.values() if s.parent_id == call.span_id and s.name == "POST"]
        assert len(attempts) == (1 if turn.name == "trio" else 2)
        assert {s.trace_id for s in [call, *attempts]} == {turn.trace_id}
