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

import anyio
import anyio.to_thread
import msgspec
import psutil
from anyio.lowlevel import RunVar

TOKEN_VARIABLE = "AGENTSCOPE_RESOURCES_TOKEN"

_FORWARDED = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip"})

_limiter: RunVar[anyio.CapacityLimiter] = RunVar("agentscope-resources")
"""One look at a time for each event loop: it takes a tenth of a second and a thread."""

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
        limiter = _limiter.get(None) or anyio.CapacityLimiter(1)
        _limiter.set(limiter)
        figures = await anyio.to_thread.run_sync(resources, limiter=limiter)
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
    if client is None or any(_tells_of_a_proxy(name) for name in headers):
        return False
    try:
        address = ipaddress.ip_address(client[0])
        mapped = getattr(address, "ipv4_mapped", None)  # as a server on :: sees IPv4
        return (mapped or address).is_loopback
    except ValueError:  # a Unix socket, a test client's name
        return False


def _tells_of_a_proxy(header: bytes) -> bool:
    return header in _FORWARDED or header.startswith(b"x-forwarded-")
