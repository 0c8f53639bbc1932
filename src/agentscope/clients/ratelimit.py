"""What a provider's rate-limit headers say: read from every dialect, published as gauges.

==================  ==========================================================================
OpenAI, Groq,       ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``; resets ``6ms``,
Azure OpenAI        ``1m2.5s``, Azure's in bare seconds, with ``-renewalperiod-`` at times
Mistral, Cerebras   the same with the window in the name: ``-req-10-second``, ``-tokens-minute``
Fireworks           ``x-ratelimit-limit-tokens-{prompt,generated}``
Anthropic           ``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{…}``;
                    resets are dates (RFC 3339)
Together            ``x-ratelimit-{…}`` for requests, ``x-tokenlimit-{…}`` for tokens
Replicate           ``ratelimit-{…}``, of the IETF draft; its ``ratelimit`` and ``-policy`` too
LiteLLM             any of them after ``llm_provider-``
==================  ==========================================================================

Gemini and Vertex AI send none, but name a quota in the body of a refusal (``google_quotas``);
Bedrock never tells. A monthly quota, and others that share a dimension with a
shorter one, are read but not published: the shortest window is the one that load runs into.
All of them stay on the span of the attempt.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from agentscope import conventions as c
from agentscope.clients.headers import DATE, LITELLM, first_value
from agentscope.recording.instruments import Instruments
from agentscope.recording.span import AttributeValue

MINUTE_S, DAY_S = 60.0, 86_400.0

MAX_RESET_S = 366 * DAY_S
"""A reset further away is none."""

_WHAT = {
    "requests": "requests",
    "req": "requests",
    "tokens": "tokens",
    "tokens-prompt": "input_tokens",
    "tokens-generated": "output_tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_UNIT_S = {"second": 1.0, "minute": MINUTE_S, "hour": 3600.0, "day": DAY_S, "month": 30 * DAY_S}
_PART = "(?P<part>limit|remaining|reset)"
_WORD = f"(?P<what>{'|'.join(sorted(_WHAT, key=len, reverse=True))})"
_NAMED = re.compile(
    rf"x-ratelimit-(?:{_PART}|(?P<period>renewalperiod))-{_WORD}"
    r"(?:-(?:(?P<count>[1-9]\d{0,3})-)?(?P<unit>second|minute|hour|day|month))?",
    re.ASCII,
)
_ANTHROPIC = re.compile(rf"anthropic-ratelimit-{_WORD}-{_PART}")
_BARE = re.compile(rf"(?P<family>x-ratelimit|x-tokenlimit|ratelimit)-{_PART}")
_DRAFT = ("ratelimit", "ratelimit-policy")

_NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(?:[,;].*)?", re.ASCII)
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ms|us|µs|s|m|h|d)", re.ASCII)
_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", re.ASCII)
_DRAFT_PARTS = {
    "limit": "limit", "q": "limit", "remaining": "remaining", "r": "remaining",
    "reset": "reset", "t": "reset", "w": "window",
}  # fmt: skip
_DRAFT_PAIR = re.compile(r"\b(limit|remaining|reset|q|r|t|w)=(\d{1,18})", re.ASCII)
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""A bare number as large as this is a date: the epoch's seconds, or milliseconds."""


class Quota(NamedTuple):
    """One dimension of a quota, as far as the headers tell it."""

    dimension: str
    """``requests``, ``tokens``, ``input_tokens`` or ``output_tokens``."""
    limit: float | None
    remaining: float | None
    reset_s: float | None
    """Seconds until it is full again, counted from the response."""
    window_s: float | None = None
    """Seconds in which it refills from empty, where that can be told."""

    def gauges(self) -> list[tuple[c.Metric, float]]:
        """What is known of it, by the gauge that shows it."""
        values = (
            (c.RATELIMIT_LIMIT, self.limit),
            (c.RATELIMIT_REMAINING, self.remaining),
            (c.RATELIMIT_RESET, self.reset_s),
            (c.RATELIMIT_WINDOW, self.window_s),
        )
        return [(metric, value) for metric, value in values if value is not None]


def publish(
    headers: Mapping[str, AttributeValue],
    provider: str,
    model: str,
    now_s: float,
    instruments: Instruments,
) -> None:
    """Set the gauges of every quota that ``headers`` name; 0 is a value like any other.

    ``now_s``, since the epoch, is when they came.
    """
    seen = set()
    for quota in quotas(headers, now_s):
        if quota.dimension in seen:
            continue
        seen.add(quota.dimension)
        labels = (provider, model, quota.dimension)
        for metric, value in quota.gauges():
            instruments.set(metric, labels, value)


def quotas(headers: Mapping[str, AttributeValue], now_s: float) -> list[Quota]:
    """The quotas that kept headers tell of, the shortest window of a dimension first.

    ``now_s``, since the epoch, is what resets that are dates are counted from where the response
    has no date of its own. Never raises, whatever the values are.
    """
    found: dict[tuple[str, str, float | None], dict[str, str]] = {}
    # A proxy's own quota before its provider's: it is the one that refuses first.
    for name in sorted(headers, key=lambda name: name.startswith(LITELLM)):
        field = _field(name)
        text = first_value(headers, name)
        if field is None or text is None:
            continue
        told = found.setdefault((field.family, field.dimension, field.window_s), {})
        told.setdefault(field.part, text)
        if "=" in text:
            for key, number in _DRAFT_PAIR.findall(text):
                told.setdefault(_DRAFT_PARTS[key], number)
    from_s = _date_s(first_value(headers, DATE), now_s)
    records = [_quota(key[1], key[2], told, from_s) for key, told in found.items()]
    return sorted(
        (one for one in records if not one.limit is one.remaining is one.reset_s is None),
        key=lambda one: (one.window_s is None, one.window_s or 0),
    )


class _Field(NamedTuple):
    """What one header's name says. Fields of one family, dimension and window are one quota's."""

    family: str
    dimension: str
    part: str
    """``limit``, ``remaining``, ``reset``, ``window`` or ``policy``."""
    window_s: float | None = None


@functools.lru_cache(maxsize=512)
def _field(header: str) -> _Field | None:
    name = header.removeprefix(LITELLM)
    prefix = header[: len(header) - len(name)]
    if named := _NAMED.fullmatch(name):
        unit = named["unit"]
        window_s = int(named["count"] or 1) * _UNIT_S[unit] if unit else None
        part = "window" if named["period"] else named["part"]
        return _Field(prefix + "named", _WHAT[named["what"]], part, window_s)
    if dated := _ANTHROPIC.fullmatch(name):
        # Documented to be per minute, all of them.
        return _Field(prefix + "anthropic", _WHAT[dated["what"]], dated["part"], MINUTE_S)
    if bare := _BARE.fullmatch(name):
        dimension = "tokens" if bare["family"] == "x-tokenlimit" else "requests"
        return _Field(prefix + bare["family"], dimension, bare["part"])
    return _Field(prefix + _DRAFT[0], "requests", "policy") if name in _DRAFT else None


def _quota(dimension: str, window_s: float | None, told: dict[str, str], from_s: float) -> Quota:
    limit = amount(told.get("limit", told.get("policy")))
    remaining = amount(told.get("remaining"))
    reset = told.get("reset")
    if window_s is None:
        window_s = amount(told.get("window")) or _window_s(limit, remaining, reset)
    return Quota(dimension, limit, remaining, reset_s(reset, from_s), window_s)


def _window_s(limit: float | None, remaining: float | None, reset: str | None) -> float | None:
    """Whether a quota is of a minute or of a day, by its reset; None where that does not tell.

    A bucket that refills continuously is full after used / limit · window. ``remaining`` is
    whole, so one used unit more or less may be refilled already. With a single unit used, a
    day's bucket looks like a minute's for a 1440th of the time, and is then taken for one.
    Resets in whole seconds without a unit (Azure, Together) are too coarse.
    """
    if not limit or remaining is None or not 0 < limit - remaining <= limit:
        return None
    left_s = None if reset is None or _NUMBER.fullmatch(reset) else duration_s(reset)
    if left_s is None:
        return None
    used = limit - remaining
    for window_s in (MINUTE_S, DAY_S):
        least_s = (used - 1) / limit * window_s * 0.98 - 0.0015  # resets are rounded to 1 ms
        if least_s <= left_s <= used / limit * window_s * 1.02 + 0.0015:
            return window_s
    return None


def amount(text: str | None) -> float | None:
    """A count of requests or tokens; None for what is none, as the −1 that Azure sends at times."""
    number = _NUMBER.fullmatch(text.strip()) if text is not None else None
    return float(number[1]) if number is not None else None


def reset_s(text: str | None, from_s: float) -> float | None:
    """Seconds from ``from_s`` (since the epoch) until a reset: a duration, or a date; else None."""
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
    if at_s is None or at_s - from_s > MAX_RESET_S:
        return None
    return max(0.0, at_s - from_s)


def duration_s(text: str | None) -> float | None:
    """Seconds of a duration: ``6ms``, ``1.2s``, ``6m0s``, ``1h2m3s``, or bare; else None."""
    if text is None:
        return None
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return round(math.fsum(float(number) * _UNITS_S[unit] for number, unit in parts), 9)
    return amount(text)


@functools.lru_cache(maxsize=128)  # under load, many responses name the same second
def _rfc_3339_s(text: str) -> float | None:
    try:
        date = datetime.fromisoformat(text.upper())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _date_s(text: str | None, now_s: float) -> float:
    """The response's own date, which the provider's clock wrote like the resets."""
    at_s = _http_date_s(text) if text is not None else None
    return now_s if at_s is None else at_s


@functools.lru_cache(maxsize=128)
def _http_date_s(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
