"""The methods of a client library that ask a model: one inference a call, current while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentscope import lifecycle
from agentscope.clients.inference import Call
from agentscope.clients.patches import Hook
from agentscope.recording.context import attach, detach
from agentscope.recording.recorder import Recorder

Begin = Callable[[Recorder, Any, tuple[Any, ...], dict[str, Any]], Call | None]
"""Starts the call from the instance and its arguments; None where it is no call of a model."""

Answered = Callable[[Call, Any], None]
"""Is told what the method returned; ends the call, or hands it to who reads the stream."""


def sync_hook(begin: Begin, answered: Answered) -> Hook:
    """Hook a method that returns the answer. Neither callback may raise."""

    def ask(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        call = None if recorder is None else begin(recorder, instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        token = attach(call.span)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        answered(call, result)
        return result

    return ask


def async_hook(begin: Begin, answered: Answered) -> Hook:
    """Hook a method that returns an awaitable of the answer. Neither callback may raise."""

    def ask(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        # Called here, not in the coroutine: arguments are refused at the call, as they were.
        asking = wrapped(*args, **kwargs)
        if recorder is None:
            return asking
        return _ask(begin, answered, recorder, instance, asking, args, kwargs)

    return ask


async def _ask(
    begin: Begin,
    answered: Answered,
    recorder: Recorder,
    instance: Any,
    asking: Awaitable[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    call = begin(recorder, instance, args, kwargs)
    if call is None:
        return await asking
    token = attach(call.span)
    try:
        result = await asking
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        detach(token)
    answered(call, result)
    return result
