"""What sits on top of the clients: one inference a request to a model, one span a tool.

Each framework is installed into an environment of its own, beside the clients it asks for itself,
and tells its stories there (``framework_….py``) against a mock LLM.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from environments import run_script

from agentscope.lab.mock_llm import MockLlmSettings, running

PACKAGES = {
    "langchain": ("langchain", "langchain-anthropic", "langchain-openai", "langgraph"),
    "litellm": ("litellm", "tenacity"),  # which it needs to retry
    "openai_agents": ("openai-agents",),
    "pydantic_ai": ("pydantic-ai-slim[anthropic,openai]",),
}

ANSWERED = ["chat mock ok", " POST #0 200"]
LIMITED = ["chat mock ok", " POST #0 429 429", " wait rate_limit", " POST #1 200"]
FAILED = ["chat mock error openai.InternalServerError", " POST #0 500 500"]
ABANDONED = ["chat mock abandoned", " POST #0 200"]


def with_tool(*tools: str) -> list[str]:
    """An agent asks, executes what the model wants, and asks again."""
    return [*ANSWERED, *tools, *ANSWERED]


def in_nodes(*tools: str) -> list[str]:
    """The same in a graph: its node that asks is a phase."""
    asking = ["model", *(f" {line}" for line in ANSWERED)]
    return [*asking, *tools, *asking]


def of_each(names: tuple[str, ...], stories: dict[str, list[str]]) -> dict[str, list[str]]:
    return {f"{name}, {story}": lines for name in names for story, lines in stories.items()}


LOOKED_UP = ("execute_tool look_up", " inside")
IN_A_THREAD = ("execute_tool look_up_in_a_thread", " inside")
STORIES: dict[str, dict[str, list[str]]] = {
    "langchain": {
        **of_each(
            ("chat", "responses", "messages"),
            {
                **dict.fromkeys(("invoke", "ainvoke", "stream", "astream"), ANSWERED),
                "batch": [*ANSWERED, *ANSWERED],
                "retried_inside": LIMITED,
                **dict.fromkeys(("agent", "agent streamed"), in_nodes(*LOOKED_UP)),
            },
        ),
        "two tools at once": in_nodes(*LOOKED_UP, *IN_A_THREAD),
        "with_retry, with_fallbacks": [*FAILED, *FAILED, *ANSWERED],
    },
    "litellm": {
        **of_each(
            ("through_openai", "through_its_own"),
            {
                "abandoned": ABANDONED,
                "in_a_call_of_the_users": ["chat mine ok", " POST #0 200"],
                **{
                    story + retried: lines
                    for story in ("whole", "whole_async", "streamed", "streamed_async")
                    for retried, lines in (("", ANSWERED), (", retried", LIMITED))
                },
            },
        ),
        "embedding": ["embeddings mock ok", " POST #0 200"],
        "fallback": ["chat mock ok", " POST #0 500 500", " wait retry_backoff", " POST #1 200"],
        "router": [
            "chat first ok",
            " POST #0 500 500",
            " wait retry_backoff",
            " POST #0 500 500",  # a client that counts its own attempts, asked a second time
            " wait retry_backoff",
            " POST #2 429 429",
            " wait rate_limit",
            " POST #3 200",
        ],
        "router_streamed": ["chat second ok", *LIMITED[1:]],
    },
    "openai_agents": {
        **dict.fromkeys(
            ("chat", "chat, streamed", "responses", "responses, streamed"), with_tool(*LOOKED_UP)
        ),
        "chat, run_sync": with_tool(*IN_A_THREAD),
        "chat, 429 first": LIMITED,
        "responses, 429 first": LIMITED,
        "two tools at once": with_tool(*LOOKED_UP, *IN_A_THREAD),
        "a decorated tool": with_tool("execute_tool look_up_decorated"),
        "a tool that fails": with_tool("execute_tool fail LookupError"),
    },
    "pydantic_ai": {
        **{
            model + streamed: with_tool(*LOOKED_UP)
            for model in ("chat", "messages", "responses")
            for streamed in ("", ", streamed")
        },
        "chat, run_sync": with_tool(*IN_A_THREAD),
        "chat, 429 first": LIMITED,
        "messages, 429 first": LIMITED,
        "two tools at once": with_tool(*LOOKED_UP, *IN_A_THREAD),
        "a decorated tool": with_tool("execute_tool look_up_decorated"),
        "a tool that asks again": with_tool(
            "execute_tool fail error pydantic_ai.exceptions.ModelRetry"
        ),
    },
}
"""Framework → story → one line a span: name, attempt, status, outcome, error; children indented."""

CASES = [
    pytest.param(framework, story, id=f"{framework}: {story}")
    for framework, stories in STORIES.items()
    for story in stories
]
Tell = Callable[[str], dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def told(python_with: Callable[..., Path]) -> Tell:
    """Every story of a framework, once for all tests."""

    @cache
    def told(framework: str) -> dict[str, dict[str, Any]]:
        python = python_with(*PACKAGES[framework])
        with running(MockLlmSettings(port=0, knobs="profile=instant;out=8")) as mock:
            printed = run_script(
                python,
                f"framework_{framework}.py",
                mock.anthropic_base_url,
                # Else it asks the web for its table of prices when it is imported.
                LITELLM_LOCAL_MODEL_COST_MAP="True",
            )
        stories: dict[str, dict[str, Any]] = json.loads(printed)
        return stories

    return told


@pytest.mark.parametrize(("framework", "story"), CASES)
def test_what_is_recorded_of_a_framework(framework: str, story: str, told: Tell) -> None:
    """Requests and tools, each once, with attempts and outcomes; all ended, no fault of ours."""
    recorded = told(framework)[story]
    assert recorded["story"] == STORIES[framework][story]
    assert (recorded["open"], recorded["faults"]) == (0, {})


@pytest.mark.parametrize("framework", STORIES)
def test_every_story_is_told(framework: str, told: Tell) -> None:
    """The script and the table have the same stories."""
    assert set(told(framework)) == set(STORIES[framework])


@pytest.mark.parametrize("framework", STORIES)
def test_tokens_are_what_the_framework_counts(framework: str, told: Tell) -> None:
    """Input and output of all requests of a story, by the framework's own account."""
    stories = {name: each for name, each in told(framework).items() if each["used"]}
    recorded = {name: each["recorded"] for name, each in stories.items()}
    assert recorded == {name: each["used"] for name, each in stories.items()}
    assert all(input_tokens > 0 for input_tokens, _ in recorded.values())


def test_litellm_tells_who_answered(told: Tell) -> None:
    """The provider of the model that was asked last: after a fallback, the other one."""
    providers = {name: each["providers"] for name, each in told("litellm").items()}
    assert providers == {
        name: ["openai"] if name.startswith(("through_openai", "embedding")) else ["anthropic"]
        for name in providers
    }


def test_litellms_streams_tell_their_gaps(told: Tell) -> None:
    """Every stream that is read on, and no answer that is none."""
    gaps = {
        name: each["gaps"]
        for name, each in told("litellm").items()
        if "abandoned" not in name  # LiteLLM may read on a little before it gives the first
    }
    assert gaps == {name: int("streamed" in name) for name in gaps}
