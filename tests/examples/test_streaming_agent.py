"""The streaming example over real HTTP: what one line records of a stream, and of one broken off."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentscope import conventions as names
from agentscope.lab.mock_llm import MockLlmSettings, RunningMockLlm, running

EXAMPLES = Path(__file__).parents[2] / "examples"
START_TIMEOUT_S = 60.0
ROUTE = "POST /api/sessions/{session_id}/messages"
PATH = "/api/sessions/alice/messages"


@contextlib.contextmanager
def serving(mock: RunningMockLlm, run_dir: Path) -> Iterator[httpx.Client]:
    """The service as its README starts it, recording; ended by SIGTERM with the block."""
    log = run_dir.with_name("service.log")
    environment = {
        **os.environ,
        "AGENTSCOPE_RUN_DIR": str(run_dir),
        "OPENAI_BASE_URL": mock.base_url,
        "OPENAI_API_KEY": "mock",
    }
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "streaming_agent.app:app"],
            env=environment, cwd=log.parent, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=_url(process, log), timeout=30) as client:
            yield client
    finally:
        process.terminate()
        code = process.wait(20)
    assert code in {0, -15}, log.read_text()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"running on (http://\S+)", log.read_text()):
            return found.group(1)
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def spans_of(run_dir: Path) -> list[dict[str, Any]]:
    """Every span that belongs to a request, in the order of their starts."""
    spans: list[dict[str, Any]] = []
    for file in run_dir.glob("traces-*.jsonl"):
        for line in file.read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in spans:
        span["attributes"] = {
            each["key"]: next(iter(each["value"].values())) for each in span["attributes"]
        }
    spans.sort(key=lambda span: int(span["startTimeUnixNano"]))
    return [span for span in spans if names.RUNTIME_EVENT not in span["attributes"]]


def events_of(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in blocks]


def duration_s(span: dict[str, Any]) -> float:
    return (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9


def test_a_stream_is_measured_from_first_token_to_last_byte(run_dir: Path) -> None:
    """Two turns: first chunk, then first byte, long before the end; tokens of both directions."""
    knobs = "ttft=60;itl=30;out=8"
    with running(MockLlmSettings(port=0, knobs=knobs)) as mock, serving(mock, run_dir) as client:
        answers = [client.post(PATH, json={"message": text}) for text in ("Hello", "And then?")]
        assert [answer.status_code for answer in answers] == [200, 200]
        asked = mock.app.counters.as_json()["requests"]["received"]

    for answer in answers:
        *tokens, (last, done) = events_of(answer.text)
        assert {name for name, _ in tokens} == {"token"}
        assert (last, done["response"]) == ("done", "".join(data["text"] for _, data in tokens))
    spans = spans_of(run_dir)
    turns = [span for span in spans if span["name"] == ROUTE]
    calls = [span for span in spans if span["name"].startswith("chat ")]
    assert len(turns) == len(calls) == asked == 2
    assert [call["parentSpanId"] for call in calls] == [turn["spanId"] for turn in turns]
    for turn, call in zip(turns, calls, strict=True):
        said = turn["attributes"]
        assert said[names.TURN] is True
        assert said[names.CONVERSATION_ID] == "alice"
        assert said[names.OUTCOME] == call["attributes"][names.OUTCOME] == "ok"
        assert call["attributes"][names.REQUEST_STREAM] is True
        assert call["attributes"][names.OUTPUT_TOKENS] == "8"
        first_chunk_s = call["attributes"][names.TIME_TO_FIRST_CHUNK]
        assert 0.06 <= first_chunk_s < said[names.TIME_TO_FIRST_BYTE] < duration_s(turn) - 0.1
    first, second = (int(call["attributes"][names.INPUT_TOKENS]) for call in calls)
    assert second > first, "the second request carried the first turn"


def test_a_caller_who_goes_away_leaves_nothing_open(run_dir: Path) -> None:
    """The turn is cancelled, the model's stream is given up, and the session is as it was."""
    with (
        running(MockLlmSettings(port=0, knobs="ttft=20;itl=50;out=200")) as mock,
        serving(mock, run_dir) as client,
    ):
        with client.stream("POST", PATH, json={"message": "Hello"}) as answer:
            assert next(answer.iter_lines()) == "event: token"
        counters = mock.app.counters
        deadline = time.monotonic() + 20
        while counters.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (counters.in_flight, counters.abandoned) == (0, 1)

    turn, call, _attempt = (
        span for span in spans_of(run_dir) if not span["name"].startswith("wait ")
    )
    assert (turn["name"], turn["attributes"][names.OUTCOME]) == (ROUTE, "cancelled")
    assert call["attributes"][names.OUTCOME] in {"cancelled", "abandoned"}
    assert names.TIME_TO_FIRST_CHUNK in call["attributes"]
    assert names.TIME_TO_FIRST_BYTE in turn["attributes"]
    assert duration_s(turn) < 5, "it ended when the caller went, not when the model had finished"
    (manifest,) = (json.loads(file.read_text()) for file in run_dir.glob("manifest-*.json"))
    assert manifest["open_turns"] == 0
    assert manifest["internal_errors"] == {}


def test_a_model_that_breaks_off_is_a_failed_turn(run_dir: Path) -> None:
    """The status was 200 by then; the events and the recording say that it failed."""
    settings = MockLlmSettings(port=0, knobs="profile=instant;out=40;fault=truncate:1")
    with running(settings) as mock, serving(mock, run_dir) as client:
        answer = client.post(PATH, json={"message": "Hello"})

    assert (answer.status_code, events_of(answer.text)[-1][0]) == (200, "error")
    (turn,) = (span for span in spans_of(run_dir) if span["name"] == ROUTE)
    (call,) = (span for span in spans_of(run_dir) if span["name"].startswith("chat "))
    assert turn["attributes"][names.OUTCOME] == call["attributes"][names.OUTCOME] == "error"


def test_a_model_that_refuses_has_a_status_of_its_own(run_dir: Path) -> None:
    """Nothing is sent before the model answers, so the caller gets 502."""
    settings = MockLlmSettings(port=0, knobs="fault=400:1")
    with running(settings) as mock, serving(mock, run_dir) as client:
        assert client.post(PATH, json={"message": "Hello"}).status_code == 502
