"""Bedrock's Converse: a reply as one object, or as the binary events of a stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from agentscope.lab.mock_llm.dialects.amazon import AmazonProvider, amazon_charge
from agentscope.lab.mock_llm.dialects.bedrock_requests import decode_converse_request
from agentscope.lab.mock_llm.dialects.eventstream import event_message
from agentscope.lab.mock_llm.events import call_frames
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Finish, Reply, ToolCall, Usage
from agentscope.lab.mock_llm.request import ModelRequest

_STOP_REASONS: dict[Finish, str] = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use"}

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ConverseDialect:
    """``POST /model/{model}/converse`` and ``/converse-stream``."""

    provider: AmazonProvider
    path: str
    model: str
    streamed: bool

    def read(self, body: bytes) -> ConverseExchange:
        """Read a request."""
        return ConverseExchange(decode_converse_request(body, self.model, self.streamed))


@dataclass(frozen=True, slots=True)
class ConverseExchange:
    """One answer."""

    request: ModelRequest
    began_s: float = field(default_factory=time.monotonic)

    def charge(self) -> Charge:
        """A request, its input, and as much output as it may get."""
        return amazon_charge(self.request)

    def whole(self, reply: Reply, model: str) -> bytes:
        """The message, why it ends, what it used and how long it took."""
        content: list[dict[str, Any]] = []
        if reply.pieces or not reply.calls:
            content.append({"text": "".join(reply.pieces)})
        content += [_call_block(call) for call in reply.calls]
        message = {"role": "assistant", "content": content}
        return _encode(
            {
                "output": {"message": message},
                "stopReason": _STOP_REASONS[reply.finish],
                "usage": _usage_object(reply.usage),
                "metrics": _metrics(self.began_s),
            }
        )

    def stream(self, reply: Reply, model: str) -> ConverseStream:
        """The events."""
        return ConverseStream(reply, self.began_s)


class ConverseStream:
    """The events of a streamed answer; those of text are shared between streams."""

    __slots__ = ("_began_s", "_frames", "_reply", "count")

    def __init__(self, reply: Reply, began_s: float) -> None:
        self._reply = reply
        self._began_s = began_s
        if reply.calls:
            self._frames = call_frames(reply.calls, _started, _arguments, b"")
        else:
            self._frames = [_text(piece) for piece in reply.pieces]
        self.count = len(self._frames)

    def opening(self) -> bytes:
        """The start of the message."""
        return event_message("messageStart", _encode({"role": "assistant"}))

    def events(self, start: int, stop: int) -> bytes:
        """The events of the tokens from ``start`` to before ``stop``."""
        return b"".join(self._frames[start:stop])

    def closing(self) -> bytes:
        """The end of the last block and of the message, then what it used."""
        reply = self._reply
        events = _stopped(max(0, len(reply.calls) - 1)) if self._frames else b""
        reason = {"stopReason": _STOP_REASONS[reply.finish]}
        events += event_message("messageStop", _encode(reason))
        metadata = {"usage": _usage_object(reply.usage), "metrics": _metrics(self._began_s)}
        return events + event_message("metadata", _encode(metadata))


@lru_cache(maxsize=8192)
def _text(piece: str) -> bytes:
    return _delta(0, {"text": piece})


def _started(index: int, call: ToolCall) -> bytes:
    before = _stopped(index - 1) if index else b""
    use = {"toolUseId": f"tooluse_{call.key}", "name": call.name}
    start = {"contentBlockIndex": index, "start": {"toolUse": use}}
    return before + event_message("contentBlockStart", _encode(start))


def _arguments(index: int, piece: str) -> bytes:
    return _delta(index, {"toolUse": {"input": piece}})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return event_message("contentBlockDelta", _encode({"contentBlockIndex": index, "delta": delta}))


def _stopped(index: int) -> bytes:
    return event_message("contentBlockStop", _encode({"contentBlockIndex": index}))


def _call_block(call: ToolCall) -> dict[str, Any]:
    arguments = msgspec.Raw(call.arguments.encode())
    use = {"toolUseId": f"tooluse_{call.key}", "name": call.name, "input": arguments}
    return {"toolUse": use}


def _usage_object(usage: Usage) -> dict[str, int]:
    """Tokens: those of the cache are not among ``inputTokens``, and are among the total."""
    return {
        "inputTokens": usage.prompt - usage.cached - usage.cache_written,
        "outputTokens": usage.output,
        "totalTokens": usage.prompt + usage.output,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_written,
    }


def _metrics(began_s: float) -> dict[str, int]:
    return {"latencyMs": int((time.monotonic() - began_s) * 1000)}
