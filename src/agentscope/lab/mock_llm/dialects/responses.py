"""OpenAI's Responses: a reply as one object, or as the events of a stream."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from agentscope.lab.mock_llm.dialects.openai import OpenAIProvider
from agentscope.lab.mock_llm.dialects.responses_requests import (
    ResponsesRequest,
    as_model_request,
    decode_responses_request,
)
from agentscope.lab.mock_llm.dialects.responses_store import ResponseStore
from agentscope.lab.mock_llm.events import call_frames
from agentscope.lab.mock_llm.quota import Charge
from agentscope.lab.mock_llm.replies import Reply, ToolCall, Usage
from agentscope.lab.mock_llm.request import Message, ModelRequest, PastCall
from agentscope.lab.mock_llm.tokens import charged_tokens

_encode = msgspec.json.Encoder().encode


class ResponsesDialect:
    """``POST /v1/responses``."""

    path: ClassVar[str] = "/v1/responses"

    def __init__(self, provider: OpenAIProvider) -> None:
        self.provider = provider
        self._store = ResponseStore()

    def read(self, body: bytes) -> ResponsesExchange:
        """Read a request."""
        asked, offer = decode_responses_request(body)
        earlier = self._store.history(asked.previous_response_id)
        request = as_model_request(asked, offer, earlier)
        return ResponsesExchange(request, asked, self._store)


@dataclass(frozen=True, slots=True)
class ResponsesExchange:
    """One response."""

    request: ModelRequest
    asked: ResponsesRequest
    store: ResponseStore

    def charge(self) -> Charge:
        """As for a chat completion."""
        return {"requests": 1, "tokens": charged_tokens(self.request)}

    def whole(self, reply: Reply, model: str) -> bytes:
        """The ``response`` object."""
        response = Response(self.asked, reply, model)
        self.keep(response)
        return _encode(response.as_json(finished=True))

    def stream(self, reply: Reply, model: str) -> ResponsesStream:
        """The events."""
        return ResponsesStream(self, Response(self.asked, reply, model))

    def keep(self, response: Response) -> None:
        """Remember what was said, for the next request of the conversation."""
        if self.asked.store is False:
            return
        # Instructions hold for one response only.
        start = 1 if self.asked.instructions else 0
        messages = (*self.request.messages[start:], response.as_message())
        self.store.keep(response.id, messages)


class Response:
    """A reply as a ``response`` object, in the making or finished."""

    __slots__ = ("_asked", "_created_s", "_model", "id", "message_id", "reply", "status")

    def __init__(self, asked: ResponsesRequest, reply: Reply, model: str) -> None:
        self.id = f"resp_{uuid4().hex}"
        self.message_id = f"msg_{uuid4().hex}"
        self.reply = reply
        self.status = "incomplete" if reply.finish == "length" else "completed"
        self._asked = asked
        self._model = model
        self._created_s = int(time.time())

    def as_message(self) -> Message:
        """What the model said, as the history of the next request."""
        calls = tuple(
            PastCall(f"call_{call.key}", call.name, call.arguments) for call in self.reply.calls
        )
        return Message("assistant", "".join(self.reply.pieces), calls=calls)

    def as_json(self, finished: bool) -> dict[str, Any]:
        """The object."""
        asked, incomplete = self._asked, finished and self.status == "incomplete"
        wanted = asked.text.format if asked.text else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_s,
            "status": self.status if finished else "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "model": self._model,
            "output": self.items() if finished else [],
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": asked.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": asked.store is not False,
            "temperature": 1.0,
            "text": {"format": wanted or {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": asked.tools if bytes(asked.tools) not in (b"", b"null") else [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": _usage_object(self.reply.usage) if finished else None,
            "user": asked.user,
            "metadata": asked.metadata or {},
        }

    def items(self) -> list[dict[str, Any]]:
        """The finished output."""
        if self.reply.calls:
            return [call_item(call, finished=True) for call in self.reply.calls]
        return [self.message_item([self.text_part("".join(self.reply.pieces))], self.status)]

    def message_item(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        """The output item of an answer in text."""
        item = {"id": self.message_id, "type": "message", "status": status}
        return {**item, "role": "assistant", "content": content}

    def text_part(self, text: str) -> dict[str, Any]:
        """The part of it that holds the text."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class ResponsesStream:
    """The events of a streamed answer; what pieces of text have of their own is shared."""

    __slots__ = ("_exchange", "_frames", "_response", "_sequence", "_text_head", "count")

    def __init__(self, exchange: ResponsesExchange, response: Response) -> None:
        self._exchange = exchange
        self._response = response
        self._sequence = 0
        self._text_head = b""
        self._frames: list[tuple[bytes, ...]]
        reply = response.reply
        if reply.calls:
            self._frames = call_frames(reply.calls, self._started, self._arguments, ())
        else:
            head = _frame("response.output_text.delta", {**self._part(), "logprobs": []})
            self._text_head = head + b',"delta":'
            self._frames = [_text_frame(piece) for piece in reply.pieces]
        self.count = len(self._frames)

    def opening(self) -> bytes:
        """The response without output, and the beginning of an answer in text."""
        response = self._response
        begun = {"response": response.as_json(finished=False)}
        frames = [_frame("response.created", begun), _frame("response.in_progress", begun)]
        if self._text_head:
            item = response.message_item([], "in_progress")
            frames.append(_frame("response.output_item.added", {"output_index": 0, "item": item}))
            part = {**self._part(), "part": response.text_part("")}
            frames.append(_frame("response.content_part.added", part))
        return self._numbered(frames)

    def events(self, start: int, stop: int) -> bytes:
        """The events of the tokens from ``start`` to before ``stop``."""
        head = self._text_head
        frames = [head + part for frame in self._frames[start:stop] for part in frame]
        return self._numbered(frames)

    def closing(self) -> bytes:
        """The end of the last item, and the response with its output and usage."""
        response = self._response
        self._exchange.keep(response)
        frames: list[bytes] = []
        if self._text_head:
            part, text = self._part(), "".join(response.reply.pieces)
            done = {**part, "text": text, "logprobs": []}
            frames.append(_frame("response.output_text.done", done))
            done = {**part, "part": response.text_part(text)}
            frames.append(_frame("response.content_part.done", done))
            done = {"output_index": 0, "item": response.items()[0]}
            frames.append(_frame("response.output_item.done", done))
        else:
            frames.extend(_call_done(len(response.reply.calls) - 1, response.reply.calls[-1]))
        ended = {"response": response.as_json(finished=True)}
        return self._numbered([*frames, _frame(f"response.{response.status}", ended)])

    def _started(self, index: int, call: ToolCall) -> tuple[bytes, ...]:
        added = {"output_index": index, "item": call_item(call, finished=False)}
        frame = _frame("response.output_item.added", added)
        if index == 0:
            return (frame,)
        return (*_call_done(index - 1, self._response.reply.calls[index - 1]), frame)

    def _arguments(self, index: int, piece: str) -> tuple[bytes, ...]:
        item_id = f"fc_{self._response.reply.calls[index].key}"
        delta = {"item_id": item_id, "output_index": index, "delta": piece}
        return (_frame("response.function_call_arguments.delta", delta),)

    def _part(self) -> dict[str, Any]:
        return {"item_id": self._response.message_id, "output_index": 0, "content_index": 0}

    def _numbered(self, frames: list[bytes]) -> bytes:
        """The events of frames, each with its number."""
        first, self._sequence = self._sequence, self._sequence + len(frames)
        return b"".join(
            [b'%b,"sequence_number":%d}\n\n' % (f, n) for n, f in enumerate(frames, first)]
        )


def call_item(call: ToolCall, finished: bool) -> dict[str, Any]:
    """The output item of a function call."""
    return {
        "id": f"fc_{call.key}",
        "type": "function_call",
        "status": "completed" if finished else "in_progress",
        "call_id": f"call_{call.key}",
        "name": call.name,
        "arguments": call.arguments if finished else "",
    }


def _call_done(index: int, call: ToolCall) -> tuple[bytes, bytes]:
    done = {"item_id": f"fc_{call.key}", "output_index": index, "arguments": call.arguments}
    item = {"output_index": index, "item": call_item(call, finished=True)}
    return (
        _frame("response.function_call_arguments.done", done),
        _frame("response.output_item.done", item),
    )


def _frame(name: str, fields: dict[str, Any]) -> bytes:
    """An event up to its number."""
    return b"event: " + name.encode() + b"\ndata: " + _encode({"type": name, **fields})[:-1]


@lru_cache(maxsize=8192)
def _text_frame(piece: str) -> tuple[bytes, ...]:
    return (_encode(piece),)


def _usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.output,
    }
