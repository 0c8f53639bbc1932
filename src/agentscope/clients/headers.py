"""Response headers of a model's provider: which are kept, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agentscope.recording.span import AttributeValue

FAMILIES = (
    b"x-ratelimit-",  # OpenAI, Azure, Groq, Together, Mistral
    b"anthropic-ratelimit-",
    b"ratelimit-",  # Replicate, and the IETF draft
    b"llm_provider-x-ratelimit-",  # LiteLLM's proxy passes its provider's on
    b"llm_provider-anthropic-ratelimit-",
)
"""How the names of rate-limit headers begin."""

NAMES = frozenset(
    {
        b"ratelimit",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"llm_provider-retry-after",
        b"llm_provider-retry-after-ms",
        b"openai-processing-ms",
        b"x-envoy-upstream-service-time",
        b"x-request-id",
        b"request-id",
        b"apim-request-id",
        b"x-amzn-requestid",
        b"llm_provider-x-request-id",
    }
)
"""Other headers that are kept; every header not named here stays unread."""

MAX_HEADERS = 32
MAX_VALUE_LENGTH = 256

_PROCESSING = "openai-processing-ms"


def kept_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, AttributeValue]:
    """The headers of the allow-list, by lower-case name, as the lists OpenTelemetry wants."""
    kept: dict[str, list[str]] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in NAMES or name.startswith(FAMILIES):
            text = value.decode("latin-1")[:MAX_VALUE_LENGTH]
            key = name.decode("latin-1")[:MAX_VALUE_LENGTH]
            if key in kept:
                kept[key].append(text)
            elif len(kept) < MAX_HEADERS:
                kept[key] = [text]
    return dict(kept)


def first_value(headers: Mapping[str, AttributeValue], name: str) -> str | None:
    """The first line of a kept header."""
    values = headers.get(name)
    return str(values[0]) if isinstance(values, list) and values else None


def server_processing_s(headers: Mapping[str, AttributeValue]) -> float | None:
    """Seconds the provider says it worked; for a stream, until its headers went out."""
    text = first_value(headers, _PROCESSING)
    if text is None:
        return None
    try:
        processing_s = float(text) / 1000
    except ValueError:
        return None
    return processing_s if math.isfinite(processing_s) and processing_s >= 0 else None
