"""Reports to draw, and a real browser that looks at them: Chromium, in its own protocol."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from agentscope_analyzer.document import Report
from agentscope_analyzer.engine import Engine

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)
TIMEOUT_S = 60.0
T0_NS = 1_790_000_000_000_000_000
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&amp;\u202egnp.exe\x00\u2028"
"""A name as nobody's model is called: markup, quotes, a turn of the line, control characters."""


def _story_class() -> Any:
    """The turn by turn story that the report's own tests tell."""
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("stories_of_reports", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Story


@pytest.fixture
def story() -> Iterator[Any]:
    """An empty story on an engine of its own."""
    with Engine.in_memory(threads=1) as engine:
        yield _story_class()(engine)


def full_report(story: Any, name: str = "gpt-4o-mini") -> Report:
    """A run with something to draw in every picture; names of its own are ``name``."""
    for i in range(60):
        parts = (
            ("llm.rate_limit", 0.05 * (i % 20)),
            ("llm.first_token", 0.5),
            ("runtime.event_loop", 0.1),
        )
        trace = story.turn(f"{name} {i % 6}", i * 1.0, *parts, error=i % 20 == 0)
        story.call(trace, i * 1.0, 429, 200)
    for span in story.spans:
        if span.get("operation") == "chat":
            span["model"] = span["provider"] = name
    blocks = {"runtime_event": "loop_blocked", "instance": "instance-1", "code_line": 7}
    for i in range(6):
        at_ns = T0_NS + i * 9_000_000_000
        told = {"code_function": f"{name}.work{i}", "code_file": f"/srv/{name}.py", **blocks}
        story.span(f"{i + 900:032x}", start_ns=at_ns, end_ns=at_ns + 80_000_000, **told)
    story.gauge("agentscope.event_loop.delay.max", *[0.01 * (i % 9) for i in range(60)])
    story.gauge("process.memory.usage", *[1e8 + 1e5 * i for i in range(60)])
    quota = {"provider": name, "model": name, "dimension": "requests"}
    story.gauge("agentscope.llm.ratelimit.limit", *[60.0] * 60, **quota)
    story.gauge("agentscope.llm.ratelimit.remaining", *[float(i % 60) for i in range(60)], **quota)
    for metric in story.metrics:
        metric["instance"] = "instance-1"
    report: Report = story.report()
    return report


@pytest.fixture(scope="session")
def report() -> Report:
    """A run with something in every picture."""
    with Engine.in_memory(threads=1) as engine:
        return full_report(_story_class()(engine))


@pytest.fixture(scope="session")
def hostile_report() -> Report:
    """The same run, by somebody who wants to break the page."""
    with Engine.in_memory(threads=1) as engine:
        return full_report(_story_class()(engine), HOSTILE + "x" * 10_000)


class Browser:
    """One page of a browser; what it complains about and asks for is kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self._session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = 0
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self._send(f"{domain}.enable")

    def open(self, file: Path, *, width: int = 1400, dark: bool = False) -> None:
        """Show a file as a window of this width would."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        before = self._loaded
        self._send("Page.navigate", url=file.as_uri())
        while self._loaded == before:
            self._hear(json.loads(self._socket.recv(timeout=TIMEOUT_S)))

    def without_scripts(self) -> None:
        """Run no script of any page from here on."""
        self._send("Emulation.setScriptExecutionDisabled", value=True)

    def says(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def picture(self, top: float = 0, height: float | None = None) -> bytes:
        """The page from ``top`` on as PNG; all of it where no height is given."""
        size = self._send("Page.getLayoutMetrics")["cssContentSize"]
        tall = size["height"] - top if height is None else height
        clip = {"x": 0, "y": top, "width": size["width"], "height": tall, "scale": 1}
        shot = self._send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self._send("Page.printToPDF", printBackground=True)["data"])

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=TIMEOUT_S))
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"}:
            self.complaints.append(json.dumps(params))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Audits.issueAdded":
            self.complaints.append(json.dumps(params["issue"]))


@contextmanager
def started() -> Iterator[Browser]:
    """A browser of its own, gone when it is left."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [CHROMIUM, *ARGUMENTS, f"--user-data-dir={home}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": home},
        )
        try:
            assert process.stderr is not None
            address = next(
                found[1]
                for line in process.stderr
                if (found := re.search(r"DevTools listening on (ws://\S+)", line))
            )
            with connect(address, max_size=None, open_timeout=TIMEOUT_S) as socket:
                yield Browser(socket)
        finally:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; tests that need it are skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with started() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser with nothing heard yet."""
    chromium.complaints.clear()
    chromium.requests.clear()
    return chromium
