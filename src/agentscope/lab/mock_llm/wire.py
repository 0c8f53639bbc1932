"""ASGI, as far as this server speaks it: reading bodies, sending answers, noticing who left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from agentscope.lab.mock_llm.errors import too_large

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")

EARLY_S = 0.001
"""Timers of the event loop have a resolution of a millisecond; sooner is on time."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes | None:
    """The request's body; None if the caller left before its end; ApiError if it is too large."""
    declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large(limit_bytes)
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        parts.append(part)
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise too_large(limit_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)


async def send_json(send: Send, status: int, value: dict[str, Any], headers: Headers) -> None:
    """Answer with a JSON object."""
    await send_body(send, status, msgspec.json.encode(value), [*headers, JSON])


async def send_body(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Answer with a body that is there as a whole."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def wait_until(due_s: float, gone: asyncio.Future[Message]) -> bool:
    """Wait until ``due_s`` on the monotonic clock; False if the caller is ``gone`` by then."""
    while (left_s := due_s - time.monotonic()) > EARLY_S:
        await asyncio.wait({gone}, timeout=left_s)
        if gone.done():
            return False
    return not gone.done()
