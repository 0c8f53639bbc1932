"""Response headers of a model's provider: which are kept, and what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from agentscope.recording.span import AttributeValue

LITELLM = "llm_provider-"
"""LiteLLM's proxy passes its provider's headers on under their names after this prefix."""

_FAMILIES = (
    "x-ratelimit-",  # OpenAI, Azure, Groq, Together, Mistral, Fireworks, Cerebras
    "x-tokenlimit-",  # Together
    "anthropic-ratelimit-",
    "ratelimit-",  # Replicate, and the IETF draft
)
FAMILIES = tuple((prefix + family).encode() for prefix in ("", LITELLM) for family in _FAMILIES)
"""How the names of rate-limit headers begin."""

_PROCESSING = (
    "openai-processing-ms",
    LITELLM + "openai-processing-ms",
    "x-envoy-upstream-service-time",  # Anthropic, Mistral
    LITELLM + "x-envoy-upstream-service-time",
)
_SERVER_TIMING = "server-timing"  # Gemini: gfet4t7; dur=812

NAMES = frozenset(
    {
        b"ratelimit",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"llm_provider-retry-after",
        b"llm_provider-retry-after-ms",
        b"x-request-id",
        b"request-id",
        b"apim-request-id",
        b"x-amzn-requestid",
        b"llm_provider-x-request-id",
        _SERVER_TIMING.encode(),
        *(name.encode() for name in _PROCESSING),
    }
)
"""Other headers that are kept; every header not named here stays unread."""

DATE = "date"
"""Kept beside a reset that may be a date: the provider's clock is not ours."""

MAX_HEADERS = 32
MAX_VALUE_LENGTH = 256

_DURATION_MS = re.compile(r"\bdur=(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)


def kept_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, AttributeValue]:
    """The headers of the allow-list, by lower-case name, as the lists OpenTelemetry wants."""
    kept: dict[str, list[str]] = {}
    date: bytes | None = None
    dated = False
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in NAMES or name.startswith(FAMILIES):
            text = value.decode("latin-1")[:MAX_VALUE_LENGTH]
            key = name.decode("latin-1")[:MAX_VALUE_LENGTH]
            if key in kept:
                kept[key].append(text)
            elif len(kept) < MAX_HEADERS:
                kept[key] = [text]
                dated = dated or key.endswith("-reset")
        elif name == b"date":
            date = value
    if dated and date is not None and len(kept) < MAX_HEADERS:
        kept[DATE] = [date.decode("latin-1")[:MAX_VALUE_LENGTH]]
    return dict(kept)


def first_value(headers: Mapping[str, AttributeValue], name: str) -> str | None:
    """The first line of a kept header."""
    values = headers.get(name)
    return str(values[0]) if isinstance(values, list) and values else None


def server_processing_s(headers: Mapping[str, AttributeValue]) -> float | None:
    """Seconds the provider says it worked; for a stream, until its headers went out."""
    for name in _PROCESSING:
        text = first_value(headers, name)
        if text is not None:
            return _milliseconds(text)
    timing = _DURATION_MS.search(first_value(headers, _SERVER_TIMING) or "")
    return float(timing[1]) / 1000 if timing is not None else None


def _milliseconds(text: str) -> float | None:
    try:
        processing_s = float(text) / 1000
    except ValueError:
        return None
    return processing_s if math.isfinite(processing_s) and processing_s >= 0 else None
