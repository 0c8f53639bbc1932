"""A receiver that others wrote: Arize Phoenix takes every span of a run of a real service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentscope.lab.mock_llm import MockLlmSettings, running

EXAMPLES = Path(__file__).parents[2] / "examples"
START_TIMEOUT_S = 90
TURNS = 25
KNOBS = "profile=instant;out=8;depth=1;calls=2;tools=find_train:1,convert_money:1,get_weather:0"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def served(command: list[str], url: str, log: Path, **variables: str) -> Iterator[None]:
    """A server, from when ``url`` answers until the end of the block."""
    environment = {**os.environ, **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(20)


def known(phoenix: str) -> dict[str, int]:
    query = "{ projects { edges { node { name traceCount recordCount } } } }"
    answer = httpx.post(f"{phoenix}/graphql", json={"query": query}, timeout=30).json()
    (node,) = [edge["node"] for edge in answer["data"]["projects"]["edges"]]
    return {"traces": node["traceCount"], "spans": node["recordCount"]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_span_that_is_sent_arrives(
    protocol: str, python_with: Callable[..., Path], tmp_path: Path
) -> None:
    """A LangGraph agent's turns: our ledger, the run directory and Phoenix say the same number."""
    python = python_with("arize-phoenix")
    port, grpc_port, app_port = free_port(), free_port(), free_port()
    phoenix = f"http://127.0.0.1:{port}"
    target = f"http://127.0.0.1:{grpc_port}" if protocol == "grpc" else phoenix
    app = f"http://127.0.0.1:{app_port}"
    command = [sys.executable, "-m", "uvicorn", "langgraph_agent.app:app", "--port", str(app_port)]
    with (
        served(
            [str(python.with_name("phoenix")), "serve"],
            f"{phoenix}/healthz",
            tmp_path / "phoenix.log",
            PHOENIX_WORKING_DIR=str(tmp_path),
            PHOENIX_HOST="127.0.0.1",
            PHOENIX_PORT=str(port),
            PHOENIX_GRPC_PORT=str(grpc_port),
            PHOENIX_TELEMETRY_ENABLED="false",
        ),
        running(MockLlmSettings(port=0, knobs=KNOBS)) as mock,
    ):
        with served(
            command,
            f"{app}/metrics",
            tmp_path / "app.log",
            PYTHONPATH=str(EXAMPLES),
            OPENAI_BASE_URL=mock.base_url,
            OPENAI_API_KEY="none",
            AGENTSCOPE_RUN_DIR=str(tmp_path / "run"),
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_ENDPOINT=target,
            OTEL_METRICS_EXPORTER="none",  # Phoenix takes traces only
        ):
            for number in range(TURNS):
                path = f"{app}/api/threads/t{number}/messages"
                question = {"message": "How do I get from Vienna to Prague?"}
                assert httpx.post(path, json=question, timeout=30).status_code == 200
        (manifest,) = (tmp_path / "run").glob("manifest-*.json")
        accounts: dict[str, dict[str, Any]] = {
            one["sink"]: one
            for one in json.loads(manifest.read_text())["ledger"]
            if one["signal"] == "spans"
        }
        sent = accounts["otlp"]
        assert (sent["delivered"], sent["dropped"], sent["pending"]) == (sent["created"], {}, 0)
        assert sent["created"] == accounts["run_directory"]["delivered"] > 5 * TURNS
        deadline_s = time.monotonic() + 20
        while known(phoenix)["spans"] < sent["delivered"] and time.monotonic() < deadline_s:
            time.sleep(0.5)  # it writes behind its answer
        found = known(phoenix)
        assert found["spans"] == sent["delivered"]
        assert found["traces"] >= TURNS
