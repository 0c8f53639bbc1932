"""The middleware: what a request leaves behind, and that the request itself is untouched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.testing import Recorded

Scope = dict[str, Any]
App = Callable[..., Awaitable[None]]

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def call(app: App, scope: Scope) -> list[dict[str, Any]]:
    """Send one request through ``app``; returns what it answers."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_a_request_in_which_the_agent_works_is_a_turn(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Route template, status, session, first byte: all on one SERVER span."""

    async def message(request: Request) -> Response:
        with agentscope.phase("plan"):
            recorded.clock.advance(2)
        return JSONResponse({"ok": True})

    app = Starlette(
        routes=[Route("/api/sessions/{session_id}/messages", message, methods=["POST"])]
    )
    asyncio.run(call(AgentScopeMiddleware(app), http_scope("/api/sessions/s1/messages", "POST")))
    assert recorded.tree() == [
        (
            "POST /api/sessions/{session_id}/messages 2.000s agentscope.outcome=ok"
            " agentscope.response.send_wait=0.0 agentscope.response.time_to_first_byte=2.0"
            " agentscope.turn=True gen_ai.conversation.id=s1 http.request.method=POST"
            " http.response.status_code=200 http.route=/api/sessions/{session_id}/messages"
            " url.scheme=http"
        ),
        "  plan 2.000s agentscope.phase=plan",
    ]


def test_health_checks_are_no_turns_and_early_failures_are(recorded: Recorded) -> None:
    """What fails before the agent works is a turn all the same, once the route is known."""
    broken = False

    async def message(request: Request) -> Response:
        if broken:
            return PlainTextResponse("no database", 503)
        with agentscope.phase("plan"):
            return PlainTextResponse("fine")

    async def health(request: Request) -> Response:
        return PlainTextResponse("up")

    app = Starlette(routes=[Route("/m", message), Route("/healthz", health)])
    client = TestClient(AgentScopeMiddleware(app))
    client.get("/healthz")
    client.get("/m")
    broken = True
    client.get("/m")
    found = [
        (s.name, s.attributes.get("agentscope.turn"), s.attributes["agentscope.outcome"])
        for s in recorded.spans
        if s.kind == 2
    ]
    assert found == [
        ("GET /healthz", None, "ok"),
        ("GET /m", True, "ok"),
        ("GET /m", True, "error"),
    ]


def test_the_route_is_the_template_wherever_it_is_mounted(recorded: Recorded) -> None:
    """Mounts, included routers and plain routes give templates; an unknown path gives none."""

    async def item(request: Request) -> Response:
        return PlainTextResponse("x")

    starlette = Starlette(routes=[Mount("/m", routes=[Route("/x/{y}", item)])])
    fastapi = FastAPI()
    router = APIRouter(prefix="/v1")
    router.add_api_route("/items/{i}", lambda i: i, methods=["GET"])
    fastapi.include_router(router, prefix="/api")
    for app, path in ((starlette, "/m/x/1"), (fastapi, "/api/v1/items/7"), (fastapi, "/no/such")):
        TestClient(AgentScopeMiddleware(app)).get(path)
    assert [s.attributes.get("http.route") for s in recorded.spans] == [
        "/m/x/{y}",
        "/api/v1/items/{i}",
        None,
    ]
    assert recorded.spans[-1].name == "GET"


def test_a_stream_is_timed_to_its_last_byte_and_told_from_the_callers_slowness(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """First byte, end of stream and time awaiting send() are three figures."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            recorded.clock.advance(1)
            yield b"x"

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await StreamingResponse(chunks())(scope, receive, send)
        recorded.clock.advance(10)  # a background task

    async def slow_send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            recorded.clock.advance(0.25)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    asyncio.run(AgentScopeMiddleware(app)(http_scope(), receive, slow_send))
    span = recorded.span("GET")
    assert span.duration_s == 4.0
    assert span.attributes["agentscope.response.time_to_first_byte"] == 1.0
    assert span.attributes["agentscope.response.send_wait"] == 1.0
    assert span.attributes["agentscope.outcome"] == "ok"


def test_chunks_pass_as_the_same_objects_one_by_one(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Nothing is copied, buffered or reordered on the way out."""
    messages = [
        {"type": "http.response.start", "status": 200, "headers": []},
        *({"type": "http.response.body", "body": b"%d" % i, "more_body": i < 9} for i in range(10)),
    ]

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    sent = asyncio.run(call(AgentScopeMiddleware(app), http_scope()))
    assert len(sent) == len(messages)
    assert all(a is b for a, b in zip(sent, messages, strict=True))


def test_an_exception_in_the_handler_is_the_servers_to_see(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """The same object comes out, and the span knows its class."""
    error = RuntimeError("postgres://user:secret@db")

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(call(AgentScopeMiddleware(app), http_scope()))
    assert caught.value is error
    span = recorded.span("GET")
    assert (span.status, span.attributes["error.type"]) == (2, "RuntimeError")
    assert "secret" not in str(span.raw)


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ("raises", "KeyError"),
        ("is answered for", "LookupError"),
        ("raises a status", "503"),
        ("answers a status", "502"),
    ],
)
def test_a_failed_answer_is_called_by_its_exception_if_one_was_thrown(
    recorded: Recorded, http_scope: Callable[..., Scope], answer: str, error_type: str
) -> None:
    """``500`` says little where the framework answers for a handler; a status that is meant stays.

    Whatever our caller is handling itself is no reason.
    """

    async def endpoint(request: Request) -> Response:
        match answer:
            case "raises":
                raise KeyError("secret")
            case "is answered for":
                raise LookupError("secret")
            case "raises a status":
                raise HTTPException(503)
        return PlainTextResponse("upstream", 502)

    async def sorry(request: Request, error: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    app = Starlette(routes=[Route("/", endpoint)])
    if answer == "is answered for":
        app.add_exception_handler(LookupError, sorry)
    try:
        raise TimeoutError
    except TimeoutError:
        with contextlib.suppress(KeyError):
            asyncio.run(call(AgentScopeMiddleware(app), http_scope()))
    assert recorded.span("GET /").attributes["error.type"] == error_type


def test_a_caller_who_leaves_makes_a_cancelled_turn(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Starlette swallows the disconnect; an answer without an end tells it."""

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None: ...

    scope = http_scope(asgi={"version": "3.0", "spec_version": "2.3"})
    asyncio.run(AgentScopeMiddleware(StreamingResponse(forever()))(scope, receive, send))
    assert recorded.span("GET").attributes["agentscope.outcome"] == "cancelled"


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_caller_who_leaves_in_the_middle_of_a_stream_is_no_error(
    recorded: Recorded, http_scope: Callable[..., Scope], spec_version: str
) -> None:
    """Since version 2.4 of ASGI servers say it out of send(); Starlette makes an error of that."""

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    scope = http_scope(asgi={"version": "3.0", "spec_version": spec_version})
    app = AgentScopeMiddleware(StreamingResponse(forever()))
    with pytest.raises((ClientDisconnect, ConnectionResetError)):
        asyncio.run(app(scope, receive, send))
    span = recorded.span("GET")
    assert (span.attributes["agentscope.outcome"], span.status) == ("cancelled", 0)


def test_a_caller_who_leaves_while_the_request_is_read_is_no_error(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Half an upload is nobody's failure here."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        with agentscope.turn("upload"):
            await Request(scope, receive).body()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(AgentScopeMiddleware(app)(http_scope(), receive, None))
    found = [(s.name, s.attributes["agentscope.outcome"], s.status) for s in recorded.spans]
    assert found == [("upload", "cancelled", 0), ("GET", "cancelled", 0)]


def test_a_cancelled_request_is_cancelled(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Cancellation passes through at once."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> bool:
        task = asyncio.create_task(call(AgentScopeMiddleware(app), http_scope()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert recorded.span("GET").attributes["agentscope.outcome"] == "cancelled"
    assert recorded.recorder.open == {}


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (TRACEPARENT, "b7ad6b7169203331"),
        (TRACEPARENT.replace("00-", "cc-", 1) + "-what-the-future-will-be", "b7ad6b7169203331"),
        (TRACEPARENT + "-x", ""),
        (TRACEPARENT.upper(), ""),
        (TRACEPARENT.replace("00-", "ff-", 1), ""),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", ""),
        ("garbage", ""),
        ("", ""),
    ],
)
def test_an_incoming_traceparent_is_continued_if_it_is_valid(
    recorded: Recorded, http_scope: Callable[..., Scope], header: str, parent: str
) -> None:
    """Valid per W3C Trace Context: continued; anything else: a trace of its own."""
    scope = http_scope(headers=[(b"traceparent", header.encode())])
    asyncio.run(call(AgentScopeMiddleware(PlainTextResponse("x")), scope))
    assert recorded.span("GET").parent_id == parent


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "from-header"),
        ("header:X-Chat", "chat-9"),
        ("query:chat", "q 1"),
        (lambda scope: scope["path"], "/"),
        ("path:missing", None),
    ],
)
def test_the_session_is_found_where_the_user_says(
    recorded: Recorded, http_scope: Callable[..., Scope], source: Any, expected: str | None
) -> None:
    """path:, header:, query: or a function; by default the usual names."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        with agentscope.phase("plan"):
            await PlainTextResponse("x")(scope, receive, send)

    scope = http_scope(
        headers=[(b"x-session-id", b"from-header"), (b"x-chat", b"chat-9")],
        query_string=b"chat=q+1",
    )
    asyncio.run(call(AgentScopeMiddleware(app, session=source), scope))
    assert recorded.span("GET").attributes.get("gen_ai.conversation.id") == expected


@pytest.mark.parametrize("source", ["", "path:", "cookie:sid", "session_id"])
def test_a_wrong_session_source_is_refused_at_start(source: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(agentscope.ConfigError, match="session='path:chat_id'"):
        AgentScopeMiddleware(PlainTextResponse("x"), session=source)


def test_instrument_twice_is_once_and_uninstrument_puts_everything_back(
    recorded: Recorded,
) -> None:
    """One span a request, and afterwards the application is as it was."""
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("x"))])
    before = app.build_middleware_stack
    agentscope.instrument(app, clients=())
    agentscope.instrument(app, clients=())
    TestClient(app).get("/")
    assert [span.name for span in recorded.spans] == ["GET /"]
    recorder = recorded.recorder
    agentscope.uninstrument()
    assert app.build_middleware_stack == before
    TestClient(app).get("/")
    assert recorder.accounts()[0].created == 1


def test_something_else_than_an_application_is_refused() -> None:
    """The error says how to wrap it by hand."""
    with pytest.raises(agentscope.ConfigError, match="AgentScopeMiddleware"):
        agentscope.instrument(PlainTextResponse("x"), clients=())
    agentscope.uninstrument()


def test_websockets_are_one_span_a_connection(recorded: Recorded) -> None:
    """The turns on a connection are what the user marks."""

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(2):
            text = await websocket.receive_text()
            with agentscope.turn("message", session="s1"):
                await websocket.send_text(text)
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/chat/{session_id}", chat)])
    client = TestClient(AgentScopeMiddleware(app))
    with client.websocket_connect("/chat/s1") as connection:
        for text in ("a", "b"):
            connection.send_text(text)
            assert connection.receive_text() == text
    found = [(span.name, span.attributes.get("agentscope.turn")) for span in recorded.spans]
    assert found == [
        ("message", True),
        ("message", True),
        ("WEBSOCKET /chat/{session_id}", None),
    ]


def test_a_file_that_the_server_sends_is_an_answer(
    recorded: Recorded, http_scope: Callable[..., Scope]
) -> None:
    """Servers with the extension ``http.response.pathsend`` are given a path, not a body."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/dev/null"})

    sent = asyncio.run(call(AgentScopeMiddleware(app), http_scope("/file")))
    assert [message["type"] for message in sent] == [
        "http.response.start",
        "http.response.pathsend",
    ]
    assert [span.attributes["agentscope.outcome"] for span in recorded.spans] == ["ok"]
