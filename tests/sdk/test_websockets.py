"""WebSockets: one span a connection, the turns that the user marks on it, and how both end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.testing import Recorded

Handler = Callable[[Any, Any], Awaitable[None]]

SERVICE = """
import asyncio
from fastapi import FastAPI, WebSocket
import agentscope

app = FastAPI()
agentscope.instrument(app)

@app.websocket("/chat/{session_id}")
async def chat(websocket: WebSocket, session_id: str):
    await websocket.accept()
    while True:
        text = await websocket.receive_text()
        if text == "break":
            raise ValueError
        with agentscope.turn("message", session=session_id):
            for _ in range(100):
                await websocket.send_text(text)

@app.websocket("/members-only")
async def refuse(websocket: WebSocket):
    await websocket.close()
"""


async def connection(handler: Handler, incoming: list[dict[str, Any]], **server: Any) -> None:
    """Have ``handler`` serve one connection; ``server`` says what becomes of what it sends."""
    messages = iter([{"type": "websocket.connect"}, *incoming])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            server.get("sending", lambda: None)()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await handler(receive, send)

    scope = {"type": "websocket", "path": "/chat/s1", "scheme": "ws", "headers": []}
    await AgentScopeMiddleware(app)(scope, receive, send)


async def echo(receive: Any, send: Any) -> None:
    """Accept, then answer each message with two, as one turn."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        with agentscope.turn("message", session="s1"):
            for _ in range(2):
                await send({"type": "websocket.send", "text": message["text"]})


TEXT = {"type": "websocket.receive", "text": "hello"}


def leaving(code: int) -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code}


def test_a_turn_on_a_connection_knows_its_first_message_and_its_wait_for_the_caller(
    recorded: Recorded,
) -> None:
    """Time awaiting send() is on the turn that sent, and on the connection all of it."""

    def slowly() -> None:
        recorded.clock.advance(0.25)

    with pytest.raises(WebSocketDisconnect):
        asyncio.run(connection(echo, [TEXT, TEXT, leaving(1000)], sending=slowly))
    message = (
        "  message 0.500s agentscope.outcome=ok agentscope.response.send_wait=0.5"
        " agentscope.response.time_to_first_byte=0.0 agentscope.turn=True gen_ai.conversation.id=s1"
    )
    assert recorded.tree() == [
        (
            "WEBSOCKET 1.000s agentscope.outcome=ok agentscope.response.send_wait=1.0"
            " agentscope.response.time_to_first_byte=0.0 http.response.status_code=101 url.scheme=ws"
        ),
        message,
        message,
    ]


@pytest.mark.parametrize(
    ("code", "outcome"), [(1000, "ok"), (1001, "ok"), (1005, "ok"), (1006, "cancelled")]
)
def test_a_caller_who_leaves_is_no_failure_of_the_service(
    recorded: Recorded, code: int, outcome: str
) -> None:
    """Handlers need not catch the disconnect; only one without a good-bye was cut off."""
    with pytest.raises(WebSocketDisconnect):
        asyncio.run(connection(echo, [TEXT, leaving(code)]))
    span = recorded.span("WEBSOCKET")
    assert (span.attributes["agentscope.outcome"], span.status) == (outcome, 0)
    assert "error.type" not in span.attributes


def test_a_caller_who_leaves_in_the_middle_of_an_answer_cancels_the_turn(
    recorded: Recorded,
) -> None:
    """The server says so with an OSError out of send(), which frameworks may turn into their own."""

    def gone() -> None:
        raise BrokenPipeError

    async def handler(receive: Any, send: Any) -> None:
        try:
            await echo(receive, send)
        except OSError as error:
            raise made_of_it from error

    for made_of_it in (WebSocketDisconnect(1006), OSError("lost")):
        with pytest.raises(type(made_of_it)):
            asyncio.run(connection(handler, [TEXT], sending=gone))
    connections = [span for span in recorded.spans if span.name == "WEBSOCKET"]
    found = [(span.attributes["agentscope.outcome"], span.status) for span in connections]
    assert found == [("cancelled", 0)] * 2


def test_a_failure_of_the_handler_is_one(recorded: Recorded) -> None:
    """With its class on the connection and on the turn."""

    async def handler(receive: Any, send: Any) -> None:
        with agentscope.turn("message"):
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(connection(handler, []))
    found = [(s.name, s.attributes["agentscope.outcome"], s.status) for s in recorded.spans]
    assert found == [("message", "error", 2), ("WEBSOCKET", "error", 2)]


def test_ten_thousand_messages_make_no_span(recorded: Recorded) -> None:
    """What is not marked as a turn costs a clock reading and leaves nothing."""

    async def handler(receive: Any, send: Any) -> None:
        for _ in range(10_000):
            await send({"type": "websocket.send", "text": "x"})

    asyncio.run(connection(handler, []))
    assert [span.name for span in recorded.spans] == ["WEBSOCKET"]


def test_under_a_real_server(serve: Callable[..., Any]) -> None:
    """Answered, refused, unknown, failed and left without a good-bye: each one span, as it was."""
    service = serve(SERVICE, sys.executable, "-m", "uvicorn", "service:app", "--port", "PORT")
    url = service.url.replace("http", "ws")

    async def talk() -> None:
        async with connect(f"{url}/chat/s1") as chat:
            for text in ("a", "b"):
                await chat.send(text)
                assert [await chat.recv() for _ in range(100)] == [text] * 100
        async with connect(f"{url}/chat/s2") as chat:
            await chat.send("break")
            await chat.wait_closed()
        left = await connect(f"{url}/chat/s3")
        left.transport.abort()
        for path in ("/members-only", "/unknown"):
            with pytest.raises(InvalidStatus):
                await connect(f"{url}{path}")

    asyncio.run(talk())
    service.end(signal.SIGTERM)
    connections = Counter(
        (
            span["name"],
            span["attributes"].get("http.response.status_code"),
            span["attributes"]["agentscope.outcome"],
        )
        for span in service.spans()
        if span["name"].startswith("WEBSOCKET")
    )
    assert connections == {
        ("WEBSOCKET /chat/{session_id}", "101", "ok"): 2,  # the aborted one has no code either
        ("WEBSOCKET /chat/{session_id}", "101", "error"): 1,
        ("WEBSOCKET /members-only", "403", "ok"): 1,
        ("WEBSOCKET", "403", "ok"): 1,
    }
    turns = service.turns()
    assert [turn["attributes"]["gen_ai.conversation.id"] for turn in turns] == ["s1", "s1"]
    assert all(turn["attributes"]["agentscope.response.send_wait"] > 0 for turn in turns)
