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

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.attempts import Attempt
from agentscope.clients.bodies import follow
from agentscope.clients.gauges import HttpPool, PoolState, watch
from agentscope.clients.outgoing import PORTS, begin, carry, pool_name, put_down
from agentscope.clients.patches import Hook, Patches
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role

_RETRY_COUNT = "x-stainless-retry-count"
_SENDING = ".send_request_headers.started"

_Head = tuple[int, list[tuple[bytes, bytes]]]
"""Status and headers of a response."""

_resending: ContextVar[_Exchange | None] = ContextVar("agentscope_resending", default=None)
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
        exchange.trace(_tracer)
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
    exchange.trace(_async_tracer)
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
    exchange: _Exchange,
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
) -> _Exchange | None:
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
        exchange = _Exchange(recorder, library, client, request, attempt, pool, may_wait)
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


class _Exchange:
    """One request on its way: the attempt, and when its connection came."""

    __slots__ = (
        "_client",
        "_clock",
        "_extensions",
        "_first_ns",
        "_given",
        "_latest",
        "_library",
        "_may_wait",
        "_pool",
        "_recorder",
        "_request",
        "_sending_ns",
        "_tracer",
        "_tries",
        "_users_trace",
        "attempt",
        "may_resend",
    )

    def __init__(
        self,
        recorder: Recorder,
        library: Any,
        client: Any,
        request: Any,
        attempt: Attempt,
        pool: str,
        may_wait: bool,
    ) -> None:
        self.attempt = attempt
        self._client = client
        self._clock = recorder.clock.monotonic_ns
        self._extensions: dict[str, Any] | None = None
        self._given: dict[str, Any] | None = None
        self._first_ns = 0
        self._latest: tuple[_Head | None, BaseException | None, int] | None = None
        self._library = library
        self._may_wait = may_wait
        self._pool = pool
        self._recorder = recorder
        self._request = request
        self._sending_ns = 0
        self._tracer: Callable[[_Exchange, Any], Callable[..., Any]] | None = None
        self._tries = 0
        self._users_trace: Any = None
        self.may_resend = False
        """The transport is not the library's own, and the request is a model's."""

    def trace(self, tracer: Callable[[_Exchange, Any], Callable[..., Any]]) -> None:
        """Have httpcore tell us how far the request is."""
        try:
            self._tracer = tracer
            self._extensions = extensions = self._request.extensions
            self._users_trace = extensions.get("trace")
            # A copy: a redirected request inherits the extensions, and must not inherit ours.
            self._request.extensions = self._given = {
                **extensions,
                "trace": tracer(self, self._users_trace),
            }
        except Exception as error:
            internal_error("clients.httpx", error)

    def note(self, event: str, info: Any) -> None:
        """What httpcore says: connecting, or sending."""
        try:
            now_ns = self._clock()
            self._first_ns = self._first_ns or now_ns
            if event.endswith(_SENDING) and not self._sending_ns:
                sent = info.get("request")
                if getattr(sent, "method", None) == b"CONNECT":
                    return  # to a proxy: still connecting
                self._sending_ns = now_ns
                if sent is not None:
                    self._untrace(sent.extensions)
        except Exception as error:
            internal_error("clients.httpx", error)

    def _untrace(self, extensions: dict[str, Any]) -> None:
        if self._users_trace is None:
            extensions.pop("trace", None)
        else:
            extensions["trace"] = self._users_trace

    def tries(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the library's own transport now sends our request, perhaps once more."""
        try:
            request, attempt = args[0] if args else kwargs["request"], self.attempt
            if not self._is_ours(request) or attempt.span.end_ns:
                return False
            if current_span() is not attempt.span.parent:
                return False
            self._tries += 1
            if self._tries == 1:
                return True
            latest, self._latest = self._latest, None
            if latest is None:  # beside another one
                self.may_resend = False
            elif self.may_resend:
                self._end_try(*latest)
                self._begin_try(request)
            return self.may_resend
        except Exception as error:
            internal_error("clients.httpx", error)
            return False

    def tried(self, response: Any, error: BaseException | None) -> None:
        """The library's own transport has answered, or failed."""
        try:
            head = None if response is None else (response.status_code, response.headers.raw)
            self._latest = head, error, self._clock()
        except Exception as fault:
            internal_error("clients.httpx", fault)

    def _is_ours(self, request: Any) -> bool:
        ours = self._request
        return request is ours or (request.method == ours.method and request.url == ours.url)

    def _end_try(self, head: _Head | None, error: BaseException | None, end_ns: int) -> None:
        self._record_waits(self._sending_ns or end_ns)
        if head is not None:
            self.attempt.answered(*head)
        self.attempt.over(error, end_ns)

    def _begin_try(self, request: Any) -> None:
        current, url, given = self.attempt.span.parent, request.url, self._given
        if current is None:
            return
        port = url.port or PORTS.get(url.scheme)
        self._first_ns = self._sending_ns = 0
        self.attempt = begin(self._recorder, current, request.method, url.host, port)
        if self._tracer is not None and given is not None and request.extensions is given:
            given["trace"] = self._tracer(self, self._users_trace)

    def answered(self, response: Any) -> None:
        """The response's head is there; follow its body."""
        try:
            self._restore()
            self._latest = None
            self._record_waits(self._sending_ns)
            attempt = self.attempt
            attempt.answered(response.status_code, response.headers.raw)
            if response.is_closed:
                attempt.over()
            else:
                follow(response, attempt.body_over)
        except Exception as error:
            internal_error("clients.httpx", error)

    def failed(self, error: BaseException) -> None:
        """No response: refused, timed out, cancelled."""
        try:
            self._restore()
            latest, self._latest = self._latest, None
            if latest is not None and self.may_resend and not _went_well(latest[0]):
                self._end_try(*latest)  # what came after it, a sleep or a complaint, is no request
                return
            now_ns = self._clock()
            if not self._first_ns and self._waited_for_pool():
                self._first_ns = self._sending_ns = now_ns
            self._record_waits(self._sending_ns or now_ns)
            self.attempt.over(error, now_ns)
        except Exception as fault:
            internal_error("clients.httpx", fault)

    def _restore(self) -> None:
        users, given = self._extensions, self._given
        if users is None or given is None or self._request.extensions is not given:
            return
        given.pop("trace", None)
        if self._users_trace is not None:
            given["trace"] = self._users_trace
        users.clear()  # what a transport has noted there is for whoever reads the response
        users.update(given)
        self._request.extensions = users

    def _record_waits(self, connected_ns: int) -> None:
        if not self._first_ns:  # a transport that does not trace
            return
        attempt, pool = self.attempt, self._pool
        if self._may_wait:
            attempt.waited(c.Wait.HTTP_POOL, pool, attempt.span.start_ns, self._first_ns)
        attempt.waited(c.Wait.HTTP_CONNECT, pool, self._first_ns, connected_ns)

    def _waited_for_pool(self) -> bool:
        """Whether the silence until a failure was the pool's: other transports never speak."""
        if not self._may_wait:
            return False
        library = self._library
        transport = self._client._transport_for_url(self._request.url)
        return isinstance(transport, library.HTTPTransport | library.AsyncHTTPTransport)


def _went_well(head: _Head | None) -> bool:
    return head is not None and head[0] < 400


def _tracer(exchange: _Exchange, users: Any) -> Callable[..., Any]:
    def trace(event: str, info: Any) -> Any:
        exchange.note(event, info)
        return None if users is None else users(event, info)

    return trace


def _async_tracer(exchange: _Exchange, users: Any) -> Callable[..., Any]:
    def trace(event: str, info: Any) -> Any:
        exchange.note(event, info)
        return _nothing() if users is None else users(event, info)

    return trace


async def _nothing() -> None:
    """What httpcore awaits where the user has no callback."""
