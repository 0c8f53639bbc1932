"""A model behind a mock transport, and the calls that the benchmarks of the client hooks make.

No network, so a call is the client library's own work and whatever instruments it. It needs openai
and httpx2 alone: it also runs where agentscope is not.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai

CHUNKS = 200
"""Chunks of content in a streamed answer."""

_BASE = {"id": "c-1", "created": 1, "model": "m"}
_MESSAGE = {"role": "assistant", "content": "four words are here"}
_ANSWER = json.dumps(
    {
        **_BASE,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
).encode()


def _event(index: int) -> bytes:
    choice = {
        "index": 0,
        "delta": {"content": "word "},
        "finish_reason": "stop" if index == CHUNKS - 1 else None,
    }
    chunk = {**_BASE, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: %s\n\n" % json.dumps(chunk).encode()


_STREAM = b"".join(map(_event, range(CHUNKS))) + b"data: [DONE]\n\n"

_HEADERS = {
    "date": "Tue, 06 Oct 2026 08:00:00 GMT",
    "connection": "keep-alive",
    "access-control-expose-headers": "X-Request-ID",
    "openai-organization": "example",
    "openai-processing-ms": "412",
    "openai-project": "proj_example",
    "openai-version": "2020-10-01",
    "x-envoy-upstream-service-time": "433",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-requests": "9987",
    "x-ratelimit-remaining-tokens": "199123",
    "x-ratelimit-reset-requests": "112ms",
    "x-ratelimit-reset-tokens": "263ms",
    "x-request-id": "req_0123456789abcdef0123456789abcdef",
    "cf-cache-status": "DYNAMIC",
    "set-cookie": "__cf_bm=example; path=/; HttpOnly; Secure",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "server": "cloudflare",
    "cf-ray": "0123456789abcdef-FRA",
    "alt-svc": 'h3=":443"; ma=86400',
}
"""Those of api.openai.com, by name and number: reading them is part of what is measured."""


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Any:
        yield self.content

    async def __aiter__(self) -> Any:
        yield self.content


def _answer(request: httpx2.Request) -> httpx2.Response:
    streamed = b'"stream":true' in request.content
    kind = "text/event-stream" if streamed else "application/json"
    body = _Body(_STREAM if streamed else _ANSWER)
    return httpx2.Response(200, headers={**_HEADERS, "content-type": kind}, stream=body)


_ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
_CLIENT: Any = {"api_key": "k", "base_url": "http://model.test"}


def client() -> openai.OpenAI:
    """A client of the model."""
    http = httpx2.Client(transport=httpx2.MockTransport(_answer))
    return openai.OpenAI(**_CLIENT, http_client=http)


def async_client() -> openai.AsyncOpenAI:
    """An asynchronous client of the model."""
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(_answer))
    return openai.AsyncOpenAI(**_CLIENT, http_client=http)


def ask(asking: openai.OpenAI) -> None:
    """One whole answer."""
    assert asking.chat.completions.create(**_ASK).id == "c-1"


def ask_streamed(asking: openai.OpenAI) -> None:
    """One answer of ``CHUNKS`` chunks."""
    assert sum(1 for _ in asking.chat.completions.create(**_ASK, stream=True)) == CHUNKS


async def ask_async(asking: openai.AsyncOpenAI) -> None:
    """One whole answer, awaited."""
    assert (await asking.chat.completions.create(**_ASK)).id == "c-1"


async def ask_streamed_async(asking: openai.AsyncOpenAI) -> None:
    """One answer of ``CHUNKS`` chunks, awaited."""
    stream = await asking.chat.completions.create(**_ASK, stream=True)
    assert len([chunk async for chunk in stream]) == CHUNKS


def http_client() -> httpx2.Client:
    """A client of the same server without openai."""
    return httpx2.Client(transport=httpx2.MockTransport(_answer))


def request(asking: httpx2.Client) -> None:
    """One request."""
    assert asking.get("http://x/").status_code == 200
