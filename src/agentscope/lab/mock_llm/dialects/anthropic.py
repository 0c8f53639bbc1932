"""Anthropic: keys, headers and errors of its addresses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from agentscope.lab.mock_llm.dialects.dialect import HeaderList
from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.events import SERVER_SENT_EVENTS, Framing
from agentscope.lab.mock_llm.quota import Dimension, Quota, Reading, Refusal
from agentscope.lab.mock_llm.replies import Usage

SECOND_NS = 1_000_000_000

_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_FAULT_MESSAGES = {
    429: "This request would exceed your organization's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}
_UNITS = {
    "requests": "requests per minute",
    "input_tokens": "input tokens per minute",
    "output_tokens": "output tokens per minute",
}


class AnthropicProvider:
    """Anthropic's side of an answer.

    Requests, input and output tokens have buckets of their own. The input is charged as if no
    cache held any of it, and corrected when the model begins: what was read from the cache is
    free. The output is reserved whole, ``max_tokens``, and what was not used is given back when
    the answer ends.
    """

    id_header: ClassVar[bytes] = b"request-id"
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = (
        (b"anthropic-organization-id", b"org-mock"),
    )
    says_retry_after: ClassVar[bool] = True
    retry_in_ms: ClassVar[bool] = False
    corrected: ClassVar[tuple[Dimension, ...]] = ("input_tokens", "output_tokens")
    framing: ClassVar[Framing] = SERVER_SENT_EVENTS

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """``x-api-key``, or the bearer token that newer clients send in its place."""
        bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return headers.get(b"x-api-key", bearer)

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """The ``anthropic-ratelimit-*`` headers; ``tokens`` is input and output together.

        As at Anthropic, remaining tokens are rounded to thousands, and ``reset`` is the time at
        which the bucket is full again.
        """
        readings = quota.readings(now_ns)
        wall_ns = self._wall_ns()
        headers = []
        tokens = [readings[d] for d in self.corrected if d in readings]
        if "requests" in readings:
            headers += _headers(b"requests", readings["requests"], wall_ns, 1)
        if tokens:
            together = Reading(
                sum(reading.limit for reading in tokens),
                sum(reading.remaining for reading in tokens),
                max(reading.reset_ns for reading in tokens),
            )
            headers += _headers(b"tokens", together, wall_ns, 1000)
        for dimension in self.corrected:
            if dimension in readings:
                name = dimension.replace("_", "-").encode()
                headers += _headers(name, readings[dimension], wall_ns, 1000)
        return headers

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """Nothing: Anthropic does not say how long it took."""
        return []

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429, naming the limit."""
        message = (
            "This request would exceed your organization's rate limit of "
            f"{refusal.limit} {_UNITS[refusal.dimension]} (organization: org-mock, model: {model}). "
            f"Used {refusal.used}, requested {refusal.requested}. "
        )
        if refusal.too_large:
            message += "It asks for more than a minute holds: reduce the prompt or max_tokens."
        else:
            message += "Please try again later."
        return ApiError(429, message, "rate_limit_error")

    def planted(self, status: int, retry_after: str) -> ApiError:
        """The error of a fault that was asked for."""
        message = _FAULT_MESSAGES.get(status, f"Fault with status {status}.")
        return ApiError(status, message, _kind(status))

    def error_headers(self, error: ApiError) -> HeaderList:
        """Nothing: the body says it all."""
        return []

    def error_body(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """The error by its kind; what only OpenAI says of errors is left out."""
        described = {"type": _kind(error.status), "message": error.message}
        return {"type": "error", "error": described, "request_id": request_id}


def _kind(status: int) -> str:
    return _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _headers(name: bytes, reading: Reading, wall_ns: int, unit: int) -> HeaderList:
    prefix = b"anthropic-ratelimit-" + name
    remaining = (reading.remaining + unit // 2) // unit * unit
    # Rounded up: at the time that is told, the bucket is full.
    reset_s = -(-(wall_ns + reading.reset_ns) // SECOND_NS)
    reset = datetime.fromtimestamp(reset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        (prefix + b"-limit", b"%d" % reading.limit),
        (prefix + b"-remaining", b"%d" % remaining),
        (prefix + b"-reset", reset.encode()),
    ]
