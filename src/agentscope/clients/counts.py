"""Counts of tokens, as providers write them in their answers."""

from __future__ import annotations

MAX_TOKENS = 10**12
"""More than any call can have: what is beyond is no count, and would drown every sum it is in."""


def token_count(value: object) -> int | None:
    """``value`` where it is a count; None for what stands in the place of one, as −1 does at times."""
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None
