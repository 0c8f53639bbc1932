"""A real Prometheus for a test: started on a free loopback port, asked over HTTP, ended by its pid."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

START_TIMEOUT_S = 30.0
TOLD_LINES = 5

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs a real Prometheus: apt-get install prometheus",
)

Labels = tuple[tuple[str, str], ...]
"""A series: its labels in order, the name of the metric aside."""


class Refused(Exception):
    """Prometheus would not answer a query; the message is its own."""


class Prometheus:
    """A server that runs, by its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: str | float) -> Any:
        """``data`` of an answer of the HTTP API. Raises Refused with Prometheus's own words."""
        asked = f"{self.address}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urlopen(asked, timeout=30) as response:
                return json.load(response)["data"]
        except URLError as error:
            told = error.read().decode() if hasattr(error, "read") else str(error)
            raise Refused(told) from None

    def at(self, expr: str, time_s: float) -> dict[Labels, float]:
        """The value of each series of ``expr`` at one moment."""
        answer = self.get("query", query=expr, time=time_s)
        if answer["resultType"] == "scalar":
            return {(): float(answer["result"][1])}
        return {_labels(one["metric"]): float(one["value"][1]) for one in answer["result"]}

    def over(
        self, expr: str, start_s: float, end_s: float, step_s: float
    ) -> dict[Labels, list[float]]:
        """The points of each series of ``expr``, those that are no numbers left out."""
        answer = self.get("query_range", query=expr, start=start_s, end=end_s, step=step_s)
        values = {
            _labels(one["metric"]): [float(value) for _, value in one["values"]]
            for one in answer["result"]
        }
        return {labels: kept for labels, all_ in values.items() if (kept := _numbers(all_))}


def _labels(metric: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in metric.items() if name != "__name__"))


def _numbers(values: list[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


@contextmanager
def serving(
    directory: Path, config: str, *, data: Path | None = None, flags: tuple[str, ...] = ()
) -> Iterator[Prometheus]:
    """Run Prometheus with ``config`` in ``directory``, over the blocks in ``data`` if there are any.

    Raises RuntimeError with its last words where it does not come up.
    """
    (directory / "prometheus.yml").write_text(config, encoding="utf-8")
    log = directory / "prometheus.log"
    port = _free_port()
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={data or directory / 'data'}",
        "--storage.tsdb.retention.time=10y",  # what is back-filled is old
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *flags,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_ready(process, address, log)
        yield Prometheus(address)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def looking_back(directory: Path, lines: Iterable[str], config: str) -> Iterator[Prometheus]:
    """Run Prometheus over a history: ``lines`` of OpenMetrics text with timestamps."""
    with (directory / "history.om").open("w", encoding="utf-8") as file:
        file.writelines(lines)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([*command, "history.om", "data"], cwd=directory, check=True, timeout=60)
    with serving(directory, config, data=directory / "data") as prometheus:
        yield prometheus


def _wait_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urlopen(f"{address}/-/ready", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    told = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TOLD_LINES:]
    raise RuntimeError("Prometheus did not come up: " + " | ".join(told))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
