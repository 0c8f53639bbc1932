"""Text that came from a run, made safe to show: nothing in it moves a cursor or turns a line."""

from __future__ import annotations

import unicodedata
from typing import Final

from agentscope_analyzer.document import RunFacts

MAX_HEADLINE: Final = 120
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """The text with control and invisible format characters spelled out."""
    return "".join(
        char if unicodedata.category(char) not in _HIDDEN else _spelled(char) for char in text
    )


def clipped(text: str, most: int) -> str:
    """The text if it is no longer than ``most`` characters, else its beginning and how long it is.

    >>> clipped("a" * 40, 20)
    'aaaaa… (40 characters)'
    """
    if len(text) <= most:
        return text
    rest = f"… ({len(text)} characters)"
    return text[: max(1, most - len(rest) + 2)] + rest


def title_of(run: RunFacts) -> str:
    """What a run is called: by its id, else by when it began, for other recorders give none."""
    if run.id:
        return f"run {run.id}"
    return f"run of {moment_of(run.started)}" if run.started else "run"


def moment_of(started: str) -> str:
    """``2026-11-21T21:20:43.514+00:00`` as people write it.

    >>> moment_of("2026-11-21T21:20:43.514+00:00")
    '2026-11-21 21:20 UTC'
    """
    return f"{started[:16].replace('T', ' ')} UTC"


def headline_of(statement: str) -> tuple[str, list[str]]:
    """A statement's headline and the clauses that follow it: the whole of it, in its own words.

    >>> headline_of("nothing binds at this load: p95 is 2 s; p50 is 1 s")
    ('Nothing binds at this load', ['p95 is 2 s', 'p50 is 1 s'])
    """
    first, colon, rest = statement.partition(": ")
    if not colon or len(first) > MAX_HEADLINE or "; " in first:
        first, _, rest = statement.partition("; ")
    return first[:1].upper() + first[1:], [clause for clause in rest.split("; ") if clause]


def _spelled(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
