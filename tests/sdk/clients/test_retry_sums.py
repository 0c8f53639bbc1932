"""429, 429, 200 with ``Retry-After: 1``: the parts of a call add up to the call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.lab.mock_llm import MockLlmSettings, RunningMockLlm, running
from agentscope.testing import Recorded, RecordedSpan

MODEL = "mock@status=429,429,200"
MESSAGES: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def mock() -> Iterator[RunningMockLlm]:
    """A model that thinks for 50 ms and writes eight tokens in 140."""
    knobs = "ttft=50;itl=20;out=8;depth=0;retry-after=1"
    with running(MockLlmSettings(port=0, knobs=knobs)) as mock:
        yield mock


def ask_openai(mock: RunningMockLlm) -> None:
    with openai.OpenAI(base_url=mock.base_url, api_key="mock") as client:
        client.models.list()  # connect, and import what a first call imports
        with agentscope.turn("turn"):
            list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))


def ask_anthropic(mock: RunningMockLlm) -> None:
    with anthropic.Anthropic(base_url=mock.anthropic_base_url, api_key="mock") as client:
        client.models.list()
        with agentscope.turn("turn"):
            list(client.messages.create(model=MODEL, max_tokens=99, messages=MESSAGES, stream=True))


def nanoseconds(span: RecordedSpan) -> tuple[int, int]:
    return int(span.raw["startTimeUnixNano"]), int(span.raw["endTimeUnixNano"])


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_the_parts_of_a_call_are_its_duration(
    mock: RunningMockLlm, recorded: Recorded, ask: Any
) -> None:
    """Attempts, sleeps, first token and generation: nothing is missing, nothing counted twice.

    What is left is the client's own work before its first request, a millisecond or so, and the
    nanoseconds by which a float of seconds is off.
    """
    ask(mock)
    call = recorded.span(f"chat {MODEL}")
    below = [span for span in recorded.spans if span.parent_id == call.span_id]
    below.sort(key=lambda span: span.start_s)
    assert [
        (
            span.name,
            span.attributes.get(c.HTTP_STATUS_CODE),
            span.attributes.get(c.HTTP_RESEND_COUNT),
        )
        for span in below
    ] == [
        ("POST", 429, 0),
        ("wait rate_limit", None, None),
        ("POST", 429, 1),
        ("wait rate_limit", None, None),
        ("POST", 200, 2),
    ]
    start_ns, end_ns = nanoseconds(call)
    refused, sleeps = below[0:4:2], below[1:4:2]
    assert all(1.0 <= sleep.duration_s < 1.5 for sleep in sleeps)
    assert all(attempt.duration_s < 0.5 for attempt in refused)
    first_token_ns = start_ns + round(call.attributes[c.TIME_TO_FIRST_CHUNK] * 1e9)
    answered_ns, _ = nanoseconds(below[-1])
    assert 0.05 <= (first_token_ns - answered_ns) / 1e9 < 0.55
    assert 0.07 <= (end_ns - first_token_ns) / 1e9 < 0.57
    first_ns, _ = nanoseconds(below[0])
    parts_ns = [ended - begun for begun, ended in map(nanoseconds, [*refused, *sleeps])]
    parts_ns += [first_token_ns - answered_ns, end_ns - first_token_ns]
    assert abs(end_ns - first_ns - sum(parts_ns)) <= 1
    assert 0 <= first_ns - start_ns < 50e6
