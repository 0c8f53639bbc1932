"""A reply as OpenAI's JSON: one object, or the events of a stream."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec

from agentscope.lab.mock_llm.replies import Reply, ToolCall
from agentscope.lab.mock_llm.tokens import text_tokens
from agentscope.lab.mock_llm.wording import split_text

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def whole_answer(reply: Reply, answer_id: str, model: str, created_s: int) -> bytes:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.pieces)}
    message |= {"refusal": None, "annotations": []}
    if reply.calls:
        message["content"] = None
        message["tool_calls"] = [_call_object(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": None}
    choice["finish_reason"] = reply.finish_reason
    return _encode(
        {
            "id": answer_id,
            "object": "chat.completion",
            "created": created_s,
            "model": model,
            "choices": [choice],
            "usage": reply.usage.as_json(),
            "service_tier": "default",
            "system_fingerprint": None,
        }
    )


class EventStream:
    """The events of a streamed answer: ``deltas[k]`` is written when token ``k`` is due.

    A delta is empty where its token is part of an earlier one. Deltas of text are shared between
    streams and only framed when they are due, so an open stream holds little.
    """

    __slots__ = ("_closing", "_head", "_tail", "deltas")

    def __init__(
        self, reply: Reply, answer_id: str, model: str, created_s: int, with_usage: bool
    ) -> None:
        opening = _encode(
            {
                "id": answer_id,
                "object": "chat.completion.chunk",
                "created": created_s,
                "model": model,
                "service_tier": "default",
                "system_fingerprint": None,
            }
        )[:-1]
        usage = b',"usage":null' if with_usage else b""
        delta = b',"choices":[{"index":0,"delta":'
        self._head = b"data: " + opening + delta
        self._tail = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        reason = json.dumps(reply.finish_reason).encode()
        closing = b"{}" + b',"logprobs":null,"finish_reason":' + reason + b"}]" + usage + b"}\n\n"
        self._closing = self._head + closing
        if with_usage:
            figures = _encode(reply.usage.as_json())
            self._closing += b"data: " + opening + b',"choices":[],"usage":' + figures + b"}\n\n"
        self._closing += DONE
        self.deltas = _call_deltas(reply.calls) if reply.calls else _text_deltas(reply.pieces)

    def opening(self) -> bytes:
        """The event that names the role; tool calls name it with their first."""
        return self._head + b'{"role":"assistant","content":"","refusal":null}' + self._tail

    def events(self, start: int, stop: int) -> tuple[bytes, int]:
        """The events of the tokens from ``start`` to before ``stop``, and how many they are."""
        head, tail = self._head, self._tail
        events = [head + delta + tail for delta in self.deltas[start:stop] if delta]
        return b"".join(events), len(events)

    def closing(self) -> tuple[bytes, int]:
        """Finish reason, usage if it is wanted, and the end mark; and how many events they are."""
        return self._closing, self._closing.count(b"\n\n")


@lru_cache(maxsize=8192)
def _text_delta(piece: str) -> bytes:
    return b'{"content":' + _encode(piece) + b"}"


def _text_deltas(pieces: list[str]) -> list[bytes]:
    return [_text_delta(piece) for piece in pieces]


def _call_deltas(calls: tuple[ToolCall, ...]) -> list[bytes]:
    deltas: list[bytes] = []
    for index, call in enumerate(calls):
        started = {"index": index, **_call_object(call, arguments="")}
        delta: dict[str, Any] = {"tool_calls": [started]}
        if index == 0:
            delta = {"role": "assistant", "content": None, **delta, "refusal": None}
        deltas.append(_encode(delta))
        deltas.extend(b"" for _ in range(text_tokens(call.name) - 1))
        for piece in split_text(call.arguments):
            part = {"index": index, "function": {"arguments": piece}}
            deltas.append(_encode({"tool_calls": [part]}))
    return deltas


def _call_object(call: ToolCall, arguments: str | None = None) -> dict[str, Any]:
    given = call.arguments if arguments is None else arguments
    function = {"name": call.name, "arguments": given}
    return {"id": call.id, "type": "function", "function": function}
