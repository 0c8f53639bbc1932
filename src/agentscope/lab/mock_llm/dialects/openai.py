"""OpenAI: keys, headers and errors of all its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from agentscope.lab.mock_llm.dialects.dialect import HeaderList
from agentscope.lab.mock_llm.errors import ApiError, invalid_request
from agentscope.lab.mock_llm.events import SERVER_SENT_EVENTS, Framing
from agentscope.lab.mock_llm.quota import Dimension, Quota, Refusal, duration_text
from agentscope.lab.mock_llm.replies import Usage
from agentscope.lab.mock_llm.request import Offer, ToolChoice, ToolMode

_LIMITS_PAGE = "https://platform.openai.com/account/rate-limits"

_MODES: Mapping[str, ToolMode] = {"none": "none", "auto": "auto", "required": "required"}

MODEL_MAX_CHARS = 1_000

_FAULT_MESSAGES = {
    429: "The system is experiencing high demand. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
    529: "Overloaded",
}
_FAULT_KINDS = {429: "requests", 529: "overloaded_error"}
_UNITS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


class OpenAIProvider:
    """OpenAI's side of an answer; requests and tokens are charged, and nothing is given back."""

    id_header: ClassVar[bytes] = b"x-request-id"
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ((b"openai-version", b"2020-10-01"),)
    says_retry_after: ClassVar[bool] = True
    retry_in_ms: ClassVar[bool] = True
    corrected: ClassVar[tuple[Dimension, ...]] = ()
    framing: ClassVar[Framing] = SERVER_SENT_EVENTS

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The bearer token."""
        return headers.get(b"authorization", b"").removeprefix(b"Bearer ")

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """The ``x-ratelimit-*`` headers, read from the buckets."""
        headers = []
        for dimension, reading in quota.readings(now_ns).items():
            if dimension not in _UNITS:
                continue
            for name, value in (
                ("limit", str(reading.limit)),
                ("remaining", str(reading.remaining)),
                ("reset", duration_text(reading.reset_ns)),
            ):
                headers.append((f"x-ratelimit-{name}-{dimension}".encode(), value.encode()))
        return headers

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """``openai-processing-ms``, up to the headers."""
        return [(b"openai-processing-ms", b"%d" % (spent_s * 1000))]

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429, in the words of OpenAI's public error texts."""
        where = f"for {model} in organization org-mock on {_UNITS[refusal.dimension]}"
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

    def planted(self, status: int, retry_after: str) -> ApiError:
        """The error of a fault that was asked for."""
        message = _FAULT_MESSAGES.get(status, f"Fault with status {status}.")
        otherwise = "server_error" if status >= 500 else "invalid_request_error"
        return ApiError(status, message, _FAULT_KINDS.get(status, otherwise))

    def error_headers(self, error: ApiError) -> HeaderList:
        """Nothing: the body says it all."""
        return []

    def error_body(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """The error alone: the request's name is in the headers."""
        fields = {"message": error.message, "type": error.kind}
        return {"error": {**fields, "param": error.param, "code": error.code}}


def checked_model(model: str) -> None:
    """Raise ApiError for a name of a model that is none."""
    if not 1 <= len(model) <= MODEL_MAX_CHARS:
        message = f"Invalid 'model': expected 1 to {MODEL_MAX_CHARS} characters."
        raise invalid_request(message, "invalid_value", "model")


def checked_tools(
    mode: str | None, names: frozenset[str] | None, named: bool, offer: Offer
) -> ToolChoice:
    """The ``tool_choice`` of a request that says so much; raises ApiError where it cannot be."""
    if mode is None:
        return ToolChoice()
    if not offer.functions and mode != "none":
        message = "'tool_choice' is only allowed when 'tools' are specified."
        raise invalid_request(message, param="tool_choice")
    if mode not in _MODES:
        message = f"Invalid value: '{mode}'. Supported values are: 'none', 'auto', 'required'."
        raise invalid_request(message, "invalid_value", "tool_choice")
    offered = {function.name for function in offer.functions}
    if names is not None and not (names and names <= offered):
        unknown = ", ".join(sorted(names - offered)) or "no name"
        message = f"Tool choice '{unknown}' not found in 'tools' parameter."
        raise invalid_request(message, param="tool_choice")
    return ToolChoice(_MODES[mode], names, named)


def parts_text(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a message's content; parts that are not text count as nothing."""
    if isinstance(content, str):
        return content
    parts = (part.get("text") for part in content or ())
    return "\n".join(part for part in parts if isinstance(part, str))
