"""Send a run of the travel desk to Arize Phoenix, count its spans there, and photograph them.

pip install arize-phoenix langgraph langchain-openai
python examples/phoenix/travel_desk.py --picture examples/phoenix/trace.png

Starts Phoenix, a mock of the model's provider and the agent, each on a free port of this machine,
and ends them. The picture needs chromium and pngquant (on Debian: apt-get install chromium pngquant).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from agentscope.lab.mock_llm import MockLlmSettings, running

EXAMPLES = Path(__file__).resolve().parents[1]
SERVICE = "travel-desk"
START_TIMEOUT_S = 180
ARRIVE_TIMEOUT_S = 30
MAX_PICTURE_BYTES = 250_000
KNOBS = "profile=small-fast;out=40;depth=1;calls=2;tools=find_train:1,convert_money:1,get_weather:0"
QUESTIONS = (
    "How do I get from Vienna to Prague?",
    "And what is the fare in Czech crowns?",
    "Is there a later train back?",
)


class Counted(NamedTuple):
    """What the recorder sent, by its own ledger, and what Phoenix has."""

    sent: dict[str, Any]
    """The account of the spans for Phoenix: created, delivered, dropped, pending."""
    spans_written: int
    """Spans in the run directory."""
    spans: int
    """Spans in Phoenix."""
    traces: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where Phoenix has not what was sent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--phoenix", default="phoenix", help="Phoenix's command, where it is")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--grpc", action="store_true", help="send by gRPC instead of HTTP")
    parser.add_argument("--picture", type=Path, help="write a picture of one turn's trace here")
    options = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as folder,
        served_phoenix(options.phoenix, Path(folder)) as phoenix,
    ):
        counted = send_turns(phoenix, Path(folder), options.turns, grpc=options.grpc)
        if options.picture is not None:
            photograph(phoenix, Path(folder), options.picture)
    sent = counted.sent
    print(f"{sent['created']} spans made, {sent['delivered']} sent, dropped: {sent['dropped']}")
    print(f"{counted.spans} spans of {counted.traces} traces in Phoenix")
    return 0 if counted.spans == sent["delivered"] == sent["created"] else 1


class Phoenix(NamedTuple):
    """A Phoenix that runs."""

    url: str
    grpc_url: str

    def project(self) -> dict[str, Any]:
        """What it has of the agent: ``id``, ``recordCount`` (spans) and ``traceCount``."""
        query = "{ projects { edges { node { id name recordCount traceCount } } } }"
        answer = httpx.post(f"{self.url}/graphql", json={"query": query}, timeout=30).json()
        projects = [edge["node"] for edge in answer["data"]["projects"]["edges"]]
        found = [project for project in projects if project["name"] == SERVICE]
        return found[0] if found else {"recordCount": 0, "traceCount": 0}


@contextmanager
def served_phoenix(command: str, folder: Path) -> Iterator[Phoenix]:
    """Phoenix, with its data in ``folder``, until the end of the block."""
    port, grpc_port = free_port(), free_port()
    phoenix = Phoenix(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{grpc_port}")
    settings = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with _served([command, "serve"], f"{phoenix.url}/healthz", folder / "phoenix.log", settings):
        yield phoenix


def send_turns(phoenix: Phoenix, folder: Path, turns: int, *, grpc: bool = False) -> Counted:
    """Have the agent answer so many messages, and count what arrived."""
    port = free_port()
    app = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "langgraph_agent.app:app", "--port", str(port)]
    with running(MockLlmSettings(port=0, knobs=KNOBS)) as mock:
        settings = {
            "PYTHONPATH": str(EXAMPLES),
            "OPENAI_BASE_URL": mock.base_url,
            "OPENAI_API_KEY": "none",
            "AGENTSCOPE_RUN_DIR": str(folder / "run"),
            "OTEL_SERVICE_NAME": SERVICE,
            "OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={SERVICE}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if grpc else "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": phoenix.grpc_url if grpc else phoenix.url,
            "OTEL_METRICS_EXPORTER": "none",  # Phoenix takes traces only
        }
        with _served(command, f"{app}/metrics", folder / "app.log", settings):
            for number in range(turns):
                path = f"{app}/api/threads/trip-{number // len(QUESTIONS) + 1}/messages"
                question = {"message": QUESTIONS[number % len(QUESTIONS)]}
                httpx.post(path, json=question, timeout=60).raise_for_status()
    (manifest,) = (folder / "run").glob("manifest-*.json")
    accounts = {
        one["sink"]: one
        for one in json.loads(manifest.read_text())["ledger"]
        if one["signal"] == "spans"
    }
    found = _arrived(phoenix, accounts["otlp"]["delivered"])
    written = accounts["run_directory"]["delivered"]
    return Counted(accounts["otlp"], written, found["recordCount"], found["traceCount"])


def photograph(phoenix: Phoenix, folder: Path, picture: Path) -> None:
    """Write Phoenix's page of the turn with the most spans as a PNG."""
    page = f"{phoenix.url}/projects/{phoenix.project()['id']}/traces/{_largest_turn(folder)}"
    raw = folder / "page.png"
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    browser += [f"--user-data-dir={folder / 'chromium'}", "--window-size=1600,900"]
    browser += ["--virtual-time-budget=20000", f"--screenshot={raw}"]
    subprocess.run([*browser, page], check=True, timeout=180, stderr=subprocess.DEVNULL)
    shrink = ["pngquant", "--force", "--strip", "--speed", "1", "--output", str(picture), "64"]
    subprocess.run([*shrink, str(raw)], check=True, timeout=60)
    size = picture.stat().st_size
    if size > MAX_PICTURE_BYTES:
        raise SystemExit(f"{picture} has {size} bytes; at most {MAX_PICTURE_BYTES} are wanted")


def _largest_turn(folder: Path) -> str:
    sizes: Counter[str] = Counter()
    for file in (folder / "run").glob("traces-*.jsonl"):
        for line in file.read_text().splitlines():
            (resource,) = json.loads(line)["resourceSpans"]
            sizes.update(span["traceId"] for span in resource["scopeSpans"][0]["spans"])
    return sizes.most_common(1)[0][0]


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _arrived(phoenix: Phoenix, spans: int) -> dict[str, Any]:
    deadline_s = time.monotonic() + ARRIVE_TIMEOUT_S
    while (found := phoenix.project())["recordCount"] < spans:  # it writes behind its answer
        if time.monotonic() > deadline_s:
            break
        time.sleep(0.5)
    return found


@contextmanager
def _served(
    command: Sequence[str], url: str, log: Path, settings: dict[str, str]
) -> Iterator[None]:
    """A server, from when ``url`` answers until the end of the block."""
    with log.open("wb") as output:
        environment = {**os.environ, **settings}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    sys.exit(main())
