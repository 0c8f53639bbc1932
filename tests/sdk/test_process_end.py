"""How a service ends decides what is on disk: the signals of real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
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


class Service:
    """A service under uvicorn, in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.run = folder / "run"
        (folder / "service.py").write_text(SERVICE)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port), *arguments],
            cwd=folder,
            env={**os.environ, "AGENTSCOPE_RUN_DIR": str(self.run)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.get("/docs")
                break
            except httpx.TransportError:
                assert self.process.poll() is None, self.process.stderr.read()  # type: ignore[union-attr]
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def turn(self, session: str) -> None:
        assert self.client.post(f"/api/sessions/{session}/messages").status_code == 200

    def end(self, with_signal: int) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(15)

    def turns(self) -> list[dict[str, Any]]:
        """The turns on disk; a torn last line is left out, a torn line elsewhere fails."""
        found = []
        for file in self.run.glob("traces-*.jsonl"):
            text = file.read_text()
            for line in text[: text.rfind("\n") + 1].splitlines():
                for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                    keys = {a["key"]: a["value"] for a in span["attributes"]}
                    if "agentscope.turn" in keys:
                        found.append({"outcome": keys["agentscope.outcome"]["stringValue"], **span})
        return found

    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in self.run.glob("manifest-*.json")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def begin(*arguments: str) -> Service:
        started.append(Service(tmp_path, *arguments))
        return started[-1]

    yield begin
    for service in started:
        service.client.close()
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
        assert service.process.stderr is not None
        service.process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), -signal.SIGTERM), (("--workers", "2"), 0), (("--loop", "asyncio"), -signal.SIGTERM)],
    ids=["uvicorn", "two workers", "asyncio loop"],
)
def test_sigterm_after_a_hundred_turns_leaves_a_hundred_turns(
    start: Callable[..., Service], arguments: tuple[str, ...], code: int
) -> None:
    """The signal by which every orchestrator stops a service loses nothing."""
    service = start(*arguments)
    for number in range(100):
        service.turn(f"s{number}")
    began = time.monotonic()
    assert service.end(signal.SIGTERM) == code
    assert time.monotonic() - began < 5
    assert [turn["outcome"] for turn in service.turns()] == ["ok"] * 100
    serving = [m for m in service.manifests() if m["ledger"][0]["created"]]
    assert serving
    for manifest in serving:
        spans = manifest["ledger"][0]
        assert manifest["ended_ns"] is not None
        assert spans["created"] == spans["delivered"]


def test_sigterm_with_an_open_stream_keeps_what_had_ended(start: Callable[..., Service]) -> None:
    """A server that waits for a stream for seconds does not make the finished turns wait."""
    service = start("--timeout-graceful-shutdown", "1")
    with service.client.stream("GET", "/api/sessions/open/stream") as response:
        next(response.iter_bytes())
        for number in range(10):
            service.turn(f"s{number}")
        service.end(signal.SIGTERM)
    outcomes = sorted(turn["outcome"] for turn in service.turns())
    assert outcomes == ["cancelled", *["ok"] * 10]


def test_kill_9_loses_at_most_the_last_second(start: Callable[..., Service]) -> None:
    """What was answered more than a second before the kill is on disk; no good-bye is."""
    service = start()
    answered: list[float] = []
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        service.turn("s")
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
