"""Several applications in one process, started and ended in any order; and the way back."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import agentscope
from agentscope.testing import Recorded


@pytest.fixture(autouse=True)
def leave_nothing() -> Iterator[None]:
    yield
    agentscope.uninstrument()


def service(name: str, **settings: Any) -> FastAPI:
    app = FastAPI(**settings)

    @app.post("/{session_id}")
    async def turn(session_id: str) -> None:
        with agentscope.phase(name):
            time.sleep(0.03)

    agentscope.instrument(app)
    return app


def names_in(run: Path) -> Counter[str]:
    return Counter(
        span["name"]
        for file in run.glob("traces-*.jsonl")
        for line in file.read_text().splitlines()
        for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    )


def test_the_end_of_one_application_is_not_the_end_of_the_other(tmp_path: Path) -> None:
    """Recording ends with the last of them, and what was recorded is then on disk."""
    agentscope.configure(run_dir=tmp_path)
    with TestClient(service("staying")) as staying:
        with TestClient(service("going")) as going:
            going.post("/s")
        assert names_in(tmp_path)["going"] == 1
        staying.post("/s")
        staying.post("/s")
    assert names_in(tmp_path)["staying"] == 2
    (manifest,) = (json.loads(file.read_text()) for file in tmp_path.glob("manifest-*.json"))
    assert manifest["ended_ns"] is not None


def test_every_turn_of_every_cycle_is_on_disk(tmp_path: Path) -> None:
    """Test suites start and end the same application again and again."""
    agentscope.configure(run_dir=tmp_path)
    app = service("again")
    for _ in range(3):
        with TestClient(app) as client:
            client.post("/s")
            client.post("/s")
    assert names_in(tmp_path)["again"] == 6


def test_a_start_up_that_fails_ends_the_recording_too(tmp_path: Path) -> None:
    """The server gives up, and nobody hears of a shutdown."""

    @asynccontextmanager
    async def failing(app: FastAPI) -> AsyncIterator[None]:
        with agentscope.turn("warm-up"):
            raise RuntimeError("no database")
        yield

    agentscope.configure(run_dir=tmp_path)
    with (
        pytest.raises(RuntimeError, match="no database"),
        TestClient(service("never", lifespan=failing)),
    ):
        pass
    assert names_in(tmp_path)["warm-up"] == 1


def test_configuring_in_the_applications_own_start_up_keeps_its_loop_watched(
    tmp_path: Path,
) -> None:
    """Settings may come late; the event loop is then served by the new recorder."""

    @asynccontextmanager
    async def starting(app: FastAPI) -> AsyncIterator[None]:
        agentscope.configure(run_dir=tmp_path)
        yield

    with TestClient(service("blocking", lifespan=starting)) as client:
        client.post("/s")
    assert names_in(tmp_path)["event_loop.blocked"] >= 1


def test_uninstrument_puts_back_what_another_had_put_there() -> None:
    """Other instrumentations replace the same method, before us and after us."""
    before, after = FastAPI(), FastAPI()

    def theirs() -> Any:
        return FastAPI.build_middleware_stack(before)

    before.build_middleware_stack = theirs  # type: ignore[method-assign]
    agentscope.instrument(before)
    agentscope.instrument(after)
    ours = after.build_middleware_stack

    def around() -> Any:
        return ours()

    after.build_middleware_stack = around  # type: ignore[method-assign]
    agentscope.uninstrument()
    assert before.build_middleware_stack is theirs
    assert after.build_middleware_stack is around
    assert type(after.build_middleware_stack()) is type(FastAPI().build_middleware_stack())


def test_an_application_that_nobody_needs_is_freed() -> None:
    """A test suite makes thousands of them."""
    app = FastAPI()
    agentscope.instrument(app)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_an_inner_middleware_still_says_where_the_session_is(recorded: Recorded) -> None:
    """The explicit form beside ``instrument``: one span, and the session that was asked for."""
    app = FastAPI()
    app.add_middleware(agentscope.AgentScopeMiddleware, session="path:chat")

    @app.post("/{chat}")
    async def turn(chat: str) -> None:
        with agentscope.phase("p"):
            pass

    agentscope.instrument(app)
    TestClient(app).post("/c7")
    turn_span = recorded.span("POST /{chat}")
    assert turn_span.attributes["gen_ai.conversation.id"] == "c7"
