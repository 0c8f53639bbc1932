"""A request to the model, whatever protocol it came in.

A dialect reads its protocol into these values and writes the reply in its own words; what lies
between (planner, quotas, latency, faults, streams) knows nothing of protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
ToolMode = Literal["auto", "none", "required"]

NOTHING_CACHED = -1
"""A cache point that keeps nothing."""

_CACHED_TOOLS_MAX_BYTES = 65_536


class PastCall(msgspec.Struct, frozen=True):
    """A tool call that the model made earlier."""

    id: str
    name: str
    arguments: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation, or one tool's result."""

    role: Role
    text: str = ""
    """Parts that are not text (images, audio) count as nothing."""
    name: str | None = None
    calls: tuple[PastCall, ...] = ()

    @property
    def chars(self) -> int:
        """Characters of all its texts."""
        return len(self.text) + sum(len(call.name) + len(call.arguments) for call in self.calls)


class Function(msgspec.Struct, frozen=True):
    """A function that may be called, with the JSON schema of its arguments."""

    name: str
    parameters: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request and the input tokens their schemas cost."""

    functions: tuple[Function, ...] = ()
    tokens: int = 0
    cached: bool = False
    """Whether a tool asks for the prompt to be cached up to it."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What the caller says of tools: whether to call, and which."""

    mode: ToolMode = "auto"
    names: frozenset[str] | None = None
    """The only ones that may be called; None for all."""
    named: bool = False
    """One was named, and is called once."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The form of an answer in text."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A request: what changes the answer, and nothing else."""

    model: str
    messages: Sequence[Message]
    offer: Offer = Offer()
    choice: ToolChoice = ToolChoice()
    parallel: bool = True
    """Whether several tools may be called at once."""
    stream: bool = False
    with_usage: bool = False
    """Whether a stream's end is to say the usage, where the protocol leaves that open."""
    output_limit: int | None = None
    """Most output tokens that the caller wants, None without a limit."""
    output_format: OutputFormat = OutputFormat()
    cache_point: int | None = None
    """The messages up to which the caller wants a prompt cache; None: the provider decides."""
    conversation_key: tuple[str, ...] = ()
    """What the caller says the conversation, or its user, is called."""


def remembered_offer(read: Callable[[bytes], Offer]) -> Callable[[bytes], Offer]:
    """``read``, with the newest answers kept: an agent sends the same tools with every call."""
    cached = lru_cache(maxsize=256)(read)

    def offer_of(tools: bytes) -> Offer:
        # Large ones are not worth the memory.
        return cached(tools) if len(tools) <= _CACHED_TOOLS_MAX_BYTES else read(tools)

    return offer_of


def offer_tokens(tools: bytes) -> int:
    """Input tokens that tool schemas cost: a quarter of their bytes."""
    return -(-len(tools) // 4)
