"""Two workers, ten thousand requests, workers recycled in between: is every count exact?

``python tests/benchmarks/worker_recycling.py [REQUESTS]``. Starts a real service under gunicorn, whose
workers end after a fifth of the requests each and are replaced, sends the requests, stops it by
SIGTERM, and compares four counts: what callers were answered, what the service itself handled (a
byte in a file for each), the turns in the run directory, and those that its metrics count. They
must be equal, but that a request may be handled whose caller was cut off by gunicorn.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from agentscope_analyzer.ingest import open_run

SERVICE = """
import os
from fastapi import FastAPI
import agentscope

app = FastAPI()
agentscope.instrument(app)
handled = os.open("handled", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@app.post("/chats/{session_id}")
async def message(session_id: str):
    with agentscope.phase("plan"):
        os.write(handled, b"x")
    return {}
"""


def start(folder: Path, port: int, recycle_after: int) -> subprocess.Popen[bytes]:
    """The service with two workers."""
    (folder / "service.py").write_text(SERVICE)
    command = [
        sys.executable, "-m", "gunicorn", "service:app", "--bind", f"127.0.0.1:{port}",
        "--worker-class", "asgi", "--workers", "2", "--max-requests", str(recycle_after),
        "--log-level", "warning", "--no-control-socket",
    ]  # fmt: skip
    environment = {**os.environ, "AGENTSCOPE_RUN_DIR": str(folder / "run")}
    return subprocess.Popen(command, cwd=folder, env=environment)


def send(port: int, requests: int) -> tuple[int, int]:
    """Send them, four at a time; returns how many were answered and how often one was sent again."""
    again = 0

    def one(number: int) -> int:
        nonlocal again
        for _ in range(100):
            try:
                return int(client.post(f"/chats/s{number}").status_code == 200)
            except httpx.TransportError:
                again += 1
                time.sleep(0.1)
        return 0

    fresh = httpx.Limits(max_keepalive_connections=0)
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, limits=fresh) as client,
        ThreadPoolExecutor(4) as callers,
    ):
        return sum(callers.map(one, range(requests))), again


def main() -> int:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    folder = Path(tempfile.mkdtemp(prefix="recycling-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = start(folder, port, requests // 5)
    try:
        began = time.monotonic()
        answered, again = send(port, requests)
        took_s = time.monotonic() - began
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    handled = (folder / "handled").stat().st_size
    with open_run(folder / "run") as run:
        ((turns, twice),) = run.engine.rows(
            "SELECT count(*), count(*) - count(DISTINCT span_id) FROM spans WHERE is_turn"
        )
        ((counted,),) = run.engine.rows(
            "SELECT sum(n) FROM (SELECT max(count) AS n FROM metrics"
            " WHERE name = 'agentscope.turn.duration' GROUP BY instance, attrs)"
        )
        processes = run.engine.rows(
            "SELECT instance, count(*) FROM spans WHERE is_turn GROUP BY instance ORDER BY 1"
        )
        complete, reasons = run.manifest["complete"], run.manifest["reasons"]
    print(f"requests answered          {answered:7,}  ({again} sent again; {took_s:.0f} s)")
    print(f"handled by the service     {handled:7,}")
    print(f"turns in the run directory {turns:7,}  ({twice} of them twice)")
    print(f"turns that metrics count   {int(counted):7,}")
    print(f"processes                  {len(processes):7,}  {[turns for _, turns in processes]}")
    print(f"the run is complete        {complete!s:>7}  {'; '.join(reasons)}")
    return 0 if turns == counted == handled >= requests and not twice and complete else 1


if __name__ == "__main__":
    sys.exit(main())
