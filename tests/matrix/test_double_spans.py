"""Beside every other instrumentation: one inference span a call, ours, whole, and theirs as it was.

They are installed into environments that are thrown away; nothing of them is needed to run the
other tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asking import ORDERS
from environments import run_script

from agentscope import conventions as names
from agentscope.lab.mock_llm import MockLlmSettings, running
from agentscope.recording.span import SERVER

ASKERS: dict[str, tuple[str, ...]] = {
    "anthropic": ("anthropic",),
    "fastapi": ("fastapi", "openai", "uvicorn"),
    "langchain": ("langchain", "langchain-anthropic", "langchain-openai"),
    "litellm": ("litellm",),
    "openai": ("openai",),
    "openai_agents": ("openai-agents",),
    "pydantic_ai": ("pydantic-ai-slim[anthropic,openai]",),
}
"""Who asks (``asking_with_….py``) → what that needs."""
CALLS = {
    "anthropic": 6,
    "fastapi": 2,
    "langchain": 7,
    "litellm": 8,
    "openai": 6,
    "openai_agents": 4,
    "pydantic_ai": 8,
}
ABANDONED = {"anthropic": 1, "openai": 1}
"""Calls whose answer is given up after its first chunk."""
TOOLS = {"langchain": 1, "openai_agents": 2, "pydantic_ai": 4}

GENAI, OPENLLMETRY, OPENINFERENCE = (
    "opentelemetry-instrumentation-genai",
    "opentelemetry-instrumentation",
    "openinference-instrumentation",
)
FOREIGN: dict[tuple[str, str], tuple[str, ...]] = {
    ("anthropic", "native"): (),
    ("anthropic", "genai-anthropic"): (f"{GENAI}-anthropic",),
    ("anthropic", "openllmetry-anthropic"): (f"{OPENLLMETRY}-anthropic",),
    ("anthropic", "openinference-anthropic"): (f"{OPENINFERENCE}-anthropic",),
    ("anthropic", "logfire-anthropic"): ("logfire",),
    ("fastapi", "native"): (),
    ("fastapi", "contrib-asgi"): (f"{OPENLLMETRY}-asgi",),
    ("fastapi", "contrib-fastapi"): (f"{OPENLLMETRY}-fastapi",),
    ("langchain", "genai-langchain"): (f"{GENAI}-langchain",),
    ("langchain", "openllmetry-langchain"): (f"{OPENLLMETRY}-langchain",),
    ("langchain", "openinference-langchain"): (f"{OPENINFERENCE}-langchain",),
    ("litellm", "openinference-litellm"): (f"{OPENINFERENCE}-litellm",),
    ("openai", "genai-openai"): (f"{GENAI}-openai",),
    ("openai", "openllmetry-openai"): (f"{OPENLLMETRY}-openai",),
    ("openai", "openinference-openai"): (f"{OPENINFERENCE}-openai",),
    ("openai", "logfire-openai"): ("logfire[httpx]",),
    ("openai", "logfire-httpx"): ("logfire[httpx]",),
    ("openai", "contrib-httpx"): (f"{OPENLLMETRY}-httpx",),
    ("openai_agents", "genai-openai-agents"): (f"{GENAI}-openai-agents",),
    ("openai_agents", "openllmetry-openai-agents"): (f"{OPENLLMETRY}-openai-agents",),
    ("openai_agents", "openinference-openai-agents"): (f"{OPENINFERENCE}-openai-agents",),
    ("pydantic_ai", "logfire-pydantic-ai"): ("logfire",),
}
"""Who asks and beside which instrumentation (of ``asking.py``) → what that one needs."""
OWN_OF_ANTHROPIC = "anthropic.messages.create"
"""The span that anthropic's client makes itself, and does not where ours stands for the call."""

BESIDE = [pytest.param(*case, id=" ".join(case)) for case in FOREIGN]
CASES = [
    pytest.param(*case, order, id=" ".join((*case, order)))
    for case in FOREIGN
    for order in ORDERS
    if order != "alone"
]


@dataclass
class Asked:
    """What came of a run of ``asking.py``."""

    theirs: Counter[str]
    """Spans that the other instrumentation made, by name."""
    spans: list[dict[str, Any]]
    """What we recorded."""

    def doing(self, operation: str) -> list[dict[str, Any]]:
        """Our spans of an operation."""
        return [span for span in self.spans if operation == said(span, names.OPERATION_NAME)]

    def attempts(self) -> list[dict[str, Any]]:
        """Our spans of HTTP requests to a model."""
        return [span for span in self.spans if said(span, names.HTTP_RESEND_COUNT) is not None]


Ask = Callable[[str], dict[tuple[str, str], Asked]]


@pytest.fixture(scope="session")
def ask(python_with: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """All that comes of an asker, by instrumentation and order; once for all tests."""

    @cache
    def ask(asker: str) -> dict[tuple[str, str], Asked]:
        python, folder = python_with(*needs_of(asker)), tmp_path_factory.mktemp(asker)
        tried = [(each, order) for one, each in FOREIGN if one == asker for order in ORDERS]
        with running(MockLlmSettings(port=0, knobs="profile=instant;out=8")) as mock:
            run_script(
                python,
                "asking.py",
                asker,
                str(folder),
                *dict.fromkeys(each for each, _ in tried),
                ANTHROPIC_API_KEY="mock",
                ANTHROPIC_BASE_URL=mock.anthropic_base_url,
                LITELLM_LOCAL_MODEL_COST_MAP="True",  # else it asks the web for it
                OPENAI_API_KEY="mock",
                OPENAI_BASE_URL=mock.base_url,
            )
            assert mock.app.counters.received == CALLS[asker] * len(tried)
        return {
            (each, order): Asked(
                Counter(json.loads((folder / each / f"{order}.json").read_text())),
                spans_of(folder / each / order),
            )
            for each, order in tried
        }

    return ask


def needs_of(asker: str) -> tuple[str, ...]:
    """One environment for all that is tried with an asker: what is not turned on does nothing."""
    foreign = {
        package for each, packages in FOREIGN.items() if each[0] == asker for package in packages
    }
    return (*ASKERS[asker], "opentelemetry-sdk", *sorted(foreign))


def spans_of(run_dir: Path) -> list[dict[str, Any]]:
    """Every span of the turns; what stopped the whole process has traces of its own."""
    spans: list[dict[str, Any]] = []
    for file in run_dir.glob("traces-*.jsonl"):
        for line in file.read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in spans:
        span["attributes"] = {
            each["key"]: next(iter(each["value"].values())) for each in span["attributes"]
        }
    return [span for span in spans if said(span, names.RUNTIME_EVENT) is None]


def said(span: dict[str, Any], key: str) -> Any:
    return span["attributes"].get(key)


@pytest.mark.parametrize(("asker", "instrumentation", "order"), CASES)
def test_one_inference_span_a_call(asker: str, instrumentation: str, order: str, ask: Ask) -> None:
    """As many as there are requests, whether theirs is off, on before us or on after."""
    asked, calls, abandoned = ask(asker)[instrumentation, order], CALLS[asker], ABANDONED.get(asker)
    outcomes = Counter(said(call, names.OUTCOME) for call in asked.doing("chat"))
    assert outcomes == Counter(
        ok=calls - (abandoned or 0), **({"abandoned": 1} if abandoned else {})
    )
    assert len(asked.attempts()) == calls
    assert len(asked.doing("execute_tool")) == TOOLS.get(asker, 0)


@pytest.mark.parametrize(("asker", "instrumentation", "order"), CASES)
def test_our_tree_is_whole_without_theirs(
    asker: str, instrumentation: str, order: str, ask: Ask
) -> None:
    """Their spans are not in our run: ours hang on each other, attempts below inferences."""
    asked = ask(asker)[instrumentation, order]
    ours = {span["spanId"] for span in asked.spans}
    turns = [span for span in asked.spans if said(span, names.TURN)]
    assert all(span.get("parentSpanId") in ours for span in asked.spans if span not in turns)
    assert len(turns) == (CALLS[asker] if asker == "fastapi" else 1)
    calls = {call["spanId"] for call in asked.doing("chat")}
    assert {attempt["parentSpanId"] for attempt in asked.attempts()} == calls


@pytest.mark.parametrize(("asker", "instrumentation"), BESIDE)
def test_theirs_is_what_it_is_without_us(asker: str, instrumentation: str, ask: Ask) -> None:
    """The same spans, as many; but anthropic's own span gives way to ours."""
    off, alone, before, after = (ask(asker)[instrumentation, order].theirs for order in ORDERS)
    assert alone.total() >= CALLS[asker] - ABANDONED.get(asker, 0)
    alone = Counter({name: count for name, count in alone.items() if name != OWN_OF_ANTHROPIC})
    assert (off, before, after) == (Counter(), alone, alone)


@pytest.mark.parametrize(
    ("asker", "instrumentation"), [case for case in FOREIGN if case[0] == "fastapi"]
)
@pytest.mark.parametrize("order", ["before", "after"])
def test_one_server_span_a_request(asker: str, instrumentation: str, order: str, ask: Ask) -> None:
    """Ours is the turn, with its route, below or above theirs."""
    asked = ask(asker)[instrumentation, order]
    servers = [span["name"] for span in asked.spans if span["kind"] == SERVER]
    assert servers == ["GET /ask/{name}"] * CALLS[asker]
