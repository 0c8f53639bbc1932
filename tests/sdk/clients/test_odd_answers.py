"""Answers that a gateway or a broken provider gives: recorded for what they are, and nothing lost."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

import agentscope
from agentscope.testing import Recorded

RESPONSE = {
    "id": "resp-1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-test",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
COMPLETION = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-test"}


def client_of(answer: dict[str, Any]) -> openai.OpenAI:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer))
    http = httpx2.Client(transport=transport)
    return openai.OpenAI(api_key="k", base_url="http://model.test", http_client=http)


def inference_of(recorded: Recorded) -> dict[str, Any]:
    (span,) = (span for span in recorded.spans if span.name.startswith("chat"))
    return span.attributes


def test_a_failed_response_with_status_200_is_an_error(recorded: Recorded) -> None:
    """The provider's word for it is kept; the caller gets the object as ever."""
    error = {"code": "rate_limit_exceeded", "message": "canary"}
    with client_of({**RESPONSE, "status": "failed", "error": error}) as client:
        assert client.responses.create(model="gpt-test", input="hello").status == "failed"

    said = inference_of(recorded)
    assert said["agentscope.outcome"] == "error"
    assert said["error.type"] == said["agentscope.llm.error_code"] == "rate_limit_exceeded"


def test_an_answer_without_choices_still_tells_its_tokens(recorded: Recorded) -> None:
    """Some gateways report their provider's error so."""
    usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    with client_of({**COMPLETION, "choices": None, "usage": usage}) as client:
        client.chat.completions.create(model="gpt-test", messages=[])

    said = inference_of(recorded)
    assert (said["gen_ai.usage.input_tokens"], said["agentscope.outcome"]) == (9, "ok")
    assert "gen_ai.response.finish_reasons" not in said


@pytest.mark.parametrize("tokens", [10**400, 2**70, -1, "many"])
def test_a_count_that_is_none_is_not_recorded(recorded: Recorded, tokens: Any) -> None:
    """Neither the span nor a sum of money is lost to it."""
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9}
    answer = {**COMPLETION, "choices": [], "usage": usage}
    with client_of(answer) as client:
        client.chat.completions.create(model="gpt-test", messages=[])

    said = inference_of(recorded)
    assert said["gen_ai.usage.input_tokens"] == 9
    assert "gen_ai.usage.output_tokens" not in said


def test_ten_thousand_choices_make_a_small_span(recorded: Recorded) -> None:
    """Reasons are kept for the first of them, and cut where a provider writes a novel."""
    message = {"role": "assistant", "content": "x"}
    choices = [
        {"index": i, "message": message, "finish_reason": "n" * 9_999} for i in range(10_000)
    ]
    with client_of({**COMPLETION, "choices": choices}) as client, agentscope.turn("turn"):
        client.chat.completions.create(model="gpt-test", messages=[])

    reasons = inference_of(recorded)["gen_ai.response.finish_reasons"]
    assert len(reasons) == 32
    assert sum(map(len, reasons)) <= 16 * 1024


def test_what_a_transport_notes_in_the_extensions_is_the_users(recorded: Recorded) -> None:
    """A count of retries, say: it is there afterwards, and our trace is not."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        request.extensions["mine"] = 1
        seen.append(request)
        return httpx2.Response(200)

    with (
        httpx2.Client(transport=httpx2.MockTransport(answer)) as client,
        agentscope.turn("turn"),
    ):
        response = client.get("http://service.test/")

    (request,) = seen
    assert request is response.request
    assert request.extensions["mine"] == 1
    assert "trace" not in request.extensions
