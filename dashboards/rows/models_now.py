"""Calls of models at this moment: how many, how long, how many in vain."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from by_model import headroom, quantile, rate
from frame import Panel
from panels import (
    CALLS_PER_SECOND,
    NO_CALLS,
    NO_QUOTA,
    NO_RECORDER,
    NO_STREAMS,
    PLAIN,
    SHARE,
    figure,
)
from queries import or_zero, share_of

CALLS = rate(c.OPERATION_DURATION, "count")

RETRY_SHARE = f"clamp_min({rate(c.LLM_ATTEMPTS)} / ({CALLS} > 0) - 1, 0)"
"""Attempts beyond the first, per call."""

FAILED_CALLS = share_of(rate(c.OPERATION_DURATION, "count", where={"error_type": ".+"}), CALLS)
"""Calls that failed after all their retries, among all calls."""


def panels() -> list[Panel]:
    """Six figures: the ones that tell a slow model from a full quota."""
    return [
        figure(
            c.OPERATION_DURATION,
            "Calls a second",
            or_zero(CALLS),
            empty=NO_RECORDER,
            unit=CALLS_PER_SECOND,
            shows="logical calls of models that ended",
            read="What the service's code asked for; hidden retries are not in it.",
            then="divide by turns per second: calls per turn that rise are a model going in circles.",
        ),
        figure(
            c.OPERATION_DURATION,
            "Call time, p95",
            quantile(0.95, c.OPERATION_DURATION),
            empty=NO_CALLS,
            read="Retries and their sleeps are in it.",
            then="compare with retries and callers asleep beside it: if both are flat, the model "
            "itself takes this long.",
        ),
        figure(
            c.OPERATION_FIRST_CHUNK,
            "First chunk p95",
            quantile(0.95, c.OPERATION_FIRST_CHUNK),
            empty=NO_STREAMS,
            read="Streamed calls only: how long a user looks at nothing.",
            then="longer with more input tokens: shorten the context; longer at some hours: the "
            "provider.",
        ),
        figure(
            c.LLM_ATTEMPTS,
            "Retries a call",
            RETRY_SHARE,
            empty=NO_CALLS,
            unit=SHARE,
            levels=thresholds.RETRY_SHARE,
            shows="HTTP attempts beyond the first, per call",
            read="Client libraries retry out of sight; calls still succeed, only later.",
            then="attempts by status, next row: 4xx is the quota, 5xx and none the provider.",
        ),
        figure(
            c.LLM_BACKOFF,
            "Callers asleep",
            or_zero(rate(c.LLM_BACKOFF)),
            empty=NO_RECORDER,
            unit=PLAIN,
            levels=thresholds.CALLERS_ASLEEP,
            shows="calls that sleep between two attempts, at a time",
            read="Seconds slept a second. A sleep is counted when it ends.",
            then="rate_limit: ask for quota or send less; more workers make it worse.",
        ),
        figure(
            c.RATELIMIT_REMAINING,
            "Scarcest quota",
            f"min ({headroom()})",
            empty=NO_QUOTA,
            unit=SHARE,
            levels=thresholds.QUOTA_HEADROOM,
            shows="what is left of the provider's quota, as a share of it",
            read="The scarcest of all models and dimensions, as of the last answer.",
            then="the row on rate limits names the model and the dimension.",
        ),
    ]
