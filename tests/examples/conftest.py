"""What the example's tests run against: a real database, a scripted model, the real service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from agentscope import conventions as names
from agentscope.lab.mock_llm import RunningMockLlm
from agentscope.lab.postgres import EmbeddedPostgres

EXAMPLES = Path(__file__).parents[2] / "examples"
START_TIMEOUT_S = 60.0


@dataclass
class Step:
    """One answer of the scripted model: text, tool calls or a bare status."""

    text: str | None = None
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Id, name and arguments, as the model would write them."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    """Waited for before the answer, or in a stream before its second piece."""
    cut: bool = False
    """A stream that ends without its end."""


class ScriptedModel:
    """Chat completions over HTTP: what the user said names the script, the history the step."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.scripts: dict[str, list[Step]] = {}
        self.asked = threading.Condition()

    def says(self, user_text: str, *steps: Step) -> None:
        """Answer ``user_text`` with one step after the other, the last one for ever."""
        self.scripts[user_text] = list(steps)

    def wait_until_asked(self, user_text: str, times: int = 1) -> None:
        """Return when a request whose last user message is ``user_text`` has come in."""

        def count() -> int:
            return sum(_last_user_text(request) == user_text for request in self.requests)

        with self.asked:
            assert self.asked.wait_for(lambda: count() >= times, timeout=20)

    def step_for(self, request: dict[str, Any]) -> Step:
        with self.asked:
            self.requests.append(request)
            self.asked.notify_all()
        steps = self.scripts[_last_user_text(request)]
        last_user = max(i for i, m in enumerate(request["messages"]) if m["role"] == "user")
        rounds = sum(m["role"] == "assistant" for m in request["messages"][last_user:])
        return steps[min(rounds, len(steps) - 1)]


def _last_user_text(request: dict[str, Any]) -> str:
    texts = [m["content"] for m in request["messages"] if m["role"] == "user"]
    return str(texts[-1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ScriptedModel

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        step = self.model.step_for(request)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if step.status != 200:
                self._send(step.status, step.headers, {"error": {"message": "scripted"}})
            elif request.get("stream"):
                self._stream(step)
            else:
                if step.gate is not None:
                    step.gate.wait(20)
                message = {"role": "assistant", "content": step.text, "tool_calls": _calls(step)}
                finish = "tool_calls" if step.calls else "stop"
                choice = {"index": 0, "message": message, "finish_reason": finish}
                self._send(200, {}, {**_COMPLETION, "choices": [choice], "usage": _USAGE})

    def _send(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, step: Step) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in re.findall(r"\S+\s*", step.text or "")]
        for index, call in enumerate(_calls(step) or []):
            function = call["function"]
            start = {**call, "index": index, "function": {**function, "arguments": ""}}
            deltas.append({"tool_calls": [start]})
            for letter in function["arguments"]:
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": letter}}]})
        for number, delta in enumerate(deltas):
            if step.gate is not None and number == 2:
                step.gate.wait(20)
            self._event(delta, None)
        if not step.cut:
            self._event({}, "tool_calls" if step.calls else "stop")
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, delta: dict[str, Any], finish: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {**_COMPLETION, "object": "chat.completion.chunk", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


_COMPLETION = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _calls(step: Step) -> list[dict[str, Any]] | None:
    return [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in step.calls
    ] or None


class _ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture(scope="session")
def model_server() -> Iterator[tuple[str, ScriptedModel]]:
    model = ScriptedModel()
    handler = type("Handler", (_Handler,), {"model": model})
    with _ModelServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", model
        server.shutdown()
        thread.join()


@pytest.fixture
def model(model_server: tuple[str, ScriptedModel]) -> ScriptedModel:
    _, model = model_server
    model.requests.clear()
    model.scripts.clear()
    return model


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with EmbeddedPostgres() as server:
        yield server.dsn


@dataclass
class Service:
    """A running service, asked over HTTP."""

    base_url: str
    dsn: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=30)

    def open_session(self, user_id: str = "tester") -> str:
        with self.client() as client:
            answer = client.post("/api/sessions", json={"user_id": user_id})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session_id"])

    def say(self, session_id: str, text: str, **headers: str) -> httpx.Response:
        with self.client() as client:
            path = f"/api/sessions/{session_id}/messages"
            return client.post(path, json={"message": text}, headers=headers)

    async def stored(self, session_id: str) -> list[dict[str, Any]]:
        """The session's messages as the database has them, in their order."""
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = await connection.fetch(
                "SELECT message FROM messages WHERE session_id = $1::text::uuid "
                "ORDER BY turn, position",
                session_id,
            )
        finally:
            await connection.close()
        return [json.loads(row["message"]) for row in rows]


StartService = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="session")
def start_service(
    dsn: str, model_server: tuple[str, ScriptedModel], tmp_path_factory: pytest.TempPathFactory
) -> StartService:
    """Start the service as the README says, with more variables: a context manager."""

    @contextlib.contextmanager
    def start(base_url: str = model_server[0], **variables: str) -> Iterator[Service]:
        log = tmp_path_factory.mktemp("service") / "log"
        variables = {"SUPPORT_AGENT_DSN": dsn, "OPENAI_BASE_URL": base_url, **variables}
        with _uvicorn("support_agent.app:app", log, variables) as url:
            yield Service(url, variables["SUPPORT_AGENT_DSN"], log)
        assert "Traceback" not in log.read_text(), log.read_text()

    return start


@contextlib.contextmanager
def _uvicorn(app: str, log: Path, variables: dict[str, str]) -> Iterator[str]:
    """An example's service as its README starts it, at the URL given; SIGTERM ends it."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0", app]
    environment = {**os.environ, "OPENAI_API_KEY": "test", **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=output, stderr=output
        )
    try:
        yield _await_url(process, log)
    finally:
        process.terminate()
        code = process.wait(20)
    assert code in {0, -15}, log.read_text()


def _await_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"running on (http://\S+)", log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def shared_service(start_service: StartService) -> Iterator[Service]:
    with start_service() as service:
        yield service


@pytest.fixture
def service(shared_service: Service, model: ScriptedModel) -> Service:
    """The service with its default settings; the model's script is empty."""
    return shared_service


@pytest.fixture
def step() -> type[Step]:
    return Step


@dataclass
class RecordedExample:
    """An example whose model is the mock LLM, and what agentscope recorded of it."""

    app: str
    run_dir: Path

    @contextlib.contextmanager
    def serving(self, mock: RunningMockLlm) -> Iterator[httpx.Client]:
        """The service, for the time of the block."""
        variables = {"AGENTSCOPE_RUN_DIR": str(self.run_dir), "OPENAI_BASE_URL": mock.base_url}
        with (
            _uvicorn(self.app, self.log, variables) as url,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            yield client

    @property
    def log(self) -> Path:
        return self.run_dir.with_name("service.log")

    def spans(self) -> list[dict[str, Any]]:
        """Every span that belongs to a request, in the order of their starts."""
        spans: list[dict[str, Any]] = []
        for file in self.run_dir.glob("traces-*.jsonl"):
            for line in file.read_text().splitlines():
                for resource in json.loads(line)["resourceSpans"]:
                    spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
        for span in spans:
            span["attributes"] = {
                each["key"]: next(iter(each["value"].values())) for each in span["attributes"]
            }
        spans.sort(key=lambda span: int(span["startTimeUnixNano"]))
        return [span for span in spans if names.RUNTIME_EVENT not in span["attributes"]]

    def manifest(self) -> dict[str, Any]:
        """What the process said of itself at its end."""
        (file,) = self.run_dir.glob("manifest-*.json")
        manifest: dict[str, Any] = json.loads(file.read_text())
        return manifest


@pytest.fixture
def recorded_example(tmp_path: Path) -> Callable[[str], RecordedExample]:
    """An example by the name of its folder, recording into a fresh run directory."""
    return lambda name: RecordedExample(f"{name}.app:app", tmp_path / "run")


@pytest.fixture
def events_of() -> Callable[[str], list[tuple[str, Any]]]:
    """The server-sent events of an answer: name and data."""

    def parse(text: str) -> list[tuple[str, Any]]:
        blocks = [block.split("\n") for block in text.strip().split("\n\n")]
        return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in blocks]

    return parse
