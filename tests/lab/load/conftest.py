"""A small real agent service for the load generator to talk to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn


@dataclass
class EchoAgent:
    """Echoes what it is told; ``seen`` has one entry a request: method, path, traceparent, text."""

    seen: list[tuple[str, str, str, str]] = field(default_factory=list)
    url: str = ""
    ended: list[str] = field(default_factory=list)
    opening_s: float = 0.0
    """How long it takes to open a session."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        text, stream = await self._read(receive)
        traceparent = dict(scope["headers"]).get(b"traceparent", b"").decode()
        self.seen.append((scope["method"], scope["path"], traceparent, text))
        if scope["method"] == "DELETE":
            self.ended.append(scope["path"].rpartition("/")[2])
            await _answer(send, 204, b"")
        elif scope["path"] == "/api/sessions":
            await asyncio.sleep(self.opening_s)
            await _answer(send, 201, json.dumps({"session_id": f"s{len(self.seen)}"}).encode())
        elif text == "too many":
            await _answer(send, 429, b'{"error": "slow down"}')
        elif text == "break":
            await _answer(send, 500, b'{"error": "oops"}')
        elif text == "nothing":
            await _answer(send, 200, b'{"response": ""}')
        else:
            await asyncio.sleep({"slow": 30, "a while": 4.5}.get(text, 0))
            await (_stream if stream else _say)(send, text)

    async def _read(self, receive: Any) -> tuple[str, bool]:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        sent = json.loads(body) if body else {}
        return sent.get("message", ""), sent.get("stream", False)


async def _say(send: Any, text: str) -> None:
    await _answer(send, 200, json.dumps({"response": f"you said {text}"}).encode())


async def _stream(send: Any, text: str) -> None:
    """Headers at once, the first short event after 0.15 s, the end 0.15 s later."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part, more in ((text, True), ("[DONE]", False)):
        await asyncio.sleep(0.15)
        body = f"data: {part}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def echo_agent() -> Iterator[EchoAgent]:
    agent = EchoAgent()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(agent, log_level="warning", lifespan="off", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    agent.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    yield agent
    server.should_exit = server.force_exit = True
    thread.join(timeout=10)
    listening.close()
    assert not thread.is_alive()
