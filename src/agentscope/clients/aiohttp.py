"""aiohttp's client, 3.9 and later: attempts of model calls, other HTTP calls.

Patched are ``BaseConnector.connect``, through which every request that really goes out gets its
connection (redirects, a middleware's retries and aiohttp's own retry of a stale connection each
anew), and ``ClientResponse.start``, which reads the head of the answer. A patch of
``ClientSession`` would merge redirects and retries into one.

The span lasts until the connection is given back: aiohttp does so itself when the last byte of the
body has arrived, ``close``, ``release``, ``async with`` or the garbage collector do so before that.
The waits come from the signals of aiohttp's own tracing, sent to one more listener behind the
user's: ``wait http.pool`` from the first ``connection_queued_start`` to the last
``connection_queued_end``, ``wait http.connect`` from ``connection_create_start`` to ``…_end`` (name
resolution, TLS and proxy included). In 3.9 the time-out of connecting is inflicted from outside of
``connect``, as a cancellation: it is told from others by the time at which it comes.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.attempts import Attempt
from agentscope.clients.gauges import HttpPool, Look, PoolState, watch
from agentscope.clients.outgoing import begin, carrier, pool_name
from agentscope.clients.patches import Hook, Patches
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Span

_EXCHANGE = "_agentscope_exchange"
_UPGRADED = 101
_TIMER_S = 0.001


def patch(library: Any, patches: Patches) -> None:
    """Hook ``library``, the module aiohttp."""
    patches.wrap(library.BaseConnector, "connect", _connect)
    patches.wrap(library.ClientResponse, "start", _start_hook(library.ClientConnectionError))


def _connect(
    wrapped: Callable[..., Any], connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    current = None if recorder is None else current_span()
    if recorder is None or current is None:
        return wrapped(*args, **kwargs)
    return _connecting(recorder, current, connector, wrapped, args, kwargs)


async def _connecting(
    recorder: Recorder,
    current: Span,
    connector: Any,
    wrapped: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    exchange = _begin(recorder, current, connector, args, kwargs)
    if exchange is None:
        return await wrapped(*args, **kwargs)
    args, kwargs = _listening(exchange, args, kwargs)
    try:
        connection = await wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.not_connected(error)
        raise
    exchange.connected(connection)
    return connection


def _begin(
    recorder: Recorder,
    current: Span,
    connector: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> _Exchange | None:
    try:
        request = args[0] if args else kwargs["req"]
        url = request.url
        name = pool_name(url.scheme, url.host, url.port)
        # Where a host has a limit of its own, the host's connections are a pool of their own.
        part = request.connection_key if connector.limit_per_host else None
        watch(recorder, connector, _look if part is None else _look_at(part), name, part)
        carried = carrier(current)
        attempt = carried or begin(recorder, current, request.method, url.host, url.port)
        timeout = args[2] if len(args) > 2 else kwargs.get("timeout")
        return _Exchange(recorder, attempt, carried is None, name, request, _gives_up_s(timeout))
    except Exception as error:
        internal_error("clients.aiohttp", error)
        return None


def _gives_up_s(timeout: Any) -> float:
    """When aiohttp stops waiting for a connection, on its loop's clock: long ones are rounded up."""
    connect_s = getattr(timeout, "connect", None)
    if not connect_s or connect_s < 0:
        return math.inf
    at_s: float = asyncio.get_running_loop().time() + connect_s
    return math.ceil(at_s) if connect_s > getattr(timeout, "ceil_threshold", 5) else at_s


def _listening(
    exchange: _Exchange, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``connect(req, traces, timeout)``, with us behind the user's traces."""
    if len(args) > 1:
        return (args[0], [*args[1], exchange.progress], *args[2:]), kwargs
    if "traces" in kwargs:
        return args, {**kwargs, "traces": [*kwargs["traces"], exchange.progress]}
    return args, kwargs


def _start_hook(closed_by_us: type[Exception]) -> Hook:
    def start(
        wrapped: Callable[..., Any], response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        connection = args[0] if args else kwargs.get("connection")
        exchange = getattr(connection, _EXCHANGE, None)
        starting = wrapped(*args, **kwargs)
        return starting if exchange is None else _starting(exchange, response, starting)

    async def _starting(exchange: _Exchange, response: Any, starting: Awaitable[Any]) -> Any:
        try:
            result = await starting
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.answered(response, closed_by_us)
        return result

    return start


class _Progress:
    """The one more listener to aiohttp's signals; only four of them are ours."""

    __slots__ = ("_clock", "created_ns", "creating_ns", "queued_ns", "unqueued_ns")

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.queued_ns = self.unqueued_ns = self.creating_ns = self.created_ns = 0

    async def send_connection_queued_start(self) -> None:
        self.queued_ns = self.queued_ns or self._clock()
        self.unqueued_ns = 0  # who was overtaken queues again, at the front

    async def send_connection_queued_end(self) -> None:
        self.unqueued_ns = self._clock()

    async def send_connection_create_start(self) -> None:
        self.creating_ns = self._clock()

    async def send_connection_create_end(self) -> None:
        self.created_ns = self._clock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("send_"):
            return _nothing
        raise AttributeError(name)


async def _nothing(*args: Any, **kwargs: Any) -> None:
    """What the other signals do."""


class _Exchange:
    """One request on its way: its attempt, or that of the library it is a transport of."""

    __slots__ = (
        "_attempt",
        "_clock",
        "_closed_by_us",
        "_content",
        "_error_before",
        "_gives_up_s",
        "_ours",
        "_pool",
        "_released_ns",
        "_timer",
        "progress",
    )

    def __init__(
        self,
        recorder: Recorder,
        attempt: Attempt,
        ours: bool,
        pool: str,
        request: Any,
        gives_up_s: float,
    ) -> None:
        self._attempt = attempt
        self._clock = recorder.clock.monotonic_ns
        self._closed_by_us: type[Exception] | None = None
        self._content: Any = None
        self._error_before = sys.exception()
        self._gives_up_s = gives_up_s
        self._ours = ours
        self._pool = pool
        self._released_ns = 0
        self._timer = getattr(request, "_timer", None) or getattr(request, "timer", None)
        self.progress = _Progress(self._clock)

    def connected(self, connection: Any) -> None:
        """The request has a connection; follow it until it is given back."""
        try:
            self._record_waits(self._clock())
            if self._ours:
                setattr(connection, _EXCHANGE, self)
                connection.add_callback(self._released)
        except Exception as error:
            internal_error("clients.aiohttp", error)

    def not_connected(self, error: BaseException) -> None:
        """Refused, timed out or cancelled before there was a connection."""
        try:
            now_ns = self._clock()
            self._record_waits(now_ns)
            if isinstance(error, asyncio.CancelledError) and self._given_up():
                error = TimeoutError()
            self._over(error, now_ns)
        except Exception as fault:
            internal_error("clients.aiohttp", fault)

    def failed(self, error: BaseException) -> None:
        """No answer on the connection."""
        try:
            self._over(error)
        except Exception as fault:
            internal_error("clients.aiohttp", fault)

    def answered(self, response: Any, closed_by_us: type[Exception]) -> None:
        """The response's head is there."""
        try:
            self._closed_by_us = closed_by_us
            self._content = response.content
            self._attempt.answered(response.status, list(response.raw_headers))
            if self._released_ns or response.status == _UPGRADED:
                self._attempt.over(end_ns=self._released_ns)
        except Exception as error:
            internal_error("clients.aiohttp", error)

    def _released(self) -> None:
        """The connection was given back or closed: the body ended, or nobody wants it."""
        try:
            if self._content is not None:
                self._attempt.over(self._body_error())
            elif (error := sys.exception()) is not self._error_before and error is not None:
                self._over(error)
            else:  # an answer so short that its body came with its head
                self._released_ns = self._clock()
        except Exception as error:
            internal_error("clients.aiohttp", error)

    def _body_error(self) -> BaseException | None:
        """Why the body ended before its end; None where it was read, or just given up."""
        content = self._content
        if content.is_eof():
            return None
        error: BaseException | None = content.exception()
        if error is not None and type(error) is not self._closed_by_us:
            return error
        if self._timed_out():
            return TimeoutError()
        error = sys.exception()
        cancelled = isinstance(error, asyncio.CancelledError) and error is not self._error_before
        return error if cancelled else None

    def _over(self, error: BaseException, end_ns: int = 0) -> None:
        if self._ours:
            if isinstance(error, asyncio.CancelledError) and self._timed_out():
                error = TimeoutError()  # aiohttp's total time-out, as its caller will see it
            self._attempt.over(error, end_ns)

    def _given_up(self) -> bool:
        """Whether the time for connecting is up; loops fire their timers a little early."""
        return asyncio.get_running_loop().time() + _TIMER_S >= self._gives_up_s

    def _timed_out(self) -> bool:
        return bool(getattr(self._timer, "_cancelled", False))

    def _record_waits(self, now_ns: int) -> None:
        attempt, progress = self._attempt, self.progress
        if progress.queued_ns:
            end_ns = progress.unqueued_ns or now_ns
            attempt.waited(c.Wait.HTTP_POOL, self._pool, progress.queued_ns, end_ns)
        if progress.creating_ns:
            end_ns = progress.created_ns or now_ns
            attempt.waited(c.Wait.HTTP_CONNECT, self._pool, progress.creating_ns, end_ns)


def _look(connector: Any, known: HttpPool) -> PoolState | None:
    if connector.closed:
        return None
    waiting = sum(map(len, list(connector._waiters.values())))
    return PoolState(connector.limit or None, len(connector._acquired), waiting)


def _look_at(host: Any) -> Look:
    def look(connector: Any, known: HttpPool) -> PoolState | None:
        if connector.closed:
            return None
        limit = connector.limit_per_host
        if connector.limit:
            limit = min(limit, connector.limit)
        in_use = len(connector._acquired_per_host.get(host, ()))
        return PoolState(limit, in_use, len(connector._waiters.get(host, ())))

    return look
