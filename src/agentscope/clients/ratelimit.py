"""What a provider's rate-limit headers say, published as gauges.

The dialects are those of ``ratelimit_headers``; Google's refusals are read by ``google_quotas``. A
monthly quota, and others that share a dimension with a shorter one, are read but not published: the
shortest window is the one that load runs into. All of them stay on the span of the attempt.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

from agentscope import conventions as c
from agentscope.clients.headers import DATE, first_value
from agentscope.ratelimit_headers import (
    DAY_S,
    MINUTE_S,
    Family,
    amount,
    exact_s,
    families,
    http_date_s,
    reset_s,
)
from agentscope.recording.instruments import Instruments, ValueAt
from agentscope.recording.span import AttributeValue

SILENT_AFTER_S = 60.0
"""How long a quota is told to be full again before nothing is told of it: a few scrapes."""


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

    def lasting(self) -> list[tuple[c.Metric, float]]:
        """What stays true when nobody asks, by the gauge that shows it."""
        values = ((c.RATELIMIT_LIMIT, self.limit), (c.RATELIMIT_WINDOW, self.window_s))
        return [(metric, value) for metric, value in values if value is not None]

    def passing(self, told_s: float) -> list[tuple[c.Metric, ValueAt]]:
        """What does not, told at ``told_s`` (since the epoch), by the gauge that shows it.

        An answer tells what is left, and when all of it is there again: from then on it is, as far
        as the provider has said, and soon after nothing is said, for others may use it too.
        """
        reset_s = self.window_s if self.reset_s is None else self.reset_s
        full_s = math.inf if reset_s is None else told_s + reset_s
        silent_s = SILENT_AFTER_S + (told_s + MINUTE_S if reset_s is None else full_s)

        def remaining(now_s: float) -> float | None:
            if now_s >= silent_s:
                return None
            return self.limit if now_s >= full_s and self.limit is not None else self.remaining

        def reset(now_s: float) -> float | None:
            return None if now_s >= silent_s else max(0.0, full_s - now_s)

        told: list[tuple[c.Metric, ValueAt]] = []
        if self.remaining is not None:
            told.append((c.RATELIMIT_REMAINING, remaining))
        if self.reset_s is not None:
            told.append((c.RATELIMIT_RESET, reset))
        return told


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
        for metric, value in quota.lasting():
            instruments.set(metric, labels, value)
        for metric, value_at in quota.passing(now_s):
            instruments.set_passing(metric, labels, value_at, now_s)


def quotas(headers: Mapping[str, AttributeValue], now_s: float) -> list[Quota]:
    """The quotas that kept headers tell of, the shortest window of a dimension first.

    ``now_s``, since the epoch, is what resets that are dates are counted from where the response
    has no date of its own. Never raises, whatever the values are.
    """
    date_s = http_date_s(first_value(headers, DATE))
    from_s = now_s if date_s is None else date_s
    records = [_quota(family, headers, from_s) for family in _families(tuple(headers))]
    return sorted(
        (one for one in records if not one.limit is one.remaining is one.reset_s is None),
        key=lambda one: (one.window_s is None, one.window_s or 0),
    )


@functools.lru_cache(maxsize=256)  # a server's answers have the same headers, mostly
def _families(headers: tuple[str, ...]) -> list[Family]:
    return families(headers)


def _quota(family: Family, headers: Mapping[str, AttributeValue], from_s: float) -> Quota:
    told = {part: first_value(headers, name) for part, name in family.headers.items()}
    limit = amount(told.get("limit"), "limit")
    remaining = amount(told.get("remaining"), "remaining")
    reset = told.get("reset")
    window_s = family.window_s
    if window_s is None:
        window_s = amount(told.get("window"), "window") or _window_s(limit, remaining, reset)
    return Quota(family.dimension, limit, remaining, reset_s(reset, from_s), window_s)


def _window_s(limit: float | None, remaining: float | None, reset: str | None) -> float | None:
    """Whether a quota is of a minute or of a day, by its reset; None where that does not tell.

    A bucket that refills continuously is full after used / limit · window. ``remaining`` is
    whole, so one used unit more or less may be refilled already. With a single unit used, a
    day's bucket looks like a minute's for a 1440th of the time, and is then taken for one.
    Resets in whole seconds without a unit (Azure, Together) are too coarse.
    """
    if not limit or remaining is None or not 0 < limit - remaining <= limit:
        return None
    left_s = exact_s(reset)
    if left_s is None:
        return None
    used = limit - remaining
    for window_s in (MINUTE_S, DAY_S):
        least_s = (used - 1) / limit * window_s * 0.98 - 0.0015  # resets are rounded to 1 ms
        if least_s <= left_s <= used / limit * window_s * 1.02 + 0.0015:
            return window_s
    return None
