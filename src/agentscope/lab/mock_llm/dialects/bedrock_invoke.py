"""Bedrock's InvokeModel with the body of Anthropic's Messages, whole or streamed."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field

import msgspec

from agentscope.lab.mock_llm.dialects.amazon import AmazonInvokeProvider, amazon_charge
from agentscope.lab.mock_llm.dialects.eventstream import event_message
from agentscope.lab.mock_llm.dialects.messages import MessagesExchange, MessagesStream
from agentscope.lab.mock_llm.dialects.messages_requests import decode_messages_request
from agentscope.lab.mock_llm.errors import invalid_request, not_json
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply, Usage
from agentscope.lab.mock_llm.request import ModelRequest

VERSION = "bedrock-2023-05-31"
"""What ``anthropic_version`` has to be."""

_DATA = b"data: "
_PING = b'{"type":"ping"}'
_END = b'{"type":"message_stop"}'

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class InvokeDialect:
    """``POST /model/{model}/invoke`` and ``/invoke-with-response-stream``."""

    provider: AmazonInvokeProvider
    path: str
    model: str
    streamed: bool

    def read(self, body: bytes) -> InvokeExchange:
        """Read a request: the model and whether to stream stand in the address."""
        try:
            fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            version = msgspec.json.decode(fields.get("anthropic_version", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(error) from None
        if version != VERSION:
            raise invalid_request(f"Only Anthropic's bodies: anthropic_version must be {VERSION!r}")
        fields["model"] = msgspec.Raw(_encode(self.model))
        fields["stream"] = msgspec.Raw(_encode(self.streamed))
        return InvokeExchange(decode_messages_request(_encode(fields)))


@dataclass(frozen=True, slots=True)
class InvokeExchange:
    """One message."""

    request: ModelRequest
    began_s: float = field(default_factory=time.monotonic)

    def charge(self) -> Charge:
        """A request, its input, and as much output as it may get."""
        return amazon_charge(self.request)

    def whole(self, reply: Reply, model: str) -> bytes:
        """Anthropic's ``message`` object."""
        return MessagesExchange(self.request).whole(reply, model)

    def stream(self, reply: Reply, model: str) -> InvokeStream:
        """Anthropic's events, in Amazon's wrapping."""
        return InvokeStream(MessagesStream(reply, model), reply.usage, self.began_s)


class InvokeStream:
    """Each of Anthropic's events as the bytes of a ``chunk``; the last one counts the tokens."""

    __slots__ = ("_began_s", "_first_s", "_inner", "_usage", "count")

    def __init__(self, inner: MessagesStream, usage: Usage, began_s: float) -> None:
        self._inner = inner
        self._usage = usage
        self._began_s = began_s
        self._first_s = 0.0
        self.count = inner.count

    def opening(self) -> bytes:
        """The message without content, and the block of text if there is one."""
        self._first_s = time.monotonic()
        return self._wrapped(self._inner.opening())

    def events(self, start: int, stop: int) -> bytes:
        """The events of the tokens from ``start`` to before ``stop``."""
        return self._wrapped(self._inner.events(start, stop))

    def closing(self) -> bytes:
        """The end of the last block, the stop reason with the usage, the end of the message."""
        return self._wrapped(self._inner.closing())

    def _wrapped(self, events: bytes) -> bytes:
        lines = events.split(b"\n")
        data = [line.removeprefix(_DATA) for line in lines if line.startswith(_DATA)]
        return b"".join([self._chunk(one) for one in data if one != _PING])

    def _chunk(self, data: bytes) -> bytes:
        if data == _END:
            data = _encode(
                {"type": "message_stop", "amazon-bedrock-invocationMetrics": self._metrics()}
            )
        return event_message("chunk", _encode({"bytes": base64.b64encode(data).decode()}))

    def _metrics(self) -> dict[str, int]:
        usage = self._usage
        return {
            "inputTokenCount": usage.prompt - usage.cached - usage.cache_written,
            "outputTokenCount": usage.output,
            "invocationLatency": int((time.monotonic() - self._began_s) * 1000),
            "firstByteLatency": int((self._first_s - self._began_s) * 1000),
            "cacheReadInputTokenCount": usage.cached,
            "cacheWriteInputTokenCount": usage.cache_written,
        }
