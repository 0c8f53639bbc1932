"""Which route a request's span names: the template, wherever it stands, and never a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

import agentscope
from agentscope.asgi import AgentScopeMiddleware
from agentscope.routes import RouteTemplates
from agentscope.testing import Recorded

STATIC = StaticFiles(directory=Path(__file__).parent)


async def answer(request: Request) -> Response:
    return PlainTextResponse("x")


async def plain(request: Request) -> Response:
    return PlainTextResponse("plain")


def inner() -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/v1")

    @router.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    @router.websocket("/chat/{session_id}")
    async def chat(websocket: WebSocket, session_id: str) -> None:
        await websocket.accept()
        await websocket.close()

    app.include_router(router, prefix="/api")
    return app


def fastapi() -> FastAPI:
    app = inner()
    app.add_route("/plain/{name}", plain)
    app.mount("/sub", inner())
    app.mount("/tenants/{tenant}", inner())
    app.mount("/static", STATIC)
    app.mount("/starlette", Starlette(routes=[Route("/x/{y}", answer)]))
    return app


def starlette() -> Starlette:
    tenant = Mount("/{tenant}/of/{unit:int}", routes=[Route("/x/{y}", answer)])
    return Starlette(
        routes=[
            Host("api.example", Router([Route("/h/{z}", answer)])),
            Mount("/t", routes=[Mount("/fixed", routes=[Route("/x/{y}", answer)]), tenant]),
            Mount("/static", STATIC),
            Route("/files/{path:path}", answer),
        ]
    )


FASTAPI = {
    "/api/v1/items/7": "/api/v1/items/{item}",
    "/api/v1/items/no-number": "/api/v1/items/{item}",
    "/plain/secret": "/plain/{name}",
    "/docs": "/docs",
    "/sub/api/v1/items/7": "/sub/api/v1/items/{item}",
    "/sub/docs": "/sub/docs",
    "/sub/unknown": "/sub/{path}",
    "/tenants/acme/api/v1/items/7": "/tenants/{tenant}/api/v1/items/{item}",
    "/static/conftest.py": "/static/{path}",
    "/starlette/x/1": "/starlette/x/{y}",
    "/unknown": None,
}
STARLETTE = {
    "/t/fixed/x/1": "/t/fixed/x/{y}",
    "/t/acme/of/007/x/1": "/t/{tenant}/of/{unit}/x/{y}",
    "/t/acme/of/7/unknown": "/t/{tenant}/of/{unit}/{path}",
    "/static/conftest.py": "/static/{path}",
    "/files/a/b": "/files/{path}",
    "/unknown": None,
}


@pytest.mark.parametrize(
    ("app", "expected"),
    [(fastapi(), FASTAPI), (starlette(), STARLETTE)],
    ids=["FastAPI", "Starlette"],
)
@pytest.mark.parametrize("way", ["wrapped", "instrumented"])
def test_the_route_is_the_whole_template(
    recorded: Recorded, app: Starlette, expected: dict[str, str | None], way: str
) -> None:
    """Mounts, included routers and plain routes alike, in both ways to record an application."""
    if way == "instrumented":
        agentscope.instrument(app, clients=())
        client = TestClient(app)
    else:
        client = TestClient(AgentScopeMiddleware(app))
    for path in expected:
        client.get(path)
    named = [span.attributes.get("http.route") for span in recorded.spans]
    agentscope.uninstrument()
    assert dict(zip(expected, named, strict=True)) == expected


def test_the_routes_of_a_host_and_of_websockets_have_templates_too(recorded: Recorded) -> None:
    """One router may be reached by name of host, another through two prefixes."""
    TestClient(AgentScopeMiddleware(starlette()), base_url="http://api.example").get("/h/1")
    client = TestClient(AgentScopeMiddleware(fastapi()))
    for path in ("/api/v1/chat/s1", "/sub/api/v1/chat/s1"):
        with client.websocket_connect(path):
            pass
    assert [span.name for span in recorded.spans] == [
        "GET /h/{z}",
        "WEBSOCKET /api/v1/chat/{session_id}",
        "WEBSOCKET /sub/api/v1/chat/{session_id}",
    ]


def test_behind_a_proxy_the_routes_begin_with_its_prefix(recorded: Recorded) -> None:
    """uvicorn --root-path: what callers see is what is named."""
    client = TestClient(AgentScopeMiddleware(fastapi()), root_path="/proxy")
    client.get("/proxy/plain/1")
    client.get("/proxy/tenants/acme/api/v1/items/7")
    assert [span.name for span in recorded.spans] == [
        "GET /proxy/plain/{name}",
        "GET /proxy/tenants/{tenant}/api/v1/items/{item}",
    ]


def test_a_mount_that_nobody_knows_is_not_named_by_its_path() -> None:
    """A router of somebody's own may put what a client chose into the root path."""
    scope = {"root_path": "/acme", "app_root_path": "", "route": Route("/x/{y}", answer)}
    assert RouteTemplates(None).of(scope) == "/{mount}/x/{y}"


def test_an_endpoint_of_two_routes_names_neither(recorded: Recorded) -> None:
    """FastAPI leaves only the endpoint of a plain route: no guess is made which it was."""
    app = FastAPI()
    app.add_route("/a", answer)
    client = TestClient(AgentScopeMiddleware(app))
    client.get("/a")
    app.add_route("/b", answer)
    app.add_route("/c", lambda request: PlainTextResponse("c"))
    for path in ("/c", "/a"):
        client.get(path)
    assert [span.name for span in recorded.spans] == ["GET /a", "GET /c", "GET"]
