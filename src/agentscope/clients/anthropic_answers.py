"""What Anthropic's answers say about a call: counts and names, never content."""

from __future__ import annotations

from typing import Any

from agentscope import conventions as c
from agentscope.clients.counts import token_count
from agentscope.clients.inference import Call

_BEGINS_WORK = ("tool_use", "server_tool_use", "mcp_tool_use")
_TEXT = {"text_delta": "text", "input_json_delta": "partial_json", "citations_delta": "citation"}
"""Deltas that bring something to show or do, and where: not thinking, not signatures."""


class Messages:
    """``messages`` and ``beta.messages``."""

    def answer(self, answer: Any, call: Call) -> None:
        """A ``Message``."""
        _identify(answer, call)
        if answer.stop_reason:
            call.note(c.FINISH_REASONS, [str(answer.stop_reason)])
        _count_input(answer.usage, call)
        _count_output(answer.usage, call)

    def chunk(self, chunk: Any, call: Call) -> None:
        """A ``RawMessageStreamEvent``."""
        kind = chunk.type
        if kind == "content_block_delta":
            if c.TIME_TO_FIRST_CHUNK not in call.span.attributes and _has_content(chunk.delta):
                call.first_content()
        elif kind == "content_block_start":
            if chunk.content_block.type in _BEGINS_WORK:
                call.first_content()
        elif kind == "message_start":
            _identify(chunk.message, call)
            _count_input(chunk.message.usage, call)
            # The tokens of the output so far, one or two: no count of the answer.
        elif kind == "message_delta":
            if chunk.delta.stop_reason:
                call.complete = True
                call.note(c.FINISH_REASONS, [str(chunk.delta.stop_reason)])
            _count_input(chunk.usage, call)
            _count_output(chunk.usage, call)


def _identify(message: Any, call: Call) -> None:
    if message.id:
        call.note(c.RESPONSE_ID, str(message.id))
    if message.model:
        call.note(c.RESPONSE_MODEL, str(message.model))


def _has_content(delta: Any) -> bool:
    name = _TEXT.get(delta.type)
    return name is not None and bool(getattr(delta, name, None))


def _count_input(usage: Any, call: Call) -> None:
    """Anthropic's ``input_tokens`` are those that were neither read from its cache nor written to it.

    The conventions' are all of them, so the three are added up. The last event of a stream may
    say some of them again, as totals; what it leaves out stays.
    """
    attributes = call.span.attributes
    known = {key: token_count(attributes.get(key)) for key in _CACHED}
    total = token_count(attributes.get(c.INPUT_TOKENS))
    uncached = token_count(getattr(usage, "input_tokens", None))
    if uncached is None and total is not None:
        uncached = total - sum(count or 0 for count in known.values())
    for key, name in _CACHED.items():
        count = token_count(getattr(usage, name, None))
        if count is not None:
            attributes[key] = known[key] = count
    kept = getattr(usage, "cache_creation", None)
    for_an_hour = token_count(getattr(kept, "ephemeral_1h_input_tokens", None))
    if for_an_hour:
        attributes[c.CACHE_WRITE_1H_TOKENS] = for_an_hour
    if uncached is not None:
        attributes[c.INPUT_TOKENS] = uncached + sum(count or 0 for count in known.values())


def _count_output(usage: Any, call: Call) -> None:
    output = token_count(getattr(usage, "output_tokens", None))
    if output is not None:
        call.span.attributes[c.OUTPUT_TOKENS] = output
    details = getattr(usage, "output_tokens_details", None)
    thinking = token_count(getattr(details, "thinking_tokens", None))
    if thinking is not None:
        call.span.attributes[c.REASONING_TOKENS] = thinking


_CACHED = {
    c.CACHE_READ_TOKENS: "cache_read_input_tokens",
    c.CACHE_WRITE_TOKENS: "cache_creation_input_tokens",
}
