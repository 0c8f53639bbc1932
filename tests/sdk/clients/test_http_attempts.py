"""HTTP requests below a call of a model, and beside one."""

from __future__ import annotations

import asyncio
import gc
import importlib
import time
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.testing import Recorded, RecordedSpan

Story = Callable[[], list[str]]

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


def named(recorded: Recorded, name: str) -> list[RecordedSpan]:
    return [span for span in recorded.spans if span.name == name]


@both
def test_imports_in_the_first_request_are_no_wait_for_the_pool(
    provider: Any, recorded: Recorded, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An asynchronous pool with room lets nobody wait, however long it takes to use a connection.

    What httpcore's locks import when they are first used takes up to a quarter of a second.
    """
    core = importlib.import_module(library.AsyncHTTPTransport()._pool.__module__.split(".")[0])
    lock = core._synchronization.AsyncLock
    set_up = lock.setup

    def importing(self: Any) -> None:
        time.sleep(0.02)
        set_up(self)

    monkeypatch.setattr(lock, "setup", importing)

    async def main() -> None:
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(limits=limits) as client:
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                await client.post(provider.url("200"))

    asyncio.run(main())
    assert recorded.span("POST").duration_s > 0.02
    assert named(recorded, "wait http.pool") == []


@both
@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_giving_up_while_waiting_for_the_pool(
    provider: Any, recorded: Recorded, library: Any, end: str
) -> None:
    """Whoever gives up in the queue has waited for the pool all the time."""

    async def main() -> None:
        limits = library.Limits(max_connections=1)
        timeout = library.Timeout(5, pool=0.1 if end == "timeout" else 5)
        async with library.AsyncClient(limits=limits, timeout=timeout) as client:
            first = asyncio.create_task(client.post(provider.url("hold")))
            await asyncio.sleep(0.05)
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                if end == "timeout":
                    with pytest.raises(library.PoolTimeout):
                        await client.post(provider.url("200"))
                else:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await client.post(provider.url("200"))
            await first

    asyncio.run(main())
    attempt, wait = recorded.span("POST"), recorded.span("wait http.pool")
    assert wait.duration_s == pytest.approx(0.1, abs=0.05)
    assert wait.duration_s == pytest.approx(attempt.duration_s, abs=0.001)
    error, status = attempt.attributes["error.type"], attempt.status
    assert (error, status) == {
        "timeout": (f"{library.__name__}.PoolTimeout", 2),
        "cancel": ("asyncio.exceptions.CancelledError", 0),
    }[end]


def test_a_slow_connect_is_a_wait(recorded: Recorded) -> None:
    """The time until a new connection stands is not the provider's."""

    async def main() -> None:
        transport = httpx2.AsyncHTTPTransport()
        backend = transport._pool._network_backend
        connect = backend.connect_tcp

        async def slowly(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.05)
            return await connect(*args, **kwargs)

        backend.connect_tcp = slowly  # type: ignore[method-assign]
        async with httpx2.AsyncClient(transport=transport) as client:
            with agentscope.llm_call(model="m"), pytest.raises(httpx2.ConnectError):
                await client.post("http://127.0.0.1:1/")

    asyncio.run(main())
    wait = recorded.span("wait http.connect")
    assert wait.duration_s == pytest.approx(0.05, abs=0.04)
    assert recorded.span("POST").attributes["error.type"] == "httpx2.ConnectError"


def test_what_an_attempt_says(provider: Any, recorded: Recorded, ask: Any) -> None:
    """All attributes; headers by allow-list; no path, no query."""
    with agentscope.turn("turn"), provider.client("429,200") as client:
        client.chat.completions.create(**ask)
    first = named(recorded, "POST")[0]
    assert first.kind == 3
    assert first.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": provider.port,
        "http.request.resend_count": 0,
        "http.response.status_code": 429,
        "error.type": "429",
        "http.response.header.x-request-id": ["req-1"],
        "http.response.header.openai-processing-ms": ["12"],
        "http.response.header.x-ratelimit-limit-requests": ["60"],
        "http.response.header.x-ratelimit-remaining-requests": ["0"],
        "http.response.header.x-ratelimit-reset-requests": ["1.2s"],
        "http.response.header.retry-after-ms": ["20"],
        "agentscope.llm.server_processing": 0.012,
    }


def test_quota_gauges_show_the_last_word_of_the_second(
    provider: Any, recorded: Recorded, ask: Any
) -> None:
    """A refused request sets them too, and 0 is a value."""
    with provider.client("429", max_retries=0) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ask)
    labels = ("openai", "gpt-test", "requests")
    assert recorded.value(c.RATELIMIT_LIMIT, *labels) == 60
    assert recorded.value(c.RATELIMIT_REMAINING, *labels) == 0
    assert recorded.value(c.RATELIMIT_RESET, *labels) == pytest.approx(1.2, abs=0.2)


@both
def test_another_call_is_upstream(provider: Any, recorded: Recorded, library: Any) -> None:
    """A request of a tool is no attempt, also inside a phase that asks a model."""
    with agentscope.turn("turn"), agentscope.llm_call(), agentscope.tool(name="lookup"):
        assert library.get(provider.url("200") + "?key=canary").status_code == 200
    span = recorded.span("GET")
    assert span.attributes == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": provider.port,
        "http.response.status_code": 200,
    }


@both
def test_a_phase_that_asks_by_itself(provider: Any, story: Story, library: Any) -> None:
    """Raw HTTP below @llm_call: the phase's requests are attempts, counted, with their sleeps."""
    with agentscope.turn("turn"), library.Client() as client, agentscope.llm_call(name="ask"):
        url = provider.url("500,429,200")
        while client.post(url).status_code != 200:
            time.sleep(0.005)
    assert story() == [
        "ask",
        " POST #0 500 500",
        " wait retry_backoff",
        " POST #1 429 429",
        " wait rate_limit",
        " POST #2 200",
    ]


@both
def test_outside_of_a_turn_nothing_is_recorded(
    provider: Any, recorded: Recorded, library: Any
) -> None:
    """No span of ours is current, so the request is nobody's."""
    assert library.get(provider.url("200")).status_code == 200
    assert recorded.spans == []


@both
def test_a_refusal_whose_body_is_read_later(provider: Any, story: Story, library: Any) -> None:
    """The sleep begins with the refusal, though its body is read after the next attempt."""
    with agentscope.turn("turn"), library.Client() as client, agentscope.llm_call(name="ask"):
        url = provider.url("429,200")
        refused = client.send(client.build_request("POST", url), stream=True)
        time.sleep(0.02)
        assert client.post(url).status_code == 200
        refused.read()
    assert story() == ["ask", " POST #0 429 429", " wait rate_limit", " POST #1 200"]


@both
@pytest.mark.parametrize("how", ["read", "close", "drop"])
def test_a_body_ends_its_request_once(
    provider: Any, recorded: Recorded, library: Any, how: str
) -> None:
    """Read, closed or dropped: the request lasts as long as somebody holds its body."""
    with agentscope.turn("turn"), library.Client() as client:
        request = client.build_request("GET", provider.url("200"))
        response = client.send(request, stream=True)
        assert named(recorded, "GET") == []
        if how == "read":
            assert b"chatcmpl-1" in response.read()
        elif how == "close":
            response.close()
        del response
        gc.collect()
        assert len(named(recorded, "GET")) == 1


@both
def test_a_response_is_what_it_was(provider: Any, recorded: Recorded, library: Any) -> None:
    """Chunks, elapsed time, closing and pickling are the library's."""
    import pickle

    def ask(client: Any) -> tuple[Any, ...]:
        with client.stream("GET", provider.url("200")) as response:
            chunks = list(response.iter_raw())
        with pytest.raises(library.StreamConsumed):
            next(response.iter_raw())
        copy = pickle.loads(pickle.dumps(response))
        return chunks, response.elapsed.total_seconds() > 0, response.is_closed, copy.status_code

    with library.Client() as client:
        without = ask(client)
        with agentscope.turn("turn"):
            assert ask(client) == without


@both
def test_an_early_stop_closes_the_connection(
    provider: Any, recorded: Recorded, library: Any
) -> None:
    """Leaving an asynchronous body in the middle leaves no connection in use."""

    async def main() -> None:
        async with library.AsyncClient() as client:
            with agentscope.turn("turn"):
                request = client.build_request("POST", provider.url("200"), json={"stream": True})
                response = await client.send(request, stream=True)
                async for _ in response.aiter_bytes():
                    break
                await response.aclose()
            pool = client._transport._pool
            assert [connection for connection in pool.connections if not connection.is_idle()] == []

    asyncio.run(main())
    assert recorded.span("POST").status == 0


@both
def test_other_transports(recorded: Recorded, library: Any) -> None:
    """A mock is hooked like the network: its requests are spans, without waits."""

    def answer(request: Any) -> Any:
        return library.Response(200, json={"seen": "trace" in request.extensions})

    client = library.Client(transport=library.MockTransport(answer))
    with client, agentscope.llm_call(model="m"):
        assert client.get("https://model.test/v1?key=canary").json() == {"seen": True}
    assert [span.name for span in recorded.spans] == ["GET", "chat m"]
    assert recorded.span("GET").attributes["server.port"] == 443


@both
def test_redirects_are_requests(recorded: Recorded, library: Any) -> None:
    """Each request that goes out is one span, and inherits nothing of ours from the one before."""
    traced: list[Any] = []

    def answer(request: Any) -> Any:
        traced.append(request.extensions["trace"])
        if request.url.path == "/a":
            return library.Response(302, headers={"location": "/b"})
        return library.Response(200)

    with agentscope.turn("turn"):
        transport = library.MockTransport(answer)
        with library.Client(transport=transport, follow_redirects=True) as client:
            response = client.get("https://model.test/a")
    statuses = [s.attributes["http.response.status_code"] for s in named(recorded, "GET")]
    assert statuses == [302, 200]
    assert traced[0] is not traced[1]
    assert "trace" not in response.request.extensions


@both
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_trace_callback_of_the_users(
    provider: Any, recorded: Recorded, library: Any, asynchronous: bool
) -> None:
    """It is called as often as without us, with the same events."""
    events: list[str] = []

    def note(event: str, info: Any) -> None:
        events.append(event)

    async def note_async(event: str, info: Any) -> None:
        events.append(event)

    def ask() -> list[str]:
        events.clear()
        url = provider.url("200")
        if not asynchronous:
            with library.Client() as client:
                client.get(url, extensions={"trace": note})
        else:

            async def main() -> None:
                async with library.AsyncClient() as client:
                    await client.get(url, extensions={"trace": note_async})

            asyncio.run(main())
        return list(events)

    without = ask()
    with agentscope.turn("turn"):
        assert ask() == without
    assert len(without) > 10


@both
def test_an_exception_is_the_same_object(recorded: Recorded, library: Any) -> None:
    """What a transport raises is what the caller gets."""
    error = library.ReadTimeout("slow")

    def answer(request: Any) -> Any:
        raise error

    client = library.Client(transport=library.MockTransport(answer))
    with agentscope.turn("turn"), client, pytest.raises(library.ReadTimeout) as raised:
        client.get("https://model.test/")
    assert raised.value is error
    assert raised.value.__context__ is None
    assert recorded.span("GET").attributes["error.type"] == f"{library.__name__}.ReadTimeout"


def test_an_asgi_application_as_transport(provider: Any, recorded: Recorded) -> None:
    """Tests that call an application in process are recorded the same way."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            with agentscope.turn("turn"):
                return (await client.get("/")).status_code

    assert asyncio.run(main()) == 204
    assert recorded.span("GET").attributes["http.response.status_code"] == 204
