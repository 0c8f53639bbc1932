"""Anthropic's Messages: a reply as one object, or as the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from agentscope.lab.mock_llm.dialects.anthropic import AnthropicProvider
from agentscope.lab.mock_llm.dialects.messages_requests import decode_messages_request
from agentscope.lab.mock_llm.events import call_frames
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Finish, Reply, ToolCall, Usage
from agentscope.lab.mock_llm.request import ModelRequest
from agentscope.lab.mock_llm.tokens import prompt_tokens

_STOP_REASONS: dict[Finish, str] = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use"}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_encode = msgspec.json.Encoder().encode


class MessagesDialect:
    """``POST /v1/messages``."""

    path: ClassVar[str] = "/v1/messages"

    def __init__(self, provider: AnthropicProvider) -> None:
        self.provider = provider

    def read(self, body: bytes) -> MessagesExchange:
        """Read a request."""
        return MessagesExchange(decode_messages_request(body))


@dataclass(frozen=True, slots=True)
class MessagesExchange:
    """One message."""

    request: ModelRequest

    def charge(self) -> Charge:
        """A request, its whole input, and as much output as it may get."""
        return {
            "requests": 1,
            "input_tokens": prompt_tokens(self.request),
            "output_tokens": self.request.output_limit or 0,
        }

    def whole(self, reply: Reply, model: str) -> bytes:
        """The ``message`` object."""
        content: list[dict[str, Any]] = [
            _call_block(call, msgspec.Raw(call.arguments.encode())) for call in reply.calls
        ]
        if reply.pieces:
            content.append(_text_block("".join(reply.pieces)))
        usage = {**_input_object(reply.usage), **_output_object(reply.usage)}
        return _encode(_message_object(model, content, _STOP_REASONS[reply.finish], usage))

    def stream(self, reply: Reply, model: str) -> MessagesStream:
        """The events."""
        return MessagesStream(reply, model)


class MessagesStream:
    """The events of a streamed answer; those of text are shared between streams."""

    __slots__ = ("_frames", "_model", "_reply", "count")

    def __init__(self, reply: Reply, model: str) -> None:
        self._reply = reply
        self._model = model
        if reply.calls:
            self._frames = call_frames(reply.calls, _started_frame, _arguments_frame, b"")
        else:
            self._frames = [_text_frame(piece) for piece in reply.pieces]
        self.count = len(self._frames)

    def opening(self) -> bytes:
        """The message without content, the block of text if there is one, and a ping."""
        usage = {**_input_object(self._reply.usage), "output_tokens": 1}
        message = _message_object(self._model, [], None, usage)
        events = _frame("message_start", {"message": message})
        if self._reply.pieces:
            events += _frame("content_block_start", {"index": 0, "content_block": _text_block("")})
        return events + _PING

    def events(self, start: int, stop: int) -> bytes:
        """The events of the tokens from ``start`` to before ``stop``."""
        return b"".join(self._frames[start:stop])

    def closing(self) -> bytes:
        """The end of the last block, the stop reason with the usage, the end of the message."""
        reply = self._reply
        events = b""
        if self._frames:
            events = _frame("content_block_stop", {"index": max(0, len(reply.calls) - 1)})
        delta = {"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": None}
        usage = {**_input_object(reply.usage), **_output_object(reply.usage)}
        events += _frame("message_delta", {"delta": delta, "usage": usage})
        return events + _frame("message_stop", {})


def _frame(name: str, fields: dict[str, Any]) -> bytes:
    data = _encode({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


@lru_cache(maxsize=8192)
def _text_frame(piece: str) -> bytes:
    delta = {"type": "text_delta", "text": piece}
    return _frame("content_block_delta", {"index": 0, "delta": delta})


def _started_frame(index: int, call: ToolCall) -> bytes:
    before = _frame("content_block_stop", {"index": index - 1}) if index else b""
    block = _call_block(call, {})
    return before + _frame("content_block_start", {"index": index, "content_block": block})


def _arguments_frame(index: int, piece: str) -> bytes:
    delta = {"type": "input_json_delta", "partial_json": piece}
    return _frame("content_block_delta", {"index": index, "delta": delta})


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _call_block(call: ToolCall, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.key}", "name": call.name, "input": arguments}


def _message_object(
    model: str, content: list[dict[str, Any]], stop_reason: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {**usage, "service_tier": "standard"},
    }


def _input_object(usage: Usage) -> dict[str, Any]:
    """Input tokens: those of the cache are not among ``input_tokens``."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_written,
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
    }


def _output_object(usage: Usage) -> dict[str, Any]:
    details = {"thinking_tokens": usage.reasoning}
    return {"output_tokens": usage.output, "output_tokens_details": details}
