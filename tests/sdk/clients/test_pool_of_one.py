"""One connection and three calls at once: the second waits for one answer, the third for two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import openai
import pytest

import agentscope
from agentscope.testing import Recorded, RecordedSpan

CALLS = 3
ANSWER_S = 0.3
"""How long the provider takes over ``hold``."""
BUSY_S = 0.1
"""What a busy machine may add to the 2 ms in which a free connection changes hands."""


def ask_httpx(url: str) -> None:
    ask_with(httpx, url)


def ask_httpx2(url: str) -> None:
    ask_with(httpx2, url)


def ask_with(library: Any, url: str) -> None:
    with library.Client(limits=library.Limits(max_connections=1)) as client:
        client.get(url)
        at_once(lambda: client.post(url))


def ask_openai(url: str) -> None:
    http = httpx2.Client(limits=httpx2.Limits(max_connections=1))
    http.get(url)
    with openai.OpenAI(base_url=url, api_key="k", http_client=http) as client:
        at_once(lambda: client.chat.completions.create(model="m", messages=[]))


def at_once(call: Callable[[], object]) -> None:
    def work() -> None:
        with agentscope.turn("turn"), agentscope.llm_call(model="m"):
            call()

    with ThreadPoolExecutor(CALLS) as threads:
        for done in [threads.submit(work) for _ in range(CALLS)]:
            done.result()


async def await_httpx(url: str) -> None:
    await await_with(httpx, url)


async def await_httpx2(url: str) -> None:
    await await_with(httpx2, url)


async def await_with(library: Any, url: str) -> None:
    async with library.AsyncClient(limits=library.Limits(max_connections=1)) as client:
        await client.get(url)
        await all_awaited(lambda: client.post(url))


async def await_openai(url: str) -> None:
    http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1))
    await http.get(url)
    async with openai.AsyncOpenAI(base_url=url, api_key="k", http_client=http) as client:
        await all_awaited(lambda: client.chat.completions.create(model="m", messages=[]))


async def all_awaited(call: Callable[[], Any]) -> None:
    async def work() -> None:
        with agentscope.turn("turn"), agentscope.llm_call(model="m"):
            await call()

    await asyncio.gather(*(work() for _ in range(CALLS)))


@pytest.mark.parametrize(
    "ask", [ask_httpx, ask_httpx2, ask_openai, await_httpx, await_httpx2, await_openai]
)
def test_waits_of_a_pool_of_one(provider: Any, recorded: Recorded, ask: Any) -> None:
    """0, d and 2 d, each below its attempt; d is what the answers took, without the wait."""
    asking = ask(provider.url("200,hold"))  # the first connects, and imports what a first one does
    if asking is not None:
        asyncio.run(asking)
    waits = {span.parent_id: span for span in recorded.spans if span.name == "wait http.pool"}
    attempts = [span for span in recorded.spans if span.name == "POST"]
    attempts.sort(key=lambda attempt: attempt.duration_s)
    assert set(waits) <= {attempt.span_id for attempt in attempts}
    waited_s = [_waited_s(waits.get(attempt.span_id)) for attempt in attempts]
    took_s = [a.duration_s - wait_s for a, wait_s in zip(attempts, waited_s, strict=True)]
    expected_s = [0, took_s[0], took_s[0] + took_s[1]]
    assert waited_s == pytest.approx(expected_s, abs=0.002 + BUSY_S)
    assert took_s == pytest.approx([ANSWER_S] * CALLS, abs=BUSY_S)
    resource = f"127.0.0.1:{provider.port}"
    assert {wait.attributes["agentscope.wait.resource"] for wait in waits.values()} == {resource}


def _waited_s(wait: RecordedSpan | None) -> float:
    return wait.duration_s if wait is not None else 0.0  # less than a millisecond is not recorded
