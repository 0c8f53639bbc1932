"""Errors in OpenAI's shape."""

from __future__ import annotations

from typing import Any

from agentscope.lab.mock_llm.quota import Refusal, duration_text

_LIMITS_PAGE = "https://platform.openai.com/account/rate-limits"

_FAULT_MESSAGES = {
    429: "The system is experiencing high demand. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
    529: "Overloaded",
}
_STATUS_TYPES = {429: "requests", 529: "overloaded_error"}


class ApiError(Exception):
    """An answer that is an error: its status, and the object that its body holds."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param

    @property
    def body(self) -> dict[str, Any]:
        """The response body."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """Status 400: the request is at fault, and sending it again changes nothing."""
    return ApiError(400, message, "invalid_request_error", code, param)


def too_large(limit_bytes: int) -> ApiError:
    """Status 413: the body has more bytes than this server reads."""
    message = f"Request body is larger than the limit of {limit_bytes} bytes."
    return ApiError(413, message, "invalid_request_error", "request_too_large")


def unknown_path(method: str, path: str) -> ApiError:
    """Status 404: no such address, which is most often a base_url without /v1."""
    message = f"Invalid URL ({method} {path}). Served: POST /v1/chat/completions, GET /v1/models."
    return ApiError(404, message, "invalid_request_error", "unknown_url")


def planted_fault(status: int) -> ApiError:
    """The error of a fault that was asked for."""
    message = _FAULT_MESSAGES.get(status, f"Fault with status {status}.")
    kind = _STATUS_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return ApiError(status, message, kind)


def rate_limited(refusal: Refusal, model: str) -> ApiError:
    """Status 429, in the words of OpenAI's public error texts."""
    unit = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}
    where = f"for {model} in organization org-mock on {unit[refusal.dimension]}"
    if refusal.too_large:
        message = (
            f"Request too large {where}: Limit {refusal.limit}, Requested {refusal.requested}. "
            "The input or output tokens must be reduced in order to run successfully. "
            f"Visit {_LIMITS_PAGE} to learn more."
        )
    else:
        message = (
            f"Rate limit reached {where}: Limit {refusal.limit}, Used {refusal.used}, "
            f"Requested {refusal.requested}. Please try again in "
            f"{duration_text(refusal.wait_ns)}. Visit {_LIMITS_PAGE} to learn more."
        )
    return ApiError(429, message, refusal.dimension, "rate_limit_exceeded")
