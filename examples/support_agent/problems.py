"""What can go wrong with a turn, as the caller is told."""

from __future__ import annotations

import math

import asyncpg
import openai
from fastapi import Request
from fastapi.responses import JSONResponse

EXPECTED = (openai.APIError, asyncpg.PostgresError, OSError)
"""Errors of what the service depends on: told to the caller, never as a stack trace."""


class Problem(Exception):
    """A turn's failure with the HTTP status, the code and the sentence that describe it."""

    def __init__(self, status: int, code: str, text: str, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s
        self.body = {"error": code, "message": text}

    @classmethod
    def of(cls, error: Exception) -> Problem:
        match error:
            case Problem():
                return error
            case openai.RateLimitError():
                wait_s = _retry_after_s(error)
                text = f"The model's rate limit is used up, retry in {wait_s} s"
                return cls(503, "rate_limited", text, wait_s)
            case openai.APITimeoutError():
                return cls(504, "model_timeout", "The model took too long")
            case openai.APIError():
                return cls(502, "model_failed", "The model cannot be reached or failed")
            case asyncpg.PostgresError() | OSError():
                return cls(503, "database_failed", "The database is not available", 5)
        return cls(500, "internal_error", "Something of ours failed")


def unknown_session(session_id: str) -> Problem:
    return Problem(404, "unknown_session", f"There is no session {session_id[:40]!r}")


def session_busy() -> Problem:
    text = "The session's last message is still being answered, retry when it is"
    return Problem(409, "session_busy", text, 1)


async def answer_problem(_request: Request, error: Exception) -> JSONResponse:
    """FastAPI's exception handler for ``Problem`` and what is ``EXPECTED``."""
    problem = Problem.of(error)
    wait_s = problem.retry_after_s
    headers = {} if wait_s is None else {"retry-after": str(wait_s)}
    return JSONResponse(problem.body, problem.status, headers)


def _retry_after_s(error: openai.RateLimitError) -> int:
    try:
        wait_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return 5
    return math.ceil(min(max(wait_s, 1.0), 120.0))
