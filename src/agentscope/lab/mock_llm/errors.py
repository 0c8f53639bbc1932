"""Errors that are answers, before a provider puts them into its own form."""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is an error: its status, and what its body says.

    ``kind``, ``code`` and ``param`` are OpenAI's words; a provider without them leaves them out.
    """

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


def invalid_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """Status 400: the request is at fault, and sending it again changes nothing."""
    return ApiError(400, message, "invalid_request_error", code, param)


def not_json(error: Exception) -> ApiError:
    """Status 400: the body is no JSON that can be read."""
    return invalid_request(f"We could not parse the JSON body of your request: {error}")


def too_large(limit_bytes: int) -> ApiError:
    """Status 413: the body has more bytes than this server reads."""
    message = f"Request body is larger than the limit of {limit_bytes} bytes."
    return ApiError(413, message, "invalid_request_error", "request_too_large")


def unknown_path(method: str, path: str, served: str) -> ApiError:
    """Status 404: no such address, which is most often a base_url with or without /v1."""
    message = f"Invalid URL ({method} {path}). Served: {served}, GET /v1/models."
    return ApiError(404, message, "invalid_request_error", "unknown_url")
