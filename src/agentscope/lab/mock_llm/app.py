"""The server's application: plain ASGI, so that an event costs little more than its bytes."""

from __future__ import annotations

import asyncio
import re
import sys
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from agentscope.lab.mock_llm.answer import Answer
from agentscope.lab.mock_llm.counters import Counters
from agentscope.lab.mock_llm.dialects import Dialects
from agentscope.lab.mock_llm.dialects.dialect import Dialect, Exchange, Provider
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import ApiError, invalid_request, unknown_path
from agentscope.lab.mock_llm.faults import TRUNCATE, Attempts, draw_fault
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs, split_model
from agentscope.lab.mock_llm.latency import PROFILES
from agentscope.lab.mock_llm.quota import Grant, Quotas, retry_headers
from agentscope.lab.mock_llm.settings import MockLlmSettings
from agentscope.lab.mock_llm.wire import Headers, Receive, Scope, Send, read_body, send_json

_ATTEMPT = b"x-stainless-retry-count"
_AMAZONS_ATTEMPT = b"amz-sdk-request"  # ttl=20261121T150837Z; attempt=2; max=3
_READ_HEADERS = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"x-goog-api-key",
        b"anthropic-version",
        _ATTEMPT,
        _AMAZONS_ATTEMPT,
    }
)


class MockLlmApp:
    """The mock LLM as an ASGI application; what it has done stands in ``counters``."""

    def __init__(
        self, settings: MockLlmSettings, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.quotas = Quotas(settings.limits(), clock_ns)
        self._dialects = Dialects()
        self._attempts = Attempts()
        self._behaviour = lru_cache(maxsize=1024)(_behaviours(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        headers_in = {name: value for name, value in scope["headers"] if name in _READ_HEADERS}
        dialect = self._dialects.at(path) if method == "POST" else None
        provider = dialect.provider if dialect else self._dialects.provider_of(headers_in)
        request_id = f"req_{uuid4().hex}"
        headers: Headers = []
        if provider.id_header:
            headers.append((provider.id_header, request_id.encode()))
        try:
            if dialect is None:
                await send_json(send, 200, self._look_up(method, path), headers)
            else:
                await self._respond(dialect, scope, receive, send, headers_in, headers)
        except ApiError as error:
            body = provider.error_body(error, request_id)
            headers += provider.error_headers(error)
            await send_json(send, error.status, body, headers)

    def _look_up(self, method: str, path: str) -> dict[str, Any]:
        if method == "GET":
            if path == "/healthz":
                return {"status": "ok"}
            if path == "/stats":
                return self.counters.as_json()
            if path == "/v1/models":
                return _model_list()
            if path.startswith("/v1/models/"):
                return _model_object(path.removeprefix("/v1/models/"))
        raise unknown_path(method, path, self._dialects.served)

    async def _respond(
        self,
        dialect: Dialect,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers_in: dict[bytes, bytes],
        headers: Headers,
    ) -> None:
        counters, provider = self.counters, dialect.provider
        counters.received += 1
        try:
            body = await read_body(scope, receive, self.settings.max_body_bytes)
            arrived_s = time.monotonic()
            if body is None:
                counters.rejected["disconnected"] += 1
                return
            exchange = dialect.read(body)
            model, behaviour = self._model(exchange.request.model)
        except ApiError as error:
            counters.rejected[str(error.status)] += 1
            raise
        headers += provider.fixed_headers
        grant = self._admit(exchange, provider, model, headers_in, headers)
        counters.in_flight += 1
        fault = self._fault(dialect.path, body, behaviour, headers_in, exchange.request.stream)
        try:
            answer = Answer(
                exchange,
                provider,
                model,
                behaviour,
                self.settings,
                counters,
                grant,
                headers,
                arrived_s,
                receive,
                send,
            )
            if fault is None:
                await answer.serve()
            else:
                counters.faults[fault] += 1
                await answer.fail(fault)
        except ApiError:
            counters.failed += fault is None
            raise
        except Exception:
            # A fault of ours: the caller gets a plain 500, whoever runs the server the traceback.
            counters.failed += fault is None
            traceback.print_exc(file=sys.stderr)
            raise
        except asyncio.CancelledError:
            counters.abandoned += fault is None
            raise
        finally:
            grant.close()
            counters.tokens_corrected += grant.corrected_tokens
            counters.in_flight -= 1

    def _model(self, name: str) -> tuple[str, Behaviour]:
        try:
            return self._behaviour(name)
        except ValueError as error:
            raise invalid_request(str(error), "invalid_value", "model") from None

    def _admit(
        self,
        exchange: Exchange,
        provider: Provider,
        model: str,
        headers_in: dict[bytes, bytes],
        headers: Headers,
    ) -> Grant:
        """Charge the request; raises ApiError, status 429, if the quota does not hold it.

        Either way ``headers`` tell what the quota says.
        """
        quotas, counters = self.quotas, self.counters
        now_ns = quotas.clock_ns()
        # Neither how long a key is nor what it is matters here.
        key = blake2b(provider.api_key(headers_in), digest_size=16).hexdigest()
        quota, charge = quotas.of(key, model), exchange.charge()
        refusal = quota.admit(charge, now_ns)
        headers += provider.quota_headers(quota, now_ns)
        if refusal is not None:
            counters.refused["too_large" if refusal.too_large else refusal.dimension] += 1
            if provider.says_retry_after:
                in_ms = provider.retry_in_ms and self.settings.retry_after_ms
                headers += retry_headers(refusal, in_ms)
            raise provider.refused(refusal, model)
        counters.admitted += 1
        counters.tokens_charged += sum(charge.values()) - charge["requests"]
        return Grant(quota, charge, quotas.clock_ns, provider.corrected)

    def _fault(
        self,
        path: str,
        body: bytes,
        behaviour: Behaviour,
        headers_in: dict[bytes, bytes],
        streamed: bool,
    ) -> str | None:
        """The fault of this attempt: another attempt of the same request may have another."""
        fault: str | None = None
        told = _told_attempt(headers_in)
        if behaviour.script:
            fault = self._attempts.scripted(behaviour.script, told, path.encode() + body)
        elif behaviour.faults:
            attempt = (told or b"0").decode("latin-1")
            digest = blake2b(body, digest_size=16).hexdigest()
            draws = Draws(self.settings.seed, "fault", digest, attempt)
            fault = draw_fault(behaviour.faults, draws)
        return None if fault == TRUNCATE and not streamed else fault


def _told_attempt(headers: dict[bytes, bytes]) -> bytes | None:
    """How often the client library says that it sent the request before; None without a word."""
    attempt = re.search(rb"\battempt=([1-9]\d{0,8})\b", headers.get(_AMAZONS_ATTEMPT, b""))
    return b"%d" % (int(attempt[1]) - 1) if attempt else headers.get(_ATTEMPT)


def _behaviours(settings: MockLlmSettings) -> Callable[[str], tuple[str, Behaviour]]:
    base = settings.behaviour()

    def behaviour_of(model: str) -> tuple[str, Behaviour]:
        name, knobs = split_model(model)
        profile = f"profile={name};" if name in PROFILES else ""
        return name, apply_knobs(profile + knobs, base)

    return behaviour_of


def _model_list() -> dict[str, Any]:
    """The list of models: with the fields of both providers, which do not get in each other's way."""
    names = list(PROFILES)
    models = [_model_object(name) for name in names]
    pages = {"has_more": False, "first_id": names[0], "last_id": names[-1]}
    return {"object": "list", "data": models, **pages}


def _model_object(name: str) -> dict[str, Any]:
    openai = {"id": name, "object": "model", "created": 0, "owned_by": "agentscope"}
    return {**openai, "type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
