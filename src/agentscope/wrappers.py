"""A part of a turn around code: the object that every verb of ``phases`` gives.

``Phase`` is a decorator for functions, coroutine functions, generators and asynchronous
generators, and a context manager, plain or asynchronous. Results, exceptions, signatures and
cancellation pass untouched: whatever fails in here is ours, and is caught and counted before it
reaches the user's code.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.context import ContextToken, attach, attached_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.span import INTERNAL, AttributeValue, Role, Span, error_type
from agentscope.turns import begin_turn

P = ParamSpec("P")
R = TypeVar("R")

_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})
_DEPARTURES = frozenset(
    {
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "uvicorn.protocols.utils.ClientDisconnected",
    }
)
"""Exceptions that say that the caller has gone: nothing of the service's has failed."""
# Looked up once: an enumeration's member costs more than a global.
_OK = c.Outcome.OK.value
_INFERENCE, _TURN = Role.INFERENCE, Role.TURN
_REPORTED = frozenset({_INFERENCE, _TURN})
"""Roles whose spans always say how they ended, and are written as ``open`` at shutdown."""


class Phase:
    """A part of a turn, recorded as one span each time it runs."""

    __slots__ = ("_attributes", "_kind", "_name", "_open", "_reported", "_role", "_takes_name")

    def __init__(
        self,
        name: str,
        role: Role,
        attributes: dict[str, AttributeValue],
        kind: int = INTERNAL,
        takes_name: bool = False,
    ) -> None:
        self._name = name
        self._takes_name = takes_name
        self._role = role
        self._reported = role in _REPORTED
        self._attributes = attributes
        self._kind = kind
        self._open: dict[Span, ContextToken] = {}
        """Spans entered and not yet left: one object may be entered by many tasks at a time."""

    def begin(self) -> Span | None:
        """Start the span; None while nothing is recorded. For this package's own use."""
        recorder = lifecycle.recorder
        if recorder is None:
            return None
        try:
            span = recorder.start(self._name, self._role, self._attributes.copy(), self._kind)
            turn = span.turn
            if self._role is _TURN:
                span.turn = span
                session_id = self._attributes.get(c.CONVERSATION_ID)
                if isinstance(session_id, str):
                    lifecycle.sessions.touch(session_id)
                else:
                    begin_turn(span)
            elif turn is not None and c.TURN not in turn.attributes:
                begin_turn(turn)
            if self._reported:
                recorder.open[span.span_id] = span
            return span
        except Exception as error:
            internal_error("phases.begin", error)
            return None

    # --- context manager ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        span = self.begin()
        if span is not None:
            self._open[span] = attach(span)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = self._leave()
        if left is not None:
            span, token = left
            detach(token)
            _finish(span, error)

    def _leave(self) -> tuple[Span, ContextToken] | None:
        opened = self._open
        if len(opened) > 1 and (span := attached_span()) in opened:
            return span, opened.pop(span)
        return opened.popitem() if opened else None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    # --- decorator ---------------------------------------------------------------------------

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap ``function``, whatever kind of function it is."""
        if self._takes_name and (name := getattr(function, "__name__", "")):
            return self._named(name)(function)
        if isinstance(function, staticmethod | classmethod):
            rewrapped = type(function)(self(function.__func__))
            return cast("Callable[P, R]", rewrapped)
        if inspect.isasyncgenfunction(function):
            wrapper: Any = self._around_async_generator(function)
        elif inspect.isgeneratorfunction(function):
            wrapper = self._around_generator(function)
        elif inspect.iscoroutinefunction(function):
            wrapper = self._around_coroutine(function)
        else:
            wrapper = self._around_function(function)
        return cast("Callable[P, R]", functools.wraps(function)(wrapper))

    def _named(self, name: str) -> Phase:
        return Phase(name, self._role, self._attributes, self._kind)

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        begin = self.begin

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            span = begin()
            if span is None:
                return function(*args, **kwargs)
            token = attach(span)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                detach(token)
                _finish(span, error)
                raise
            detach(token)
            _finish(span, None)
            return result

        return wrapper

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        begin = self.begin

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            span = begin()
            if span is None:
                return await function(*args, **kwargs)
            token = attach(span)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                detach(token)
                _finish(span, error)
                raise
            detach(token)
            _finish(span, None)
            return result

        return wrapper

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # The span is current only while the generator's own code runs: a token held across a
        # yield would make the consumer's next span a child of a stream it may have given up.
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            span = self.begin()
            generator = function(*args, **kwargs)
            if span is None:
                return (yield from generator)
            error: BaseException | None = None
            step: Callable[[], Any] = functools.partial(next, generator)
            try:
                while True:
                    token = attach(span)
                    try:
                        value = step()
                    finally:
                        detach(token)
                    _first_chunk(span)
                    try:
                        sent = yield value
                        step = functools.partial(generator.send, sent)
                    except GeneratorExit as closing:
                        error = closing
                        generator.close()
                        raise
                    except BaseException as thrown:
                        step = functools.partial(generator.throw, thrown)
            except StopIteration as stop:
                return stop.value
            except BaseException as raised:
                error = raised
                raise
            finally:
                _finish(span, error)
                error = None  # an exception that its own frame refers to is a cycle

        return wrapper

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            span = self.begin()
            generator = function(*args, **kwargs)
            error: BaseException | None = None
            step: Callable[[], Any] = generator.__anext__
            try:
                while True:
                    token = attach(span) if span is not None else None
                    try:
                        value = await step()
                    finally:
                        if token is not None:
                            detach(token)
                    if span is not None:
                        _first_chunk(span)
                    try:
                        sent = yield value
                        step = functools.partial(generator.asend, sent)
                    except GeneratorExit as closing:
                        error = closing
                        await generator.aclose()
                        raise
                    except BaseException as thrown:
                        step = functools.partial(generator.athrow, thrown)
            except StopAsyncIteration:
                return
            except BaseException as raised:
                error = raised
                raise
            finally:
                if span is not None:
                    _finish(span, error)
                error = None

        return wrapper


def _first_chunk(span: Span) -> None:
    if span.role is _INFERENCE and c.TIME_TO_FIRST_CHUNK not in span.attributes:
        recorder = lifecycle.recorder
        if recorder is not None:
            elapsed_ns = recorder.clock.monotonic_ns() - span.start_ns
            span.attributes[c.TIME_TO_FIRST_CHUNK] = elapsed_ns / 1e9
            span.attributes[c.REQUEST_STREAM] = True


def _finish(span: Span, error: BaseException | None) -> None:
    """End ``span`` and say how; ``error`` is what its code ended with, if anything."""
    try:
        if error is None:
            role = span.role
            if (role is _INFERENCE or role is _TURN) and c.OUTCOME not in span.attributes:
                span.attributes[c.OUTCOME] = _OK
        else:
            conclude(span, error)
        span.end()
    except Exception as fault:
        internal_error("phases.finish", fault)


def conclude(span: Span, error: BaseException) -> str:
    """Say on ``span`` how its work ended, that ended with ``error``; returns the outcome."""
    outcome = outcome_of(error)
    span.attributes[c.OUTCOME] = outcome.value
    if outcome is c.Outcome.ERROR and isinstance(error, Exception):
        span.fail(error)
    return outcome.value


def outcome_of(error: BaseException) -> c.Outcome:
    """How work ended that ended with ``error``."""
    if isinstance(error, GeneratorExit):
        return c.Outcome.ABANDONED
    if isinstance(error, Exception):
        left = error_type(error) in _DEPARTURES
    else:
        left = type(error).__name__ in _CANCELLATIONS
    return c.Outcome.CANCELLED if left else c.Outcome.ERROR
