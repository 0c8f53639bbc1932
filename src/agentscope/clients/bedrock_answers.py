"""What Bedrock's answers say about a call: counts and names, never content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from agentscope import conventions as c
from agentscope.clients.counts import token_count
from agentscope.clients.inference import Call

_HEADER = "x-amzn-bedrock-"
_METRICS = "amazon-bedrock-invocationMetrics"
_TELLING = (b"usage", b"stop", b"Stop", b"completionReason", _METRICS.encode())
"""Words of the chunks that are worth reading once content has come."""

_CONVERSE_EVENTS = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata"}
)
_TEXTS = ("outputText", "generation", "completion", "text", "outputs", "choices")
"""Where Amazon's, Meta's, Cohere's, Mistral's and others' chunks keep content."""
_REASONS = ("completionReason", "stop_reason", "finish_reason")

_CHUNK = msgspec.json.Decoder(dict[str, Any])


def read_answer(answer: Mapping[str, Any], call: Call) -> None:
    """An answer that is whole: Converse's, or InvokeModel's without its body."""
    if "usage" in answer:
        _count(call, answer["usage"])
        _end_because(call, answer.get("stopReason"))
        return
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    _note_tokens(
        call,
        *(
            _number(headers.get(f"{_HEADER}{name}-token-count"))
            for name in ("input", "output", "cache-read-input", "cache-write-input")
        ),
    )


def converse_event(event: Any, call: Call) -> None:
    """An event of ConverseStream: a dictionary with one key."""
    if "contentBlockDelta" in event:
        if c.TIME_TO_FIRST_CHUNK not in call.span.attributes:
            delta = event["contentBlockDelta"]["delta"]
            if delta.get("text") or delta.get("toolUse"):
                call.first_content()
    elif "contentBlockStart" in event:
        if event["contentBlockStart"].get("start", {}).get("toolUse"):
            call.first_content()
    elif "messageStop" in event:
        call.complete = True
        _end_because(call, event["messageStop"].get("stopReason"))
    elif "metadata" in event and event["metadata"].get("usage"):
        _count(call, event["metadata"]["usage"])


def invoke_event(event: Any, call: Call) -> None:
    """An event of InvokeModelWithResponseStream: a chunk of the model's own protocol, as JSON."""
    body = event.get("chunk", {}).get("bytes")
    if not body:
        return
    waiting = c.TIME_TO_FIRST_CHUNK not in call.span.attributes
    if not waiting and not any(word in body for word in _TELLING):
        return
    chunk = _CHUNK.decode(body)
    if _CONVERSE_EVENTS & chunk.keys():  # Amazon's Nova speaks the same here
        converse_event(chunk, call)
    elif waiting and _has_content(chunk):
        call.first_content()
    _read_end(chunk, call)


def _has_content(chunk: dict[str, Any]) -> bool:
    """Whether a chunk brings something to show or do: not a thought, not a signature."""
    kind = chunk.get("type")
    if kind == "content_block_delta":
        delta = chunk.get("delta", {})
        return bool(delta.get("text") or delta.get("partial_json"))
    if kind == "content_block_start":
        return str(chunk.get("content_block", {}).get("type")).endswith("tool_use")
    return kind is None and any(chunk.get(name) for name in _TEXTS)


def _read_end(chunk: dict[str, Any], call: Call) -> None:
    """Why the answer ends, and what it used: told by one of the last chunks."""
    message = chunk.get("message")
    if isinstance(message, dict):  # Anthropic's message_start
        if message.get("id"):
            call.note(c.RESPONSE_ID, str(message["id"]))
        if message.get("model"):
            call.note(c.RESPONSE_MODEL, str(message["model"]))
    delta = chunk.get("delta")
    for place in (chunk, delta if isinstance(delta, dict) else {}):
        for name in _REASONS:
            if isinstance(place.get(name), str):
                call.complete = True
                _end_because(call, place[name])
    metrics = chunk.get(_METRICS)
    if isinstance(metrics, dict):
        call.complete = True
        _note_tokens(
            call,
            *(
                _number(metrics.get(f"{name}TokenCount"))
                for name in ("input", "output", "cacheReadInput", "cacheWriteInput")
            ),
        )


def _end_because(call: Call, reason: object) -> None:
    if reason:
        call.note(c.FINISH_REASONS, [str(reason)])


def _count(call: Call, usage: Mapping[str, Any]) -> None:
    """Converse's ``TokenUsage``."""
    _note_tokens(
        call,
        *(
            _number(usage.get(f"{name}Tokens"))
            for name in ("input", "output", "cacheReadInput", "cacheWriteInput", "total")
        ),
    )


def _note_tokens(
    call: Call,
    uncached: int | None,
    output: int | None,
    read: int | None,
    written: int | None,
    total: int | None = None,
) -> None:
    """Amazon's input leaves out what its cache held or took; the conventions' is all of it.

    A total has all of it, also where botocore is too old to know of the cache.
    """
    attributes = call.span.attributes
    if total is not None and output is not None and total >= output:
        attributes[c.INPUT_TOKENS] = total - output
    elif uncached is not None:
        attributes[c.INPUT_TOKENS] = uncached + (read or 0) + (written or 0)
    for key, count in (
        (c.OUTPUT_TOKENS, output),
        (c.CACHE_READ_TOKENS, read),
        (c.CACHE_WRITE_TOKENS, written),
    ):
        if count is not None:
            attributes[key] = count


def _number(value: object) -> int | None:
    """A count, which headers write as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    return token_count(value)
