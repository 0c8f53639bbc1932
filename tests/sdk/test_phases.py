"""Decorators and context managers: what they record, and that they change nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest

import agentscope
from agentscope.testing import Recorded


def test_the_phases_of_a_turn_nest_and_carry_their_names(recorded: Recorded) -> None:
    """Each verb writes the span that the telemetry contract describes."""

    @agentscope.tool
    def lookup_order() -> None:
        recorded.clock.advance(0.2)

    @agentscope.context_load(name="history")
    def load() -> None:
        recorded.clock.advance(0.1)

    @agentscope.llm_call(model="gpt-4o-mini", provider="openai")
    def ask() -> None:
        recorded.clock.advance(1)
        agentscope.record_usage(input_tokens=812, output_tokens=64)

    with agentscope.turn("message", session="s1"):
        load()
        ask()
        lookup_order()
        with agentscope.phase("rerank"):
            recorded.clock.advance(0.05)

    assert recorded.tree() == [
        "message 1.350s agentscope.outcome=ok agentscope.turn=True gen_ai.conversation.id=s1",
        "  history 0.100s agentscope.phase=context_load",
        (
            "  chat gpt-4o-mini 1.000s agentscope.outcome=ok agentscope.phase=llm_call "
            "gen_ai.operation.name=chat gen_ai.provider.name=openai gen_ai.request.model=gpt-4o-mini "
            "gen_ai.usage.input_tokens=812 gen_ai.usage.output_tokens=64"
        ),
        (
            "  execute_tool lookup_order 0.200s gen_ai.operation.name=execute_tool "
            "gen_ai.tool.name=lookup_order"
        ),
        "  rerank 0.050s agentscope.phase=rerank",
    ]


@pytest.mark.parametrize("called", [False, True])
def test_a_decorator_may_stand_bare_or_called(recorded: Recorded, called: bool) -> None:
    """Either way the function's name names the span."""

    def load_history() -> int:
        return 7

    decorate = agentscope.context_load() if called else agentscope.context_load
    assert decorate(load_history)() == 7
    assert recorded.tree() == ["load_history 0.000s agentscope.phase=context_load"]


def test_decorated_functions_keep_their_kind_and_signature() -> None:
    """Frameworks look at a function's signature and kind; both stay."""

    def plain(a: int, *, b: str = "x") -> None: ...
    async def coroutine(a: int) -> None: ...
    def generator(a: int) -> Iterator[int]:
        yield a

    async def async_generator(a: int) -> AsyncIterator[int]:
        yield a

    for function, kind in (
        (plain, inspect.isfunction),
        (coroutine, inspect.iscoroutinefunction),
        (generator, inspect.isgeneratorfunction),
        (async_generator, inspect.isasyncgenfunction),
    ):
        wrapped = agentscope.tool(function)
        assert kind(wrapped)
        assert inspect.signature(wrapped) == inspect.signature(function)
        assert wrapped.__name__ == function.__name__


def test_methods_static_and_class_methods_are_recorded(recorded: Recorded) -> None:
    """The decorator may stand above @staticmethod and @classmethod too."""

    class Tools:
        @agentscope.tool
        def method(self) -> Tools:
            return self

        @agentscope.tool
        @staticmethod
        def static() -> int:
            return 1

        @agentscope.tool
        @classmethod
        def of_class(cls) -> type[Tools]:
            return cls

    tools = Tools()
    assert (tools.method(), Tools.static(), Tools.of_class()) == (tools, 1, Tools)
    assert [span.name for span in recorded.spans] == [
        "execute_tool method",
        "execute_tool static",
        "execute_tool of_class",
    ]


class _Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("an exception's text is none of the recorder's business")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("secret prompt"), "error"),
        (_Rude(), "error"),
        (StopIteration(3), "error"),
        (ExceptionGroup("two", [ValueError(), KeyError()]), "error"),
        (BaseExceptionGroup("two", [SystemExit()]), "error"),
        (asyncio.CancelledError("why"), "cancelled"),
        (KeyboardInterrupt(), "error"),
        (SystemExit(3), "error"),
        (GeneratorExit(), "abandoned"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_an_exception_passes_as_the_same_object(
    recorded: Recorded, error: BaseException, outcome: str
) -> None:
    """Same object, same cause and context; its class is recorded and its text is not."""
    cause = LookupError("cause")

    @agentscope.llm_call(model="m")
    def fails() -> None:
        raise error from cause

    with pytest.raises(BaseException) as caught:
        fails()
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (cause, None)
    (span,) = recorded.spans
    assert span.attributes["agentscope.outcome"] == outcome
    assert "secret" not in str(span.raw)
    assert (span.attributes.get("error.type") is not None) == isinstance(error, Exception)


def test_cancellation_reaches_the_task_and_is_recorded(recorded: Recorded) -> None:
    """A cancelled task is cancelled, once, and its span says so."""

    @agentscope.llm_call(model="m")
    async def ask() -> None:
        await asyncio.Event().wait()

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        task.cancel("enough")
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task

    task = asyncio.run(main())
    assert task.cancelled()
    assert task.cancelling() == 1
    assert recorded.span("chat m").attributes["agentscope.outcome"] == "cancelled"


def test_a_streamed_call_ends_with_the_stream(recorded: Recorded) -> None:
    """Chunks are the same objects; the first is dated; the span ends after the last."""
    chunks = [object(), object(), object()]

    @agentscope.llm_call(model="m")
    async def stream() -> AsyncIterator[object]:
        for chunk in chunks:
            recorded.clock.advance(0.5)
            yield chunk

    async def main() -> list[object]:
        return [chunk async for chunk in stream()]

    assert asyncio.run(main()) == chunks
    span = recorded.span("chat m")
    assert span.duration_s == 1.5
    assert span.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert span.attributes["agentscope.outcome"] == "ok"


def test_a_stream_broken_off_leaves_the_context_clean(recorded: Recorded) -> None:
    """The consumer's next span is no child of a stream that nobody finished."""

    @agentscope.llm_call(model="m")
    async def stream() -> AsyncIterator[int]:
        while True:
            yield 1

    async def main() -> None:
        with agentscope.turn("message"):
            async for _ in (abandoned := stream()):
                break
            with agentscope.phase("after"):
                pass
            await abandoned.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    turn, after, broken = (recorded.span(name) for name in ("message", "after", "chat m"))
    assert after.parent_id == turn.span_id
    assert broken.parent_id == turn.span_id
    assert broken.attributes["agentscope.outcome"] == "abandoned"


def test_a_stream_closed_by_another_task_logs_nothing(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """No context token is held across a yield, so none can be reset in a foreign context."""

    @agentscope.phase("stream")
    async def stream() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        running = stream()
        assert await anext(running) == 1
        await asyncio.create_task(running.aclose())  # type: ignore[attr-defined]

    asyncio.run(main())
    assert caplog.records == []
    assert recorded.span("stream").attributes["agentscope.outcome"] == "abandoned"


def test_generators_pass_values_exceptions_and_results(recorded: Recorded) -> None:
    """send(), throw() and the return value work through the decorator."""

    @agentscope.tool
    def echo() -> Iterator[object]:
        got: object = None
        while True:
            try:
                got = yield got
            except KeyError as error:
                return ("thrown", error)  # type: ignore[return-value]

    running = echo()
    assert next(running) is None
    assert running.send("a") == "a"  # type: ignore[attr-defined]
    error = KeyError("b")
    with pytest.raises(StopIteration) as stop:
        running.throw(error)  # type: ignore[attr-defined]
    assert stop.value.value == ("thrown", error)
    assert len(recorded.spans) == 1


def test_usage_said_outside_of_a_model_call_is_ignored(recorded: Recorded) -> None:
    """record_usage finds the model call that is running, however deep, or does nothing."""
    agentscope.record_usage(input_tokens=1)
    with agentscope.llm_call(name="ask"), agentscope.phase("parse"):
        agentscope.record_usage(output_tokens=5)
    assert recorded.span("ask").attributes == {
        "agentscope.phase": "llm_call",
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.output_tokens": 5,
        "agentscope.outcome": "ok",
    }


def test_a_session_bound_in_a_worker_marks_its_turns(recorded: Recorded) -> None:
    """Queue workers have no request to find a session in; they say it."""
    with agentscope.session("chat-7"), agentscope.turn("job"):
        pass
    with agentscope.turn("late"), agentscope.session("chat-8"):
        pass
    assert [span.attributes["gen_ai.conversation.id"] for span in recorded.spans] == [
        "chat-7",
        "chat-8",
    ]


def test_an_error_that_is_answered_still_counts(recorded: Recorded) -> None:
    """record_error marks the turn although the handler goes on."""
    with agentscope.turn("job"):
        agentscope.record_error(TimeoutError("no text"))
    turn = recorded.span("job")
    assert turn.status == 2
    assert turn.attributes["error.type"] == "TimeoutError"
    assert turn.attributes["agentscope.outcome"] == "error"


def test_without_a_recorder_functions_run_as_written() -> None:
    """Decorated code works where nothing was configured."""
    agentscope.shutdown()

    @agentscope.tool
    async def work(value: int) -> int:
        with agentscope.phase("inner"):
            return value + 1

    assert asyncio.run(work(1)) == 2


def test_one_phase_object_may_run_many_times_at_once(recorded: Recorded) -> None:
    """A context manager object that is entered twice keeps its spans apart."""
    rerank = agentscope.phase("rerank")
    with rerank, rerank:
        recorded.clock.advance(1)
    inner, outer = recorded.spans
    assert inner.parent_id == outer.span_id


def test_one_object_may_be_entered_by_many_tasks_at_a_time(recorded: Recorded) -> None:
    """``RERANK = agentscope.phase("rerank")`` at the top of a module is how people share a name."""
    shared = agentscope.phase("shared")

    async def job(name: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        with agentscope.turn(name):
            async with shared:
                entered.set()
                await leave.wait()
            with agentscope.phase(f"after {name}"):
                pass

    async def main() -> None:
        entered = [asyncio.Event(), asyncio.Event()]
        leave = [asyncio.Event(), asyncio.Event()]
        tasks = [
            asyncio.create_task(job(name, entered[n], leave[n])) for n, name in enumerate("ab")
        ]
        for event in entered:
            await event.wait()
        for number in (0, 1):  # the first to come is the first to go
            recorded.clock.advance(1)
            leave[number].set()
            await tasks[number]

    asyncio.run(main())
    assert recorded.tree() == [
        "a 1.000s agentscope.outcome=ok agentscope.turn=True",
        "  shared 1.000s agentscope.phase=shared",
        "  after a 0.000s agentscope.phase=after a",
        "b 2.000s agentscope.outcome=ok agentscope.turn=True",
        "  shared 2.000s agentscope.phase=shared",
        "  after b 0.000s agentscope.phase=after b",
    ]


def test_turns_that_a_finished_turn_leaves_running_are_no_part_of_it(recorded: Recorded) -> None:
    """A worker that the first job started serves for ever: no endless trace, no endless chain."""

    async def main() -> None:
        done = asyncio.Event()

        def poll(left: int) -> None:
            with agentscope.turn(f"poll {left}"):
                if left:
                    asyncio.get_running_loop().call_soon(poll, left - 1)
                else:
                    done.set()

        poll(2)
        await done.wait()

    asyncio.run(main())
    spans = recorded.spans
    assert [span.name for span in spans] == ["poll 2", "poll 1", "poll 0"]
    assert [span.parent_id for span in spans] == ["", "", ""]
    assert len({span.trace_id for span in spans}) == 3
