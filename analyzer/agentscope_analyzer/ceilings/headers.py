"""Rate-limit headers as attempts keep them: attributes of a span, read by the recorder's vocabulary.

Attributes are named ``http.response.header.<name>``; some instrumentations spell the name's hyphens
as underscores. Values are lists, which reach us as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from agentscope import ratelimit_headers
from agentscope.conventions import HTTP_RESPONSE_HEADER
from agentscope.ratelimit_headers import Family, amount, http_date_s, reset_s

__all__ = ["PARTS", "answered_s", "families", "first_value", "number", "reset_in_s"]

PARTS: Final = ("limit", "remaining", "reset", "window")
"""What headers tell of a quota."""


def families(attributes: Iterable[str]) -> list[Family]:
    """The quotas whose limit some attributes tell, in a fixed order; headers by their attributes."""
    names = sorted(attribute.removeprefix(HTTP_RESPONSE_HEADER) for attribute in attributes)
    found = [
        Family(
            one.dimension,
            one.window_s,
            one.proxied,
            {part: HTTP_RESPONSE_HEADER + name for part, name in one.headers.items()},
        )
        for one in ratelimit_headers.families(names)
        if "limit" in one.headers
    ]
    return sorted(found, key=lambda one: (one.proxied, one.dimension, one.window_s or 0.0))


def number(text: str | None, part: str = "") -> float | None:
    """Read a header's value: a number, a JSON list whose first item is one, or ``r=50;t=30``."""
    return amount(first_value(text), part)


def reset_in_s(text: str | None, from_s: float | None) -> float | None:
    """Seconds until a reset: a duration, or a date counted from ``from_s``."""
    return reset_s(first_value(text), from_s)


def answered_s(date: str | None, end_ns: int | None) -> float | None:
    """When an answer was written, by the provider's own clock where it says so."""
    moment_s = http_date_s(first_value(date))
    if moment_s is not None:
        return moment_s
    return None if end_ns is None else end_ns / 1e9


def first_value(text: str | None) -> str | None:
    """A header is recorded as a list of strings, which reaches us as JSON text."""
    if text is None or not text.startswith("["):
        return text.strip() if text else None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return str(values[0]).strip() if values else None
