"""Response headers of a model's provider: which are kept, and what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from agentscope.ratelimit_headers import LITELLM, PREFIXES
from agentscope.recording.span import AttributeValue

FAMILIES = tuple((proxy + prefix).encode() for proxy in ("", LITELLM) for prefix in PREFIXES)
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
MAX_LINES = 64
"""A header may come in several lines; those of a response beyond these are left out."""

MAX_VALUE_LENGTH = 256

_MAX_REMEMBERED = 1024
"""Names that are looked up once; servers send the same ones over and over."""

_DURATION_MS = re.compile(r"\bdur=(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)


Line = tuple[str, bytes]
"""The name a header is kept under, and its value as it came."""


class _Kept(dict[bytes, str | None]):
    """Names as servers spell them, and the lower-case ones that they are kept under; or None."""

    def __missing__(self, name: bytes) -> str | None:
        lower = name.lower()
        kept = lower == DATE.encode() or lower in NAMES or lower.startswith(FAMILIES)
        key = lower.decode("latin-1")[:MAX_VALUE_LENGTH] if kept else None
        if len(self) < _MAX_REMEMBERED and len(name) <= MAX_VALUE_LENGTH:
            self[name] = key
        return key


_kept = _Kept()


def selected(headers: Iterable[tuple[bytes, bytes]]) -> list[Line]:
    """The lines of the allow-list, for ``kept_headers``; all that need be done at once."""
    kept, longest = _kept, MAX_VALUE_LENGTH
    lines = [
        (key, value if len(value) <= longest else value[:longest])
        for name, value in headers
        if (key := kept[name]) is not None
    ]
    return lines if len(lines) <= MAX_LINES else lines[:MAX_LINES]


def kept_headers(lines: list[Line]) -> dict[str, AttributeValue]:
    """Selected lines by lower-case name, as the lists OpenTelemetry wants."""
    kept: dict[str, list[str]] = {}
    date: str | None = None
    dated = False
    for key, value in lines:
        text = value.decode("latin-1")
        if key == DATE:
            date = text
        elif key in kept:
            kept[key].append(text)
        elif len(kept) < MAX_HEADERS:
            kept[key] = [text]
            dated = dated or key.endswith("-reset")
    if dated and date is not None and len(kept) < MAX_HEADERS:
        kept[DATE] = [date]
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
