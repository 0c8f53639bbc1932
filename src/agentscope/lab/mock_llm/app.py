"""The server's application: plain ASGI, so that an event costs little more than its bytes."""

from __future__ import annotations

import asyncio
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
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.errors import (
    ApiError,
    invalid_request,
    rate_limited,
    unknown_path,
)
from agentscope.lab.mock_llm.faults import TRUNCATE, draw_fault
from agentscope.lab.mock_llm.knobs import Behaviour, apply_knobs, split_model
from agentscope.lab.mock_llm.latency import PROFILES
from agentscope.lab.mock_llm.protocol import ChatRequest, decode_request
from agentscope.lab.mock_llm.quota import Quotas, retry_headers
from agentscope.lab.mock_llm.settings import MockLlmSettings
from agentscope.lab.mock_llm.tokens import charged_tokens
from agentscope.lab.mock_llm.wire import Headers, Receive, Scope, Send, read_body, send_json

_VERSION = (b"openai-version", b"2020-10-01")
_READ_HEADERS = frozenset({b"authorization", b"x-stainless-retry-count"})


class MockLlmApp:
    """The mock LLM as an ASGI application; what it has done stands in ``counters``."""

    def __init__(
        self, settings: MockLlmSettings, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.quotas = Quotas(settings.rpm, settings.tpm, clock_ns)
        self._behaviour = lru_cache(maxsize=1024)(_behaviours(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request_id = (b"x-request-id", b"req_" + uuid4().hex.encode())
        try:
            method, path = scope["method"], scope["path"]
            if (method, path) == ("POST", "/v1/chat/completions"):
                await self._chat(scope, receive, send, request_id)
            else:
                await send_json(send, 200, self._look_up(method, path), [request_id])
        except ApiError as error:
            await send_json(send, error.status, error.body, [request_id])

    def _look_up(self, method: str, path: str) -> dict[str, Any]:
        if method == "GET":
            if path == "/healthz":
                return {"status": "ok"}
            if path == "/stats":
                return self.counters.as_json()
            if path == "/v1/models":
                return {"object": "list", "data": [_model_object(name) for name in PROFILES]}
            if path.startswith("/v1/models/"):
                return _model_object(path.removeprefix("/v1/models/"))
        raise unknown_path(method, path)

    async def _chat(
        self, scope: Scope, receive: Receive, send: Send, request_id: tuple[bytes, bytes]
    ) -> None:
        counters = self.counters
        counters.received += 1
        try:
            body = await read_body(scope, receive, self.settings.max_body_bytes)
            arrived_s = time.monotonic()
            if body is None:
                counters.rejected["disconnected"] += 1
                return
            request = decode_request(body)
            model, behaviour = self._model(request.model)
        except ApiError as error:
            counters.rejected[str(error.status)] += 1
            raise
        headers_in = {name: value for name, value in scope["headers"] if name in _READ_HEADERS}
        headers = [request_id, _VERSION]
        if not await self._admitted(request, model, headers_in, headers, send):
            return
        counters.in_flight += 1
        fault = self._fault(body, behaviour, headers_in, bool(request.stream))
        try:
            answer = Answer(
                request,
                model,
                behaviour,
                self.settings,
                counters,
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
            counters.in_flight -= 1

    def _model(self, name: str) -> tuple[str, Behaviour]:
        try:
            return self._behaviour(name)
        except ValueError as error:
            raise invalid_request(str(error), "invalid_value", "model") from None

    async def _admitted(
        self,
        request: ChatRequest,
        model: str,
        headers_in: dict[bytes, bytes],
        headers: Headers,
        send: Send,
    ) -> bool:
        """Charge the request, or answer 429; either way ``headers`` tell what the quota says."""
        quotas, counters = self.quotas, self.counters
        now_ns = quotas.clock_ns()
        # Neither how long a key is nor what it is matters here.
        key = blake2b(headers_in.get(b"authorization", b""), digest_size=16).hexdigest()
        quota = quotas.of(key, model)
        tokens = charged_tokens(request)
        refusal = quota.admit(tokens, now_ns)
        headers += quota.headers(now_ns)
        if refusal is None:
            counters.admitted += 1
            counters.tokens_charged += tokens
            return True
        counters.refused["too_large" if refusal.too_large else refusal.dimension] += 1
        headers += retry_headers(refusal, self.settings.retry_after_ms)
        error = rate_limited(refusal, model)
        await send_json(send, error.status, error.body, headers)
        return False

    def _fault(
        self, body: bytes, behaviour: Behaviour, headers_in: dict[bytes, bytes], streamed: bool
    ) -> str | None:
        """The fault of this attempt: another attempt of the same request draws anew."""
        if not behaviour.faults:
            return None
        attempt = headers_in.get(b"x-stainless-retry-count", b"0").decode("latin-1")
        digest = blake2b(body, digest_size=16).hexdigest()
        fault = draw_fault(behaviour.faults, Draws(self.settings.seed, "fault", digest, attempt))
        return None if fault == TRUNCATE and not streamed else fault


def _behaviours(settings: MockLlmSettings) -> Callable[[str], tuple[str, Behaviour]]:
    base = settings.behaviour()

    def behaviour_of(model: str) -> tuple[str, Behaviour]:
        name, knobs = split_model(model)
        profile = f"profile={name};" if name in PROFILES else ""
        return name, apply_knobs(profile + knobs, base)

    return behaviour_of


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agentscope"}
