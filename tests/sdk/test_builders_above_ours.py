"""Who builds an application's middleware stack around ours gets what Starlette builds."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.recording.span import SERVER
from agentscope.testing import recording


def rebuild(app: Starlette, seen: list[Any]) -> None:
    """Take Starlette's outermost part apart, as OpenTelemetry's instrumentation of FastAPI does."""
    build = app.build_middleware_stack

    def build_anew() -> ServerErrorMiddleware:
        stack = build()
        seen.append(type(stack))
        assert isinstance(stack, ServerErrorMiddleware)
        return ServerErrorMiddleware(stack.app, stack.handler, stack.debug)

    app.build_middleware_stack = build_anew  # type: ignore[method-assign] # as the others do


async def work(request: Request) -> PlainTextResponse:
    if request.query_params:
        raise LookupError("canary")
    return PlainTextResponse("done")


@pytest.mark.parametrize("above", [False, True])
def test_turns_are_recorded_below_and_above_another_builder(above: bool) -> None:
    """Ours first and theirs around it, or theirs first: one span a request, failures included."""
    app, seen = Starlette(routes=[Route("/work", work)]), []
    with recording(real_time=True) as recorded:
        if above:
            agentscope.instrument(app, clients=())
            rebuild(app, seen)
        else:
            rebuild(app, seen)
            agentscope.instrument(app, clients=())
        client = TestClient(app, raise_server_exceptions=False)
        assert client.get("/work").text == "done"
        assert client.get("/work?fail=1").status_code == 500
        turns = [span for span in recorded.spans if span.kind == SERVER]
        agentscope.uninstrument()
    assert [span.name for span in turns] == ["GET /work"] * 2
    assert ["error.type" in span.attributes for span in turns] == [False, True]
    assert seen == [ServerErrorMiddleware]


def test_nothing_is_left_below_another_builder() -> None:
    """Taken back under a builder that stays: the next stack is without us."""
    app, seen = Starlette(routes=[Route("/work", work)]), []
    with recording(real_time=True):
        agentscope.instrument(app, clients=())
        rebuild(app, seen)
        agentscope.uninstrument()
        stack: Any = app.build_middleware_stack()
    assert not isinstance(stack.app, AgentScopeMiddleware)
