"""How a service ends decides what is on disk: the signals of real servers."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

SERVICE = """
import asyncio
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
import agentscope

app = FastAPI()
agentscope.instrument(app)

@app.post("/api/sessions/{session_id}/messages")
async def message(session_id: str):
    with agentscope.phase("plan"):
        return {"response": "done"}

@app.get("/api/sessions/{session_id}/stream")
async def stream(session_id: str):
    async def tokens():
        with agentscope.phase("plan"):
            pass
        while True:
            yield b"data: x\\n\\n"
            await asyncio.sleep(0.05)
    return StreamingResponse(tokens(), media_type="text/event-stream")
"""


@pytest.fixture
def start(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Start the service under uvicorn."""

    def begin(*arguments: str) -> Any:
        command = [sys.executable, "-m", "uvicorn", "service:app", "--port", "PORT"]
        return serve(SERVICE, *command, *arguments)

    return begin


def turn(service: Any, session: str) -> None:
    assert service.client.post(f"/api/sessions/{session}/messages").status_code == 200


def outcomes(service: Any) -> list[str]:
    return sorted(turn["attributes"]["agentscope.outcome"] for turn in service.turns())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), -signal.SIGTERM), (("--workers", "2"), 0), (("--loop", "asyncio"), -signal.SIGTERM)],
    ids=["uvicorn", "two workers", "asyncio loop"],
)
def test_sigterm_after_a_hundred_turns_leaves_a_hundred_turns(
    start: Callable[..., Any], arguments: tuple[str, ...], code: int
) -> None:
    """The signal by which every orchestrator stops a service loses nothing."""
    service = start(*arguments)
    for number in range(100):
        turn(service, f"s{number}")
    began = time.monotonic()
    assert service.end(signal.SIGTERM) == code
    assert time.monotonic() - began < 5
    assert outcomes(service) == ["ok"] * 100
    serving = [m for m in service.manifests() if m["ledger"][0]["created"]]
    assert serving
    for manifest in serving:
        spans = manifest["ledger"][0]
        assert manifest["ended_ns"] is not None
        assert spans["created"] == spans["delivered"]


def test_sigterm_with_an_open_stream_keeps_what_had_ended(start: Callable[..., Any]) -> None:
    """A server that waits for a stream for seconds does not make the finished turns wait."""
    service = start("--timeout-graceful-shutdown", "1")
    with service.client.stream("GET", "/api/sessions/open/stream") as response:
        next(response.iter_bytes())
        for number in range(10):
            turn(service, f"s{number}")
        service.end(signal.SIGTERM)
    assert outcomes(service) == ["cancelled", *["ok"] * 10]


def test_kill_9_loses_at_most_the_last_second(start: Callable[..., Any]) -> None:
    """What was answered more than a second before the kill is on disk; no good-bye is."""
    service = start()
    answered: list[float] = []
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        turn(service, "s")
        answered.append(time.monotonic())
        time.sleep(0.005)
    killed = time.monotonic()
    service.process.kill()
    service.process.wait()
    on_disk = len(service.turns())
    assert on_disk >= sum(1 for at in answered if at < killed - 1)
    assert on_disk <= len(answered)
    (manifest,) = service.manifests()
    assert manifest["ended_ns"] is None
