"""Our place in OpenTelemetry's context: what is current, and how it becomes so.

Our spans are set where OpenTelemetry keeps the current span, so other instrumentations nest under
ours, and a second time under a key of our own: between one of our spans and the next there may be
spans of others (FastAPI's own, say), which know nothing of the turn. Where one of theirs is current
it stays so: what they hang below it is sent where ours are not, and would lose its parent.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TypeAlias

from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace import Span as ApiSpan

from agentscope.recording.span import Role, Span

ContextToken: TypeAlias = Token[Context]

# The key is private to OpenTelemetry; a context that holds only a span tells it.
_SPAN_KEY = next(iter(set_span_in_context(INVALID_SPAN, Context())))
_OURS_KEY = otel.create_key("agentscope-span")
_SESSION_KEY = otel.create_key("agentscope-session")

# Looked up once: an enumeration's member costs more than a global.
_REQUEST, _TURN = Role.REQUEST, Role.TURN


def _context_variable() -> ContextVar[Context]:
    # Its own functions find the variable anew at every call; a token tells which it is.
    token = otel.attach(otel.get_current())
    token.var.reset(token)
    return token.var


_current = _context_variable()
get_context = _current.get


def attach(span: Span) -> ContextToken:
    """Make ``span`` current; give the token to ``detach`` in the same task or thread."""
    context = Context(_current.get())
    current = context.get(_SPAN_KEY)
    # A Context refuses assignment once others can see it; nobody sees this one yet.
    if current is None or current.__class__ is Span or not _is_valid(current):
        dict.__setitem__(context, _SPAN_KEY, span)
    dict.__setitem__(context, _OURS_KEY, span)
    return _current.set(context)


def detach(token: ContextToken) -> None:
    """Put back what was current before ``attach``.

    A generator may be closed by another task than the one that started it. The token is then of
    another context, which is gone; there is nothing to put back and nothing to log.
    """
    try:
        _current.reset(token)
    except ValueError:
        return


def attach_session(session_id: str) -> ContextToken:
    """Bind a session to the current context, for turns that start in it."""
    return otel.attach(otel.set_value(_SESSION_KEY, session_id))


def current_session() -> str | None:
    """The session bound to the current context, if any."""
    value = _current.get().get(_SESSION_KEY)
    return value if isinstance(value, str) else None


def current_span(context: Context | None = None) -> Span | None:
    """The innermost span of ours that new work belongs under.

    A stream that nobody finished can leave its ended span behind as current (a generator closed
    from outside). New work goes under the nearest span that still lives, or under the turn: what
    a turn leaves running in the background is its own, even after its end.
    """
    span = (_current.get() if context is None else context).get(_OURS_KEY)
    while isinstance(span, Span):
        if not span.end_ns or span.role is _REQUEST or span.role is _TURN:
            return span
        span = span.parent
    return None


def attached_span() -> Span | None:
    """The span of ours that was attached last here, ended or not."""
    span = _current.get().get(_OURS_KEY)
    return span if isinstance(span, Span) else None


def foreign_parent(context: Context) -> SpanContext | None:
    """The span context of another instrumentation's current span; None where there is none."""
    current = context.get(_SPAN_KEY)
    if current is None or isinstance(current, Span):
        return None
    span_context = get_current_span(context).get_span_context()
    return span_context if span_context.is_valid else None


def _is_valid(span: object) -> bool:
    try:
        return isinstance(span, ApiSpan) and span.get_span_context().is_valid
    except Exception:  # of another SDK, whatever it is
        return False
