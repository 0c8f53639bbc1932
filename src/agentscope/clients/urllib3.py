"""urllib3 2 and 1.26, and through it requests, botocore and others: attempts, other HTTP calls.

urllib3 retries and follows redirects inside of ``HTTPConnectionPool.urlopen``, which calls itself
for each; so a patch of it alone would see one long request. It tells us the method; an attempt is
what happens between ``_get_conn``, which waits for a connection of a pool that blocks, and the end
of the body. In between come ``connect`` of the connection (name resolution, TLS and proxy
included) and ``_make_request``, which returns with the head of the answer. The body ends when the
response gives its connection back, which it does itself after the last byte, or is closed.
In 1.26 ``_make_request`` returns the standard library's response; ``from_httplib`` makes urllib3's
of it, and loads its body where it is to be loaded at once.

Copies of urllib3 inside other packages (``pip._vendor.urllib3``) are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.attempts import Attempt
from agentscope.clients.gauges import HttpPool, PoolState, watch
from agentscope.clients.outgoing import begin, carrier, pool_name
from agentscope.clients.patches import Hook, Patches
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role, Span

_EXCHANGE = "_agentscope_exchange"
_OLDEST, _RESPONDING = (1, 26), (2, 0)
"""Versions: that is hooked at all, and whose ``_make_request`` returns urllib3's response."""

_sending: ContextVar[_Exchange | None] = ContextVar("agentscope_urllib3", default=None)


def patch(library: Any, patches: Patches) -> None:
    """Hook ``library``, the module urllib3; raises AttributeError for what is older than 1.26."""
    version = tuple(map(int, library.__version__.split(".")[:2]))
    if version < _OLDEST:
        raise AttributeError(f"urllib3 {library.__version__} is too old; 1.26 or later is recorded")
    pool, response = library.HTTPConnectionPool, library.HTTPResponse
    patches.wrap(pool, "urlopen", _urlopen)
    patches.wrap(pool, "_get_conn", _get_connection)
    if version >= _RESPONDING:
        patches.wrap(pool, "_make_request", _respond)
    else:
        patches.wrap(pool, "_make_request", _request)
        patches.wrap(response, "from_httplib", _respond)
    patches.wrap(library.connection.HTTPConnection, "connect", _connect)
    patches.wrap(library.connection.HTTPSConnection, "connect", _connect)
    patches.wrap(response, "release_conn", _end_hook(True, library))
    patches.wrap(response, "close", _end_hook(False, library))


def _urlopen(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    current = None if recorder is None else current_span()
    if recorder is None or current is None:
        return wrapped(*args, **kwargs)
    method = args[0] if args else kwargs.get("method")
    token = _sending.set(_Exchange(recorder, current, str(method)))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _sending.reset(token)


def _get_connection(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _sending.get()
    if exchange is None:
        return wrapped(*args, **kwargs)
    exchange.begin(pool)
    try:
        connection = wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.got(pool, None, error)
        raise
    exchange.got(pool, connection, None)
    return connection


def _connect(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _sending.get()
    if exchange is None:
        return wrapped(*args, **kwargs)
    start_ns = exchange.now_ns()
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.connected(start_ns, error)
        raise
    exchange.connected(start_ns, None)
    return result


def _request(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _sending.get()
    if exchange is None:
        return wrapped(*args, **kwargs)
    exchange.requesting = True
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        exchange.failed(error)
        raise


def _respond(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    response = _request(wrapped, pool, args, kwargs)
    exchange = _sending.get()
    if exchange is not None:
        exchange.answered(response)
    return response


def _end_hook(released: bool, library: Any) -> Hook:
    reading = vars(library.response)

    def end(
        wrapped: Callable[..., Any], response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return wrapped(*args, **kwargs)
        finally:
            error = _error_in(reading)
            if released or error is None:  # else it is closed on the way to being released
                exchange = vars(response).pop(_EXCHANGE, None)
                if exchange is not None:
                    exchange.body_over(error)

    return end


def _error_in(module: dict[str, Any]) -> BaseException | None:
    """What reading a body is failing with now.

    An error that is being handled begins its traceback where it was caught: it is the body's when
    that is in urllib3's own code, and the reader's affair when it is in the reader's.
    """
    error = sys.exception()
    caught = None if error is None else error.__traceback__
    if caught is None or caught.tb_frame.f_globals is not module:
        return None
    return None if isinstance(error, GeneratorExit) else error


class _Exchange:
    """One request on its way: its attempt, or that of the library it is a transport of."""

    __slots__ = (
        "_attempt",
        "_began_ns",
        "_current",
        "_known",
        "_method",
        "_ours",
        "_pool",
        "_recorder",
        "now_ns",
        "requesting",
    )

    def __init__(self, recorder: Recorder, current: Span, method: str) -> None:
        self._attempt: Attempt | None = None
        self._began_ns = 0
        self._current = current
        self._known: HttpPool | None = None
        self._method = method
        self._ours = True
        self._pool = ""
        self._recorder = recorder
        self.now_ns = recorder.clock.monotonic_ns
        self.requesting = False
        """The request is being made, so who makes it sees its failures."""

    def __del__(self) -> None:
        # Its response was dropped, in a cycle whose socket the collector closed before it.
        self.body_over(None)

    def begin(self, pool: Any) -> None:
        """The request wants a connection of ``pool``."""
        try:
            self._pool = pool_name(pool.scheme, pool.host, pool.port)
            self._known = watch(self._recorder, pool, _look, self._pool)
            self._began_ns = self.now_ns()
            carried = carrier(self._current)
            self._ours = carried is None
            self._attempt = carried or begin(
                self._recorder, self._current, self._method, pool.host, pool.port
            )
        except Exception as error:
            internal_error("clients.urllib3", error)

    def got(self, pool: Any, connection: Any, error: BaseException | None) -> None:
        """The pool gave a connection, or none."""
        try:
            attempt = self._attempt
            if attempt is None:
                return
            now_ns = self.now_ns()
            attempt.waited(c.Wait.HTTP_POOL, self._pool, self._began_ns, now_ns)
            if error is not None:
                self._over(error, now_ns)
            elif self._known is not None and not pool.block:
                self._known.hold(connection)
        except Exception as fault:
            internal_error("clients.urllib3", fault)

    def connected(self, start_ns: int, error: BaseException | None) -> None:
        """The connection stands, or does not."""
        try:
            attempt = self._attempt
            if attempt is None:
                return
            attempt.waited(c.Wait.HTTP_CONNECT, self._pool, start_ns, self.now_ns())
            if error is not None and not self.requesting:  # a proxy's tunnel
                self._over(error)
        except Exception as fault:
            internal_error("clients.urllib3", fault)

    def failed(self, error: BaseException) -> None:
        """No response: refused, timed out, interrupted."""
        try:
            self._over(error)
        except Exception as fault:
            internal_error("clients.urllib3", fault)

    def answered(self, response: Any) -> None:
        """The response's head is there, and its body too where urllib3 was to load it."""
        try:
            attempt = self._attempt
            if attempt is None or not self._ours:
                return
            items = response.headers.items() if attempt.span.role is Role.ATTEMPT else ()
            attempt.answered(response.status, [(_bytes(k), _bytes(v)) for k, v in items])
            if response.closed:
                attempt.over()
            else:
                vars(response)[_EXCHANGE] = self
        except Exception as error:
            internal_error("clients.urllib3", error)

    def body_over(self, error: BaseException | None) -> None:
        """The response has given its connection back, or was closed."""
        try:
            if self._attempt is not None and self._ours:
                self._attempt.over(error)
        except Exception as fault:
            internal_error("clients.urllib3", fault)

    def _over(self, error: BaseException, end_ns: int = 0) -> None:
        if self._attempt is not None and self._ours:
            self._attempt.over(error, end_ns)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _look(pool: Any, known: HttpPool) -> PoolState | None:
    places = pool.pool
    if places is None:
        return None
    if pool.block:
        in_use = places.maxsize - places.qsize()
        return PoolState(places.maxsize, in_use, len(places.not_empty._waiters))
    # Such a pool opens as many connections as it is asked for; its size is how many it keeps.
    idle = set(map(id, list(places.queue)))
    return PoolState(None, sum(id(one) not in idle for one in known.held()), 0)
