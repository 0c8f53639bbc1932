"""One application with and without us: the difference must be nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import agentscope
from agentscope.asgi import SCOPE_KEY, AgentScopeMiddleware
from agentscope.testing import recording

Step = tuple[str, Any]

steps = st.lists(
    st.one_of(
        st.just(("receive", None)),
        st.tuples(st.just("start"), st.integers(100, 599)),
        st.tuples(st.just("body"), st.tuples(st.binary(max_size=8), st.booleans())),
        st.tuples(st.just("phase"), st.sampled_from(["plan", "rerank"])),
        st.tuples(st.just("stream"), st.integers(0, 3)),
        st.just(("sleep", None)),
        st.just(("unknown message", None)),
        st.tuples(
            st.just("raise"),
            st.sampled_from([ValueError, KeyError, StopAsyncIteration, OSError, ExceptionGroup]),
        ),
    ),
    max_size=8,
)


def application(script: list[Step], error: BaseException | None) -> Callable[..., Any]:
    """An ASGI application that does what ``script`` says."""

    @agentscope.llm_call(model="m")
    async def tokens(count: int) -> Any:
        for number in range(count):
            yield number

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        for verb, value in script:
            if verb == "receive":
                await receive()
            elif verb == "start":
                await send({"type": "http.response.start", "status": value, "headers": []})
            elif verb == "body":
                body, more = value
                await send({"type": "http.response.body", "body": body, "more_body": more})
            elif verb == "phase":
                with agentscope.phase(value):
                    await asyncio.sleep(0)
            elif verb == "stream":
                async for token in tokens(value):
                    await send({"type": "http.response.body", "body": b"%d" % token})
            elif verb == "sleep":
                await asyncio.sleep(0)
            elif verb == "unknown message":
                await send({"type": "http.response.trailers", "odd": object})
            elif verb == "raise":
                assert error is not None
                raise error

    return app


async def observe(
    app: Callable[..., Any], cancel_at: int, fails_at: int
) -> tuple[list[Any], int, Any, frozenset[str], int]:
    """All that a server could notice: messages, receives, how it ended, scope keys, tasks."""
    sent: list[Any] = []
    received = 0
    scope = {
        "type": "http", "method": "POST", "path": "/x", "scheme": "http", "query_string": b"",
        "headers": [(b"x-session-id", b"s1")], "root_path": "",
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if len(sent) == fails_at:
            raise OSError("the client has gone")
        sent.append(message)
        await asyncio.sleep(0)

    task = asyncio.ensure_future(app(scope, receive, send))
    for _ in range(cancel_at):
        await asyncio.sleep(0)
    if cancel_at < 12:
        task.cancel("enough")
    tasks = len(asyncio.all_tasks())
    await asyncio.wait([task])
    if task.cancelled():
        ended: Any = ("cancelled", task.cancelling())
    else:
        error = task.exception()
        ended = (type(error), error.args if error else None)
    return sent, received, ended, frozenset(scope.keys() - {SCOPE_KEY}), tasks


@settings(max_examples=500, deadline=None)
@given(steps, st.integers(0, 13), st.integers(0, 12))
def test_nobody_can_tell_that_we_are_there(
    script: list[Step], cancel_at: int, fails_at: int
) -> None:
    """Messages, receives, exceptions, cancellation at any point, tasks: all as without us."""
    errors = [kind for verb, kind in script if verb == "raise"]
    error: BaseException | None = None
    if errors:
        error = errors[0]("e", [ValueError()]) if errors[0] is ExceptionGroup else errors[0]("e")
    app = application(script, error)
    agentscope.shutdown()
    without = asyncio.run(observe(app, cancel_at, fails_at))
    with recording(real_time=True) as recorded:
        with_us = asyncio.run(observe(AgentScopeMiddleware(app), cancel_at, fails_at))
        assert recorded.recorder.open == {}
        requests = [span for span in recorded.spans if span.kind == 2]
        assert len(requests) == (0 if cancel_at == 0 else 1)
    assert with_us == without


def test_every_fault_of_ours_is_swallowed_and_counted(monkeypatch: Any) -> None:
    """Each hook point raises in turn; the answer and the exception stay the user's."""
    from agentscope import lifecycle
    from agentscope.recording import guard
    from agentscope.recording.recorder import Recorder
    from agentscope.recording.span import Span

    monkeypatch.setenv(guard.RAISE_VARIABLE, "0")

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a fault of ours")

    script: list[Step] = [("phase", "plan"), ("start", 200), ("body", (b"x", False))]
    app = application(script, None)
    agentscope.shutdown()
    expected = asyncio.run(observe(app, 12, 12))
    for owner, name in (
        (Recorder, "start"),
        (Recorder, "take"),
        (Span, "end"),
        (lifecycle.sessions, "touch"),
        (AgentScopeMiddleware, "session_of"),
        (AgentScopeMiddleware, "learn_turns"),
    ):
        with monkeypatch.context() as patched, recording(real_time=True):
            patched.setattr(owner, name, broken)
            observed = asyncio.run(observe(AgentScopeMiddleware(app), 12, 12))
        counted = guard.internal_errors()
        guard.forget_internal_errors()
        assert observed == expected, name
        assert counted, name
