"""Turns and the sessions they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.errors import ConfigError
from agentscope.recording.context import current_session
from agentscope.recording.span import Span, text_of

Scope = Mapping[str, Any]
SessionOf = Callable[[Scope], "str | None"]

PATH_PARAMETERS = ("session_id", "sid", "conversation_id", "thread_id")
SESSION_HEADER = b"x-session-id"


def begin_turn(span: Span) -> None:
    """Mark the span of a request as a turn: the agent has begun to work in it.

    So health checks and the making of sessions, in which it never does, are no turns.
    """
    span.attributes[c.TURN] = True
    session_id = current_session()
    if session_id is None and span.session_of is not None:
        session_id = span.session_of()
    if session_id:
        bind_session(span, session_id)


def bind_session(turn: Span, session_id: str) -> None:
    """Say which session a turn belongs to."""
    session_id = text_of(session_id)
    turn.attributes[c.CONVERSATION_ID] = session_id
    lifecycle.sessions.touch(session_id)


def session_source(source: str | SessionOf | None) -> SessionOf:
    """How to find a request's session: ``path:NAME``, ``header:NAME``, ``query:NAME``, a function.

    None looks for a path parameter called ``session_id``, ``sid``, ``conversation_id`` or
    ``thread_id``, then for the header ``x-session-id``. Raises ConfigError for anything else.
    """
    if source is None:
        return _usual
    if callable(source):
        return source
    place, _, name = source.partition(":")
    if name and place == "path":
        return lambda scope: _path_parameter(scope, name)
    if name and place == "header":
        header = name.lower().encode("latin-1", "replace")
        return lambda scope: _header(scope, header)
    if name and place == "query":
        return lambda scope: _query(scope, name)
    raise ConfigError(
        f"session={source!r} is none of 'path:NAME', 'header:NAME', 'query:NAME' or a function "
        "of the ASGI scope; for a path parameter called chat_id write session='path:chat_id'"
    )


def _usual(scope: Scope) -> str | None:
    parameters = scope.get("path_params")
    if parameters:
        for name in PATH_PARAMETERS:
            if name in parameters:
                return str(parameters[name])
    return _header(scope, SESSION_HEADER)


def _path_parameter(scope: Scope, name: str) -> str | None:
    value = scope.get("path_params", {}).get(name)
    return None if value is None else str(value)


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return None


def _query(scope: Scope, name: str) -> str | None:
    values = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=100)
    return values[name][0] if name in values else None
