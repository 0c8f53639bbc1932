"""Amazon Bedrock: keys, headers and errors of its addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from agentscope.lab.mock_llm.dialects.dialect import HeaderList
from agentscope.lab.mock_llm.dialects.eventstream import AMAZON_EVENTS
from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.events import Framing
from agentscope.lab.mock_llm.quota import Charge, Dimension, Quota, Refusal
from agentscope.lab.mock_llm.replies import Usage
from agentscope.lab.mock_llm.request import ModelRequest
from agentscope.lab.mock_llm.tokens import prompt_tokens

MODEL_MAX_TOKENS = 64_000
"""What is reserved of the output for a request without a limit: the most its model can write."""

_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_FAULT_MESSAGES = {
    429: "Too many requests, please wait before trying again.",
    500: "The system encountered an unexpected error during processing. Try your request again.",
    503: "Bedrock is unable to process your request.",
}
_SIGNER = re.compile(rb"Credential=([^/,\s]+)/")


class AmazonProvider:
    """Amazon's side of an answer: nothing tells of a quota, neither how large nor how long.

    Input and output share one bucket of tokens. The output is reserved whole and what was not
    used comes back when the answer ends. That some models' output burns several times its tokens
    is not modelled.
    """

    id_header: ClassVar[bytes] = b"x-amzn-requestid"
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    says_retry_after: ClassVar[bool] = False
    retry_in_ms: ClassVar[bool] = False
    corrected: ClassVar[tuple[Dimension, ...]] = ("tokens",)
    framing: ClassVar[Framing] = AMAZON_EVENTS

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The bearer token of a Bedrock API key, or whose key has signed; not the signature."""
        authorization = headers.get(b"authorization", b"")
        signer = _SIGNER.search(authorization)
        return signer[1] if signer else authorization.removeprefix(b"Bearer ")

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """Nothing."""
        return []

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """Nothing: Converse says it in its answer."""
        return []

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429, which tells requests from tokens and nothing more."""
        what = "requests" if refusal.dimension == "requests" else "tokens"
        message = f"Too many {what}, please wait before trying again."
        return ApiError(429, message, _kind(429))

    def planted(self, status: int, retry_after: str) -> ApiError:
        """The error of a fault that was asked for."""
        message = _FAULT_MESSAGES.get(status, f"Fault with status {status}.")
        return ApiError(status, message, _kind(status))

    def error_headers(self, error: ApiError) -> HeaderList:
        """The kind of the error, which its body does not name."""
        space = b":http://internal.amazon.com/coral/com.amazon.bedrock/"
        return [(b"x-amzn-errortype", _kind(error.status).encode() + space)]

    def error_body(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """The message alone."""
        return {"message": error.message}


class AmazonInvokeProvider(AmazonProvider):
    """The same, where a model's own protocol is spoken: the headers tell what an answer used."""

    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = (
        (b"x-amzn-bedrock-content-type", b"application/json"),
    )

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """Tokens and milliseconds; those of the cache are not among the input's."""
        if usage is None:
            return []
        counts = {
            b"invocation-latency": int(spent_s * 1000),
            b"input-token-count": usage.prompt - usage.cached - usage.cache_written,
            b"output-token-count": usage.output,
            b"cache-read-input-token-count": usage.cached,
            b"cache-write-input-token-count": usage.cache_written,
        }
        return [(b"x-amzn-bedrock-" + name, b"%d" % count) for name, count in counts.items()]


def amazon_charge(request: ModelRequest) -> Charge:
    """A request, and tokens: its input, and as much output as it may get."""
    limit = request.output_limit
    reserved = MODEL_MAX_TOKENS if limit is None else limit
    return {"requests": 1, "tokens": prompt_tokens(request) + reserved}


def _kind(status: int) -> str:
    otherwise = "InternalServerException" if status >= 500 else "ValidationException"
    return _KINDS.get(status, otherwise)
