"""Transports of the user's own, below the client, that send a model's request again by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

import agentscope
from agentscope.testing import Recorded

Story = Callable[[], list[str]]

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


def resending(library: Any, errors: list[Exception] | None = None, copies: bool = False) -> Any:
    """A transport that sleeps 30 ms and sends again what was refused, or raised one of ``errors``."""
    left = list(errors or [])

    class Resending(library.BaseTransport):
        def __init__(self) -> None:
            self.below = library.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            while True:
                if copies:
                    request = library.Request(
                        request.method,
                        request.url,
                        headers=request.headers,
                        stream=request.stream,
                        extensions=request.extensions,
                    )
                response = self.below.handle_request(request)
                if response.status_code == 200:
                    return response
                response.close()
                if left:
                    raise left.pop()
                time.sleep(0.03)

        def close(self) -> None:
            self.below.close()

    return Resending()


@both
@pytest.mark.parametrize("copies", [False, True], ids=["the request", "a copy"])
def test_each_try_of_a_transport_is_an_attempt(
    provider: Any, story: Story, recorded: Recorded, library: Any, copies: bool
) -> None:
    """As if the client itself had retried: its status, its sleep, its place in the row."""
    transport = resending(library, copies=copies)
    client = library.Client(transport=transport)
    with agentscope.turn("turn"), agentscope.llm_call(model="m"), client:
        assert client.post(provider.url("429,500,200")).status_code == 200
    assert story() == [
        "chat m ok",
        " POST #0 429 429",
        " wait rate_limit",
        " POST #1 500 500",
        " wait retry_backoff",
        " POST #2 200",
    ]
    for kind in ("rate_limit", "retry_backoff"):
        assert 0.02 < recorded.span(f"wait {kind}").duration_s < 0.3


@both
def test_below_an_sdk_and_asynchronously(provider: Any, story: Story, library: Any) -> None:
    """The client of an SDK sees one request; the waits are found all the same."""
    below = library.AsyncHTTPTransport()

    class Resending(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            while (response := await below.handle_async_request(request)).status_code != 200:
                await response.aclose()
                await asyncio.sleep(0.01)
            return response

    async def main() -> None:
        async with library.AsyncClient(transport=Resending()) as client:
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                await client.post(provider.url("429,200"))
        await below.aclose()

    asyncio.run(main())
    assert story() == ["chat m ok", " POST #0 429 429", " wait rate_limit", " POST #1 200"]


def test_an_sdk_that_retries_above_such_a_transport(provider: Any, story: Story) -> None:
    """A transport that gives up with an exception was refused all the same; nothing is nested."""
    http = httpx2.Client(transport=resending(httpx2, [httpx2.ReadTimeout("gave up")]))
    options: dict[str, Any] = {"http_client": http, "max_retries": 1}
    with agentscope.turn("turn"), provider.client("429,429,200", **options) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert [line for line in story() if line.startswith(" ")] == [
        " POST #0 429 429",
        " wait rate_limit",
        " POST #1 429 429",
        " wait rate_limit",
        " POST #2 200",
    ]


@both
def test_a_try_that_raised_is_an_attempt(provider: Any, story: Story, library: Any) -> None:
    """Nobody listened there, twice; the caller gets the second exception itself."""
    raised: list[Exception] = []

    class Stubborn(library.HTTPTransport):
        def handle_request(self, request: Any) -> Any:
            while True:
                try:
                    return super().handle_request(request)
                except library.ConnectError as error:
                    raised.append(error)
                    if len(raised) == 2:
                        raise
                    time.sleep(0.01)

    client = library.Client(transport=Stubborn())
    refused = pytest.raises(library.ConnectError)
    with agentscope.turn("turn"), agentscope.llm_call(model="m"), client, refused as caught:
        client.post("http://127.0.0.1:1/")
    assert caught.value is raised[1]
    error = f"{library.__name__}.ConnectError"
    assert story() == [
        "chat m ok",
        f" POST #0 {error}",
        " wait retry_backoff",
        f" POST #1 {error}",
    ]


@both
def test_tries_side_by_side_are_one_attempt(provider: Any, story: Story, library: Any) -> None:
    """A transport that hedges: whose status would be whose?"""
    below = library.AsyncHTTPTransport()

    class Hedging(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            tries = [asyncio.create_task(below.handle_async_request(request)) for _ in range(2)]
            first, second = await asyncio.gather(*tries)
            await second.aclose()
            return first

    async def main() -> None:
        async with library.AsyncClient(transport=Hedging()) as client:
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                await client.get(provider.url("200"))
        await below.aclose()

    asyncio.run(main())
    assert story() == ["chat m ok", " GET #0 200"]


@both
def test_other_requests_through_the_same_transport_are_no_tries(
    provider: Any, story: Story, library: Any
) -> None:
    """One that fetches a token first, and a call of another service, which is one call."""

    class Fetching(library.BaseTransport):
        below = library.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            token = library.Request("GET", provider.url("200"))
            self.below.handle_request(token).close()
            return self.below.handle_request(request)

    with agentscope.turn("turn"):
        with library.Client(transport=Fetching()) as client, agentscope.llm_call(model="m"):
            client.post(provider.url("200"))
        with library.Client(transport=resending(library)) as client:
            client.post(provider.url("500,200"))
    Fetching.below.close()
    assert story() == ["chat m ok", " POST #0 200", "POST 200"]
