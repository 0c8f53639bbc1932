"""What a stream is made of, and when: pieces of a reply, one a token, framed by a dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agentscope.lab.mock_llm.replies import ToolCall
from agentscope.lab.mock_llm.tokens import text_tokens
from agentscope.lab.mock_llm.wording import split_text

Frame = TypeVar("Frame")


@dataclass(frozen=True, slots=True)
class Framing:
    """How a provider puts events into the body of a response."""

    content_type: bytes
    count: Callable[[bytes], int]
    """How many whole events are in these bytes."""


# JSON has no bare line ends, so an empty line stands nowhere but after an event.
SERVER_SENT_EVENTS = Framing(b"text/event-stream; charset=utf-8", lambda body: body.count(b"\n\n"))


class EventStream(Protocol):
    """The events of a streamed answer as bytes, whole ones each time."""

    @property
    def count(self) -> int:
        """The tokens of the answer."""
        ...

    def opening(self) -> bytes:
        """The events before the first token; they are written together with it."""
        ...

    def events(self, start: int, stop: int) -> bytes:
        """The events of the tokens from ``start`` to before ``stop``; a token may have none."""
        ...

    def closing(self) -> bytes:
        """The events after the last token."""
        ...


def call_frames(
    calls: tuple[ToolCall, ...],
    started: Callable[[int, ToolCall], Frame],
    piece: Callable[[int, str], Frame],
    nothing: Frame,
) -> list[Frame]:
    """The frames of tool calls, one a token: a name is a call's first, whole; then arguments.

    A frame is ``nothing`` where its token is part of an earlier one.
    """
    frames: list[Frame] = []
    for index, call in enumerate(calls):
        frames.append(started(index, call))
        frames.extend(nothing for _ in range(text_tokens(call.name) - 1))
        frames.extend(piece(index, part) for part in split_text(call.arguments))
    return frames
