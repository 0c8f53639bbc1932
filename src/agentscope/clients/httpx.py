"""httpx and httpx2, synchronous and asynchronous: attempts of model calls, other HTTP calls.

Patched is ``_send_single_request`` of ``Client`` and ``AsyncClient``. It runs once for every
request that really goes out (each attempt of an SDK, each redirect, each step of an
authentication), with whatever transport the client has: the library's own, an SDK's, one over
aiohttp, a mock, an ASGI application. A patch of ``HTTPTransport`` would miss the others and count
a wrapped one twice; one of ``Client.send`` would merge redirects. The method's name is private,
and the same since httpx 0.18; should it go, the hook says so when it is installed.

The span covers the whole attempt, from the wish to send until the body is read or closed. What it
waited for inside are spans below it, so their time is theirs and not the provider's:
``wait http.pool`` until the pool gave a connection, ``wait http.connect`` until a new connection
stood, TLS and proxy included. Both come from httpcore's ``trace`` extension, whose first event is
either that a connection is opened or that the request goes out on one that was open; it is taken
off again once the request goes out. A callback of the user's is called as before. A pool that had
room for one more connection let nobody wait: what passes before the first event is then the
process's own doing, such as the modules that httpcore imports within its first asynchronous request.

A transport of the user's own may send a model's request again by itself (httpx-retries, a loop
around ``handle_request``). Of these, and of no others, ``handle_request`` of the library's own
transport below says how each try went: where the same request comes through it again, the attempt
ends as the try before did, and the next one begins. Tries that overlap (hedging) are one attempt.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from agentscope import lifecycle
from agentscope.clients.gauges import HttpPool, PoolState, watch
from agentscope.clients.httpx_exchange import Exchange, async_tracer, sync_tracer
from agentscope.clients.outgoing import PORTS, begin, carry, pool_name, put_down
from agentscope.clients.patches import Hook, Patches
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role

_RETRY_COUNT = "x-stainless-retry-count"

_resending: ContextVar[Exchange | None] = ContextVar("agentscope_resending", default=None)
"""The exchange whose transport, not the library's own, is at work now."""


def patch(library: Any, patches: Patches) -> None:
    """Hook ``library``, the module httpx or httpx2."""
    patches.wrap(library.Client, "_send_single_request", _sync_hook(library))
    patches.wrap(library.AsyncClient, "_send_single_request", _async_hook(library))
    patches.wrap(library.HTTPTransport, "handle_request", _try)
    patches.wrap(library.AsyncHTTPTransport, "handle_async_request", _try_async)


def _sync_hook(library: Any) -> Hook:
    def send(
        wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        exchange = (
            None if recorder is None else _begin(recorder, library, client, args, kwargs, False)
        )
        if exchange is None:
            return wrapped(*args, **kwargs)
        exchange.trace(sync_tracer)
        token, outer = carry(exchange.attempt), _resending.get()
        _resending.set(exchange if exchange.may_resend else None)
        try:
            response = wrapped(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            _resending.set(outer)
            put_down(token)
        exchange.answered(response)
        return response

    return send


def _async_hook(library: Any) -> Hook:
    def send(
        wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        if recorder is None:
            return wrapped(*args, **kwargs)
        return _send_async(recorder, library, client, wrapped, args, kwargs)

    return send


async def _send_async(
    recorder: Recorder,
    library: Any,
    client: Any,
    wrapped: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    exchange = _begin(recorder, library, client, args, kwargs, True)
    if exchange is None:
        return await wrapped(*args, **kwargs)
    exchange.trace(async_tracer)
    token, outer = carry(exchange.attempt), _resending.get()
    _resending.set(exchange if exchange.may_resend else None)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.failed(error)
        raise
    finally:
        _resending.set(outer)
        put_down(token)
    exchange.answered(response)
    return response


def _try(
    wrapped: Callable[..., Any], transport: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _resending.get()
    if exchange is None or not exchange.tries(args, kwargs):
        return wrapped(*args, **kwargs)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.tried(None, error)
        raise
    exchange.tried(response, None)
    return response


def _try_async(
    wrapped: Callable[..., Any], transport: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _resending.get()
    if exchange is None:
        return wrapped(*args, **kwargs)
    return _follow_try(exchange, wrapped, args, kwargs)


async def _follow_try(
    exchange: Exchange,
    wrapped: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not exchange.tries(args, kwargs):
        return await wrapped(*args, **kwargs)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.tried(None, error)
        raise
    exchange.tried(response, None)
    return response


def _begin(
    recorder: Recorder,
    library: Any,
    client: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asynchronous: bool,
) -> Exchange | None:
    """The exchange that begins now; None where no span of ours is current."""
    try:
        current = current_span()
        if current is None:
            return None
        request = args[0] if args else kwargs["request"]
        url = request.url
        port = url.port or PORTS.get(url.scheme)
        retries = request.headers.get(_RETRY_COUNT)
        resent = int(retries) if retries is not None and retries.isdecimal() else None
        pool = pool_name(url.scheme, url.host, port)
        transport = client._transport_for_url(url) if client._mounts else client._transport
        full = _watch_pool(recorder, transport, pool)
        attempt = begin(recorder, current, request.method, url.host, port, resent)
        # Nothing runs between here and the pool's choice, unless it is another thread.
        may_wait = full or not asynchronous
        exchange = Exchange(recorder, library, client, request, attempt, pool, may_wait)
        own = type(transport) in (library.HTTPTransport, library.AsyncHTTPTransport)
        exchange.may_resend = not own and attempt.span.role is Role.ATTEMPT
        return exchange
    except Exception as error:
        internal_error("clients.httpx", error)
        return None


def _watch_pool(recorder: Recorder, transport: Any, name: str) -> bool:
    """Sample the pool that a request goes to; whether it may have to wait for a connection."""
    pool: Any = getattr(transport, "_pool", None)
    if not hasattr(pool, "_max_connections"):  # not httpcore's: a transport of somebody else's
        return True
    watch(recorder, pool, _look, name)
    return bool(len(pool._connections) >= pool._max_connections)


def _look(pool: Any, known: HttpPool) -> PoolState:
    limit = pool._max_connections
    busy = sum(not connection.is_idle() for connection in list(pool._connections))
    waiting = sum(request.is_queued() for request in list(pool._requests))
    return PoolState(limit if limit < sys.maxsize else None, busy, waiting)
