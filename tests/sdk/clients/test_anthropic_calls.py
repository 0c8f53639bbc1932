"""One call of the anthropic client is one inference, whatever it went through."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest

import agentscope
from agentscope.testing import Recorded

Story = Callable[[], list[str]]

ASK: dict[str, Any] = {
    "model": "claude-test",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "canary"}],
}

OK = ["chat claude-test ok", " POST #0 200"]
LIMITED = ["chat claude-test ok", " POST #0 429 429", " wait rate_limit", " POST #1 200"]
OVERLOADED = ["chat claude-test ok", " POST #0 529 529", " wait rate_limit", " POST #1 200"]
FAILED = ["chat claude-test ok", " POST #0 500 500", " wait retry_backoff", " POST #1 200"]
REFUSED = ["chat claude-test error anthropic.RateLimitError", " POST #0 429 429"]
TIMED_OUT = ["chat claude-test error anthropic.APITimeoutError", " POST #0 httpx2.ReadTimeout"]
TRUNCATED = ["chat claude-test error stream_truncated", " POST #0 200"]
CUT = [
    "chat claude-test error httpx2.RemoteProtocolError",
    " POST #0 200 httpx2.RemoteProtocolError",
]

WHOLE = [
    ("200", {}, OK),
    ("429,200", {}, LIMITED),
    ("529,200", {}, OVERLOADED),
    ("500,200", {}, FAILED),
    ("429", {"max_retries": 0}, REFUSED),
    ("slow", {"max_retries": 0, "timeout": 0.1}, TIMED_OUT),
]
STREAMED = [*WHOLE, ("mute", {}, TRUNCATED), ("cut", {}, CUT)]

failing = contextlib.suppress(anthropic.AnthropicError, httpx2.HTTPError)


@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_a_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """A synchronous call: its attempts, its sleeps, its outcome."""
    with agentscope.turn("turn"), provider.claude(script, **options) as client, failing:
        client.messages.create(**ASK)
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), WHOLE)
def test_an_asynchronous_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with provider.async_claude(script, **options) as client:
            with agentscope.turn("turn"), failing:
                await client.messages.create(**ASK)

    asyncio.run(main())
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_a_streamed_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """A streamed call ends when its stream does, and a stream without a last word is an error."""
    with agentscope.turn("turn"), provider.claude(script, **options) as client, failing:
        for _ in client.messages.create(**ASK, stream=True):
            pass
    assert story() == expected


@pytest.mark.parametrize(("script", "options", "expected"), STREAMED)
def test_an_asynchronous_streamed_call(
    provider: Any, story: Story, script: str, options: Any, expected: list[str]
) -> None:
    """The same, awaited."""

    async def main() -> None:
        async with provider.async_claude(script, **options) as client:
            with agentscope.turn("turn"), failing:
                async for _ in await client.messages.create(**ASK, stream=True):
                    pass

    asyncio.run(main())
    assert story() == expected


ABANDONED = ["chat claude-test abandoned", " POST #0 200"]


@pytest.mark.parametrize("how", ["close", "with", "response", "drop", "unread", "helper"])
def test_a_stream_given_up(provider: Any, story: Story, how: str) -> None:
    """However a stream is given up, it ends once, as abandoned."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        if how == "helper":
            with client.messages.stream(**ASK) as helped:
                next(helped.text_stream)
        else:
            stream = client.messages.create(**ASK, stream=True)
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


@pytest.mark.parametrize("how", ["close", "with", "drop", "unread", "helper"])
def test_an_asynchronous_stream_given_up(provider: Any, story: Story, how: str) -> None:
    """The same, awaited; what comes next is not below the stream."""

    async def give_up(client: anthropic.AsyncAnthropic) -> None:
        if how == "helper":
            async with client.messages.stream(**ASK) as helped:
                await anext(helped.text_stream)
            return
        stream = await client.messages.create(**ASK, stream=True)
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

    async def main() -> None:
        async with provider.async_claude("200") as client:
            with agentscope.turn("turn"):
                await give_up(client)
                gc.collect()
                await asyncio.sleep(0)
                with agentscope.phase("next"):
                    pass

    asyncio.run(main())
    assert story() == [*ABANDONED, "next"]


def test_stopping_at_the_last_word_abandons_nothing(provider: Any, story: Story) -> None:
    """Many consumers stop at the stop reason and never read on."""
    with (
        agentscope.turn("turn"),
        provider.claude("200") as client,
        client.messages.create(**ASK, stream=True) as stream,
    ):
        for event in stream:
            if event.type == "message_delta":
                break
    assert story() == OK


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cancelled_call(provider: Any, recorded: Recorded, story: Story, streamed: bool) -> None:
    """Cancellation goes through at once; inference and attempt end then, and say so."""

    async def main() -> None:
        async with provider.async_claude("slow") as client:
            with agentscope.turn("turn"):
                task = asyncio.create_task(client.messages.create(**ASK, stream=streamed))
                while not provider.headers:  # the request has not arrived
                    await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())
    assert story() == [
        "chat claude-test cancelled",
        " POST #0 asyncio.exceptions.CancelledError",
    ]
    assert recorded.span("chat claude-test").duration_s < 0.9


def test_a_stream_cancelled_while_it_is_read(provider: Any, story: Story) -> None:
    """A client that goes away in mid-stream cancels whoever reads."""

    async def read(client: anthropic.AsyncAnthropic, begun: asyncio.Event) -> None:
        async with client.messages.stream(**ASK) as stream:
            async for _ in stream:
                begun.set()

    async def main() -> None:
        begun = asyncio.Event()
        async with provider.async_claude("200") as client:
            with agentscope.turn("turn"):
                task = asyncio.create_task(read(client, begun))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())
    assert story() == [
        "chat claude-test cancelled",
        " POST #0 200 asyncio.exceptions.CancelledError",
    ]


SAID = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-test",
    "gen_ai.request.max_tokens": 99,
    "gen_ai.response.id": "msg-1",
    "gen_ai.response.model": "claude-test-2026",
    "gen_ai.response.finish_reasons": ["end_turn"],
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 6,
    "gen_ai.usage.cache_write.input_tokens": 4,
    "agentscope.llm.cache_write_1h.input_tokens": 3,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.usage.reasoning.output_tokens": 2,
    "agentscope.outcome": "ok",
}


def test_what_a_call_says(provider: Any, recorded: Recorded) -> None:
    """All attributes of an inference; Anthropic's 10 new, 6 cached and 4 stored tokens are 20."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        client.messages.create(**ASK)
    assert recorded.span("chat claude-test").attributes == SAID
    assert recorded.span("chat claude-test").kind == 3


def test_what_a_streamed_call_says(provider: Any, recorded: Recorded) -> None:
    """The same from a stream, whose input is told first and its output last; and the first text."""
    with agentscope.turn("turn"), provider.claude("200") as client:
        list(client.messages.create(**ASK, stream=True))
    attributes = recorded.span("chat claude-test").attributes
    first_chunk_s = attributes.pop("gen_ai.response.time_to_first_chunk")
    longest_gap_s = attributes.pop("agentscope.llm.longest_chunk_gap")
    assert attributes == {**SAID, "gen_ai.request.stream": True}
    # The start comes after 50 ms, the block's after 100, and the first text with it.
    assert 0.04 < longest_gap_s <= recorded.span("chat claude-test").duration_s
    assert 0.09 < first_chunk_s <= recorded.span("chat claude-test").duration_s


def test_a_stream_cut_short_counts_no_output(provider: Any, recorded: Recorded) -> None:
    """The first event's single output token is no count of the answer; the input is known."""
    with agentscope.turn("turn"), provider.claude("mute") as client:
        list(client.messages.create(**ASK, stream=True))
    attributes = recorded.span("chat claude-test").attributes
    assert attributes["gen_ai.usage.input_tokens"] == 20
    assert "gen_ai.usage.output_tokens" not in attributes
    assert "gen_ai.response.finish_reasons" not in attributes


def test_nothing_of_the_content_is_kept(provider: Any, recorded: Recorded) -> None:
    """Prompt, thought, answer, key and cookies are in no record."""
    thinking = {"type": "enabled", "budget_tokens": 10}
    with agentscope.turn("turn"), provider.claude("200") as client:
        client.messages.create(**ASK)
        list(client.messages.create(**ASK, stream=True, thinking=thinking))
    assert recorded.spans
    assert b"canary" not in b"".join(recorded.sink.span_fragments)
