"""The process's own figures: for this machine, or for who has the token."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from agentscope.asgi import AgentScopeMiddleware
from agentscope.export.resources import TOKEN_VARIABLE, resources
from agentscope.testing import Recorded

PATH = "/debug/resources"


def client(address: str = "127.0.0.1", app: Any = None, **more: Any) -> TestClient:
    middleware = AgentScopeMiddleware(app or Starlette(), resources_path=PATH, **more)
    return TestClient(middleware, client=(address, 5000))


def test_this_machine_sees_the_figures(recorded: Recorded) -> None:
    """The five of them, and no turn is recorded of it."""
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        answer = client(address).get(PATH)
        assert answer.status_code == 200
        figures = answer.json()
        assert set(figures) == {
            "memory_mb", "cpu_percent", "open_files", "connections", "threads",
        }  # fmt: skip
        assert figures["memory_mb"] > 1
        assert figures["threads"] >= 1
    assert recorded.spans == []


def test_a_busy_process_says_so() -> None:
    """CPU as of now, not as of when somebody last asked."""
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    burning = threading.Thread(target=burn)
    burning.start()
    try:
        assert resources()["cpu_percent"] > 5
    finally:
        over.set()
        burning.join()


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("10.0.0.7", {}),
        ("testclient", {}),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}),
        ("127.0.0.1", {"x-forwarded-proto": "https"}),
        ("127.0.0.1", {"via": "1.1 proxy"}),
        ("10.0.0.7", {"authorization": "Bearer wrong"}),
        ("10.0.0.7", {"authorization": "Bearer "}),
    ],
)
def test_nobody_else_does(
    address: str, headers: dict[str, str], recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host, a socket without an address, a request that came through a proxy."""
    monkeypatch.setenv(TOKEN_VARIABLE, "right")
    assert client(address).get(PATH, headers=headers).status_code == 403


def test_the_token_opens_it_from_anywhere(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a health check behind a proxy has it."""
    monkeypatch.setenv(TOKEN_VARIABLE, "right")
    headers = {"authorization": "Bearer right", "x-forwarded-for": "203.0.113.9"}
    assert client("10.0.0.7").get(PATH, headers=headers).status_code == 200


def test_an_empty_token_opens_nothing(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that was set to nothing is no key."""
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    headers = {"authorization": "Bearer "}
    assert client("10.0.0.7").get(PATH, headers=headers).status_code == 403


def test_it_is_off_unless_asked_for_and_gives_way(recorded: Recorded) -> None:
    """No path, no page; a route of the application's own stays its own."""
    bare = TestClient(AgentScopeMiddleware(Starlette()), client=("127.0.0.1", 1))
    assert bare.get(PATH).status_code == 404
    own = Starlette(routes=[Route(PATH, lambda request: PlainTextResponse("mine"))])
    assert client(app=own).get(PATH).text == "mine"
