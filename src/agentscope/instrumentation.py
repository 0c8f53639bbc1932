"""``instrument(app)``: the one line that turns everything on, and the one that takes it back."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from agentscope import lifecycle
from agentscope.asgi import AgentScopeMiddleware, App
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.errors import ConfigError
from agentscope.turns import SessionOf, session_source

_instrumented: weakref.WeakKeyDictionary[Any, weakref.ref[_Builder]] = weakref.WeakKeyDictionary()


class _Builder:
    """Stands in for an application's ``build_middleware_stack``.

    Ours is outermost, whatever is added before or after: then the span covers all of the request,
    and is there before any other instrumentation looks for a parent. Only under a builder that was
    put around this one later it is not: that one expects what Starlette builds (OpenTelemetry's
    for FastAPI gives up on anything else), so there ours lies just below the outermost part.
    """

    def __init__(self, app: Any, wrap: Callable[[App], AgentScopeMiddleware]) -> None:
        self.app = weakref.ref(app)
        self.before = vars(app).get("build_middleware_stack")
        self.build = app.build_middleware_stack
        self.wrap = wrap
        self.on = True

    def __call__(self) -> App:
        stack: Any = self.build()
        if not self.on:
            return cast("App", stack)
        if vars(self.app()).get("build_middleware_stack") is not self and hasattr(stack, "app"):
            stack.app = self.wrap(stack.app)
            return cast("App", stack)
        return self.wrap(stack)

    def take_back(self, app: Any) -> None:
        """Put back what was there, unless somebody has built on ours: then ours does nothing."""
        self.on = False
        if vars(app).get("build_middleware_stack") is self:
            if self.before is None:
                del app.build_middleware_stack
            else:
                app.build_middleware_stack = self.before
        if isinstance(app.middleware_stack, AgentScopeMiddleware):
            app.middleware_stack = app.middleware_stack.app


def instrument(
    app: Any = None,
    *,
    clients: Literal["auto"] | Iterable[str] = "auto",
    session: str | SessionOf | None = None,
    metrics_path: str | None = "/metrics",
    resources_path: str | None = None,
) -> None:
    """Record ``app``: its turns, ``/metrics``, the runtime, and the client libraries it uses.

    ``app`` is a FastAPI or Starlette application; without one, clients and runtime only. Calling
    it twice is calling it once. ``session`` says where a request's session id stands: ``"path:NAME"``,
    ``"header:NAME"``, ``"query:NAME"`` or a function of the scope; the default looks for a path
    parameter such as ``session_id``, then the header ``x-session-id``. One in the body is bound in
    the handler: ``with agentscope.session(id):``. ``clients`` names the libraries to hook; "auto" takes every
    supported one that is imported, now or later. ``resources_path``, such as ``"/debug/resources"``,
    serves the process's own figures to this machine: see AgentScopeMiddleware. Raises ConfigError where something cannot work.
    """
    session_source(session)
    lifecycle.ensure()
    instrument_clients(clients)
    if app is None or app in _instrumented:
        return
    if not hasattr(app, "build_middleware_stack"):
        raise ConfigError(
            f"instrument() knows FastAPI and Starlette applications, not {type(app).__name__}; "
            "wrap it yourself: app = agentscope.AgentScopeMiddleware(app)"
        )
    wrap = functools.partial(
        AgentScopeMiddleware,
        session=session,
        metrics_path=metrics_path,
        resources_path=resources_path,
    )
    builder = app.build_middleware_stack = _Builder(app, wrap)
    if app.middleware_stack is not None:
        app.middleware_stack = wrap(app.middleware_stack)
    # Weakly, both: the builder refers to its application, which may be one of thousands in tests.
    _instrumented[app] = weakref.ref(builder)


def uninstrument() -> None:
    """Put every patched object back, and stop recording."""
    for app, builder_of in list(_instrumented.items()):
        builder = builder_of()
        if builder is not None:
            builder.take_back(app)
    _instrumented.clear()
    uninstrument_clients()
    lifecycle.shutdown()
