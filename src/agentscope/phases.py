"""Decorators and context managers: what a user writes around the parts of a turn.

Each verb gives one kind of object, ``Phase``, which is a decorator for functions, coroutine
functions, generators and asynchronous generators, and a context manager, plain or asynchronous.
Results, exceptions, signatures and cancellation pass untouched: whatever fails in here is ours,
and is caught and counted before it reaches the user's code.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.recording.context import (
    ContextToken,
    attach,
    attach_session,
    attached_span,
    current_span,
    detach,
)
from agentscope.recording.guard import internal_error
from agentscope.recording.span import AttributeValue, Role, Span, text_of
from agentscope.turns import begin_turn, bind_session

P = ParamSpec("P")
R = TypeVar("R")

_INTERNAL, _CLIENT = 1, 3
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})
# Looked up once: an enumeration's member costs more than a global.
_OK = c.Outcome.OK.value
_INFERENCE, _TURN = Role.INFERENCE, Role.TURN
_REPORTED = frozenset({_INFERENCE, _TURN})
"""Roles whose spans always say how they ended, and are written as ``open`` at shutdown."""


class Phase:
    """A part of a turn, recorded as one span each time it runs."""

    __slots__ = ("_attributes", "_kind", "_name", "_open", "_role", "_takes_name")

    def __init__(
        self,
        name: str,
        role: Role,
        attributes: dict[str, AttributeValue],
        kind: int = _INTERNAL,
        takes_name: bool = False,
    ) -> None:
        self._name = name
        self._takes_name = takes_name
        self._role = role
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
            if self._role in _REPORTED:
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
            if span.role in _REPORTED and c.OUTCOME not in span.attributes:
                span.attributes[c.OUTCOME] = _OK
        else:
            span.attributes[c.OUTCOME] = outcome_of(error).value
            if isinstance(error, Exception):
                span.fail(error)
        span.end()
    except Exception as fault:
        internal_error("phases.finish", fault)


def outcome_of(error: BaseException) -> c.Outcome:
    """How work ended that ended with ``error``."""
    if isinstance(error, GeneratorExit):
        return c.Outcome.ABANDONED
    if type(error).__name__ in _CANCELLATIONS and not isinstance(error, Exception):
        return c.Outcome.CANCELLED
    return c.Outcome.ERROR


# --- the verbs ----------------------------------------------------------------------------------


def phase(name: str) -> Phase:
    """A part of a turn with a name of your own: ``with agentscope.phase("rerank"): …``."""
    name = text_of(name)
    return Phase(name, Role.PHASE, {c.PHASE: name})


@overload
def context_load(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def context_load(*, name: str | None = None) -> Phase: ...
def context_load(function: Any = None, /, *, name: str | None = None) -> Any:
    """The phase that loads the conversation: ``@agentscope.context_load``, bare or called.

    ``name`` defaults to the function's.
    """
    kind = c.Phase.CONTEXT_LOAD.value
    loading = Phase(name or kind, Role.PHASE, {c.PHASE: kind}, takes_name=name is None)
    return loading if function is None else loading(function)


@overload
def llm_call(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def llm_call(
    *, name: str | None = None, model: str | None = None, provider: str | None = None
) -> Phase: ...
def llm_call(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    provider: str | None = None,
) -> Any:
    """The phase that asks the model: ``@agentscope.llm_call``, bare or called.

    Where the client library is instrumented, its call is recorded inside this phase. Where it is
    not, give ``model`` (and ``provider``): the phase is then the inference itself, and
    ``record_usage`` says its tokens.
    """
    kind = c.Phase.LLM_CALL.value
    attributes: dict[str, AttributeValue] = {c.PHASE: kind}
    if model is None:
        asking = Phase(name or kind, Role.PHASE, attributes, takes_name=name is None)
    else:
        attributes[c.OPERATION_NAME] = "chat"
        attributes[c.REQUEST_MODEL] = model
        if provider is not None:
            attributes[c.PROVIDER_NAME] = provider
        asking = Phase(name or f"chat {model}", Role.INFERENCE, attributes, _CLIENT)
    return asking if function is None else asking(function)


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def tool(*, name: str | None = None) -> Phase: ...
def tool(function: Any = None, /, *, name: str | None = None) -> Any:
    """A tool's execution: ``@agentscope.tool``, bare or called; ``name`` is the function's."""
    executing = _ToolPhase(name or "tool", takes_name=name is None)
    return executing if function is None else executing(function)


class _ToolPhase(Phase):
    """A tool: its name stands in the span's name and in an attribute."""

    __slots__ = ()

    def __init__(self, name: str, takes_name: bool = False) -> None:
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: "execute_tool",
            c.TOOL_NAME: name,
        }
        super().__init__(f"execute_tool {name}", Role.TOOL, attributes, takes_name=takes_name)

    def _named(self, name: str) -> Phase:
        return _ToolPhase(name)


def turn(name: str, session: str | None = None) -> Phase:
    """A turn without HTTP, for queue workers, WebSocket messages and scripts.

    ``with agentscope.turn("message", session=chat_id): …``
    """
    attributes: dict[str, AttributeValue] = {c.TURN: True}
    if session is not None:
        attributes[c.CONVERSATION_ID] = text_of(session)
    return Phase(text_of(name), Role.TURN, attributes)


class session:
    """Bind a session to what runs inside: ``with agentscope.session(chat_id): …``."""

    __slots__ = ("_session_id", "_tokens")

    def __init__(self, session_id: str) -> None:
        self._session_id = text_of(session_id)
        self._tokens: list[ContextToken] = []

    def __enter__(self) -> Self:
        try:
            self._tokens.append(attach_session(self._session_id))
            span = current_span()
            if span is not None and span.turn is not None:
                bind_session(span.turn, self._session_id)
        except Exception as error:
            internal_error("phases.session", error)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._tokens:
            detach(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__(*exception)


def record_usage(
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cache_read_input_tokens: int | None = None,
    reasoning_output_tokens: int | None = None,
) -> None:
    """Say the tokens of the model call that is running; totals include cached and reasoning ones.

    Outside of a model call it does nothing.
    """
    try:
        span = current_span()
        while span is not None and not _is_model_call(span):
            span = span.parent
        if span is None:
            return
        if span.role is Role.PHASE:  # an llm_call without a model: now it is known to be one call
            span.role = Role.INFERENCE
            span.attributes.setdefault(c.OPERATION_NAME, "chat")
        attributes = span.attributes
        if input_tokens is not None:
            attributes[c.INPUT_TOKENS] = int(input_tokens)
        if output_tokens is not None:
            attributes[c.OUTPUT_TOKENS] = int(output_tokens)
        if cache_read_input_tokens is not None:
            attributes[c.CACHE_READ_TOKENS] = int(cache_read_input_tokens)
        if reasoning_output_tokens is not None:
            attributes[c.REASONING_TOKENS] = int(reasoning_output_tokens)
    except Exception as error:
        internal_error("phases.record_usage", error)


def record_error(error: BaseException) -> None:
    """Say that the current turn failed although it answers, and with what type of error."""
    try:
        span = current_span()
        if span is not None and span.turn is not None:
            # A text in the place of an exception may be anything, secrets included.
            known = isinstance(error, BaseException)
            span.turn.fail(error if known else c.UNKNOWN_ERROR)
            span.turn.attributes[c.OUTCOME] = c.Outcome.ERROR.value
    except Exception as fault:
        internal_error("phases.record_error", fault)


def _is_model_call(span: Span) -> bool:
    if span.role is _INFERENCE:
        return True
    return span.role is Role.PHASE and span.attributes.get(c.PHASE) == c.Phase.LLM_CALL.value
