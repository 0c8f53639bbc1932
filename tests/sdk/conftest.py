"""Fixtures of the recorder's tests: recording in memory, an ASGI client without sockets, servers."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentscope.export.prometheus import merging, workers
from agentscope.settings import METRICS_DIRECTORY
from agentscope.testing import Recorded, recording


@pytest.fixture(autouse=True)
def no_pauses_of_other_tests() -> Iterator[None]:
    """A collector pause is a span in the run; with the heap of a whole test session it is a long
    one. So the collector waits until a test is over, unless the test itself calls it."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Record into memory, with a clock moved by hand and ids that count."""
    with recording() as live:
        yield live


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory in which workers share what they count, empty; its publisher ends with the test."""
    directory = tmp_path / "shared"
    directory.mkdir()
    monkeypatch.setenv(METRICS_DIRECTORY, str(directory))
    monkeypatch.setattr(merging, "_skipped", set())
    yield directory
    if workers._publisher is not None:
        workers._publisher.close()
        monkeypatch.setattr(workers, "_publisher", None)


@pytest.fixture
def http_scope() -> Callable[..., dict[str, Any]]:
    """Make the scope of an HTTP request."""

    def make(path: str = "/", method: str = "GET", **more: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"example")],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            **more,
        }

    return make


class Served:
    """A service in a process of its own, and what it recorded."""

    def __init__(
        self, folder: Path, command: Sequence[str], environment: Mapping[str, str], ready: str
    ) -> None:
        self.run = folder / "run"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._errors = folder / "stderr"  # a pipe that nobody reads would fill, and stop it
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [word.replace("PORT", port) for word in command],
                cwd=folder,
                env={**os.environ, "AGENTSCOPE_RUN_DIR": str(self.run), **environment},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.get(ready)
                break
            except httpx.TransportError:
                assert self.process.poll() is None, self.errors()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def wait_for_processes(self, number: int) -> None:
        """Wait until so many have begun to serve: gunicorn's do not hear of the end before."""
        deadline = time.monotonic() + 30
        while len(self.manifests()) < number:
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.02)

    def end(self, with_signal: int) -> int:
        """Send the signal; returns the exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(20)

    def errors(self) -> str:
        """What it wrote to stderr."""
        return self._errors.read_text()

    def spans(self) -> list[dict[str, Any]]:
        """The spans on disk; a torn last line is left out, a torn line elsewhere fails.

        To each its ``attributes`` as a plain dictionary and the ``instance`` that wrote it.
        """
        found = []
        for file in self.run.glob("traces-*.jsonl"):
            text = file.read_text()
            for line in text[: text.rfind("\n") + 1].splitlines():
                (resource,) = json.loads(line)["resourceSpans"]
                said = _plain(resource["resource"]["attributes"])
                for span in resource["scopeSpans"][0]["spans"]:
                    span["attributes"] = _plain(span["attributes"])
                    found.append({**span, "instance": said["service.instance.id"]})
        return found

    def turns(self) -> list[dict[str, Any]]:
        """The turns among them."""
        return [span for span in self.spans() if "agentscope.turn" in span["attributes"]]

    def manifests(self) -> list[dict[str, Any]]:
        """What each process says of itself."""
        return [json.loads(file.read_text()) for file in self.run.glob("manifest-*.json")]


def _plain(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in pairs}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start ``serve(code, *command)``: the code is ``service.py``, PORT stands for a free port."""
    started: list[Served] = []

    def begin(
        code: str, *command: str, ready: str = "/docs", environment: Mapping[str, str] | None = None
    ) -> Served:
        (tmp_path / "service.py").write_text(code)
        started.append(Served(tmp_path, command, environment or {}, ready))
        return started[-1]

    yield begin
    for service in started:
        service.client.close()
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
