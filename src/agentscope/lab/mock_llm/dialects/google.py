"""Google: keys, headers and errors of Gemini's addresses and of Vertex AI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from agentscope.lab.mock_llm.dialects.dialect import HeaderList
from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.events import Framing
from agentscope.lab.mock_llm.quota import Dimension, Quota, Refusal
from agentscope.lab.mock_llm.replies import Usage

_RPC = "type.googleapis.com/google.rpc."
_SERVICE = "generativelanguage.googleapis.com/"

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FAULT_MESSAGES = {
    429: "Resource has been exhausted (e.g. check quota).",
    500: "An internal error has occurred. Please retry.",
    503: "The model is overloaded. Please try again later.",
}
_QUOTAS = {
    "requests": ("generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel"),
    "input_tokens": (
        "generate_content_paid_tier_input_token_count",
        "GenerateContentPaidTierInputTokensPerModelPerMinute",
    ),
}
"""The metric and the identity of a quota, as Google's refusals name them."""


class GoogleError(ApiError):
    """An error with the details that Google adds to some."""

    def __init__(self, status: int, message: str, details: list[dict[str, Any]]) -> None:
        super().__init__(status, message, _status_word(status))
        self.details = details


class GoogleProvider:
    """Google's side of an answer: nothing of a quota stands in a header, all of it in the 429."""

    id_header: ClassVar[bytes] = b""
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    says_retry_after: ClassVar[bool] = False
    retry_in_ms: ClassVar[bool] = False
    corrected: ClassVar[tuple[Dimension, ...]] = ()
    framing: ClassVar[Framing] = Framing(b"text/event-stream", lambda body: body.count(b"\r\n\r\n"))

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """``x-goog-api-key``, or the bearer token of Vertex AI."""
        bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return headers.get(b"x-goog-api-key", bearer)

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """Nothing."""
        return []

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """``server-timing``, up to the headers."""
        return [(b"server-timing", b"gfet4t7; dur=%d" % (spent_s * 1000))]

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429: which quota it is, how large, and when to come back, all in the body."""
        name, identity = _QUOTAS[refusal.dimension]
        wait_s = -(-refusal.wait_ns // 10**9)
        message = (
            "You exceeded your current quota, please check your plan and billing details. "
            f"\n* Quota exceeded for metric: {_SERVICE}{name}, limit: {refusal.limit}, "
            f"model: {model}"
        )
        violation = {
            "quotaMetric": _SERVICE + name,
            "quotaId": identity,
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": str(refusal.limit),
        }
        details: list[dict[str, Any]] = [_detail("QuotaFailure", violations=[violation])]
        if not refusal.too_large:
            message += f"\nPlease retry in {refusal.wait_ns / 1e9}s."
            details.append(_detail("RetryInfo", retryDelay=f"{wait_s}s"))
        return GoogleError(429, message, details)

    def planted(self, status: int, retry_after: str) -> ApiError:
        """The error of a fault that was asked for."""
        details = [_detail("RetryInfo", retryDelay=f"{retry_after}s")] if retry_after else []
        message = _FAULT_MESSAGES.get(status, f"Fault with status {status}.")
        return GoogleError(status, message, details)

    def error_headers(self, error: ApiError) -> HeaderList:
        """Nothing: the body says it all."""
        return []

    def error_body(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """The error with Google's word for its status."""
        status = _status_word(error.status)
        body: dict[str, Any] = {"code": error.status, "message": error.message, "status": status}
        if isinstance(error, GoogleError) and error.details:
            body["details"] = error.details
        return {"error": body}


def _detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _RPC + kind, **fields}


def _status_word(status: int) -> str:
    return _STATUSES.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
