"""Token counts, estimated from characters.

No tokenizer is used. OpenAI's rule of thumb is four characters of English a token, and 137 of 423
publicly recorded ``x-ratelimit-remaining-tokens`` differences fit, within two tokens,
16 + Σ over messages of (⌈characters / 4⌉ + 1) as what a request is charged before it runs: not
what a tokenizer counts. Rows with many tools stay unexplained. So every figure here is an
estimate, and the same one everywhere: quota, usage and the number of pieces of a stream agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agentscope.lab.mock_llm.request import Message, ModelRequest

CHARS_PER_TOKEN = 4
DEFAULT_RESERVATION_TOKENS = 16
"""Output tokens charged up front for a request that names no limit of its own."""

CACHE_MIN_TOKENS = 1024
CACHE_STEP_TOKENS = 128
"""OpenAI caches prompt prefixes of 1024 tokens and more, in steps of 128."""


class CacheUse(NamedTuple):
    """Input tokens that a prompt cache held, and those that were added to it at a price."""

    read: int
    written: int


def text_tokens(text: str) -> int:
    """Tokens of a text: ⌈characters / 4⌉."""
    return -(-len(text) // CHARS_PER_TOKEN)


def charged_tokens(request: ModelRequest) -> int:
    """Tokens a request takes from OpenAI's quota before it runs; nothing is given back later.

    The output limit it names is reserved whole; tool schemas are not counted.
    """
    reserved = request.output_limit
    if reserved is None:
        reserved = DEFAULT_RESERVATION_TOKENS
    return reserved + sum(text_tokens(message.text) + 1 for message in request.messages)


def prompt_tokens(request: ModelRequest) -> int:
    """Input tokens that the answer's usage reports: messages, their tool calls, tool schemas."""
    return _messages_tokens(request.messages) + request.offer.tokens


def cache_use(request: ModelRequest) -> CacheUse:
    """What a prefix cache would hold: what the previous call of the conversation had sent.

    That is everything before the model's own last message, and the tool schemas. Nothing is
    remembered between requests, so what another conversation left in the cache is not seen.
    """
    last = max((i for i, m in enumerate(request.messages) if m.role == "assistant"), default=0)
    if request.cache_point is None:
        prefix = _prefix_tokens(request, last) if last else 0
        return CacheUse(prefix // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS, 0)
    if request.cache_point < 0:
        return CacheUse(0, 0)
    marked = _prefix_tokens(request, request.cache_point)
    read = min(marked, _prefix_tokens(request, last)) if last else 0
    return CacheUse(read, marked - read)


def _prefix_tokens(request: ModelRequest, count: int) -> int:
    """Tokens of the tools and the first ``count`` messages; 0 if that is too little to cache."""
    tokens = _messages_tokens(request.messages[:count]) + request.offer.tokens
    return tokens if tokens >= CACHE_MIN_TOKENS else 0


def _messages_tokens(messages: Iterable[Message]) -> int:
    total = 0
    for message in messages:
        total += text_tokens(message.text) + 1
        for call in message.calls:
            total += text_tokens(call.name) + text_tokens(call.arguments)
    return total
