"""What the client hooks cost: the same calls without us, with nothing recorded, and recorded.

    python tests/benchmarks/client_hooks.py [--rounds 5]

Everything runs in one process over a mock transport, so a call is the library's own work and ours,
no network. Printed is CPU time, the minimum over the rounds, in µs: a call of the openai client, one chunk of
a streamed answer of 200, a bare httpx2 request. The recorder's thread is off: what it does later is
not the caller's time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai

import agentscope
from agentscope import lifecycle
from agentscope.clients import instrument_clients, uninstrument_clients
from agentscope.testing import recording

CALLS = 300
CHUNKS = 200

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
_STREAM = (
    b"".join(
        b"data: %s\n\n"
        % json.dumps(
            {
                **_BASE,
                "object": "chat.completion.chunk",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": "word "},
                        "finish_reason": "stop" if i == CHUNKS - 1 else None,
                    }
                ],
            }
        ).encode()
        for i in range(CHUNKS)
    )
    + b"data: [DONE]\n\n"
)
_HEADERS = {
    "x-ratelimit-remaining-requests": "59",
    "x-request-id": "r",
    "openai-processing-ms": "9",
}


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Any:
        yield self.content

    async def __aiter__(self) -> Any:
        yield self.content


def _answer(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        headers = {**_HEADERS, "content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=_Body(_STREAM))
    headers = {**_HEADERS, "content-type": "application/json"}
    return httpx2.Response(200, headers=headers, stream=_Body(_ANSWER))


def _sync_calls(streamed: bool) -> None:
    ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    http = httpx2.Client(transport=httpx2.MockTransport(_answer))
    with openai.OpenAI(api_key="k", base_url="http://model.test", http_client=http) as client:
        for _ in range(CALLS // 20 if streamed else CALLS):
            if streamed:
                chunks = sum(1 for _ in client.chat.completions.create(**ask, stream=True))
                assert chunks == CHUNKS
            else:
                assert client.chat.completions.create(**ask).id == "c-1"


def _async_calls(streamed: bool) -> None:
    ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

    async def main() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(_answer))
        async with openai.AsyncOpenAI(
            api_key="k", base_url="http://model.test", http_client=http
        ) as client:
            for _ in range(CALLS // 20 if streamed else CALLS):
                if streamed:
                    stream = await client.chat.completions.create(**ask, stream=True)
                    assert len([chunk async for chunk in stream]) == CHUNKS
                else:
                    assert (await client.chat.completions.create(**ask)).id == "c-1"

    asyncio.run(main())


def _requests() -> None:
    with httpx2.Client(transport=httpx2.MockTransport(_answer)) as client:
        for _ in range(CALLS):
            assert client.get("http://x/").status_code == 200


CASES: dict[str, tuple[Callable[[], None], int]] = {
    "openai call": (lambda: _sync_calls(False), CALLS),
    "openai call, async": (lambda: _async_calls(False), CALLS),
    "openai chunk": (lambda: _sync_calls(True), CALLS // 20 * CHUNKS),
    "openai chunk, async": (lambda: _async_calls(True), CALLS // 20 * CHUNKS),
    "httpx2 request": (_requests, CALLS),
}


def _time_us(run: Callable[[], None], units: int) -> float:
    start = time.process_time()
    run()
    return (time.process_time() - start) / units * 1e6


def _recorded_us(run: Callable[[], None], units: int) -> float:
    with recording(real_time=True) as recorded, agentscope.turn("turn"):
        taken = _time_us(run, units)
        assert recorded.spans
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the client hooks cost.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'µs':<22}{'bare':>8}{'off':>8}{'recorded':>10}{'more':>8}")
    for name, (run, units) in CASES.items():
        lifecycle.recorder = None
        times: dict[str, list[float]] = {"bare": [], "off": [], "recorded": []}
        run()
        for _ in range(rounds):
            times["bare"].append(_time_us(run, units))
            instrument_clients()
            times["off"].append(_time_us(run, units))
            times["recorded"].append(_recorded_us(run, units))
            uninstrument_clients()
        bare, off, recorded = (min(values) for values in times.values())
        print(f"{name:<22}{bare:8.2f}{off:8.2f}{recorded:10.2f}{recorded - bare:8.2f}")


if __name__ == "__main__":
    main()
