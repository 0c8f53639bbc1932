"""Tools that a framework executes, and other parts of its work: one span each.

A tool has one span whoever makes it: none of ours where the call has one already, from a framework
above or from the user's own ``@agentscope.tool`` around the function below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentscope import conventions as c
from agentscope import phases, wrappers
from agentscope.clients.patches import Hook
from agentscope.recording.context import ContextToken, attach, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.span import Role, Span, text_of

Begun = tuple[Span, ContextToken]
Start = Callable[[Any, tuple[Any, ...], dict[str, Any]], Begun | None]
"""Starts the span from the instance and its arguments; None where there shall be none."""
Judge = Callable[[BaseException | None, Any], BaseException | str | None]
"""What was wrong, given what was raised and what was returned: the error, a word for one that the
framework has handled, or None. Not every exception is a failure."""

_ToolPhase = type(phases.tool(name="tool"))


def around(start: Start, judge: Judge) -> Hook:
    """Hook a method that does the work. ``start`` may not raise."""

    def run(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        begun = start(instance, args, kwargs)
        if begun is None:
            return wrapped(*args, **kwargs)
        try:
            output = wrapped(*args, **kwargs)
        except BaseException as error:
            _end(begun, judge, error, None)
            raise
        _end(begun, judge, None, output)
        return output

    return run


def around_async(start: Start, judge: Judge) -> Hook:
    """Hook a coroutine method that does the work. ``start`` may not raise."""

    async def run(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        begun = start(instance, args, kwargs)
        if begun is None:
            return await wrapped(*args, **kwargs)
        try:
            output = await wrapped(*args, **kwargs)
        except BaseException as error:
            _end(begun, judge, error, None)
            raise
        _end(begun, judge, None, output)
        return output

    return run


def begin(part: wrappers.Phase) -> Begun | None:
    """Start ``part`` and make it current; None while nothing is recorded."""
    span = part.begin()
    return None if span is None else (span, attach(span))


def begin_tool(name: Any, call_id: Any, *functions: Any) -> Begun | None:
    """Start the execution of a tool; None outside of our spans, and where it has a span already.

    ``call_id`` is the model's id of the call; ``functions`` are the user's, which may be decorated.
    """
    current = current_span()
    if current is None:
        return None
    name, call_id = text_of(name), text_of(call_id) if isinstance(call_id, str) else None
    if current.role is Role.TOOL:
        known = current.attributes
        if known.get(c.TOOL_NAME) == name or (call_id and known.get(c.TOOL_CALL_ID) == call_id):
            return None
    if any(map(_is_decorated, functions)):
        return None
    begun = begin(phases.tool(name=name))
    if begun is not None and call_id:
        begun[0].attributes[c.TOOL_CALL_ID] = call_id
    return begun


def _is_decorated(function: Any) -> bool:
    """Whether a function has a span of its own, by ``@agentscope.tool``."""
    function = getattr(function, "__func__", function)
    if getattr(function, "__globals__", None) is not vars(wrappers):
        return False
    for cell in getattr(function, "__closure__", None) or ():
        held = cell.cell_contents
        if isinstance(getattr(held, "__self__", held), _ToolPhase):
            return True
    return False


def _end(begun: Begun, judge: Judge, error: BaseException | None, output: Any) -> None:
    span, token = begun
    detach(token)
    try:
        wrong = judge(error, output)
        if isinstance(wrong, BaseException):
            span.attributes[c.OUTCOME] = wrappers.outcome_of(wrong).value
            if isinstance(wrong, Exception):
                span.fail(wrong)
        elif wrong is not None and c.ERROR_TYPE not in span.attributes:
            span.fail(wrong)
        span.end()
    except Exception as fault:
        internal_error("clients.tools", fault)
