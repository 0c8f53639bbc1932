"""The middleware: one span a request, pure ASGI, nothing changed on the way through."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry.trace import get_current_span

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.pages import Pages
from agentscope.recording.context import ContextToken, attach, attached_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import SERVER, AttributeValue, Role, Span
from agentscope.routes import RouteTemplates
from agentscope.traceparent import parse_traceparent
from agentscope.turns import SessionOf, begin_turn, session_source
from agentscope.wrappers import conclude, outcome_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "agentscope"
"""The one key that we add to a scope. A second middleware of ours steps aside when it sees it, and
only says where the session stands if it was told."""

# Looked up once: an enumeration's member costs more than a global.
_REQUEST = Role.REQUEST
_OK, _ERROR, _CANCELLED = (
    outcome.value for outcome in (c.Outcome.OK, c.Outcome.ERROR, c.Outcome.CANCELLED)
)
_LOST = c.Outcome.CANCELLED
_MAX_TURN_ROUTES = 1000
_LONG_NS = 1_000_000_000
_MIN_BACKGROUND_NS = 10_000_000
"""Shorter is what a busy machine makes of a framework's last steps, and not worth a span."""
_NORMAL_CLOSES = frozenset({1000, 1001, 1005})
"""Codes with which a WebSocket ends well: done, going away, none given (RFC 6455, section 7.4)."""
_LAST_WORDS = frozenset(
    {"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"}
)


class AgentScopeMiddleware:
    """Records every request that passes; ``app.add_middleware(AgentScopeMiddleware)``.

    ``session`` says where a request's session id stands: ``"path:NAME"``, ``"header:NAME"``,
    ``"query:NAME"`` or a function of the scope. ``metrics_path`` is answered with Prometheus
    text, ``resources_path`` with the process's own figures as JSON (to callers on this machine, or
    with the token of ``AGENTSCOPE_RESOURCES_TOKEN``), unless the application has a route of its own
    there; None for no such path.
    """

    def __init__(
        self,
        app: App,
        *,
        session: str | SessionOf | None = None,
        metrics_path: str | None = "/metrics",
        resources_path: str | None = None,
    ) -> None:
        self.app = app
        self._session_of = session_source(session)
        self._knows_session = session is not None
        self._pages = Pages(app, metrics_path, resources_path)
        self._turn_routes: set[str] = set()
        self.templates = RouteTemplates(app)
        self._serving = False
        """Whether the event loop is known to be watched; servers without lifespan never say."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection through."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        recorder = lifecycle.recorder
        if recorder is None or SCOPE_KEY in scope or kind not in ("http", "websocket"):
            outer = scope.get(SCOPE_KEY) if self._knows_session else None
            if isinstance(outer, Span) and outer.session_of is not None:
                outer.session_of = functools.partial(self.session_of, scope)
            await self.app(scope, receive, send)
            return
        if kind == "http" and scope["path"].endswith(self._pages.endings):
            answer = self._pages.of(scope)
            if answer is not None:
                await answer(recorder, scope, send)
                return
        opened = self._open(recorder, scope, send)
        if opened is None:
            await self.app(scope, receive, send)
            return
        exchange, token = opened
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as error:
            exchange.over(error)
            raise
        else:
            exchange.over(None)
        finally:
            detach(token)

    def _open(
        self, recorder: Recorder, scope: Scope, send: Send
    ) -> tuple[_Exchange, ContextToken] | None:
        try:
            if not self._serving:
                self._serving = True
                self.templates.serve(scope.get("app"))
                lifecycle.start_serving()
            exchange = _Exchange(self, recorder, scope, send, _start(recorder, scope))
            scope[SCOPE_KEY] = exchange.span
            return exchange, attach(exchange.span)
        except Exception as error:
            internal_error("asgi.open", error)
            return None

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record from start-up on, and deliver everything before the server hears "complete".

        Servers end by a signal that skips ``atexit``: this message is the last that is certain.
        """
        over = False

        async def watched(message: Message) -> None:
            nonlocal over
            if message["type"] in _LAST_WORDS and not over:
                over = True
                try:
                    await lifecycle.stop_serving()
                except Exception as error:
                    internal_error("asgi.shutdown", error)
            await send(message)

        try:
            lifecycle.enter_application()
            self.templates.serve(scope.get("app"))
            self._serving = True
        except Exception as error:
            internal_error("asgi.startup", error)
        try:
            await self.app(scope, receive, watched)
        finally:
            if not over:  # it knows no lifespan, or was cancelled in it
                lifecycle.leave_application()

    def session_of(self, scope: Scope) -> str | None:
        """The request's session id, where it has one."""
        try:
            return self._session_of(scope)
        except Exception as error:
            internal_error("asgi.session", error)
            return None

    def serves_turns(self, route: str) -> bool:
        """Whether requests to ``route`` have been turns before: one that failed early is too."""
        return route in self._turn_routes

    def learn_turns(self, route: str) -> None:
        """Remember that requests to ``route`` are turns."""
        if len(self._turn_routes) < _MAX_TURN_ROUTES:
            self._turn_routes.add(route)


class _Exchange:
    """One request: its span, and what the messages to the client tell."""

    __slots__ = (
        "_answered",
        "_first_byte_ns",
        "_gone",
        "_handled_before",
        "_middleware",
        "_now_ns",
        "_recorder",
        "_scope",
        "_send",
        "_send_wait_ns",
        "_status",
        "span",
    )

    def __init__(
        self,
        middleware: AgentScopeMiddleware,
        recorder: Recorder,
        scope: Scope,
        send: Send,
        span: Span,
    ) -> None:
        self._middleware = middleware
        self._recorder = recorder
        self._now_ns = recorder.clock.monotonic_ns
        self._scope = scope
        self._send = send
        self._status = 0
        self._answered = False
        self._gone = False
        self._handled_before = id(sys.exception())
        self._first_byte_ns = 0
        self._send_wait_ns = 0
        self.span = span
        if scope["type"] == "http":
            # The turns on a WebSocket are what the user marks; its connection is none.
            span.turn = span
            span.session_of = self._session

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            before_ns = self._now_ns()
            if not self._first_byte_ns and message.get("body"):
                self._first_byte_ns = before_ns
            try:
                await self._send(message)
            except OSError:
                self._gone = True
                raise
            self._send_wait_ns += self._now_ns() - before_ns
            if not message.get("more_body", False):
                self.finish(None, complete=True)
            return
        if kind == "websocket.send":
            await self._send_message(message)
            return
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._status = message.get("status", 0)
        elif kind == "websocket.accept":
            self._status = 101
        elif kind == "websocket.close":
            self._status = self._status or 403  # what the caller is answered who was not accepted
        elif kind == "http.response.pathsend":  # a file, sent by the server itself
            await self._send(message)
            self.finish(None, complete=True)
            return
        await self._send(message)

    async def _send_message(self, message: Message) -> None:
        """Send one message of a WebSocket, on the account of the turn that sends it, if any."""
        before_ns = self._now_ns()
        self._first_byte_ns = self._first_byte_ns or before_ns
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        wait_ns = self._now_ns() - before_ns
        self._send_wait_ns += wait_ns
        inner = attached_span()
        turn = inner.turn if inner is not None else None
        if turn is not None and not turn.end_ns:
            said = turn.attributes
            said.setdefault(c.TIME_TO_FIRST_BYTE, (before_ns - turn.start_ns) / 1e9)
            waited_s = said.get(c.SEND_WAIT, 0.0)
            said[c.SEND_WAIT] = wait_ns / 1e9 + (waited_s if isinstance(waited_s, float) else 0.0)

    def over(self, error: BaseException | None) -> None:
        """The application has returned, or raised ``error``."""
        if not self.span.end_ns:
            self.finish(error)
        elif self._answered:
            end_ns = self._now_ns()
            if error is None and end_ns - self.span.end_ns < _MIN_BACKGROUND_NS:
                return
            try:
                self._record_background(end_ns, error)
            except Exception as fault:
                internal_error("asgi.background", fault)

    def _record_background(self, end_ns: int, error: BaseException | None) -> None:
        """Record what ran on after the answer's last byte, beside the turn and no part of it."""
        name = c.Phase.BACKGROUND.value
        span = self._recorder.start(name, Role.PHASE, {c.PHASE: name}, start_ns=self.span.end_ns)
        if error is not None:
            conclude(span, error)
        self._recorder.take(span, end_ns)

    def finish(self, error: BaseException | None, complete: bool = False) -> None:
        """End the span, once: with the answer's last byte, or with what came instead of it."""
        span = self.span
        if span.end_ns:
            return
        self._answered = complete
        end_ns = self._now_ns()
        try:
            self._describe(span)
            span.attributes[c.OUTCOME] = self._outcome(span, error, complete)
        except Exception as fault:
            internal_error("asgi.describe", fault)
        try:
            self._recorder.take(span, end_ns)
        except Exception as fault:
            internal_error("asgi.finish", fault)

    def _describe(self, span: Span) -> None:
        attributes = span.attributes
        route = self._middleware.templates.of(self._scope)
        if route is not None:
            attributes[c.HTTP_ROUTE] = route
            span.name = f"{span.name} {route}"
        if self._status:
            attributes[c.HTTP_STATUS_CODE] = self._status
        if self._first_byte_ns:
            attributes[c.TIME_TO_FIRST_BYTE] = (self._first_byte_ns - span.start_ns) / 1e9
            attributes[c.SEND_WAIT] = self._send_wait_ns / 1e9
        if span.turn is None:
            return
        if c.TURN in attributes:
            self._middleware.learn_turns(span.name)
            session_id = attributes.get(c.CONVERSATION_ID)
            # Its beginning was noted; a short turn's end is the same moment.
            if isinstance(session_id, str) and self._now_ns() - span.start_ns > _LONG_NS:
                lifecycle.sessions.renew(session_id)
        elif route is not None and self._middleware.serves_turns(span.name):
            begin_turn(span)

    def _outcome(self, span: Span, error: BaseException | None, complete: bool) -> str:
        if error is not None:
            if self._gone:  # the server said so, whatever the framework made of it
                return _CANCELLED
            if outcome_of(error) is _LOST and getattr(error, "code", None) in _NORMAL_CLOSES:
                return _OK  # a WebSocket's caller is done; the handler need not catch it
            return conclude(span, error)
        if self._status >= 500:
            span.fail(self._thrown() or str(self._status))
            return _ERROR
        if span.attributes.get(c.OUTCOME) == _ERROR:  # record_error said so
            return _ERROR
        if complete or self._scope["type"] == "websocket":
            return _OK
        # The application is done and the answer is not: the client has gone, and frameworks
        # swallow the cancellation that tells them so.
        return _CANCELLED

    def _thrown(self) -> BaseException | None:
        """The exception that is answered with a status of 5xx; None where the status was meant.

        Whoever answers for a handler that raised (Starlette does, and then raises it again) does so
        from within an ``except``. The conventions allow both names; the class tells more.
        """
        error = sys.exception()
        if id(error) == self._handled_before or getattr(error, "status_code", 0) == self._status:
            return None
        return error

    def _session(self) -> str | None:
        return self._middleware.session_of(self._scope)


def _start(recorder: Recorder, scope: Scope) -> Span:
    if scope["type"] == "websocket":
        method = "WEBSOCKET"
        attributes: dict[str, AttributeValue] = {c.URL_SCHEME: scope.get("scheme", "ws")}
    else:
        method = scope["method"] if scope["method"] in c.HTTP_METHODS else c.UNKNOWN_ERROR
        attributes = {c.HTTP_REQUEST_METHOD: method, c.URL_SCHEME: scope.get("scheme", "http")}
    incoming = parse_traceparent(scope["headers"])
    if incoming is None or get_current_span().get_span_context().is_valid:
        span = recorder.start(method, _REQUEST, attributes, SERVER)
    else:
        trust = lifecycle.settings().trust_incoming
        trace_id, parent_id = incoming if trust == "continue" else (0, 0)
        span = recorder.start_remote(method, _REQUEST, attributes, SERVER, trace_id, parent_id)
        if trust == "link":
            span.links = [incoming]
    recorder.open[span.span_id] = span
    return span
