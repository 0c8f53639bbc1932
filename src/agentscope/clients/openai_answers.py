"""What OpenAI's requests and answers say about a call: counts and names, never content."""

from __future__ import annotations

from typing import Any, Protocol

from agentscope import conventions as c
from agentscope.clients.counts import token_count
from agentscope.clients.inference import Call
from agentscope.recording.span import AttributeValue

MAX_REASONS = 32
"""Why each choice of an answer ended: some providers say it in every chunk."""


class Dialect(Protocol):
    """How one of the interfaces speaks."""

    operation: str

    def request(self, given: dict[str, Any]) -> dict[str, AttributeValue]:
        """Attributes that the arguments of the call give."""

    def answer(self, answer: Any, call: Call) -> None:
        """Take from a whole answer what the span needs."""

    def chunk(self, chunk: Any, call: Call) -> None:
        """Take from a chunk of a streamed answer what the span needs."""


class Chat:
    """``chat.completions``."""

    operation = "chat"

    def request(self, given: dict[str, Any]) -> dict[str, AttributeValue]:
        """Streamed or not, and the limit of the output."""
        attributes: dict[str, AttributeValue] = {}
        if given.get("stream") is True:
            attributes[c.REQUEST_STREAM] = True
        for name in ("max_completion_tokens", "max_tokens"):
            if isinstance(given.get(name), int):
                attributes[c.REQUEST_MAX_TOKENS] = given[name]
                break
        return attributes

    def answer(self, answer: Any, call: Call) -> None:
        """A ``ChatCompletion``."""
        _identify(answer, call)
        # No choices: a gateway that reports its provider's error as an answer with status 200.
        reasons = [str(one.finish_reason) for one in answer.choices or () if one.finish_reason]
        if reasons:
            call.note(c.FINISH_REASONS, reasons[:MAX_REASONS])
        _chat_usage(answer.usage, call)

    def chunk(self, chunk: Any, call: Call) -> None:
        """A ``ChatCompletionChunk``."""
        if not call.begun:
            _begin(chunk, call)
        for choice in chunk.choices or ():
            if choice.finish_reason:
                call.complete = True
                attributes = call.span.attributes
                reasons = attributes.get(c.FINISH_REASONS)
                known = reasons if isinstance(reasons, list) else []
                if len(known) < MAX_REASONS:
                    attributes[c.FINISH_REASONS] = [*map(str, known), str(choice.finish_reason)]
        if chunk.usage is not None:
            _chat_usage(chunk.usage, call)


class Embeddings:
    """``embeddings``."""

    operation = "embeddings"

    def request(self, given: dict[str, Any]) -> dict[str, AttributeValue]:
        """Nothing beyond the model."""
        return {}

    def answer(self, answer: Any, call: Call) -> None:
        """A ``CreateEmbeddingResponse``."""
        call.note(c.RESPONSE_MODEL, str(answer.model))
        _count(call, c.INPUT_TOKENS, answer.usage, "prompt_tokens")

    def chunk(self, chunk: Any, call: Call) -> None:
        """Embeddings are not streamed."""


class Responses:
    """``responses``."""

    operation = "chat"

    def request(self, given: dict[str, Any]) -> dict[str, AttributeValue]:
        """Streamed or not, and the limit of the output."""
        attributes: dict[str, AttributeValue] = {}
        if given.get("stream") is True:
            attributes[c.REQUEST_STREAM] = True
        if isinstance(given.get("max_output_tokens"), int):
            attributes[c.REQUEST_MAX_TOKENS] = given["max_output_tokens"]
        return attributes

    def answer(self, answer: Any, call: Call) -> None:
        """A ``Response``."""
        _identify(answer, call)
        if answer.status:
            call.note(c.FINISH_REASONS, [str(answer.status)])
        usage = answer.usage
        _count(call, c.INPUT_TOKENS, usage, "input_tokens")
        _count(call, c.OUTPUT_TOKENS, usage, "output_tokens")
        _count(call, c.CACHE_READ_TOKENS, usage, "input_tokens_details", "cached_tokens")
        _count(call, c.REASONING_TOKENS, usage, "output_tokens_details", "reasoning_tokens")
        if answer.status == "failed":  # with HTTP status 200, and no exception
            code = _failure(answer)
            call.note(c.LLM_ERROR_CODE, code)
            call.fail(code)

    def chunk(self, chunk: Any, call: Call) -> None:
        """A ``ResponseStreamEvent``."""
        kind = chunk.type
        if kind in _ENDS:
            call.complete = True
            self.answer(chunk.response, call)
        elif kind in _CONTENT:
            call.first_content()


_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CONTENT = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.audio.delta",
    }
)


def _failure(answer: Any) -> str:
    """The provider's own word for why there is no answer, such as ``rate_limit_exceeded``."""
    code = getattr(getattr(answer, "error", None), "code", None)
    return code[:64] if isinstance(code, str) and code else c.UNKNOWN_ERROR


def _identify(answer: Any, call: Call) -> None:
    if answer.id:
        call.note(c.RESPONSE_ID, str(answer.id))
    if answer.model:
        call.note(c.RESPONSE_MODEL, str(answer.model))


def _begin(chunk: Any, call: Call) -> None:
    attributes = call.span.attributes
    if c.RESPONSE_ID not in attributes:
        _identify(chunk, call)
    if any(_has_content(choice.delta) for choice in chunk.choices or ()):
        call.first_content()
    call.begun = c.RESPONSE_ID in attributes and c.TIME_TO_FIRST_CHUNK in attributes


def _has_content(delta: Any) -> bool:
    """Whether a delta brings something to show or do: not a role, not reasoning."""
    return delta is not None and bool(
        delta.content or delta.tool_calls or delta.refusal or delta.function_call
    )


def _chat_usage(usage: Any, call: Call) -> None:
    _count(call, c.INPUT_TOKENS, usage, "prompt_tokens")
    _count(call, c.OUTPUT_TOKENS, usage, "completion_tokens")
    _count(call, c.CACHE_READ_TOKENS, usage, "prompt_tokens_details", "cached_tokens")
    _count(call, c.REASONING_TOKENS, usage, "completion_tokens_details", "reasoning_tokens")


def _count(call: Call, key: str, usage: Any, *path: str) -> None:
    """Note a count, where the answer has one."""
    for name in path:
        usage = getattr(usage, name, None)
    count = token_count(usage)
    if count is not None:
        call.span.attributes[key] = count
