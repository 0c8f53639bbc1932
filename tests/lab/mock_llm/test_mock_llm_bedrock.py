"""Bedrock's protocol over real HTTP, with boto3: what is answered and refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError

from agentscope.lab.mock_llm.dialects.bedrock_requests import decode_converse_request
from agentscope.lab.mock_llm.dialects.eventstream import AMAZON_EVENTS, event_message
from agentscope.lab.mock_llm.errors import ApiError

Start = Callable[..., Any]

QUESTION: dict[str, Any] = {"role": "user", "content": [{"text": "Where is order 12345?"}]}
ASKED: dict[str, Any] = {"modelId": "us.claude:0", "messages": [QUESTION]}
SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
}
TOOLS: Any = {
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "lookup_order", "inputSchema": {"json": SCHEMA}}}]
    }
}


def connect(server: Any) -> contextlib.closing[Any]:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.anthropic_base_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    return contextlib.closing(client)


@pytest.fixture(scope="module")
def client(shared: Any) -> Iterator[Any]:
    """boto3's client of the shared server."""
    with connect(shared) as client:
        yield client


def test_a_plain_answer(client: Any) -> None:
    """A message, why it ends, what it used and how long it took."""
    answer = client.converse(**ASKED, system=[{"text": "You help."}])

    del answer["ResponseMetadata"]
    assert 0 <= answer.pop("metrics")["latencyMs"] < 1000
    assert answer == {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"text": "You asked: Where is order 12345?    A change of "}],
            }
        },
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": 11,
            "outputTokens": 12,
            "totalTokens": 23,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokens": 0,
        },
    }


def test_the_events_of_a_stream(client: Any) -> None:
    """Start, a delta a token, the block's end, the message's end, and what it used."""
    asked = {**ASKED, "modelId": "us.claude@out=2"}
    events = list(client.converse_stream(**asked)["stream"])

    assert events.pop()["metadata"]["usage"]["outputTokens"] == 2
    assert events == [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "You "}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "aske"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]


def test_a_round_of_tools(client: Any) -> None:
    """Whole and streamed, the same calls; what they gave is in the answer."""
    asked = {**ASKED, **TOOLS, "modelId": "us.claude@depth=1;calls=2;out=30"}
    message = client.converse(**asked)["output"]["message"]
    calls = [block["toolUse"] for block in message["content"]]
    events = list(client.converse_stream(**asked)["stream"])
    results = [
        {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "shipped"}]}}
        for call in calls
    ]
    asked["messages"] = [QUESTION, message, {"role": "user", "content": results}]
    answer = client.converse(**asked)

    assert [call["name"] for call in calls] == ["lookup_order", "lookup_order"]
    assert calls[0]["input"] == {"order_id": "12345"}
    streamed: dict[int, str] = {}
    for event in events:
        delta = event.get("contentBlockDelta")
        if delta:
            index = delta["contentBlockIndex"]
            streamed[index] = streamed.get(index, "") + delta["delta"]["toolUse"]["input"]
    assert [json.loads(text) for text in streamed.values()] == [call["input"] for call in calls]
    assert "shipped" in answer["output"]["message"]["content"][0]["text"]


def test_anthropics_body(client: Any) -> None:
    """InvokeModel answers with Anthropic's message; its tokens are in headers, the stream's in it."""
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": []}
    body["messages"] = [{"role": "user", "content": "Where is order 12345?"}]
    answer = client.invoke_model(modelId="us.claude", body=json.dumps(body))
    message = json.loads(answer["body"].read())
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    stream = client.invoke_model_with_response_stream(modelId="us.claude", body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in stream["body"]]

    assert (message["type"], message["model"], message["stop_reason"]) == (
        "message",
        "us.claude",
        "end_turn",
    )
    assert headers["x-amzn-bedrock-input-token-count"] == "7"
    assert headers["x-amzn-bedrock-output-token-count"] == "12"
    assert [chunk["type"] for chunk in chunks if chunk["type"] != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 12


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "We could not parse the JSON body of your request"),
        (b"{}", "Only Anthropic's bodies: anthropic_version must be 'bedrock-2023-05-31'"),
        (b'{"anthropic_version":"bedrock-2023-05-31"}', "Object missing required field `messages`"),
    ],
)
def test_other_bodies_are_refused(client: Any, body: bytes, message: str) -> None:
    """A ValidationException that says what is wrong."""
    with pytest.raises(client.exceptions.ValidationException) as raised:
        client.invoke_model(modelId="amazon.titan", body=body)
    assert raised.value.response["Error"]["Message"].startswith(message)


RESULT = {"toolResult": {"toolUseId": "1", "content": []}}
USE = {"toolUse": {"toolUseId": "1", "name": "lookup_order", "input": {}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "A conversation must start with a user message."),
        ({"messages": [{"role": "ai", "content": []}]}, "A conversation must start with"),
        ({"messages": [QUESTION, {"role": "ai", "content": []}]}, "messages.1.role must be"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "The toolResult blocks at"),
        ({"messages": [QUESTION, {"role": "assistant", "content": [USE]}]}, "The toolResult"),
        (
            {"messages": [QUESTION], "inferenceConfig": {"maxTokens": 0}},
            "maxTokens must be 1 or more",
        ),
        (
            {
                "messages": [QUESTION],
                "toolConfig": {**TOOLS["toolConfig"], "toolChoice": {"tool": {"name": "x"}}},
            },
            "toolChoice names the tool 'x', which toolConfig has not",
        ),
        ({}, "Object missing required field `messages`"),
    ],
)
def test_bad_requests_are_refused(body: Any, message: str) -> None:
    """Status 400, and what is wrong."""
    with pytest.raises(ApiError) as raised:
        decode_converse_request(json.dumps(body).encode(), "m", False)
    assert raised.value.status == 400
    assert raised.value.message.startswith(message)


def test_a_cache_point_is_where_the_prompt_is_cached_up_to() -> None:
    """After the system's text, after a message, nowhere."""
    point = {"cachePoint": {"type": "default"}}
    plain = {"messages": [QUESTION], "system": [{"text": "x"}]}

    def cached(body: Any) -> int | None:
        return decode_converse_request(json.dumps(body).encode(), "m", False).cache_point

    assert cached(plain) == -1
    assert cached({**plain, "system": [{"text": "x"}, point]}) == 1
    marked = {"role": "user", "content": [{"text": "y"}, point]}
    assert cached({**plain, "messages": [marked]}) == 2


def test_a_refusal_says_next_to_nothing(start: Start) -> None:
    """Too many of what, and no more: no limit, no time, in no header."""
    server = start(rpm=1, clock_ns=lambda: 0)
    with connect(server) as client:
        client.converse(**ASKED)
        with pytest.raises(client.exceptions.ThrottlingException) as raised:
            client.converse(**ASKED)
    response = raised.value.response
    assert response["Error"]["Message"] == "Too many requests, please wait before trying again."
    headers = set(response["ResponseMetadata"]["HTTPHeaders"])
    assert headers == {
        "date",
        "content-length",
        "content-type",
        "x-amzn-errortype",
        "x-amzn-requestid",
    }


def test_output_is_reserved_and_given_back(start: Start) -> None:
    """Of 1 000 tokens a minute an answer takes 7 + 12, whatever it may get; 64 000 never fit."""
    server = start(tpm=1_000, clock_ns=lambda: 0)
    limited = {"inferenceConfig": {"maxTokens": 900}}
    with connect(server) as client:
        for _ in range(3):
            client.converse(**ASKED, **limited)
        with pytest.raises(ClientError) as raised:
            client.converse(**ASKED)  # as much as its model can write
    assert raised.value.response["Error"]["Message"].startswith("Too many tokens")
    stats = server.stats()
    assert stats["tokens_charged"] == 3 * (7 + 900)
    assert stats["tokens_corrected"] == 3 * (12 - 900)
    assert stats["requests"]["refused"]["too_large"] == 1


def test_who_signed_is_the_key(start: Start) -> None:
    """A signature is another one each time; the key in it is not."""
    server = start(rpm=1, clock_ns=lambda: 0)
    with connect(server) as client:
        client.converse(**ASKED)
        with pytest.raises(client.exceptions.ThrottlingException):
            client.converse(**ASKED)
    path, body = "/model/us.claude:0/converse", {"messages": [QUESTION]}
    signed = "AWS4-HMAC-SHA256 Credential={}/20261121/us-east-1/bedrock/aws4_request, Signature=x"
    statuses = [
        server.raw("POST", path, body, authorization=text)[0]
        for text in (signed.format("AKIDEXAMPLE"), signed.format("ANOTHER"), "Bearer a", "Bearer a")
    ]
    assert statuses == [429, 200, 200, 429]


def test_botocore_says_its_attempts(start: Start) -> None:
    """By a header of its own: a script goes on where the client is, and not where the server is."""
    server = start("profile=instant;status=500,200")
    path, body = "/model/m/converse", {"messages": [QUESTION]}
    told = ("attempt=1", "attempt=1; max=3", "ttl=20261121T150837Z; attempt=2; max=3", "attempt=9")
    statuses = [server.raw("POST", path, body, amz_sdk_request=text)[0] for text in told]
    assert statuses == [500, 500, 200, 200]


def test_messages_are_framed_as_published() -> None:
    """botocore reads back what was written, one after another, however it is cut; all are counted."""
    messages = event_message("one", b'{"a":1}') + event_message("two", b"{}")
    buffer = EventStreamBuffer()
    read = []
    for at in range(len(messages)):
        buffer.add_data(messages[at : at + 1])
        read += [(message.headers, message.payload) for message in buffer]

    common = {":content-type": "application/json", ":message-type": "event"}
    assert read == [
        ({":event-type": "one", **common}, b'{"a":1}'),
        ({":event-type": "two", **common}, b"{}"),
    ]
    assert AMAZON_EVENTS.count(messages) == 2
