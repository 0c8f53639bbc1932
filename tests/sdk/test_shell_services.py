"""``agentscope record`` around a shell script that starts services of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

SERVICE = """
import os
from fastapi import FastAPI

app, one, two = FastAPI(), FastAPI(), FastAPI()
app.mount("/one", one)
app.mount("/two", two)

@one.get("/items/{item}")
@two.get("/items/{item}")
async def item(item: int) -> int:
    return os.getpid()
"""
SCRIPT = """
"$PYTHON" -m uvicorn service:app --log-level error --port $1 &
"$PYTHON" -m uvicorn service:app --log-level error --port $2 &
wait
"""
RECORD = "from agentscope_analyzer.commands import main; raise SystemExit(main())"
REQUESTS = 25


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str) -> int:
    deadline = time.monotonic() + 40
    while True:
        try:
            return int(httpx.get(f"http://127.0.0.1:{port}{path}", timeout=20).json())
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def read(file: Path) -> Counter[str]:
    lines = [json.loads(line)["resourceSpans"][0] for line in file.read_text().splitlines()]
    spans: list[dict[str, Any]] = [span for one in lines for span in one["scopeSpans"][0]["spans"]]
    return Counter(span["name"] for span in spans if span["kind"] == 2)


def test_two_services_of_a_script_one_of_them_killed(tmp_path: Path) -> None:
    """Each in files of its own, all requests there, routes of mounted applications told apart; the
    one that was killed says no farewell, and the other does."""
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "start.sh").write_text(SCRIPT)
    ports = free_port(), free_port()
    recording = subprocess.Popen(
        [sys.executable, "-c", RECORD, "record", "-o", "run", "--",
         "sh", "start.sh", *map(str, ports)],
        cwd=tmp_path, env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        killed, ended = (ask(port, "/one/items/1") for port in ports)
        for _ in range(REQUESTS):
            for port in ports:
                ask(port, "/one/items/1")
                ask(port, "/two/items/2")
        time.sleep(1.2)  # what was lost with it is the last second
        os.kill(killed, signal.SIGKILL)
        os.kill(ended, signal.SIGTERM)
        assert recording.wait(20) == 0
    finally:
        recording.kill()
        recording.wait()
    run = tmp_path / "run"
    found = {int(file.name.split("-")[1]): read(file) for file in run.glob("traces-*.jsonl")}
    asked = Counter({"GET /one/items/{item}": REQUESTS + 1, "GET /two/items/{item}": REQUESTS})
    assert found == {killed: asked, ended: asked}
    manifests = [json.loads(file.read_text()) for file in run.glob("manifest-*.json")]
    assert {one["pid"]: one["ended_ns"] is None for one in manifests} == {
        killed: True,
        ended: False,
    }
