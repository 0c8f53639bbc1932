"""OpenAI's chat completions: a reply as one object, or as the chunks of a stream."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from agentscope.lab.mock_llm.dialects.chat_requests import decode_request
from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider
from agentscope.lab.mock_llm.events import call_frames
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply, ToolCall, Usage
from agentscope.lab.mock_llm.request import ModelRequest
from agentscope.lab.mock_llm.tokens import charged_tokens

_DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class ChatDialect:
    """``POST /v1/chat/completions``."""

    path: ClassVar[str] = "/v1/chat/completions"

    def __init__(self, provider: OpenAIProvider) -> None:
        self.provider = provider

    def read(self, body: bytes) -> ChatExchange:
        """Read a request."""
        return ChatExchange(decode_request(body))


@dataclass(frozen=True, slots=True)
class ChatExchange:
    """One chat completion."""

    request: ModelRequest

    def charge(self) -> Charge:
        """A request, and tokens by the characters of its messages and by its output limit."""
        return {"requests": 1, "tokens": charged_tokens(self.request)}

    def whole(self, reply: Reply, model: str) -> bytes:
        """The ``chat.completion`` object."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.pieces)}
        message |= {"refusal": None, "annotations": []}
        if reply.calls:
            message["content"] = None
            message["tool_calls"] = [_call_object(call, call.arguments) for call in reply.calls]
        choice = {"index": 0, "message": message, "logprobs": None}
        choice["finish_reason"] = self._finish_reason(reply)
        answer = _envelope("chat.completion", model)
        return _encode({**answer, "choices": [choice], "usage": _usage_object(reply.usage)})

    def stream(self, reply: Reply, model: str) -> ChatStream:
        """The chunks."""
        return ChatStream(reply, self._finish_reason(reply), model, self.request.with_usage)

    def _finish_reason(self, reply: Reply) -> str:
        if reply.finish != "calls":
            return reply.finish
        # As at OpenAI: a call that was forced by name ends with "stop".
        return "stop" if self.request.choice.named else "tool_calls"


class ChatStream:
    """The chunks of a streamed answer.

    What chunks of text have of their own is shared between streams and only framed when it is
    due, so an open stream holds little.
    """

    __slots__ = ("_closing", "_deltas", "_head", "_opening", "_tail", "count")

    def __init__(self, reply: Reply, reason: str, model: str, with_usage: bool) -> None:
        envelope = _encode(_envelope("chat.completion.chunk", model))[:-1]
        usage = b',"usage":null' if with_usage else b""
        self._head = b"data: " + envelope + b',"choices":[{"index":0,"delta":'
        self._tail = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        finish = b'{},"logprobs":null,"finish_reason":' + json.dumps(reason).encode() + b"}]"
        self._closing = self._head + finish + usage + b"}\n\n"
        if with_usage:
            figures = _encode(_usage_object(reply.usage))
            self._closing += b"data: " + envelope + b',"choices":[],"usage":' + figures + b"}\n\n"
        self._closing += _DONE
        self._opening = b""
        if reply.calls:
            # The first of them names the role.
            self._deltas = call_frames(reply.calls, _started_delta, _arguments_delta, b"")
        else:
            role = b'{"role":"assistant","content":"","refusal":null}'
            self._opening = self._head + role + self._tail
            self._deltas = [_text_delta(piece) for piece in reply.pieces]
        self.count = len(self._deltas)

    def opening(self) -> bytes:
        """The chunk that names the role."""
        return self._opening

    def events(self, start: int, stop: int) -> bytes:
        """The chunks of the tokens from ``start`` to before ``stop``."""
        head, tail = self._head, self._tail
        return b"".join([head + delta + tail for delta in self._deltas[start:stop] if delta])

    def closing(self) -> bytes:
        """Finish reason, usage if it is wanted, and the end mark."""
        return self._closing


def _envelope(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


@lru_cache(maxsize=8192)
def _text_delta(piece: str) -> bytes:
    return b'{"content":' + _encode(piece) + b"}"


def _started_delta(index: int, call: ToolCall) -> bytes:
    delta: dict[str, Any] = {"tool_calls": [{"index": index, **_call_object(call, "")}]}
    if index == 0:
        delta = {"role": "assistant", "content": None, **delta, "refusal": None}
    return _encode(delta)


def _arguments_delta(index: int, piece: str) -> bytes:
    return _encode({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


def _call_object(call: ToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments}
    return {"id": f"call_{call.key}", "type": "function", "function": function}


def _usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
