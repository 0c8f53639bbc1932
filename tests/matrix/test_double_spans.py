"""Beside every other instrumentation of openai: one inference span a call, ours, and it is whole.

Each instrumentation is installed into an environment of its own, which is thrown away; nothing of
it is needed to run the other tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agentscope import conventions as names
from agentscope.lab.mock_llm import MockLlmSettings, running

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
UNREACHABLE = ("failed to fetch", "error sending request", "client error", "network", "dns error")
INSTALL_TIMEOUT_S = 90

pytestmark = [
    pytest.mark.skipif(not UV.exists(), reason="uv is not installed beside this Python"),
    pytest.mark.skipif(
        os.environ.get("AGENTSCOPE_MATRIX") != "1",
        reason="installs other instrumentations from the package index: make matrix",
    ),
]

LIBRARIES = {
    "opentelemetry-instrumentation-genai-openai": "OpenTelemetry GenAI",
    "opentelemetry-instrumentation-openai": "OpenLLMetry",
    "openinference-instrumentation-openai": "OpenInference",
    "logfire": "Logfire",
}
CALLS = 6
"""What ``asking.py`` asks; the last answer is given up after its first chunk."""

CASES = [(library, order) for library in LIBRARIES for order in ("off", "before", "after")]


@dataclass
class Asked:
    """What came of a run of ``asking.py``."""

    theirs: int
    """Spans that the other instrumentation made."""
    received: int
    """Requests that reached the model."""
    spans: list[dict[str, Any]]
    """What we recorded."""


Ask = Callable[[str, str], Asked]


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Run ``asking.py`` beside a library, in an environment made for it; once for all tests."""

    @cache
    def environment(library: str) -> Path | str:
        python = tmp_path_factory.mktemp("environment") / "bin" / "python"
        needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        uv("venv", "--quiet", "--python", sys.executable, str(python.parents[1]))
        installing = uv(
            "pip", "install", "--quiet", "--python", str(python),
            *needs, "openai", "opentelemetry-sdk", library,
        )  # fmt: skip
        complaint = installing.stderr.strip()
        if installing.returncode and any(word in complaint.lower() for word in UNREACHABLE):
            return f"the package registry cannot be reached to install {library}"
        if installing.returncode:
            return f"{library} cannot be installed beside openai: {complaint[-500:]}"
        return python

    @cache
    def run(library: str, order: str) -> Asked | str:
        python = environment(library)
        return python if isinstance(python, str) else _ask(python, library, order)

    def ask_or_skip(library: str, order: str) -> Asked:
        asked = run(library, order)
        if isinstance(asked, str):
            pytest.skip(asked)
        return asked

    def _ask(python: Path, library: str, order: str) -> Asked:
        run_dir = tmp_path_factory.mktemp("run")
        with running(MockLlmSettings(port=0, knobs="profile=instant;out=8")) as mock:
            asking = subprocess.run(
                [python, str(Path(__file__).with_name("asking.py")), library, order],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT / "src"),
                    "AGENTSCOPE_RUN_DIR": str(run_dir),
                    "OPENAI_BASE_URL": mock.base_url,
                    "OPENAI_API_KEY": "mock",
                },
                cwd=run_dir, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert asking.returncode == 0, asking.stderr
            received = mock.app.counters.received
        theirs = json.loads(asking.stdout.splitlines()[-1])["theirs"]
        return Asked(theirs, received, spans_of(run_dir))

    return ask_or_skip


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv in the project's folder, whose settings say how new a release may be."""
    return subprocess.run(
        [UV, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False,
    )  # fmt: skip


def spans_of(run_dir: Path) -> list[dict[str, Any]]:
    """Every span of the turn; what stopped the whole process has traces of its own."""
    (file,) = run_dir.glob("traces-*.jsonl")
    spans: list[dict[str, Any]] = []
    for line in file.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in spans:
        span["attributes"] = {
            each["key"]: next(iter(each["value"].values())) for each in span["attributes"]
        }
    return [span for span in spans if names.RUNTIME_EVENT not in span["attributes"]]


def calls_of(asked: Asked) -> list[dict[str, Any]]:
    return [each for each in asked.spans if each["attributes"].get(names.OPERATION_NAME) == "chat"]


@pytest.mark.parametrize(("library", "order"), CASES)
def test_one_inference_span_a_call(library: str, order: str, ask: Ask) -> None:
    """Six calls are six inferences in our run, whether theirs is off, on before us or on after."""
    asked = ask(library, order)
    assert asked.received == CALLS
    assert asked.theirs == 0 if order == "off" else asked.theirs >= CALLS
    outcomes = Counter(call["attributes"][names.OUTCOME] for call in calls_of(asked))
    assert outcomes == {"ok": CALLS - 1, "abandoned": 1}
    assert len({span["traceId"] for span in asked.spans}) == 1
    attempts = [span for span in asked.spans if names.HTTP_RESEND_COUNT in span["attributes"]]
    assert len(attempts) == CALLS


@pytest.mark.parametrize(("library", "order"), CASES)
def test_our_tree_is_whole_without_theirs(library: str, order: str, ask: Ask) -> None:
    """Their spans are not in our run: ours hang on each other, attempts below inferences."""
    asked = ask(library, order)
    ours = {span["spanId"]: span for span in asked.spans}
    assert [span["name"] for span in asked.spans if "parentSpanId" not in span] == ["turn"]
    above = [ours.get(call["parentSpanId"], {}).get("name") for call in calls_of(asked)]
    assert above == ["turn"] * CALLS
    attempts = [span for span in asked.spans if names.HTTP_RESEND_COUNT in span["attributes"]]
    above = [ours.get(attempt["parentSpanId"], {}).get("name") for attempt in attempts]
    assert above == ["chat mock-gpt"] * CALLS
