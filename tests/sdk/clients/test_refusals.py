"""Why a provider refused, in its own word: billing is not a rate."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.clients.refusals import error_code
from agentscope.testing import Recorded

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "canary"}]}


def answering(status: int, error: dict[str, Any]) -> httpx2.Client:
    answer = httpx2.Response(status, json={"type": "error", "error": error})
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))


OPENAI = [
    ({"code": "insufficient_quota", "type": "insufficient_quota"}, "insufficient_quota"),
    ({"code": "rate_limit_exceeded", "type": "requests"}, "rate_limit_exceeded"),
    ({"code": "429", "type": None}, None),  # Azure's repeats the status
    ({"code": None, "type": "tokens"}, "tokens"),
    ({"code": "Your card ends in 1234 and was declined"}, None),
    ({"code": "x" * 65}, None),
]


@pytest.mark.parametrize(("error", "expected"), OPENAI)
def test_openai_says_why(recorded: Recorded, error: dict[str, Any], expected: str | None) -> None:
    """The code, else the type, of the error that the client raises; sentences are not kept."""
    http = answering(429, {"message": "canary", **error})
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=http)
    with client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK)
    attributes = recorded.span("chat m").attributes
    assert attributes.get("agentscope.llm.error_code") == expected
    assert attributes["error.type"] == "openai.RateLimitError"
    assert (expected in c.BILLING_ERROR_CODES) == (expected == "insufficient_quota")


ANTHROPIC = [
    (529, {"type": "overloaded_error"}, "overloaded_error"),
    (429, {"type": "rate_limit_error"}, "rate_limit_error"),
    (402, {"type": "billing_error"}, "billing_error"),
]


@pytest.mark.parametrize(("status", "error", "expected"), ANTHROPIC)
def test_anthropic_says_why(
    recorded: Recorded, status: int, error: dict[str, Any], expected: str
) -> None:
    """The type of the error, where its details have no code."""
    http = answering(status, {"message": "canary", **error})
    client = anthropic.Anthropic(api_key="k", max_retries=0, http_client=http)
    with client, pytest.raises(anthropic.APIStatusError):
        client.messages.create(**ASK, max_tokens=9)
    assert recorded.span("chat m").attributes["agentscope.llm.error_code"] == expected


def test_a_spend_limit_is_told_from_a_rate(recorded: Recorded) -> None:
    """Anthropic's 429 of a spend limit names it in its details."""
    details = {"error_code": "contract_spend_limit_reached"}
    http = answering(429, {"message": "no", "type": "rate_limit_error", "details": details})
    client = anthropic.Anthropic(api_key="k", max_retries=0, http_client=http)
    with client, pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(**ASK, max_tokens=9)
    if not hasattr(raised.value, "error_code"):
        pytest.skip("this version of anthropic does not read the details")
    code = recorded.span("chat m").attributes["agentscope.llm.error_code"]
    assert code == "contract_spend_limit_reached"
    assert code in c.BILLING_ERROR_CODES


def test_a_retry_that_succeeds_takes_the_word_back(recorded: Recorded) -> None:
    """In a retry loop of the user's, inside one inference, the last call's end is what counts."""
    answers = iter(
        [
            httpx2.Response(429, json={"error": {"code": "rate_limit_exceeded"}}),
            httpx2.Response(
                200,
                json={"id": "1", "object": "chat.completion", "model": "m", "choices": []},
            ),
        ]
    )
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: next(answers)))
    mine = agentscope.llm_call(model="m")
    with openai.OpenAI(api_key="k", max_retries=0, http_client=http) as client, mine:
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    attributes = recorded.span("chat m").attributes
    assert attributes["agentscope.outcome"] == "ok"
    assert "agentscope.llm.error_code" not in attributes


def test_only_exceptions_of_clients_are_asked() -> None:
    """A cancellation or an interrupt is no refusal, whatever it carries."""
    assert error_code(SystemExit("insufficient_quota")) is None
    assert error_code(ValueError("insufficient_quota")) is None
