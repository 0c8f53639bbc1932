"""Gemini's protocol over real HTTP: what is answered, refused and embedded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from agentscope.lab.mock_llm.dialects.gemini_requests import decode_gemini_request

Start = Callable[..., Any]

MODEL = "/v1beta/models/gemini"
QUESTION = {"role": "user", "parts": [{"text": "Where is order 12345?"}]}
ASKED: dict[str, Any] = {"contents": [QUESTION]}
LOOKUP: dict[str, Any] = {
    "name": "lookup_order",
    "parameters": {
        "type": "OBJECT",
        "properties": {"order_id": {"type": "STRING"}},
        "required": ["order_id"],
    },
}
TOOLS: dict[str, Any] = {"tools": [{"functionDeclarations": [LOOKUP]}]}


def ask(server: Any, body: Any, model: str = MODEL) -> tuple[int, Any]:
    status, answer = server.raw("POST", f"{model}:generateContent", body)
    return int(status), answer


def test_a_plain_answer(shared: Any) -> None:
    """One candidate of the length that was asked for, and the usage that goes with it."""
    system = {"systemInstruction": {"parts": [{"text": "You help."}]}}
    status, answer = ask(shared, {**ASKED, **system}, f"{MODEL}@reasoning=7")

    assert status == 200
    assert len(answer.pop("responseId")) == 32
    assert answer == {
        "modelVersion": "gemini",
        "candidates": [
            {
                "content": {
                    "parts": [{"text": "You asked: Where is order 12345?    Let me know "}],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 7 + 4,
            "candidatesTokenCount": 12,
            "thoughtsTokenCount": 7,
            "totalTokenCount": 11 + 12 + 7,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 11}],
        },
    }


def test_the_chunks_of_a_stream(shared: Any) -> None:
    """A response a token, each with the usage so far; the last one says why it ends."""
    path = "/v1beta/models/gemini@out=2:streamGenerateContent?alt=sse"
    status, text = shared.text("POST", path, ASKED)

    events = text.split("\r\n\r\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event]
    assert (status, events[-1]) == (200, "")
    assert len({chunk["responseId"] for chunk in chunks}) == 1
    told = [
        (
            chunk["candidates"][0]["content"]["parts"][0]["text"],
            chunk["candidates"][0].get("finishReason"),
            chunk["usageMetadata"]["candidatesTokenCount"],
        )
        for chunk in chunks
    ]
    assert told == [("You ", None, 1), ("aske", None, 2), ("", "STOP", 2)]


def test_calls_in_a_stream_come_whole(shared: Any) -> None:
    """A chunk for each call, the last one with the reason of the end."""
    path = "/v1beta/models/gemini@depth=1;calls=2:streamGenerateContent"
    _, text = shared.text("POST", path, {**ASKED, **TOOLS})

    chunks = [json.loads(event.removeprefix("data: ")) for event in text.split("\r\n\r\n")[:-1]]
    candidates = [chunk["candidates"][0] for chunk in chunks]
    calls = [one["content"]["parts"][0]["functionCall"]["name"] for one in candidates]
    assert calls == ["lookup_order", "lookup_order"]
    assert [one.get("finishReason") for one in candidates] == [None, "STOP"]


def test_a_round_of_tools(shared: Any) -> None:
    """A call with arguments that its schema accepts; what it gave is in the answer."""
    model = f"{MODEL}@depth=1;calls=1;out=30"
    _, first = ask(shared, {**ASKED, **TOOLS}, model)
    content = first["candidates"][0]["content"]
    call = content["parts"][0]["functionCall"]
    result = {"functionResponse": {"name": call["name"], "response": {"state": "shipped"}}}
    said = [QUESTION, content, {"role": "user", "parts": [result]}]
    _, second = ask(shared, {"contents": said, **TOOLS}, model)

    assert (call["name"], call["args"]) == ("lookup_order", {"order_id": "12345"})
    text = second["candidates"][0]["content"]["parts"][0]["text"]
    assert text.startswith('I looked it up: {"state":') or "shipped" in text


@pytest.mark.parametrize(
    ("config", "called"),
    [
        ({"mode": "NONE"}, False),
        ({"mode": "ANY"}, True),
        ({"mode": "ANY", "allowedFunctionNames": ["lookup_order"]}, True),
        ({"mode": "AUTO"}, False),
    ],
)
def test_tools_that_are_forced_or_forbidden(shared: Any, config: Any, called: bool) -> None:
    """ANY calls one although the turn draws none; NONE and AUTO do not."""
    body = {**ASKED, **TOOLS, "toolConfig": {"functionCallingConfig": config}}
    _, answer = ask(shared, body, f"{MODEL}@depth=0")

    parts = answer["candidates"][0]["content"]["parts"]
    assert any("functionCall" in part for part in parts) is called


def test_an_answer_in_json(shared: Any) -> None:
    """A schema is obeyed, Google's upper-case types and all; a limit cuts the answer off."""
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}, "required": ["n"]}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    _, answer = ask(shared, {**ASKED, "generationConfig": config})
    _, cut = ask(shared, {**ASKED, "generationConfig": {"maxOutputTokens": 3}})

    assert json.loads(answer["candidates"][0]["content"]["parts"][0]["text"]) == {"n": 12345}
    assert cut["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert cut["usageMetadata"]["candidatesTokenCount"] == 3


def test_vertex_ais_addresses(shared: Any) -> None:
    """The same below a project; a model's name may have a slash in its knobs."""
    for below in ("projects/p/locations/l/publishers/google/", "publishers/google/"):
        path = f"/v1beta1/{below}models/gemini@ttft=1/0.1"
        status, answer = ask(shared, ASKED, path)
        assert (status, answer["modelVersion"]) == (200, "gemini")


RESULT = {"functionResponse": {"name": "lookup_order", "response": {}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "We could not parse the JSON body of your request: "),
        ({}, "Invalid JSON payload received. Object missing required field `contents`"),
        ({"contents": []}, "* GenerateContentRequest.contents: contents is not specified"),
        ({"contents": [{"role": "ai", "parts": []}]}, "Please use a valid role: user, model."),
        (
            {"contents": [QUESTION, {"role": "user", "parts": [RESULT]}]},
            "Please ensure that the number of function response parts",
        ),
        (
            {**ASKED, "generationConfig": {"candidateCount": 2}},
            "This mock answers with one candidate",
        ),
        ({**ASKED, "generationConfig": {"maxOutputTokens": 0}}, "max_output_tokens must be"),
        (
            {**ASKED, **TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
            "Invalid value at 'tool_config.mode': \"MAYBE\"",
        ),
        (
            {
                **ASKED,
                **TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}},
            },
            "allowed_function_names: x not declared in tools",
        ),
    ],
)
def test_bad_requests_are_refused_as_google_does(shared: Any, body: Any, message: str) -> None:
    """Status 400, INVALID_ARGUMENT, and what is wrong."""
    status, answer = ask(shared, body)

    error = answer["error"]
    assert (status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["message"].startswith(message)


def test_a_turn_may_come_in_chunks() -> None:
    """A client that streams sends back what it got, content by content: it is one turn."""
    call = {"functionCall": {"name": "lookup_order", "args": {"order_id": "1"}}}
    contents = [
        QUESTION,
        {"role": "model", "parts": [call]},
        {"role": "model", "parts": [{"text": ""}]},
        {"role": "user", "parts": [RESULT]},
    ]
    request = decode_gemini_request(json.dumps({"contents": contents}).encode(), "m", False)

    assert [message.role for message in request.messages] == ["user", "assistant", "tool"]
    assert [call.name for call in request.messages[1].calls] == ["lookup_order"]


def test_a_refusal_says_everything_in_its_body(start: Start) -> None:
    """Input has a quota of its own, of a minute; no header tells of it."""
    server = start(itpm=20, clock_ns=lambda: 0)
    for _ in range(2):
        assert ask(server, ASKED)[0] == 200
    status, answer = ask(server, ASKED)

    assert status == 429
    error = answer["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/"
                    "generate_content_paid_tier_input_token_count",
                    "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute",
                    "quotaDimensions": {"location": "global", "model": "gemini"},
                    "quotaValue": "20",
                }
            ],
        },
        # 14 of 20 are used and 7 are wanted: one is missing, which comes back in 3 s.
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"},
    ]
    other = server.raw("POST", f"{MODEL}:generateContent", ASKED, x_goog_api_key="another")
    assert other[0] == 200, "each key has a quota of its own"


def test_faults_speak_googles_words(shared: Any) -> None:
    """A planted 429 says when to come back if it was told, 503 that there are too many."""
    _, limited = ask(shared, ASKED, f"{MODEL}@status=429;retry-after=2")
    status, overloaded = ask(shared, ASKED, f"{MODEL}@status=503")

    assert limited["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert limited["error"]["details"][0]["retryDelay"] == "2s"
    assert (status, overloaded["error"]["status"]) == (503, "UNAVAILABLE")


TEXT = {"content": {"parts": [{"text": "four words of text"}]}}


@pytest.mark.parametrize(
    ("method", "body", "vector_of"),
    [
        ("embedContent", TEXT, lambda answer: answer["embedding"]),
        ("batchEmbedContents", {"requests": [TEXT]}, lambda answer: answer["embeddings"][0]),
        (
            "predict",
            {"instances": [{"content": "four words of text"}]},
            lambda answer: answer["predictions"][0]["embeddings"],
        ),
    ],
)
def test_embeddings(shared: Any, method: str, body: Any, vector_of: Any) -> None:
    """The same vector of length 1 at each of the three addresses."""
    status, answer = shared.raw("POST", f"{MODEL}:{method}", body)
    _, again = shared.raw("POST", f"{MODEL}:embedContent", {**TEXT, "outputDimensionality": 3})

    vector = vector_of(answer)["values"]
    assert (status, len(vector), len(again["embedding"]["values"])) == (200, 64, 3)
    assert math.hypot(*vector) == pytest.approx(1)
    assert vector == shared.raw("POST", f"{MODEL}:embedContent", TEXT)[1]["embedding"]["values"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "We could not parse"),
        ({}, "Invalid JSON payload received."),
        ({"requests": []}, "There is nothing to embed."),
        ({"requests": [{**TEXT, "outputDimensionality": -1}]}, "output_dimensionality must be"),
    ],
)
def test_bad_embeddings_are_refused(shared: Any, body: Any, message: str) -> None:
    """Status 400, and what is wrong."""
    status, answer = shared.raw("POST", f"{MODEL}:batchEmbedContents", body)

    assert status == 400
    assert answer["error"]["message"].startswith(message)
