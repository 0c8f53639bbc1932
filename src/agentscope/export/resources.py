"""The process's own figures as JSON, for health checks during a load test.

They tell what a stranger should not know, so they are for callers on this machine, or with the
token of ``AGENTSCOPE_RESOURCES_TOKEN``: ``Authorization: Bearer …``. A request that came through a
proxy has the proxy's address, so it needs the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio.to_thread
import msgspec
import psutil

TOKEN_VARIABLE = "AGENTSCOPE_RESOURCES_TOKEN"

_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})

Scope = MutableMapping[str, Any]


def resources() -> dict[str, float | int]:
    """Memory, CPU, open files, connections and threads of this process. Blocks for milliseconds."""
    process = psutil.Process()
    return {
        "memory_mb": round(process.memory_info().rss / 1024 / 1024, 1),
        "cpu_percent": process.cpu_percent(0.1),
        "open_files": len(process.open_files()),
        "connections": len(process.net_connections()),
        "threads": process.num_threads(),
    }


async def serve(scope: Scope, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer with the figures, or with 403 who may not see them."""
    if _may_see(scope):
        figures = await anyio.to_thread.run_sync(resources, limiter=anyio.CapacityLimiter(1))
        status, body = 200, msgspec.json.encode(figures)
    else:
        status, body = 403, b'{"detail":"for this machine, or with a token"}'
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _may_see(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    token = os.environ.get(TOKEN_VARIABLE, "")
    given = headers.get(b"authorization", b"")
    if token and hmac.compare_digest(given, b"Bearer " + token.encode()):
        return True
    client = scope.get("client")
    if client is None or not _FORWARDED.isdisjoint(headers):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:  # a Unix socket, a test client's name
        return False
