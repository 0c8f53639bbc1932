"""What Google's refusals say of quotas, which its headers never do.

The body of a 429 may name the quotas that were exceeded (``google.rpc.QuotaFailure``) and when to
come back (``google.rpc.RetryInfo``)::

    {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
      {"@type": "…QuotaFailure", "violations": [{
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
        "quotaValue": "10"}]},
      {"@type": "…RetryInfo", "retryDelay": "46s"}]}}

A quota's identity tells what it counts and for how long. Vertex AI's shared capacity has no quota
and names none.
"""

from __future__ import annotations

import math
import re
from typing import Any

from agentscope import conventions as c
from agentscope.clients.ratelimit import Quota
from agentscope.ratelimit_headers import DAY_S, MINUTE_S, amount, duration_s
from agentscope.recording.context import attached_span
from agentscope.recording.instruments import Labels
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role, Span

_TYPE = "type.googleapis.com/google.rpc."
_WORD = re.compile(r"[A-Z][a-z]*")
_PASSING = (c.RATELIMIT_REMAINING, c.RATELIMIT_RESET)
"""Gauges that are true of the moment of a refusal, and of no later one."""

MAX_VIOLATIONS = 16
_MAX_EXHAUSTED = 1000

_exhausted: dict[tuple[str, str], set[Labels]] = {}
"""What was refused since it last answered, by provider and model."""


def refused(recorder: Recorder, error: Any) -> None:
    """Publish what ``error``, an ``APIError`` being made, says of the quotas it exceeded."""
    span = attached_span()
    if error.code not in c.RATE_LIMIT_STATUSES or span is None or span.role is not Role.INFERENCE:
        return
    key = _key(span)
    now_s = recorder.clock.epoch_ns(recorder.clock.monotonic_ns()) / 1e9
    for quota in exceeded(error.details):
        labels = (*key, quota.dimension)
        for metric, value in quota.lasting():
            recorder.set(metric, labels, value)
        for metric, value_at in quota.passing(now_s):
            recorder.set_passing(metric, labels, value_at)
        if key in _exhausted or len(_exhausted) < _MAX_EXHAUSTED:
            _exhausted.setdefault(key, set()).add(labels)


def recovered(recorder: Recorder, span: Span) -> None:
    """The model has answered the call ``span``: its quota is no longer used up."""
    for labels in _exhausted.pop(_key(span), ()) if _exhausted else ():
        for metric in _PASSING:
            recorder.forget(metric, labels)


def exceeded(body: Any) -> list[Quota]:
    """The quotas that the body of a refusal names, of a dimension the one with the shortest window.

    Never raises, whatever the body is. How long to wait is when a quota of a minute is full
    again; for one of a day Google says seconds too, after which it is not.
    """
    details = _object(_object(body).get("error", body)).get("details")
    delay_s = None
    violations: list[Any] = []
    for detail in details if isinstance(details, list) else ():
        kind = str(_object(detail).get("@type")).removeprefix(_TYPE)
        if kind == "RetryInfo":
            delay_s = _delay_s(detail.get("retryDelay"))
        elif kind == "QuotaFailure" and isinstance(detail.get("violations"), list):
            violations += detail["violations"][:MAX_VIOLATIONS]
    found: dict[str, Quota] = {}
    for violation in violations:
        quota = _quota(_object(violation), delay_s)
        if quota is not None:
            known = found.get(quota.dimension)
            if known is None or (quota.window_s or math.inf) < (known.window_s or math.inf):
                found[quota.dimension] = quota
    return list(found.values())


def _quota(violation: dict[str, Any], delay_s: float | None) -> Quota | None:
    words = set(_WORD.findall(str(violation.get("quotaId"))[:256]))
    dimension = _dimension(words)
    if dimension is None:
        return None
    window_s = MINUTE_S if "Minute" in words else DAY_S if "Day" in words else None
    limit = amount(str(violation.get("quotaValue"))[:32])
    return Quota(dimension, limit, 0, delay_s if window_s == MINUTE_S else None, window_s)


def _dimension(words: set[str]) -> str | None:
    if "Requests" in words:
        return "requests"
    if words & {"Tokens", "Token"}:
        return "input_tokens" if "Input" in words else "tokens"
    return None


def _delay_s(text: object) -> float | None:
    return duration_s(text[:32]) if isinstance(text, str) else None


def _key(span: Span) -> tuple[str, str]:
    return (
        str(span.attributes.get(c.PROVIDER_NAME, "")),
        str(span.attributes.get(c.REQUEST_MODEL, "")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
