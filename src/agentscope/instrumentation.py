"""``instrument(app)``: the one line that turns everything on, and the one that takes it back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from agentscope import lifecycle
from agentscope.asgi import AgentScopeMiddleware
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.errors import ConfigError
from agentscope.turns import SessionOf, session_source

_instrumented: list[Any] = []


def instrument(
    app: Any = None,
    *,
    clients: Literal["auto"] | Iterable[str] = "auto",
    session: str | SessionOf | None = None,
    metrics_path: str | None = "/metrics",
) -> None:
    """Record ``app``: its turns, ``/metrics``, the runtime, and the client libraries it uses.

    ``app`` is a FastAPI or Starlette application; without one, clients and runtime only. Calling
    it twice is calling it once. ``clients`` names the libraries to hook; "auto" takes every
    supported one that is imported, now or later. Raises ConfigError where something cannot work.
    """
    session_source(session)
    lifecycle.ensure()
    instrument_clients(clients)
    if app is None or any(app is one for one in _instrumented):
        return
    if not hasattr(app, "build_middleware_stack"):
        raise ConfigError(
            f"instrument() knows FastAPI and Starlette applications, not {type(app).__name__}; "
            "wrap it yourself: app = agentscope.AgentScopeMiddleware(app)"
        )
    build = app.build_middleware_stack

    # Outermost, whatever is added before or after: then the span covers all of the request, and
    # is there before any other instrumentation looks for a parent.
    def build_with_ours() -> AgentScopeMiddleware:
        return AgentScopeMiddleware(build(), session=session, metrics_path=metrics_path)

    app.build_middleware_stack = build_with_ours
    if app.middleware_stack is not None:
        app.middleware_stack = AgentScopeMiddleware(
            app.middleware_stack, session=session, metrics_path=metrics_path
        )
    _instrumented.append(app)


def uninstrument() -> None:
    """Put every patched object back, and stop recording."""
    while _instrumented:
        app = _instrumented.pop()
        del app.build_middleware_stack
        if isinstance(app.middleware_stack, AgentScopeMiddleware):
            app.middleware_stack = app.middleware_stack.app
    uninstrument_clients()
    lifecycle.shutdown()
