"""Scripts: what each attempt of a call gets, shown with the clients that services use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from agentscope.lab.mock_llm.faults import Attempts, parse_script

Start = Callable[..., Any]
Ask = Callable[[Any, str, bool], Any]

TEXT = "You asked: Hello "
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


def ask_chat(client: Any, model: str, stream: bool) -> Any:
    return client.chat.completions.create(model=model, messages=HELLO, stream=stream)


def ask_responses(client: Any, model: str, stream: bool) -> Any:
    return client.responses.create(model=model, input="Hello", stream=stream)


def ask_messages(client: Any, model: str, stream: bool) -> Any:
    return client.messages.create(model=model, messages=HELLO, max_tokens=50, stream=stream)


def text_of(answer: Any) -> str:
    """The text of a whole answer, in any protocol."""
    if hasattr(answer, "choices"):
        return answer.choices[0].message.content or ""
    return answer.output_text if hasattr(answer, "output_text") else answer.content[0].text


def text_of_event(event: Any) -> str:
    """The text that one event of a stream adds, in any protocol."""
    if hasattr(event, "choices"):
        return event.choices[0].delta.content or ""
    delta = getattr(event, "delta", "")
    return delta if isinstance(delta, str) else getattr(delta, "text", "")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_messages])
@pytest.mark.parametrize("failure", [429, 500, 529])
def test_every_client_gets_its_answer_at_the_attempt_that_is_served(
    shared: Any, ask: Ask, is_async: bool, stream: bool, failure: int
) -> None:
    """One failure, then the answer: both SDKs, both ways to call, streamed and not."""
    server, before = shared, shared.stats()["requests"]
    model = f"m@out=5;status={failure},200;retry-after=0.01"

    async def asked_async() -> str:
        client: Any = (
            AsyncAnthropic(base_url=server.anthropic_base_url, api_key="key")
            if ask is ask_messages
            else AsyncOpenAI(base_url=server.base_url, api_key="key")
        )
        async with client:
            answer = await ask(client, model, stream)
            if stream:
                return "".join([text_of_event(event) async for event in answer])
            return text_of(answer)

    def asked() -> str:
        make = server.anthropic if ask is ask_messages else server.client
        with make(max_retries=2) as client:
            answer = ask(client, model, stream)
            if stream:
                return "".join(map(text_of_event, answer))
            return text_of(answer)

    assert (asyncio.run(asked_async()) if is_async else asked()) == f"{TEXT:20}"
    after = server.stats()["requests"]
    kind = str(failure)
    assert after["faults"][kind] - before["faults"].get(kind, 0) == 1
    assert after["admitted"] - before["admitted"] == 2


@pytest.mark.parametrize("ask", [ask_chat, ask_messages])
def test_two_refusals_of_a_second_each_take_two_seconds(start: Start, ask: Ask) -> None:
    """429, 429, 200 with Retry-After: 1, as both SDKs live through it."""
    server = start("profile=instant;out=4")
    with (server.anthropic if ask is ask_messages else server.client)(max_retries=2) as client:
        began_s = time.monotonic()
        answer = ask(client, "m@out=5;status=429,429,200;retry-after=1", False)
        took_s = time.monotonic() - began_s

    assert text_of(answer) == f"{TEXT:20}"
    assert 2.0 <= took_s < 3.0
    requests = server.stats()["requests"]
    assert (requests["admitted"], requests["completed"], requests["faults"]) == (3, 1, {"429": 2})


@pytest.mark.parametrize("retries", [0, 1])
def test_who_gives_up_before_gets_the_error(start: Start, retries: int) -> None:
    """A script of failures longer than the retries: the last of them, with its headers."""
    knobs = "profile=instant;status=429,529,500,200;retry-after=0.01"
    server = start(knobs)
    with (
        server.anthropic(max_retries=retries) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        ask_messages(client, "m", False)

    status, kind = [(429, "rate_limit_error"), (529, "overloaded_error")][retries]
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (
        status,
        "error",
        kind,
    )
    assert caught.value.response.headers["retry-after"] == "0.01"


def test_should_retry_is_obeyed(start: Start) -> None:
    """``x-should-retry: false`` ends a call at its first attempt."""
    server = start("profile=instant;status=429,200;should-retry=false")
    with server.client(max_retries=2) as client, pytest.raises(openai.RateLimitError):
        ask_chat(client, "m", False)

    assert server.stats()["requests"]["received"] == 1


def test_attempts_are_counted_for_clients_that_do_not_say_theirs(start: Start) -> None:
    """Equal requests are attempts of one another, at one address; the script begins again."""
    server = start("profile=instant;status=429,503,200")

    def status(text: str) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        return int(server.raw("POST", "/v1/chat/completions", body)[0])

    assert [status("a"), status("a"), status("b"), status("a"), status("a"), status("b")] == [
        429,
        503,
        429,
        200,
        429,
        503,
    ]


def test_a_script_can_hang_and_cut_off(start: Start) -> None:
    """A time-out, then half a stream, then an answer: each where it was written."""
    server = start("profile=instant;out=40;status=hang,truncate,200")
    with server.client(max_retries=1, timeout=0.3) as client:
        reasons = [chunk.choices[0].finish_reason for chunk in ask_chat(client, "m", True)]

    assert len(reasons) == 21  # the role's chunk and half of the pieces
    assert set(reasons) == {None}
    assert server.stats_when_idle()["requests"]["faults"] == {"hang": 1, "truncate": 1}


def test_attempts_after_the_last_get_what_the_last_got() -> None:
    """Where the client says its attempt; what it says that is no number is not believed."""
    attempts, script = Attempts(), parse_script("429,200,500")

    told = [attempts.scripted(script, b"%d" % number, b"x") for number in range(5)]
    counted = [attempts.scripted(script, b"-1", b"x") for _ in range(4)]

    assert told == ["429", None, "500", "500", "500"]
    assert counted == ["429", None, "500", "429"]


def test_the_requests_that_are_counted_are_bounded() -> None:
    """The one that came longest ago is forgotten, and its script begins again."""
    attempts, script = Attempts(), parse_script("429,200")
    attempts.scripted(script, None, b"old")
    attempts.scripted(script, None, b"kept")
    for number in range(9_999):
        attempts.scripted(script, None, b"%d" % number)

    assert attempts.scripted(script, None, b"kept") is None
    assert attempts.scripted(script, None, b"old") == "429"
