"""What stands in the place of a count of tokens and is none is missing, and nothing else is."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest

import agentscope
from agentscope import conventions as c
from agentscope.clients import inference
from agentscope.clients.bedrock_answers import read_answer
from agentscope.clients.counts import MAX_TOKENS, token_count
from agentscope.testing import Recorded

NO_COUNTS = [-1, 10**400, 2**63, True, "12", 1.5, None, [], {}]
COUNTED = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.CACHE_READ_TOKENS, c.REASONING_TOKENS)


def counted(recorded: Recorded) -> dict[str, Any]:
    """The counts on the one inference, which is there whatever its answer said."""
    (call,) = (span for span in recorded.spans if c.OPERATION_NAME in span.attributes)
    account = recorded.account()
    assert account.created == account.delivered
    return {key: value for key, value in call.attributes.items() if key in COUNTED}


def test_what_a_count_is() -> None:
    """A whole number, from 0 to more than any call can have."""
    assert [token_count(value) for value in (0, 7, MAX_TOKENS)] == [0, 7, MAX_TOKENS]
    assert [token_count(value) for value in (*NO_COUNTS, MAX_TOKENS + 1)] == [None] * 10


@pytest.mark.parametrize("bad", [-1, 10**400, 2**63, 1.5, None], ids=lambda bad: repr(bad)[:9])
def test_an_answer_of_claude(recorded: Recorded, bad: Any) -> None:
    """The other counts are kept; the client itself makes numbers of some texts."""
    usage = {"input_tokens": bad, "cache_read_input_tokens": bad, "output_tokens": 7}
    answer = {
        "id": "msg-1", "type": "message", "role": "assistant", "model": "claude-test",
        "content": [], "stop_reason": "end_turn", "usage": usage,
    }  # fmt: skip
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
    http_client = httpx2.Client(transport=transport)
    with anthropic.Anthropic(api_key="k", http_client=http_client) as client:
        asked: list[Any] = [{"role": "user", "content": "canary"}]
        with agentscope.turn("turn"):
            client.messages.create(model="claude-test", max_tokens=9, messages=asked)
    assert counted(recorded) == {c.OUTPUT_TOKENS: 7}


@pytest.mark.parametrize("bad", [-1, 2**63, True], ids=str)
def test_an_answer_of_bedrock(recorded: Recorded, bad: Any) -> None:
    """A total below its part says nothing of the rest."""
    with agentscope.turn("turn"):
        call = inference.begin(
            recorded.recorder,
            "chat",
            {c.OPERATION_NAME: "chat", c.PROVIDER_NAME: "aws.bedrock"},
        )
        usage = {"inputTokens": bad, "outputTokens": 7, "totalTokens": 3}
        read_answer({"usage": usage, "stopReason": "end_turn"}, call)
        call.done()
    assert counted(recorded) == {c.OUTPUT_TOKENS: 7}
