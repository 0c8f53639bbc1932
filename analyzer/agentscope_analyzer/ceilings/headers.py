"""Rate-limit headers as attempts keep them: what a header's name says, and what its value is.

Attributes are named ``http.response.header.<name>``; some instrumentations spell the name's
hyphens as underscores. Which header says what, by provider:

- OpenAI, Groq, Azure OpenAI, Fireworks: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens,…}``
- Mistral, Cerebras: the same with the window behind it, ``-req-minute``, ``-tokens-10-second``
- Anthropic: ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,…}``, each of
  a minute (https://docs.anthropic.com/en/api/rate-limits); resets are dates
- Together, Replicate: ``x-ratelimit-limit``, ``x-tokenlimit-limit``, ``ratelimit-limit``
- the IETF draft (draft-ietf-httpapi-ratelimit-headers): ``ratelimit`` and ``ratelimit-policy``
- LiteLLM's proxy: any of them behind ``llm_provider-``
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from agentscope.conventions import HTTP_RESPONSE_HEADER

__all__ = ["DAY_S", "DIMENSIONS", "MINUTE_S", "Family", "duration_s", "families", "number"]

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
DIMENSIONS: Final = ("requests", "tokens", "input_tokens", "output_tokens")

_WINDOWS_S: Final = {
    "second": 1.0, "minute": MINUTE_S, "hour": 3600.0, "day": DAY_S, "month": 30 * DAY_S,
}  # fmt: skip
_DIMENSION: Final = {
    "req": "requests",
    "requests": "requests",
    "tokens": "tokens",
    "input-tokens": "input_tokens",
    "tokens-prompt": "input_tokens",
    "output-tokens": "output_tokens",
    "tokens-generated": "output_tokens",
}
_WHAT: Final = "|".join(sorted(_DIMENSION, key=len, reverse=True))
_PROXIED: Final = "llm-provider-"
_NAMED: Final = re.compile(
    rf"x-ratelimit-(?P<part>limit|remaining|reset|renewalperiod)-(?P<what>{_WHAT})"
    rf"(?:-(?:(?P<count>[1-9]\d{{0,3}})-)?(?P<unit>{'|'.join(_WINDOWS_S)}))?"
)
_ANTHROPIC: Final = re.compile(
    rf"anthropic-ratelimit-(?P<what>{_WHAT})-(?P<part>limit|remaining|reset)"
)
_BARE: Final = re.compile(
    r"(?P<family>x-ratelimit|x-tokenlimit|ratelimit)-(?P<part>limit|remaining|reset)"
)


@dataclass
class Family:
    """The headers that tell about one quota: attribute names by what they say of it.

    ``parts`` has ``limit``, ``remaining``, ``reset`` and ``window``, as far as there are headers.
    """

    dimension: str
    window_s: float | None
    """What the headers' names say, or their documentation; None where neither does."""
    proxied: bool = False
    parts: dict[str, str] = field(default_factory=dict)


def families(attributes: Iterable[str]) -> list[Family]:
    """Sort attributes into the quotas that they tell about; a proxy's own quota comes first."""
    found: dict[tuple[str, str, float | None], Family] = {}
    # A policy says the limit where there is one; the state beside it may or may not.
    for attribute in sorted(attributes, key=lambda one: (not one.endswith("policy"), one)):
        name = attribute.removeprefix(HTTP_RESPONSE_HEADER).lower().replace("_", "-")
        plain = name.removeprefix(_PROXIED)
        proxied = plain != name
        told = _read_name(plain)
        if told is None:
            continue
        kind, dimension, window_s, parts = told
        key = (f"{proxied} {kind}", dimension, window_s)
        family = found.setdefault(key, Family(dimension, window_s, proxied))
        for part in parts:
            family.parts.setdefault(part, attribute)
    told_limit = [family for family in found.values() if "limit" in family.parts]
    return sorted(told_limit, key=lambda one: (one.proxied, one.dimension, one.window_s or 0.0))


def _read_name(name: str) -> tuple[str, str, float | None, tuple[str, ...]] | None:
    """Family, dimension, window and what the header says; None for any other header."""
    if named := _NAMED.fullmatch(name):
        unit = named["unit"]
        window_s = int(named["count"] or 1) * _WINDOWS_S[unit] if unit else None
        part = "window" if named["part"] == "renewalperiod" else named["part"]
        return "named", _DIMENSION[named["what"]], window_s, (part,)
    if dated := _ANTHROPIC.fullmatch(name):
        return "anthropic", _DIMENSION[dated["what"]], MINUTE_S, (dated["part"],)
    if bare := _BARE.fullmatch(name):
        dimension = "tokens" if bare["family"] == "x-tokenlimit" else "requests"
        return bare["family"], dimension, None, (bare["part"],)
    if name == "ratelimit-policy":
        return "ratelimit", "requests", None, ("limit", "window")
    if name == "ratelimit":
        return "ratelimit", "requests", None, ("limit", "remaining", "reset")
    return None


_PAIR: Final = re.compile(r"\b(limit|remaining|reset|q|r|t|w)=(\d{1,18})", re.ASCII)
_NUMBER: Final = re.compile(r"(-?\d{1,18}(?:\.\d{1,9})?)(?:[,;].*)?", re.ASCII)
_SHORT: Final = {"q": "limit", "r": "remaining", "t": "reset", "w": "window"}


def number(text: str | None, part: str = "") -> float | None:
    """Read a header's value: a number, a JSON list whose first item is one, or ``r=50;t=30``."""
    value = first_value(text)
    if value is None:
        return None
    if "=" in value:
        pairs = {_SHORT.get(key, key): digits for key, digits in _PAIR.findall(value)}
        if part in pairs:
            return float(pairs[part])
        if part != "limit":
            return None
    plain = _NUMBER.fullmatch(value)
    return float(plain[1]) if plain is not None else None


_DURATION: Final = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d")
_EPOCH_S: Final = 1e9
"""A bare number of seconds as large as this is a moment, not a duration."""


def duration_s(text: str | None, from_s: float | None = None) -> float | None:
    """Read ``29.791s``, ``6m0s``, ``6ms``, bare seconds, or a date counted from ``from_s``."""
    value = first_value(text)
    if not value:
        return None
    if _DATE.match(value):
        return _until(_rfc_3339_s(value), from_s)
    match = _DURATION.fullmatch(value)
    if match is None:
        bare = number(value, "reset")
        return _until(bare, from_s) if bare is not None and bare >= _EPOCH_S else bare
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return days * DAY_S + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def answered_s(date: str | None, end_ns: int | None) -> float | None:
    """When an answer was written, by the provider's own clock where it says so."""
    value = first_value(date)
    if value is not None:
        try:
            moment = parsedate_to_datetime(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            pass
    return None if end_ns is None else end_ns / 1e9


def first_value(text: str | None) -> str | None:
    """A header is recorded as a list of strings, which reaches us as JSON text."""
    if text is None or not text.startswith("["):
        return text.strip() if text else None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return str(values[0]).strip() if values else None


def _rfc_3339_s(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _until(at_s: float | None, from_s: float | None) -> float | None:
    return None if at_s is None or from_s is None else max(0.0, at_s - from_s)
