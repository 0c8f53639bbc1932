"""What a message history says of where the conversation stands.

The server keeps nothing between requests: how many rounds of tool calls the turn has had is
counted from the history, back to the last thing a user really said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentscope.lab.mock_llm.request import Message

_REMINDER = re.compile(r"<(system-reminder|reminder)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_REMINDER_NAMES = frozenset({"reminder", "system-reminder"})


@dataclass(frozen=True, slots=True)
class Conversation:
    """A history, read once."""

    user_texts: tuple[str, ...]
    """What users really said, oldest first: reminders taken out."""
    rounds: int
    """Messages with tool calls since the last of them."""
    unbroken_rounds: int
    """Messages with tool calls since the last answer in text, whatever users said meanwhile."""
    results: tuple[str, ...]
    """Results of tools since the last of the user's messages."""


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Read a history.

    A user's message that comes straight after a tool's result, before any answer, is taken for a
    reminder even if nothing marks it: agents append such messages each round, and counting
    afresh from each would make the model call tools for ever.
    """
    user_texts: list[str] = []
    results: list[str] = []
    rounds = unbroken_rounds = 0
    awaits_answer = False
    for message in messages:
        if message.role == "user":
            said = _really_said(message)
            if said is not None and not awaits_answer:
                user_texts.append(said)
                results.clear()
                rounds = 0
        elif message.role == "tool":
            awaits_answer = True
            results.append(message.text)
        elif message.role == "assistant":
            awaits_answer = False
            calls = bool(message.calls)
            rounds += calls
            unbroken_rounds = unbroken_rounds + 1 if calls else 0
    return Conversation(tuple(user_texts), rounds, unbroken_rounds, tuple(results))


def _really_said(message: Message) -> str | None:
    """A user's text without reminders; None if nothing else is in it."""
    if message.name in _REMINDER_NAMES:
        return None
    text = message.text
    if "reminder>" not in text.lower():
        return text
    return _REMINDER.sub("", text).strip() or None
