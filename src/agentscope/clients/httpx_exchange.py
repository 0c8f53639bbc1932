"""One request of httpx or httpx2 on its way: its attempt, what it waited for, and its tries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentscope import conventions as c
from agentscope.clients.attempts import Attempt
from agentscope.clients.bodies import follow
from agentscope.clients.outgoing import PORTS, begin
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder

_SENDING = ".send_request_headers.started"

_Head = tuple[int, list[tuple[bytes, bytes]]]
"""Status and headers of a response."""


class Exchange:
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
        self._tracer: Callable[[Exchange, Any], Callable[..., Any]] | None = None
        self._tries = 0
        self._users_trace: Any = None
        self.may_resend = False
        """The transport is not the library's own, and the request is a model's."""

    def trace(self, tracer: Callable[[Exchange, Any], Callable[..., Any]]) -> None:
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
        self._untrace(given)
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


def sync_tracer(exchange: Exchange, users: Any) -> Callable[..., Any]:
    """What a synchronous client's httpcore calls: it tells ``exchange``, then the user's callback."""

    def trace(event: str, info: Any) -> Any:
        exchange.note(event, info)
        return None if users is None else users(event, info)

    return trace


def async_tracer(exchange: Exchange, users: Any) -> Callable[..., Any]:
    """The same for an asynchronous one, which awaits what the callback returns."""

    def trace(event: str, info: Any) -> Any:
        exchange.note(event, info)
        return _nothing() if users is None else users(event, info)

    return trace


async def _nothing() -> None:
    """What httpcore awaits where the user has no callback."""
