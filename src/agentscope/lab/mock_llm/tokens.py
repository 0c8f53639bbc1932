"""Token counts, estimated from characters.

No tokenizer is used. OpenAI's rule of thumb is four characters of English a token, and 137 of 423
publicly recorded ``x-ratelimit-remaining-tokens`` differences fit, within two tokens,
16 + Σ over messages of (⌈characters / 4⌉ + 1) as what a request is charged before it runs: not
what a tokenizer counts. Rows with many tools stay unexplained. So every figure here is an
estimate, and the same one everywhere: quota, usage and the number of pieces of a stream agree.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentscope.lab.mock_llm.protocol import ChatRequest, Message

CHARS_PER_TOKEN = 4
DEFAULT_RESERVATION_TOKENS = 16
"""Output tokens charged up front for a request that names no limit of its own."""

CACHE_MIN_TOKENS = 1024
CACHE_STEP_TOKENS = 128
"""OpenAI caches prompt prefixes of 1024 tokens and more, in steps of 128."""


def text_tokens(text: str) -> int:
    """Tokens of a text: ⌈characters / 4⌉."""
    return -(-len(text) // CHARS_PER_TOKEN)


def charged_tokens(request: ChatRequest) -> int:
    """Tokens a request takes from the quota before it runs; nothing is given back later.

    The output limit it names is reserved whole; tool schemas are not counted.
    """
    reserved = request.output_limit or DEFAULT_RESERVATION_TOKENS
    return reserved + sum(text_tokens(message.text) + 1 for message in request.messages)


def prompt_tokens(request: ChatRequest) -> int:
    """Input tokens that the answer's usage reports: messages, their tool calls, tool schemas."""
    return _messages_tokens(request.messages) + request.offer.tokens


def cached_tokens(request: ChatRequest) -> int:
    """Input tokens that a prefix cache would hold: what the previous call had already sent.

    That is everything before the model's own last message, and the tool schemas.
    """
    last = max((i for i, m in enumerate(request.messages) if m.role == "assistant"), default=0)
    if last == 0:
        return 0
    prefix = _messages_tokens(request.messages[:last]) + request.offer.tokens
    if prefix < CACHE_MIN_TOKENS:
        return 0
    return prefix // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS


def _messages_tokens(messages: Iterable[Message]) -> int:
    total = 0
    for message in messages:
        total += text_tokens(message.text) + 1
        for call in message.tool_calls or ():
            total += text_tokens(call.function.name) + text_tokens(call.function.arguments)
    return total
