"""One call of Amazon Bedrock through boto3 is one inference, whatever it went through."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore import retryhandler
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries import bucket, standard

import agentscope
from agentscope.clients import bedrock_answers
from agentscope.lab.mock_llm import MockLlmSettings, RunningMockLlm, running
from agentscope.testing import Recorded

Story = Callable[[], list[str]]
Act = Callable[[Any, str], Any]

HELLO: list[Any] = [{"role": "user", "content": [{"text": "canary"}]}]
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}
BODY |= {"messages": [{"role": "user", "content": "canary"}]}
TEXT = "You asked: canary   "


@pytest.fixture(scope="module")
def mock() -> Iterator[RunningMockLlm]:
    """A mock LLM that answers at once, in 5 tokens."""
    with running(MockLlmSettings(port=0, knobs="profile=instant;out=5")) as server:
        yield server


@pytest.fixture(scope="module")
def clients(mock: RunningMockLlm) -> Iterator[Callable[..., Any]]:
    """Clients of the mock, one of each kind: reading the service's description takes long."""
    made: dict[str, Any] = {}

    def client(mode: str = "standard", attempts: int = 3, **options: Any) -> Any:
        key = f"{mode} {attempts} {options}"
        if key not in made:
            retries: Any = {"mode": mode, "total_max_attempts": attempts}
            made[key] = boto3.client(
                "bedrock-runtime",
                region_name="us-east-1",
                endpoint_url=mock.root_url,
                aws_access_key_id="AKIDCANARY",
                aws_secret_access_key="canary-secret",
                config=Config(retries=retries, **options),
            )
        return made[key]

    yield client
    for one in made.values():
        one.close()


@pytest.fixture(autouse=True)
def _short_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore draws its sleeps, of up to a second at first: here they are of 20 ms.

    Its adaptive mode slows down to one request in two seconds; here to 50 a second.
    """
    monkeypatch.setattr(retryhandler, "delay_exponential", lambda **_: 0.02)
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.02)
    monkeypatch.setattr(bucket.TokenBucket.__init__, "__defaults__", (50,))


def converse(client: Any, model: str) -> str:
    answer = client.converse(modelId=model, messages=HELLO)
    return str(answer["output"]["message"]["content"][0]["text"])


def converse_stream(client: Any, model: str) -> str:
    events = client.converse_stream(modelId=model, messages=HELLO)["stream"]
    assert type(events) is EventStream
    deltas = [
        event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event
    ]
    return "".join(delta["text"] for delta in deltas)


def invoke(client: Any, model: str) -> str:
    answer = client.invoke_model(modelId=model, body=json.dumps(BODY))
    return str(json.loads(answer["body"].read())["content"][0]["text"])


def invoke_stream(client: Any, model: str) -> str:
    answer = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(BODY))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    deltas = [chunk["delta"] for chunk in chunks if chunk["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


ACTS: list[Act] = [converse, converse_stream, invoke, invoke_stream]
failing = contextlib.suppress(ClientError, BotoCoreError)

SLEPT = [" POST #0 429 429", " wait rate_limit", " POST #1 200"]
OUTCOMES = [
    ("200", "ok", [" POST #0 200"]),
    ("429,200", "ok", SLEPT),
    ("500,200", "ok", [" POST #0 500 500", " wait retry_backoff", " POST #1 200"]),
    ("403", "error botocore.errorfactory.AccessDeniedException", [" POST #0 403 403"]),
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("script", "outcome", "attempts"), OUTCOMES)
def test_a_call(
    clients: Any, story: Story, act: Act, script: str, outcome: str, attempts: list[str]
) -> None:
    """Four ways to ask: attempts, sleeps of botocore's own, the outcome, one inference."""
    model = f"claude@status={script}"
    with agentscope.turn("turn"), failing:
        assert act(clients(), model) == TEXT
    assert story() == [f"chat {model} {outcome}", *attempts]


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_every_mode_of_retries(clients: Any, recorded: Recorded, story: Story, mode: str) -> None:
    """Two refusals, two sleeps, an answer; the parts add up to the whole."""
    model = f"claude@status=429,429,200;out={ {'legacy': 5, 'standard': 6, 'adaptive': 7}[mode] }"
    with agentscope.turn("turn"):
        converse(clients(mode), model)
    assert story() == [
        f"chat {model} ok",
        *SLEPT[:2],
        " POST #1 429 429",
        " wait rate_limit",
        " POST #2 200",
    ]
    parts = [span for span in recorded.spans if span.name in ("POST", "wait rate_limit")]
    begin_s = min(span.start_s for span in parts)
    end_s = max(span.start_s + span.duration_s for span in parts)
    assert sum(span.duration_s for span in parts) == pytest.approx(end_s - begin_s, abs=1e-6)
    sleeps = [span for span in parts if span.name == "wait rate_limit"]
    assert all(0.02 <= span.duration_s < 0.1 for span in sleeps)
    assert {span.attributes["agentscope.wait.resource"] for span in sleeps} == {"aws.bedrock"}


SAID: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "aws.bedrock",
    "gen_ai.request.model": "claude",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "agentscope.outcome": "ok",
}
ENDED = {"gen_ai.response.finish_reasons": ["end_turn"]}
LIMITED = {"gen_ai.request.max_tokens": 50}


@pytest.mark.parametrize(
    ("act", "more"),
    [
        (converse, ENDED),
        (converse_stream, ENDED),
        (invoke, LIMITED),  # why it ended stands in the body, which is the user's to read
        (invoke_stream, {**ENDED, **LIMITED, "gen_ai.response.model": "claude"}),
    ],
)
def test_what_a_call_says(clients: Any, recorded: Recorded, act: Act, more: dict[str, Any]) -> None:
    """All attributes, and nothing of what was said or who asked."""
    with agentscope.turn("turn"):
        act(clients(), "claude")
    attributes = recorded.span("chat claude").attributes
    attributes.pop("agentscope.llm.longest_chunk_gap", None)
    if "stream" in act.__name__:
        assert attributes.pop("gen_ai.request.stream") is True
        assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    if act is invoke_stream:
        assert attributes.pop("gen_ai.response.id").startswith("msg_")
    assert attributes == {**SAID, **more}
    written = b"".join(recorded.sink.span_fragments).lower()
    assert b"canary" not in written
    assert b"You asked" not in written


def test_the_first_content_and_the_end_of_a_stream(clients: Any, recorded: Recorded) -> None:
    """First token after 60 ms, four more in 40: the span lasts as long as the stream."""
    model = "claude@ttft=60;itl=10"
    with agentscope.turn("turn"):
        converse_stream(clients(), model)
    span = recorded.span(f"chat {model}")
    assert span.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.065, abs=0.03)
    assert span.duration_s == pytest.approx(0.115, abs=0.04)
    assert recorded.span("POST").duration_s == pytest.approx(span.duration_s, abs=0.03)


def test_tools(mock: RunningMockLlm, clients: Any, recorded: Recorded) -> None:
    """The start of a call of a tool is content; the answer to its result is a call of its own."""
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
    tool = {"toolSpec": {"name": "lookup", "inputSchema": {"json": schema}}}
    asked: Any = {"modelId": "claude@depth=1;calls=1", "toolConfig": {"tools": [tool]}}
    with agentscope.turn("turn"):
        answer = clients().converse(**asked, messages=HELLO)
        message = answer["output"]["message"]
        use = message["content"][0]["toolUse"]
        result = {"toolUseId": use["toolUseId"], "content": [{"json": {"order": use["input"]}}]}
        messages = [*HELLO, message, {"role": "user", "content": [{"toolResult": result}]}]
        events = list(clients().converse_stream(**asked, messages=HELLO)["stream"])
        clients().converse(**asked, messages=messages)
    spans = [span for span in recorded.spans if span.name.startswith("chat ")]
    reasons = [span.attributes["gen_ai.response.finish_reasons"] for span in spans]
    assert reasons == [["tool_use"], ["tool_use"], ["end_turn"]]
    assert "gen_ai.response.time_to_first_chunk" in spans[1].attributes
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert [start["start"]["toolUse"]["name"] for start in starts] == ["lookup"]


# Whose generator refers to it: what the collector finds of it, it finds in any order.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("stop", ["drop", "close", "never read"])
def test_a_stream_given_up(clients: Any, story: Story, stop: str) -> None:
    """Whoever does not read on has abandoned it, from then on, and its connection is closed."""
    with agentscope.turn("turn"):
        answer = clients().converse_stream(modelId="claude@itl=20", messages=HELLO)
        if stop != "never read":
            next(iter(answer["stream"]))
        if stop == "close":
            answer["stream"].close()
        else:
            del answer
            gc.collect()
        with agentscope.phase("next"):
            pass
    assert story() == ["chat claude@itl=20 abandoned", " POST #0 200", "next"]


def test_a_stream_without_a_last_word(clients: Any, story: Story) -> None:
    """botocore says nothing of a stream that breaks off in good order; we do."""
    model = "claude@status=truncate"
    with agentscope.turn("turn"):
        list(clients().converse_stream(modelId=model, messages=HELLO)["stream"])
    assert story() == [f"chat {model} error stream_truncated", " POST #0 200"]


def test_a_refusal_says_its_word(clients: Any, recorded: Recorded) -> None:
    """Amazon's name of the exception is the provider's own word for why."""
    model = "claude@status=429;out=9"
    with agentscope.turn("turn"), pytest.raises(ClientError) as raised:
        converse(clients(attempts=1), model)
    assert type(raised.value).__name__ == "ThrottlingException"
    attributes = recorded.span(f"chat {model}").attributes
    assert attributes["agentscope.llm.error_code"] == "ThrottlingException"


def test_a_failure_in_the_middle_of_a_stream(clients: Any, recorded: Recorded) -> None:
    """An event that is an exception ends the call, with the exception that its reader gets."""
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    event = {"status_code": 400, "headers": headers, "body": b"{}"}
    failures = []
    with agentscope.turn("turn"):
        stream = clients().converse_stream(modelId="claude", messages=HELLO)["stream"]
        next(iter(stream))
        try:
            stream._parse_event(SimpleNamespace(to_response_dict=lambda: event))
        except ClientError as error:
            failures.append(error.response["Error"]["Code"])
        stream.close()
    assert failures == ["throttlingException"]
    attributes = recorded.span("chat claude").attributes
    assert attributes["error.type"] == "botocore.exceptions.EventStreamError"
    assert attributes["agentscope.llm.error_code"] == "throttlingException"


def test_a_time_out_is_the_attempts_and_the_calls(clients: Any, story: Story) -> None:
    """The library's exception ends the inference, urllib3's below it the attempt."""
    model = "claude@status=hang"
    with agentscope.turn("turn"), failing:
        converse(clients(attempts=1, read_timeout=0.1), model)
    assert story() == [
        f"chat {model} error botocore.exceptions.ReadTimeoutError",
        " POST #0 urllib3.exceptions.ReadTimeoutError",
    ]


def test_another_service_is_another_call(
    mock: RunningMockLlm, clients: Any, recorded: Recorded
) -> None:
    """What is no call of a model is an HTTP call like any."""
    with agentscope.turn("turn"), failing:
        clients().apply_guardrail(
            guardrailIdentifier="g", guardrailVersion="1", source="INPUT", content=[]
        )
    (span,) = (span for span in recorded.spans if span.parent_id)
    assert span.name == "POST"
    assert "http.request.resend_count" not in span.attributes


class Notes:
    """A call, as far as its answers' readers know it."""

    def __init__(self) -> None:
        self.span = SimpleNamespace(attributes={})
        self.complete = False
        self.contents = 0

    def note(self, key: str, value: Any) -> None:
        self.span.attributes.setdefault(key.rpartition("gen_ai.")[2], value)

    def first_content(self) -> None:
        self.contents += 1


def told(*chunks: dict[str, Any]) -> tuple[int, bool, Any]:
    """How much content these chunks of InvokeModel's stream bring, whether they end, why."""
    call: Any = Notes()
    for chunk in chunks:
        event = {"chunk": {"bytes": json.dumps(chunk).encode()}}
        bedrock_answers.invoke_event(event, call)
    return call.contents, call.complete, call.span.attributes.get("response.finish_reasons")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([{"outputText": "one", "completionReason": None}], (1, False, None)),  # Titan
        ([{"outputText": "", "completionReason": "FINISH"}], (0, True, ["FINISH"])),
        ([{"generation": "one", "stop_reason": "length"}], (1, True, ["length"])),  # Llama
        ([{"outputs": [{"text": "one"}]}], (1, False, None)),  # Mistral
        ([{"contentBlockDelta": {"delta": {"text": "one"}}}], (1, False, None)),  # Nova
        ([{"messageStop": {"stopReason": "end_turn"}}], (0, True, ["end_turn"])),
        (
            [
                {"type": "content_block_start", "content_block": {"type": "thinking"}},
                {"type": "content_block_delta", "delta": {"thinking": "one"}},
                {"type": "content_block_start", "content_block": {"type": "tool_use"}},
            ],
            (1, False, None),
        ),
        ([{"amazon-bedrock-invocationMetrics": {"outputTokenCount": 5}}], (0, True, None)),
        ([{}], (0, False, None)),
    ],
)
def test_chunks_of_the_models_own_protocols(
    chunks: list[dict[str, Any]], expected: tuple[int, bool, Any]
) -> None:
    """Each family of models has its own: content, thoughts, and the last word are told apart."""
    assert told(*chunks) == expected


@pytest.mark.parametrize(
    ("usage", "whole"),
    [
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, 10),
        ({"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 7, "totalTokens": 22}, 17),
        ({"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 7, "totalTokens": 15}, 10),
        ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 22}, 17),  # by an older botocore
        ({"inputTokens": 10, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 2}, 19),
    ],
)
def test_all_of_the_input(usage: dict[str, int], whole: int) -> None:
    """What the cache held or took is input too; the total tells whether it is counted already."""
    call: Any = Notes()
    bedrock_answers.read_answer({"usage": usage}, call)
    assert call.span.attributes["gen_ai.usage.input_tokens"] == whole


def test_an_embedding_is_no_chat(recorded: Recorded, clients: Any) -> None:
    """InvokeModel of an embedding model, here one that the mock refuses."""
    with agentscope.turn("turn"), failing:
        body = json.dumps({"inputText": "canary"})
        clients().invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)
    span = recorded.span("embeddings amazon.titan-embed-text-v2:0")
    assert span.attributes["gen_ai.operation.name"] == "embeddings"
    assert span.attributes["agentscope.llm.error_code"] == "ValidationException"
