"""What the simulated customers say: conversations of two to ten turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class ScriptError(ValueError):
    """A script file cannot be used; the message names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class Script:
    """One conversation, as the user's side of it: what is said in each turn."""

    name: str
    turns: tuple[str, ...]


SCRIPTS: tuple[Script, ...] = (
    Script(
        "opening hours",
        (
            "Hello, when are you open?",
            "And at the weekend?",
        ),
    ),
    Script(
        "late parcel",
        (
            "Where is my order #12345?",
            "It should have been here yesterday. Can you see what went wrong?",
            "Please send a replacement by express.",
            "Thanks, that is all.",
        ),
    ),
    Script(
        "two orders",
        (
            "Can you check orders #12346 and #12351 for me?",
            "Which of the two comes first?",
            "Put both in one delivery, please.",
        ),
    ),
    Script(
        "choosing a plan",
        (
            "What is in the enterprise plan?",
            "Does it connect to our CRM?",
            "What would 500 seats cost?",
            "And if we pay for a year at once?",
            "I would like to see a demo next week.",
        ),
    ),
    Script(
        "a return",
        (
            "I want to return order #12360.",
            "It is the wrong size, and I opened the box.",
            "How do I print the label?",
            "When do I get my money back?",
            "Could you exchange it for a size L instead?",
            "Fine, please do the exchange.",
        ),
    ),
    Script(
        "changing an address",
        (
            "I moved last month, can you change my address?",
            "The order is #12372 and it has not left yet, I hope.",
            "Please confirm the new address for that order.",
        ),
    ),
    Script(
        "a long complaint",
        (
            "My order #12388 came broken.",
            "The screen has a crack from corner to corner.",
            "I already wrote to you twice about it.",
            "What did the last answer say?",
            "Then check the status of #12388 again, please.",
            "Who pays for sending it back?",
            "Can the courier pick it up here?",
            "Tomorrow after five would be good.",
            "And the refund goes to the same card?",
            "Good. Please send me all of this by e-mail.",
        ),
    ),
)


def load_scripts(path: Path) -> tuple[Script, ...]:
    """Read conversations from a JSON file: a list of lists of what the user says.

    An item may also be ``{"name": …, "turns": […]}``. Raises ScriptError.
    """
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ScriptError(f"{path} is not JSON: {error}") from error
    if not isinstance(items, list) or not items:
        raise ScriptError(f"{path}: expected a list of conversations, each a list of strings")
    return tuple(_script(path, number, item) for number, item in enumerate(items, start=1))


def _script(path: Path, number: int, item: object) -> Script:
    name: object = f"script {number}"
    turns = item
    if isinstance(item, dict):
        name, turns = item.get("name", name), item.get("turns")
    if not isinstance(name, str) or not _all_said(turns):
        raise ScriptError(f"{path}: conversation {number} is not a list of non-empty strings")
    assert isinstance(turns, list)
    return Script(name, tuple(turns))


def _all_said(turns: object) -> bool:
    return (
        isinstance(turns, Sequence)
        and not isinstance(turns, str)
        and bool(turns)
        and all(isinstance(turn, str) and turn.strip() for turn in turns)
    )
