"""The server over real HTTP: what it refuses, what it breaks, and that it counts it all."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from openai import AsyncOpenAI

Start = Callable[..., Any]

QUESTION = [{"role": "user", "content": "Where are my orders 12345 and 67890?"}]


def test_a_burst_is_admitted_up_to_the_bucket_exactly(start: Start) -> None:
    """60 requests at once against 20 a minute: 20 answers, 40 times 429, by requests."""
    server = start(rpm=20, clock_ns=lambda: 0)

    async def ask_all() -> list[Any]:
        async with AsyncOpenAI(base_url=server.base_url, api_key="key", max_retries=0) as client:
            asks = (client.chat.completions.create(model="m", messages=QUESTION) for _ in range(60))
            return await asyncio.gather(*asks, return_exceptions=True)

    outcomes = asyncio.run(ask_all())

    refusals = [o for o in outcomes if isinstance(o, openai.RateLimitError)]
    assert (len(outcomes), len(refusals)) == (60, 40)
    assert refusals[0].body == {
        "message": "Rate limit reached for m in organization org-mock on requests per min (RPM): "
        "Limit 20, Used 20, Requested 1. Please try again in 3s. "
        "Visit https://platform.openai.com/account/rate-limits to learn more.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    headers = refusals[0].response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("3", "3000")
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    requests = server.stats()["requests"]
    assert (requests["admitted"], requests["refused"]["requests"]) == (20, 40)


def test_a_client_that_retries_gets_its_answer_after_the_wait(start: Start) -> None:
    """The bucket is drained, the next call is refused, waits as it is told, and succeeds."""
    # The quota's clock moves 0.2 s with each look at it, so 200 tokens come back between calls.
    ticks = itertools.count(0, 200_000_000)
    server = start(tpm=60_000, clock_ns=lambda: next(ticks))
    with server.client(max_retries=2) as client:
        client.chat.completions.create(model="m", messages=QUESTION, max_tokens=59_950)
        began = time.monotonic()
        client.chat.completions.create(model="m", messages=QUESTION, max_tokens=300)
        waited_s = time.monotonic() - began

    # 59 960 - 200 + 310 is 70 above 60 000, which is 70 ms of 1 000 tokens a second.
    requests = server.stats()["requests"]
    assert (requests["admitted"], requests["refused"]["tokens"]) == (2, 1)
    assert waited_s > 0.07


def test_a_request_above_the_quota_is_refused_for_good(start: Start) -> None:
    """What a full bucket does not hold is called too large, without a time to wait."""
    with (
        start(tpm=100).client() as client,
        pytest.raises(openai.RateLimitError, match="Request too large") as caught,
    ):
        client.chat.completions.create(model="m", messages=QUESTION, max_tokens=500)

    assert caught.value.code == "rate_limit_exceeded"
    assert "retry-after" not in caught.value.response.headers


def test_a_fault_hits_an_attempt_and_not_its_retry(start: Start) -> None:
    """Drawn from request and attempt number: repeatable, and a retry can succeed."""
    server = start("profile=instant;fault=500:0.5,529:0.25")

    def status(number: int, attempt: int) -> int:
        messages = [{"role": "user", "content": f"question {number}"}]
        try:
            client.chat.completions.create(
                model="m",
                messages=messages,
                extra_headers={"x-stainless-retry-count": str(attempt)},
            )
        except openai.APIStatusError as error:
            return error.status_code
        return 200

    with server.client() as client:
        first, again, second = ([status(n, attempt) for n in range(30)] for attempt in (0, 0, 1))

    assert first == again != second
    assert set(first) == {200, 500, 529}
    assert any(a != 200 and b == 200 for a, b in zip(first, second, strict=True))


def test_a_truncated_stream_ends_without_a_reason(start: Start) -> None:
    """Half of the pieces, then a clean end of HTTP: no finish reason, no exception."""
    with (
        start("profile=instant;out=40;fault=truncate:1").client() as client,
        client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream,
    ):
        choices = [chunk.choices[0] for chunk in stream]

    assert len([choice for choice in choices if choice.delta.content]) == 20
    assert {choice.finish_reason for choice in choices} == {None}


def test_a_hanging_request_is_never_answered(start: Start) -> None:
    """The client's own time-out ends it, and the server notices."""
    server = start("fault=hang:1")
    with server.client(timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m", messages=QUESTION)

    assert server.stats_when_idle()["requests"]["faults"] == {"hang": 1}


def test_who_gives_up_on_an_answer_pays_for_what_was_written(start: Start) -> None:
    """Anthropic's reservation: after 0.3 s at 20 ms a token some are due, of 5 000 reserved."""
    server = start("ttft=0;itl=20;out=5000", otpm=10_000, clock_ns=lambda: 0)
    with server.anthropic(timeout=0.3) as client, pytest.raises(anthropic.APITimeoutError):
        client.messages.create(model="m", messages=QUESTION, max_tokens=5_000)

    stats = server.stats_when_idle()
    assert stats["requests"]["abandoned"] == 1
    assert 10 <= 5_000 + stats["tokens_corrected"] < 500


def test_every_request_is_accounted_for(start: Start) -> None:
    """Received is admitted, refused and rejected; admitted is completed, faulty or abandoned."""
    server = start("ttft=0;itl=20;out=3", rpm=3, clock_ns=lambda: 0)
    with server.client() as client:
        client.chat.completions.create(model="m", messages=QUESTION)
        client.chat.completions.create(
            model="m@fault=truncate:0", messages=QUESTION, stream=True
        ).close()
        with client.chat.completions.create(
            model="m@out=5000", messages=QUESTION, stream=True
        ) as left_early:
            next(iter(left_early))
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="m", messages=QUESTION)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=[])

    stats = server.stats_when_idle()

    requests = stats["requests"]
    assert requests["received"] == 5
    assert requests["admitted"] == 3
    assert requests["refused"] == {
        "requests": 1, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "too_large": 0
    }  # fmt: skip
    assert requests["rejected"] == {"400": 1}
    assert requests["completed"] + requests["abandoned"] == 3
    assert requests["abandoned"] >= 1
    assert stats["tokens_charged"] == 3 * (16 + 9 + 1)
    assert stats["lag"]["writes"] >= stats["stream"]["writes"]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "could not parse the JSON body"),
        (b'{"model": "m", "tools": ' + b"[" * 100_000, "could not parse the JSON body"),
        (b'{"model": "m\xff", "messages": []}', "could not parse the JSON body"),
        (b'{"messages": []}', "missing required field `model`"),
        (b'{"model": "m", "messages": []}', "Invalid 'messages': empty array"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 2}', "'n' must be 1"),
        (b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": 0}', "expected 1 or more"),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "tool_choice": "auto"}',
            "only allowed when 'tools'",
        ),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "tool_choice": {"function": 3}, '
            + b'"tools": [{"type": "function", "function": {"name": "f"}}]}',
            "Tool choice 'no name' not found",
        ),
        (
            b'{"model": "m@depth=1", "messages": [{"role": "user"}], "tools": '
            + b'[{"type": "function", "function": {"name": "f", "parameters": {"properties": 3}}}]}',
            "Invalid schema for function 'f'",
        ),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "response_format": {"type": "xml"}}',
            "Invalid value: 'xml'",
        ),
    ],
)
def test_bad_requests_are_answered_in_openais_shape(shared: Any, body: bytes, part: str) -> None:
    """Status 400 and a message that says what is wrong, whatever was sent."""
    status, answer = shared.raw("POST", "/v1/chat/completions", body)

    assert status == 400
    assert part in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["responses", "embeddings", "messages"])
@pytest.mark.parametrize("body", [b"{", b'{"model": "m\xff"}', b'{"input": ' + b"[" * 100_000])
def test_what_is_no_json_is_refused_at_every_address(shared: Any, path: str, body: bytes) -> None:
    """Status 400, and not a word of a traceback."""
    status, answer = shared.raw("POST", f"/v1/{path}", body)

    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused(start: Start, chunked: bool) -> None:
    """Whether its length was declared or not."""
    body = b" " * 5_000
    server = start(max_body_bytes=1_000)

    status, answer = server.raw("POST", "/v1/chat/completions", iter([body]) if chunked else body)

    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert server.stats()["requests"]["rejected"] == {"413": 1}
