"""Gemini's generateContent, at Google AI's addresses and at Vertex AI's, whole or streamed.

The model stands in the address. A stream is one of server-sent events, as ``alt=sse`` asks for;
the array that Google writes without it is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid4

import msgspec

from agentscope.lab.mock_llm.dialects.gemini_requests import decode_gemini_request
from agentscope.lab.mock_llm.dialects.google import GoogleProvider
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply, ToolCall, Usage
from agentscope.lab.mock_llm.request import ModelRequest
from agentscope.lab.mock_llm.tokens import prompt_tokens

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class GeminiDialect:
    """``POST …/models/{model}:generateContent`` and ``:streamGenerateContent``."""

    provider: GoogleProvider
    path: str
    model: str
    streamed: bool

    def read(self, body: bytes) -> GeminiExchange:
        """Read a request."""
        return GeminiExchange(decode_gemini_request(body, self.model, self.streamed))


@dataclass(frozen=True, slots=True)
class GeminiExchange:
    """One answer."""

    request: ModelRequest

    def charge(self) -> Charge:
        """A request and its input: output has no quota of its own."""
        return {"requests": 1, "input_tokens": prompt_tokens(self.request)}

    def whole(self, reply: Reply, model: str) -> bytes:
        """The response with its one candidate."""
        parts = [_call_part(call) for call in reply.calls]
        if reply.pieces or not parts:
            parts.append({"text": "".join(reply.pieces)})
        usage = _usage_object(reply.usage, reply.usage.visible)
        return _encode(_response(_identity(model), parts, _finish_reason(reply), usage))

    def stream(self, reply: Reply, model: str) -> GeminiStream:
        """The chunks."""
        return GeminiStream(reply, model)


class GeminiStream:
    """The chunks of a streamed answer: each is a response of its own, with the usage so far.

    A call of a function comes whole, with its last token: Google does not stream arguments. The
    last call comes with the reason of the end, where clients look for it.
    """

    __slots__ = ("_frames", "_head", "_last", "_reply", "count")

    def __init__(self, reply: Reply, model: str) -> None:
        self._reply = reply
        self._head = _encode(_identity(model))[:-1]
        self._last = b'{"text":""}'
        if reply.calls:
            frames = []
            for call in reply.calls:
                frames += [b""] * (call.tokens - 1) + [_encode(_call_part(call))]
            self._last, frames[-1] = frames[-1], b""
            self._frames = frames
        else:
            self._frames = [_text_part(piece) for piece in reply.pieces]
        self.count = len(self._frames)

    def opening(self) -> bytes:
        """Nothing: the first chunk brings content."""
        return b""

    def events(self, start: int, stop: int) -> bytes:
        """The chunks of the tokens from ``start`` to before ``stop``."""
        frames = enumerate(self._frames[start:stop], start + 1)
        return b"".join([self._chunk(part, None, done) for done, part in frames if part])

    def closing(self) -> bytes:
        """The chunk that says why it ends, with all that was used."""
        return self._chunk(self._last, _finish_reason(self._reply), self.count)

    def _chunk(self, part: bytes, reason: str | None, done: int) -> bytes:
        finish = b',"finishReason":"' + reason.encode() + b'"' if reason else b""
        usage = _encode(_usage_object(self._reply.usage, done))
        content = b'{"parts":[' + part + b'],"role":"model"}'
        candidate = b'{"content":' + content + finish + b',"index":0}'
        fields = b',"candidates":[' + candidate + b'],"usageMetadata":' + usage + b"}"
        return b"data: " + self._head + fields + b"\r\n\r\n"


def _response(
    identity: dict[str, Any], parts: list[Any], reason: str, usage: dict[str, Any]
) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"}
    candidate = {"content": content, "finishReason": reason, "index": 0}
    return {**identity, "candidates": [candidate], "usageMetadata": usage}


def _identity(model: str) -> dict[str, Any]:
    return {"modelVersion": model, "responseId": uuid4().hex}


def _finish_reason(reply: Reply) -> str:
    """Calls of functions end with STOP, like text."""
    return "MAX_TOKENS" if reply.finish == "length" else "STOP"


@lru_cache(maxsize=8192)
def _text_part(piece: str) -> bytes:
    return _encode({"text": piece})


def _call_part(call: ToolCall) -> dict[str, Any]:
    arguments = msgspec.Raw(call.arguments.encode())
    return {"functionCall": {"name": call.name, "args": arguments, "id": call.key}}


def _usage_object(usage: Usage, visible: int) -> dict[str, Any]:
    """Thoughts are counted apart from the candidates; what nothing is of is left out."""
    counts: dict[str, Any] = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": visible,
        "totalTokenCount": usage.prompt + visible + usage.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt}],
    }
    if usage.cached:
        counts["cachedContentTokenCount"] = usage.cached
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    return counts
