from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
import uvicorn

from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.recording.guard import RAISE_VARIABLE
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Span
from agentscope.testing import Recorded, RecordedSpan, recording

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CLAUDE_USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 6,
    "cache_creation_input_tokens": 4,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3},
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 2},
}
MODEL = "gpt-test-2026"
PAUSE_S = 0.05


@dataclass
class Provider:
    """A model's provider on a loopback port; the URL says how it answers, one word a request.

    ``429``, ``500`` and ``529`` fail and ask to come back in 20 ms (``429@200``: in 200 ms);
    ``200`` answers; ``slow`` answers after a second; ``cut`` breaks off, ``mute`` ends without a last
    word; ``hold`` answers after 300 ms. The last word answers all later requests.
    """

    port: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def url(self, script: str) -> str:
        return f"http://127.0.0.1:{self.port}/{next(self._names)}/{script}"

    def client(self, script: str, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url(script), api_key="canary-key", **options)

    def async_client(self, script: str, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.url(script), api_key="canary-key", **options)

    def claude(self, script: str, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url(script), api_key="canary-key", **options)

    def async_claude(self, script: str, **options: Any) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.url(script), api_key="canary-key", **options)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        key, script = scope["path"].split("/")[1:3]
        words = script.split(",")
        word = words[min(self.seen[key], len(words) - 1)]
        self.seen[key] += 1
        await self._answer(word, json.loads(body or b"{}"), scope["path"], send)

    async def _answer(self, word: str, asked: dict[str, Any], path: str, send: Any) -> None:
        status, _, wait_ms = word.partition("@")
        headers = [
            (b"x-request-id", b"req-1"),
            (b"openai-processing-ms", b"12"),
            (b"x-ratelimit-limit-requests", b"60"),
            (b"x-ratelimit-remaining-requests", b"0" if status == "429" else b"59"),
            (b"x-ratelimit-reset-requests", b"1.2s"),
            (b"set-cookie", b"canary=cookie"),
        ]
        if status in ("429", "500", "529"):
            headers += [(b"retry-after-ms", (wait_ms or "20").encode())]
            error: dict[str, Any] = {"message": "no", "type": "rate_limit_error"}
            if ":" in path:
                error |= {"code": int(status), "status": "RESOURCE_EXHAUSTED"}
            else:
                error |= {"code": "rate_limit_exceeded"}
            return await _send_json(send, int(status), headers, {"error": error})
        if status == "slow":
            await asyncio.sleep(1)
        if status == "hold":
            await asyncio.sleep(0.3)
        if asked.get("stream") or ":stream" in path:
            return await self._stream(status, asked, path, headers, send)
        if "embeddings" in path:
            answer = {
                "object": "list",
                "model": MODEL,
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            }
        elif "responses" in path:
            answer = response_object()
        elif path.endswith("/messages"):
            answer = claude_message()
        elif path.endswith(":generateContent"):
            answer = gemini_answer("canary", "STOP")
        else:
            answer = completion(asked)
        return await _send_json(send, 200, headers, answer)

    async def _stream(
        self, how: str, asked: dict[str, Any], path: str, headers: Any, send: Any
    ) -> None:
        await _start(send, 200, [*headers, (b"content-type", b"text/event-stream")])
        events = list(_events_of(path)(asked))
        if how in ("cut", "mute"):
            events = events[:3]
        for event in events:
            await asyncio.sleep(PAUSE_S if event in events[:2] else 0)
            name = f"event: {event['type']}\n" if "type" in event else ""
            body = f"{name}data: {json.dumps(event)}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if how != "cut":  # returning without an end makes the server drop the connection
            done = how != "mute" and _events_of(path) is chunks
            end = b"data: [DONE]\n\n" if done else b""
            await send({"type": "http.response.body", "body": end})


def completion(asked: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": '{"answer": "canary"}'}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def chunks(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A role, three pieces of content, the last word, and the usage if it was asked for."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in ("one ", "two ", "three")]
    deltas += [({}, "stop")]
    for delta, reason in deltas:
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**base, "choices": [], "usage": USAGE}


def response_object() -> dict[str, Any]:
    text = {"type": "output_text", "text": "canary", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": "completed",
        "output": [{**message, "content": [text]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 20,
            "output_tokens": 7,
            "total_tokens": 27,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    }


def claude_message() -> dict[str, Any]:
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-2026",
        "content": [{"type": "text", "text": '{"answer": "canary"}'}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": CLAUDE_USAGE,
    }


def claude_events(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The start, three pieces of text, the last words; with thinking on, a thought before."""
    begun = {**CLAUDE_USAGE, "output_tokens": 1, "output_tokens_details": None}
    start = {**claude_message(), "content": [], "stop_reason": None, "usage": begun}
    yield {"type": "message_start", "message": start}
    text: dict[str, Any] = {"type": "text", "text": ""}
    deltas = [{"type": "text_delta", "text": word} for word in ("one ", "two ", "three")]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [(text, deltas)]
    if "thinking" in asked:
        thought = {"type": "thinking", "thinking": "", "signature": ""}
        blocks.insert(0, (thought, [{"type": "thinking_delta", "thinking": "canary"}]))
    for index, (block, parts) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for part in parts:
            yield {"type": "content_block_delta", "index": index, "delta": part}
        yield {"type": "content_block_stop", "index": index}
    final = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}}
    yield {"type": "message_delta", "delta": final, "usage": usage}
    yield {"type": "message_stop"}


def gemini_answer(text: str, reason: str | None, thought: bool = False) -> dict[str, Any]:
    part = {"text": text, "thought": thought} if thought else {"text": text}
    return {
        "responseId": "gen-1",
        "modelVersion": "gemini-test-2026",
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": reason}],
        "usageMetadata": {
            "promptTokenCount": 17,
            "toolUsePromptTokenCount": 3,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5 if reason else 1,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 27,
        },
    }


def gemini_events(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A thought, and three pieces of text, the last with the last word."""
    yield gemini_answer("canary", None, thought=True)
    yield gemini_answer("one ", None)
    yield gemini_answer("two ", None)
    yield gemini_answer("three", "STOP")


def _events_of(path: str) -> Callable[[dict[str, Any]], Iterator[dict[str, Any]]]:
    if path.endswith("/messages"):
        return claude_events
    return gemini_events if ":stream" in path else chunks


async def _start(send: Any, status: int, headers: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_json(send: Any, status: int, headers: Any, answer: dict[str, Any]) -> None:
    await _start(send, status, [*headers, (b"content-type", b"application/json")])
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@pytest.fixture(scope="session")
def _running() -> Iterator[Provider]:
    provider = Provider()
    config = uvicorn.Config(provider, port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    provider.port = server.servers[0].sockets[0].getsockname()[1]
    yield provider
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def provider(_running: Provider) -> Provider:
    """A model's provider that answers as its URL says."""
    _running.headers.clear()
    return _running


@pytest.fixture(scope="session", autouse=True)
def _libraries_kept_from_the_collector() -> Iterator[None]:
    """Every test ends with a collection; it need not walk all the libraries each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAISE_VARIABLE, "1")


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """A recorder in memory, on the real clock, with every client library hooked."""
    spans: weakref.WeakSet[Span] = weakref.WeakSet()
    with recording(real_time=True) as recorded:

        def followed_start(*args: Any, **kwargs: Any) -> Span:
            span = Recorder.start(recorded.recorder, *args, **kwargs)
            spans.add(span)
            return span

        recorded.recorder.start = followed_start  # type: ignore[method-assign]  # of this one
        instrument_clients()
        yield recorded
        uninstrument_clients()
        recorded.recorder.work()
        gc.collect()
        assert recorded.recorder.open == {}, "every inference ends"
        assert not list(spans), "no span is kept alive"


ASK: dict[str, Any] = {"model": "gpt-test", "messages": [{"role": "user", "content": "canary"}]}


@pytest.fixture
def ask() -> dict[str, Any]:
    """The arguments of a small chat call."""
    return ASK


@pytest.fixture
def story(recorded: Recorded) -> Callable[[], list[str]]:
    """What was recorded below the turn, one line a span: name, attempt, status, outcome, error.

    The waits for connections are left out: whether one lasts a millisecond is the machine's affair.
    """

    def tell() -> list[str]:
        spans = sorted(recorded.spans, key=lambda span: span.start_s)
        (turn,) = (span for span in spans if not span.parent_id)
        told: list[str] = []

        def walk(parent_id: str, depth: int) -> None:
            for span in spans:
                if span.parent_id == parent_id and not span.name.startswith("wait http."):
                    told.append(" " * depth + _sentence(span))
                    walk(span.span_id, depth + 1)

        walk(turn.span_id, 0)
        return told

    return tell


def _sentence(span: RecordedSpan) -> str:
    words = [span.name]
    if "http.request.resend_count" in span.attributes:
        words.append(f"#{span.attributes['http.request.resend_count']}")
    keys = ("http.response.status_code", "agentscope.outcome", "error.type")
    words += [str(span.attributes[key]) for key in keys if key in span.attributes]
    return " ".join(words)
