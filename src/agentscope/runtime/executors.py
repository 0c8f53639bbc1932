"""Thread pools of ``concurrent.futures``: the wait for a thread, and our span in the thread.

``asyncio.to_thread``, ``loop.run_in_executor`` and a pool's own ``submit`` and ``map`` all go
through ``ThreadPoolExecutor.submit``, which is hooked. A call below a span of ours is recorded as
``wait threadpool`` from there until it starts in a worker, or until it is cancelled while it is
still queued. ``run_in_executor`` and ``submit`` carry no context variables into the worker, and
still do not: only the span is made current there, so that what the work does is part of its turn.

A pool is called by its ``thread_name_prefix``; the event loop's default one is ``asyncio``, one
without a prefix ``ThreadPoolExecutor``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.patches import Patches
from agentscope.recording.context import ContextToken, attach, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Span
from agentscope.runtime.threadpool import PoolState, name_of
from agentscope.runtime.waits import record_wait

_NUMBERED = re.compile(r"^(ThreadPoolExecutor)-\d+$")


def patch() -> Callable[[], None]:
    """Hook thread pools; gives the way back."""
    patches = Patches()
    patches.wrap(ThreadPoolExecutor, "submit", _submit)
    return patches.undo


def _submit(
    wrapped: Callable[..., Future[Any]],
    executor: ThreadPoolExecutor,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Future[Any]:
    recorder = lifecycle.recorder
    span = current_span() if recorder is not None and args else None
    if recorder is None or span is None:
        return wrapped(*args, **kwargs)
    try:
        queued = _Queued(recorder, span, name_of(executor, _look, lambda: _usual_name(executor)))
    except Exception as error:
        internal_error("runtime.executors", error)
        return wrapped(*args, **kwargs)
    future = wrapped(_Call(args[0], queued), *args[1:], **kwargs)
    try:
        if not future.running() and not future.done():
            future.add_done_callback(queued.cancelled)
    except Exception as error:
        internal_error("runtime.executors", error)
    return future


class _Queued:
    """A call's time in the queue."""

    __slots__ = ("_name", "_recorder", "_span", "_start_ns")

    def __init__(self, recorder: Recorder, span: Span, name: str) -> None:
        self._recorder = recorder
        self._span = span
        self._name = name
        self._start_ns = recorder.clock.monotonic_ns()

    def started(self) -> ContextToken | None:
        """In the worker: the wait is over, and the span is current from now on."""
        try:
            token = attach(self._span)
            self._record()
            return token
        except Exception as error:
            internal_error("runtime.executors", error)
            return None

    def cancelled(self, future: Future[Any]) -> None:
        """The call is done: if it never ran, all that it did was wait."""
        if not future.cancelled():
            return
        try:
            token = attach(self._span)
            self._record()
            detach(token)
        except Exception as error:
            internal_error("runtime.executors", error)

    def _record(self) -> None:
        recorder = self._recorder
        end_ns = recorder.clock.monotonic_ns()
        record_wait(recorder, c.Wait.THREADPOOL, self._name, self._start_ns, end_ns)


class _Call:
    """What the worker calls: the user's function, below the span that asked for it."""

    __slots__ = ("_function", "_queued")

    def __init__(self, function: Callable[..., Any], queued: _Queued) -> None:
        self._function = function
        self._queued = queued

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = self._queued.started()
        try:
            return self._function(*args, **kwargs)
        finally:
            if token is not None:
                detach(token)


def _usual_name(executor: ThreadPoolExecutor) -> str:
    # The number counts the pools that the process has ever made.
    return _NUMBERED.sub(r"\1", executor._thread_name_prefix or "")


def _look(executor: ThreadPoolExecutor) -> PoolState:
    threads = len(executor._threads)
    idle = executor._idle_semaphore._value
    waiting = executor._work_queue.qsize()
    return PoolState(executor._max_workers, max(threads - idle, 0), waiting)
