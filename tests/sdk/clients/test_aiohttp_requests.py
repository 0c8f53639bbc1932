"""aiohttp: attempts of model calls, their waits, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx2
import pytest

import agentscope
from agentscope.testing import Recorded, RecordedSpan

Story = Callable[[], list[str]]
Act = Callable[[aiohttp.ClientSession, str], Awaitable[Any]]

STREAM = {"stream": True}

VERSION = tuple(map(int, aiohttp.__version__.split(".")[:2]))
# Narrower exceptions came with 3.10.
READ_TIMEOUT: Any = getattr(aiohttp, "SocketTimeoutError", aiohttp.ServerTimeoutError)
NO_HOST: Any = getattr(aiohttp, "ClientConnectorDNSError", aiohttp.ClientConnectorError)


def named(recorded: Recorded, name: str) -> list[RecordedSpan]:
    return sorted((s for s in recorded.spans if s.name == name), key=lambda span: span.start_s)


async def ok(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(url) as response:
        assert (await response.json())["id"] == "chatcmpl-1"


async def users_loop(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with session.post(url) as response:
            if response.status == 200:
                return
        await asyncio.sleep(0.02)


async def middleware(session: aiohttp.ClientSession, url: str) -> None:
    async def retry(request: Any, handler: Any) -> Any:
        while (response := await handler(request)).status != 200:
            response.release()
            await asyncio.sleep(0.02)
        return response

    async with session.post(url, middlewares=(retry,)) as response:
        await response.read()


async def total_timeout(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(TimeoutError):
        await session.post(url, timeout=aiohttp.ClientTimeout(total=0.05))


async def read_timeout(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(READ_TIMEOUT):
        await session.post(url, timeout=aiohttp.ClientTimeout(sock_read=0.05))


async def timeout_in_the_body(session: aiohttp.ClientSession, url: str) -> None:
    timeout = aiohttp.ClientTimeout(total=0.08)  # the second chunk comes after 0.1 s
    async with session.post(url, json=STREAM, timeout=timeout) as response:
        with pytest.raises(TimeoutError):
            await response.read()


async def cancelled(session: aiohttp.ClientSession, url: str) -> None:
    task = asyncio.create_task(session.post(url)._coro)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_in_the_body(session: aiohttp.ClientSession, url: str) -> None:
    async def read() -> None:
        async with session.post(url, json=STREAM) as response:
            await response.read()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(), 0.08)


async def broken_off(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(url, json=STREAM) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def abandoned(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(url, json=STREAM) as response:
        await response.content.readany()


async def the_readers_own_failure(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(TimeoutError):
        async with session.post(url, json=STREAM):
            raise TimeoutError("of something else")


async def dropped(session: aiohttp.ClientSession, url: str) -> None:
    await session.post(url, json=STREAM)  # its connection keeps it, and reads on
    await asyncio.sleep(0.2)


async def given_up_in_a_handler(session: aiohttp.ClientSession, url: str) -> None:
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        await abandoned(session, url)


REFUSED = "aiohttp.client_exceptions.ServerDisconnectedError"

TABLE: list[tuple[Act, str, list[str]]] = [
    (ok, "200", ["POST #0 200"]),
    (users_loop, "429,200", ["POST #0 429 429", "wait rate_limit", "POST #1 200"]),
    (middleware, "500,200", ["POST #0 500 500", "wait retry_backoff", "POST #1 200"]),
    (total_timeout, "slow", ["POST #0 TimeoutError"]),
    (read_timeout, "slow", [f"POST #0 {READ_TIMEOUT.__module__}.{READ_TIMEOUT.__qualname__}"]),
    (timeout_in_the_body, "200", ["POST #0 200 TimeoutError"]),
    (cancelled, "slow", ["POST #0 asyncio.exceptions.CancelledError"]),
    (cancelled_in_the_body, "200", ["POST #0 200 asyncio.exceptions.CancelledError"]),
    (broken_off, "cut", ["POST #0 200 aiohttp.client_exceptions.ClientPayloadError"]),
    (abandoned, "200", ["POST #0 200"]),
    (the_readers_own_failure, "200", ["POST #0 200"]),
    (dropped, "200", ["POST #0 200"]),
    (given_up_in_a_handler, "200", ["POST #0 200"]),
]


@pytest.mark.parametrize(("act", "script", "expected"), TABLE, ids=[t[0].__name__ for t in TABLE])
def test_the_table(
    provider: Any, recorded: Recorded, story: Story, act: Act, script: str, expected: list[str]
) -> None:
    """Whatever becomes of a request: one attempt each time it goes out, with its true end."""
    if act is middleware and VERSION < (3, 12):
        pytest.skip("aiohttp has no middlewares for clients")

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with agentscope.turn("turn"), agentscope.llm_call(name="ask"):
                await act(session, provider.url(script))

    asyncio.run(main())
    assert story() == ["ask", *(f" {line}" for line in expected)]


def test_a_pool_of_one(provider: Any, recorded: Recorded) -> None:
    """Three calls at once over one connection: the second waits once, the third twice."""

    async def call(session: aiohttp.ClientSession) -> None:
        with agentscope.llm_call(model="m"):
            async with session.post(provider.url("hold")) as response:
                await response.read()

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            with agentscope.turn("turn"):
                await asyncio.gather(*(call(session) for _ in range(3)))

    asyncio.run(main())
    waits = sorted(span.duration_s for span in named(recorded, "wait http.pool"))
    assert waits == pytest.approx([0.3, 0.6], abs=0.1)
    first, *others = sorted(named(recorded, "POST"), key=lambda span: span.duration_s)
    assert [span.parent_id for span in named(recorded, "wait http.pool")] == [
        span.span_id for span in others
    ]
    assert first.duration_s == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_giving_up_while_waiting_for_the_pool(provider: Any, recorded: Recorded, end: str) -> None:
    """Whoever gives up in the queue has waited for the pool all the time."""

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            first = asyncio.create_task(ok(session, provider.url("hold")))
            await asyncio.sleep(0.05)
            timeout = aiohttp.ClientTimeout(connect=0.1 if end == "timeout" else 5)
            with (
                agentscope.turn("turn"),
                agentscope.llm_call(model="m"),
                pytest.raises(TimeoutError),
            ):
                async with asyncio.timeout(0.1 if end == "cancel" else 5):
                    await session.post(provider.url("200"), timeout=timeout)
            await first

    asyncio.run(main())
    attempt, wait = recorded.span("POST"), recorded.span("wait http.pool")
    assert wait.duration_s == pytest.approx(0.1, abs=0.05)
    assert wait.duration_s == pytest.approx(attempt.duration_s, abs=0.005)
    assert wait.attributes["agentscope.wait.resource"] == f"127.0.0.1:{provider.port}"
    error, status = attempt.attributes["error.type"], attempt.status
    assert (error, status) == {
        "timeout": ("TimeoutError", 2),
        "cancel": ("asyncio.exceptions.CancelledError", 0),
    }[end]


def test_a_slow_connect_is_a_wait(recorded: Recorded) -> None:
    """The time until a new connection stands is not the provider's, name resolution included."""

    class Resolver(aiohttp.abc.AbstractResolver):
        async def resolve(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.05)
            raise OSError(None, "no such host")

        async def close(self) -> None:
            return

    async def main() -> None:
        connector = aiohttp.TCPConnector(resolver=Resolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            with agentscope.llm_call(model="m"), pytest.raises(NO_HOST):
                await session.post("http://model.test/")

    asyncio.run(main())
    wait = recorded.span("wait http.connect")
    assert wait.duration_s == pytest.approx(0.05, abs=0.04)
    assert wait.attributes["agentscope.wait.resource"] == "model.test"
    error = recorded.span("POST").attributes["error.type"]
    assert error == f"{NO_HOST.__module__}.{NO_HOST.__qualname__}"


def test_what_an_attempt_says(provider: Any, recorded: Recorded) -> None:
    """All attributes; headers by allow-list; no path, no query."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                await users_loop(session, provider.url("429,200") + "?key=canary")

    asyncio.run(main())
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


def test_another_call_is_upstream_and_outside_of_a_turn_nobodys(
    provider: Any, recorded: Recorded
) -> None:
    """A request of a tool is no attempt; one that no span of ours is above has no span."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await ok(session, provider.url("200"))
            assert recorded.spans == []
            with agentscope.turn("turn"), agentscope.llm_call(), agentscope.tool(name="lookup"):
                async with session.get(provider.url("200")) as response:
                    await response.read()

    asyncio.run(main())
    assert recorded.span("GET").attributes == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": provider.port,
        "http.response.status_code": 200,
    }


def test_a_request_lasts_until_its_body_has_come(provider: Any, recorded: Recorded) -> None:
    """A stream's attempt ends with its last byte, not with its head."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with agentscope.turn("turn"), agentscope.llm_call(model="m"):
                response = await session.post(provider.url("200"), json=STREAM)
                assert named(recorded, "POST") == []
                chunks = [chunk async for chunk in response.content.iter_any()]
                assert len(chunks) > 1

    asyncio.run(main())
    assert recorded.span("POST").duration_s == pytest.approx(0.1, abs=0.05)


@pytest.mark.skipif(VERSION < (3, 10), reason="aiohttp does not try a stale connection again")
def test_redirects_are_requests_and_so_are_stale_connections(
    provider: Any, recorded: Recorded
) -> None:
    """Each request that goes out is one span, also where aiohttp itself sends it again."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            while (head := await reader.readuntil(b"\r\n\r\n")) and len(seen) != 2:
                seen.append(head.split()[1].decode())
                moved = seen[-1] == "/a"
                first = b"302 Found\r\nlocation: /b" if moved else b"200 OK"
                writer.write(b"HTTP/1.1 " + first + b"\r\ncontent-length: 0\r\n\r\n")
            seen.append("cut")

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, aiohttp.ClientSession() as session:
            with agentscope.turn("turn"), agentscope.llm_call(name="ask"):
                assert (await session.get(f"{url}/a")).status == 200
                assert (await session.get(f"{url}/c")).status == 200

    asyncio.run(main())
    assert seen == ["/a", "/b", "cut", "/c"]
    told = [
        span.attributes.get("http.response.status_code") or span.attributes["error.type"]
        for span in named(recorded, "GET")
    ]
    assert told == [302, 200, REFUSED, 200]


def test_the_users_own_tracing_sees_what_it_saw(provider: Any, recorded: Recorded) -> None:
    """Signals of a TraceConfig come in the same number and order, and its failures go through."""

    async def ask(fail: bool = False) -> list[str]:
        told: list[str] = []
        config = aiohttp.TraceConfig()
        for signal in ("request_start", "connection_create_start", "connection_create_end"):

            async def note(session: Any, context: Any, params: Any, signal: str = signal) -> None:
                told.append(signal)
                if fail and signal == "connection_create_start":
                    raise ValueError("the user's")

            getattr(config, f"on_{signal}").append(note)
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            await ok(session, provider.url("200"))
        return told

    without = asyncio.run(ask())
    with agentscope.turn("turn"):
        assert asyncio.run(ask()) == without
        with pytest.raises(ValueError, match="the user's"):
            asyncio.run(ask(fail=True))
    assert [span.attributes.get("error.type") for span in named(recorded, "POST")] == [
        None,
        "ValueError",
    ]


def test_a_websocket_is_a_request_until_it_is_one(recorded: Recorded) -> None:
    """The handshake is the request; what is said afterwards is not waiting for an answer."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.close()
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            with agentscope.turn("turn"):
                async with session.ws_connect(f"ws://127.0.0.1:{port}/") as socket:
                    assert named(recorded, "GET")[0].attributes["http.response.status_code"] == 101
                    assert await socket.receive_str() == "hello"
        await runner.cleanup()

    asyncio.run(main())
    assert recorded.span("GET").status == 0


class OverAiohttp(httpx2.AsyncBaseTransport):
    """httpx's requests over a session of aiohttp, as LiteLLM and httpx-aiohttp send them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = self._session.request(request.method, str(request.url), data=await request.aread())
        async with sent as response:
            return httpx2.Response(response.status, content=await response.read())


def test_a_request_that_aiohttp_carries_for_httpx_is_one(
    provider: Any, recorded: Recorded, story: Story
) -> None:
    """One attempt, which is httpx's, with the waits that aiohttp alone knows of."""

    async def call(client: httpx2.AsyncClient) -> None:
        with agentscope.llm_call(name="ask"):
            await client.post(provider.url("hold"))

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            httpx2.AsyncClient(transport=OverAiohttp(session)) as client,
        ):
            with agentscope.turn("turn"):
                await asyncio.gather(call(client), call(client))

    asyncio.run(main())
    assert story() == ["ask", " POST #0 200", "ask", " POST #0 200"]
    wait = recorded.span("wait http.pool")
    assert wait.duration_s == pytest.approx(0.3, abs=0.1)
    assert wait.parent_id == max(named(recorded, "POST"), key=lambda s: s.duration_s).span_id
