"""Rate-limit headers, a vocabulary: what each provider's are called, and what their values mean.

==================  ==========================================================================
OpenAI, Groq,       ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``; resets ``6ms``,
Azure OpenAI        ``1m2.5s``, Azure's in bare seconds, with ``-renewalperiod-`` at times
Mistral, Cerebras   the same with the window in the name: ``-req-10-second``, ``-tokens-minute``
Fireworks           ``x-ratelimit-limit-tokens-{prompt,generated}``
Anthropic           ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{…}``,
                    each of a minute (https://docs.anthropic.com/en/api/rate-limits); resets are
                    dates (RFC 3339)
Together            ``x-ratelimit-{…}`` for requests, ``x-tokenlimit-{…}`` for tokens
Replicate           ``ratelimit-{…}``, of the IETF draft; its ``ratelimit`` and ``-policy`` too
                    (draft-ietf-httpapi-ratelimit-headers)
LiteLLM             any of them after ``llm_provider-``
==================  ==========================================================================

Gemini and Vertex AI send none, but name a quota in the body of a refusal; Bedrock never tells.
Read by whoever records a service and by whoever analyses a run. Nothing here raises, whatever a
server sent.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0

DIMENSIONS: Final = ("requests", "tokens", "input_tokens", "output_tokens")
"""What quotas count."""

LITELLM: Final = "llm_provider-"
"""LiteLLM's proxy passes its provider's headers on under their names after this prefix."""

PREFIXES: Final = ("x-ratelimit-", "x-tokenlimit-", "anthropic-ratelimit-", "ratelimit-")
"""How the names of rate-limit headers begin, but for the draft's bare ``ratelimit``."""

MAX_RESET_S: Final = 366 * DAY_S
"""A reset further away is none."""

_WHAT: Final = {
    "requests": "requests",
    "req": "requests",
    "tokens": "tokens",
    "tokens-prompt": "input_tokens",
    "tokens-generated": "output_tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_WINDOWS_S: Final = {
    "second": 1.0, "minute": MINUTE_S, "hour": 3600.0, "day": DAY_S, "month": 30 * DAY_S,
}  # fmt: skip
_PART: Final = "(?P<part>limit|remaining|reset)"
_WORD: Final = f"(?P<what>{'|'.join(sorted(_WHAT, key=len, reverse=True))})"
_NAMED: Final = re.compile(
    rf"x-ratelimit-(?:{_PART}|(?P<period>renewalperiod))-{_WORD}"
    rf"(?:-(?:(?P<count>[1-9]\d{{0,3}})-)?(?P<unit>{'|'.join(_WINDOWS_S)}))?",
    re.ASCII,
)
_ANTHROPIC: Final = re.compile(rf"anthropic-ratelimit-{_WORD}-{_PART}")
_BARE: Final = re.compile(rf"(?P<family>x-ratelimit|x-tokenlimit|ratelimit)-{_PART}")
_DRAFT: Final = {
    "ratelimit-policy": ("limit", "window"),
    "ratelimit": ("limit", "remaining", "reset"),
}
_PROXIED: Final = LITELLM.replace("_", "-")


class Field(NamedTuple):
    """What one header's name says."""

    family: str
    dimension: str
    parts: tuple[str, ...]
    """What it tells of the quota: ``limit``, ``remaining``, ``reset``, ``window``."""
    window_s: float | None = None
    """Seconds in which the quota refills, by the name or its documentation; None: neither says."""
    proxied: bool = False
    """Passed on by a proxy from its provider."""


@functools.lru_cache(maxsize=512)  # servers send the same names over and over
def field_of(header: str) -> Field | None:
    """Read a header's name, hyphens spelled as underscores too; None for any other header."""
    spelled = header.lower().replace("_", "-")
    name = spelled.removeprefix(_PROXIED)
    proxied = name != spelled
    if named := _NAMED.fullmatch(name):
        unit = named["unit"]
        window_s = int(named["count"] or 1) * _WINDOWS_S[unit] if unit else None
        part = "window" if named["period"] else named["part"]
        return Field("named", _WHAT[named["what"]], (part,), window_s, proxied)
    if dated := _ANTHROPIC.fullmatch(name):
        return Field("anthropic", _WHAT[dated["what"]], (dated["part"],), MINUTE_S, proxied)
    if bare := _BARE.fullmatch(name):
        dimension = "tokens" if bare["family"] == "x-tokenlimit" else "requests"
        return Field(bare["family"], dimension, (bare["part"],), None, proxied)
    if name in _DRAFT:
        return Field("ratelimit", "requests", _DRAFT[name], None, proxied)
    return None


@dataclass(frozen=True)
class Family:
    """The headers that tell of one quota."""

    dimension: str
    window_s: float | None
    proxied: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    """The header to read, by what it says: ``limit``, ``remaining``, ``reset``, ``window``."""


def families(headers: Iterable[str]) -> list[Family]:
    """Sort headers into the quotas that they tell of; a proxy's own come before its provider's.

    The proxy's quota is the one that refuses first. Other headers are left out.
    """
    found: dict[tuple[str, str, float | None, bool], dict[str, str]] = {}
    # A policy says the limit where there is one; the state beside it may or may not.
    for header in sorted(headers, key=lambda one: not one.endswith("policy")):
        told = field_of(header)
        if told is not None:
            key = (told.family, told.dimension, told.window_s, told.proxied)
            parts = found.setdefault(key, {})
            for part in told.parts:
                parts.setdefault(part, header)
    return sorted(
        (
            Family(dimension, window_s, proxied, parts)
            for (_, dimension, window_s, proxied), parts in found.items()
        ),
        key=lambda one: one.proxied,
    )


_PAIR: Final = re.compile(r"\b(limit|remaining|reset|q|r|t|w)=(\d{1,18})", re.ASCII)
_SHORT: Final = {"q": "limit", "r": "remaining", "t": "reset", "w": "window"}
_NUMBER: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(?:[,;].*)?", re.ASCII)


def amount(text: str | None, part: str = "") -> float | None:
    """A count of requests, tokens or seconds: ``60``, ``100;w=60``, or its part of ``r=50;t=30``.

    None for what is none, as the −1 that Azure sends at times.
    """
    if text is None:
        return None
    if "=" in text:
        for key, digits in _PAIR.findall(text):
            if _SHORT.get(key, key) == part:
                return float(digits)
        if part not in ("", "limit"):
            return None
    number = _NUMBER.fullmatch(text.strip())
    return float(number[1]) if number is not None else None


_DURATION: Final = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ms|us|µs|s|m|h|d)", re.ASCII)
_UNITS_S: Final = {
    "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S,
}  # fmt: skip
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", re.ASCII)
_EPOCH_S: Final = 1e9
"""A bare number as large as this is a date: the epoch's seconds, or milliseconds."""
_EPOCH_MS: Final = 1e12


def reset_s(text: str | None, from_s: float | None) -> float | None:
    """Seconds from ``from_s`` (since the epoch) until a reset: a duration, or a date; else None.

    A date says nothing where it is not known when the answer was written.
    """
    if text is None:
        return None
    text = text.strip()
    if _RFC_3339.match(text):
        at_s = _rfc_3339_s(text)
    else:
        at_s = duration_s(text)
        if at_s is not None and at_s < _EPOCH_S:
            return at_s if at_s <= MAX_RESET_S else None
        if at_s is not None and at_s >= _EPOCH_MS:
            at_s /= 1000
    if at_s is None or from_s is None or at_s - from_s > MAX_RESET_S:
        return None
    return max(0.0, at_s - from_s)


def duration_s(text: str | None) -> float | None:
    """Seconds of a duration: ``6ms``, ``1.2s``, ``6m0s``, ``1h2m3s``, or bare; else None."""
    found = exact_s(text)
    return amount(text, "reset") if found is None else found


def exact_s(text: str | None) -> float | None:
    """The same where it has a unit, as those do that are no whole seconds."""
    if text is None:
        return None
    text = text.strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return round(math.fsum(float(number) * _UNITS_S[unit] for number, unit in parts), 9)


@functools.lru_cache(maxsize=128)  # under load, many responses name the same second
def _rfc_3339_s(text: str) -> float | None:
    try:
        date = datetime.fromisoformat(text.upper())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


@functools.lru_cache(maxsize=128)
def http_date_s(text: str | None) -> float | None:
    """A response's ``date``, which the provider's clock wrote like its resets; else None."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
