"""What a provider's rate-limit headers say, as gauges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from agentscope import conventions as c
from agentscope.clients.gauges import set_gauge
from agentscope.clients.headers import first_value
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue

DIMENSIONS = ("requests", "tokens")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|s|m|h|d)", re.ASCII)
_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Quota(NamedTuple):
    """One dimension of a quota, as far as the headers tell it."""

    dimension: str
    limit: float | None
    remaining: float | None
    reset_s: float | None


def publish(
    recorder: Recorder, headers: Mapping[str, AttributeValue], provider: str, model: str
) -> None:
    """Set the gauges of every quota that ``headers`` name; 0 is a value like any other."""
    for quota in quotas(headers):
        labels = (provider, model, quota.dimension)
        for metric, value in (
            (c.RATELIMIT_LIMIT, quota.limit),
            (c.RATELIMIT_REMAINING, quota.remaining),
            (c.RATELIMIT_RESET, quota.reset_s),
        ):
            if value is not None:
                set_gauge(recorder, metric, labels, value)


def quotas(headers: Mapping[str, AttributeValue]) -> list[Quota]:
    """The quotas in OpenAI's dialect: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``."""
    found = []
    for dimension in DIMENSIONS:
        limit = amount(first_value(headers, f"x-ratelimit-limit-{dimension}"))
        remaining = amount(first_value(headers, f"x-ratelimit-remaining-{dimension}"))
        reset_s = duration_s(first_value(headers, f"x-ratelimit-reset-{dimension}"))
        if not limit is remaining is reset_s is None:
            found.append(Quota(dimension, limit, remaining, reset_s))
    return found


def amount(text: str | None) -> float | None:
    """A count of requests or tokens; None for what is none, as the −1 that Azure sends at times."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def duration_s(text: str | None) -> float | None:
    """Seconds of a reset: ``6ms``, ``1.2s``, ``6m0s``, ``1h2m3s``, or bare seconds; else None."""
    if text is None:
        return None
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return math.fsum(float(number) * _UNITS_S[unit] for number, unit in parts)
    return amount(text)
