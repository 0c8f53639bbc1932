"""Thread pools of ``concurrent.futures``: the wait for a thread, and our span in the thread.

``asyncio.to_thread``, ``loop.run_in_executor`` and a pool's own ``submit`` and ``map`` all go
through ``ThreadPoolExecutor.submit``, which is hooked. A call below a span of ours that finds all
workers busy is recorded as ``wait threadpool`` from there until it starts in one, or until it is
cancelled while it is still queued. What an idle worker takes to wake, or a new one to start, is no
wait for a worker: that is the machine's doing. ``run_in_executor`` and ``submit`` carry no context
variables into the worker, and still do not: only the span is made current there, so that what the
work does is part of its turn.

A pool is called by its ``thread_name_prefix``; the event loop's default one is ``asyncio``, one
without a prefix ``ThreadPoolExecutor``.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
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

_worker = threading.local()
"""``free_ns``: when this worker was done with its last call."""

_busy: set[int] = set()
"""Workers that have a call now, by the thread's ident."""

os.register_at_fork(after_in_child=_busy.clear)  # a child has none of the parent's workers


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
    if recorder is None or not args:
        return wrapped(*args, **kwargs)
    queued = _queue(recorder, executor)
    future = wrapped(_Call(args[0], recorder, queued), *args[1:], **kwargs)
    try:
        if queued is not None and not future.running() and not future.done():
            future.add_done_callback(queued.cancelled)
    except Exception as error:
        internal_error("runtime.executors", error)
    return future


def _queue(recorder: Recorder, executor: ThreadPoolExecutor) -> _Queued | None:
    """A call's time in the queue, which begins now; None for a call of nobody's turn."""
    try:
        span = current_span()
        if span is None:
            return None
        name = name_of(executor, _look, lambda: _usual_name(executor))
        return _Queued(recorder, span, executor, name)
    except Exception as error:
        internal_error("runtime.executors", error)
        return None


class _Queued:
    """A call's time in the queue."""

    __slots__ = ("_executor_of", "_name", "_recorder", "_span", "_start_ns")

    def __init__(
        self, recorder: Recorder, span: Span, executor: ThreadPoolExecutor, name: str
    ) -> None:
        self._recorder = recorder
        self._span = span
        # Weakly: a future that somebody keeps must not keep the executor's threads.
        self._executor_of = weakref.ref(executor)
        self._name = name
        self._start_ns = recorder.clock.monotonic_ns()

    def started(self) -> ContextToken | None:
        """In the worker: the wait is over, and the span is current from now on."""
        try:
            token = attach(self._span)
            # A worker that was free before has only been woken.
            if getattr(_worker, "free_ns", 0) > self._start_ns:
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
            executor = self._executor_of()
            if executor is None or _busy_in(executor) < executor._max_workers:
                return
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
    """What the worker calls: the user's function, below the span that asked for it, if any."""

    __slots__ = ("_function", "_queued", "_recorder")

    def __init__(
        self, function: Callable[..., Any], recorder: Recorder, queued: _Queued | None
    ) -> None:
        self._function = function
        self._recorder = recorder
        self._queued = queued

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        worker = threading.get_ident()
        _busy.add(worker)
        token = None if self._queued is None else self._queued.started()
        try:
            return self._function(*args, **kwargs)
        finally:
            if token is not None:
                detach(token)
            _busy.discard(worker)
            _worker.free_ns = self._recorder.clock.monotonic_ns()


def _usual_name(executor: ThreadPoolExecutor) -> str:
    # The number counts the pools that the process has ever made.
    return _NUMBERED.sub(r"\1", executor._thread_name_prefix or "")


def _busy_in(executor: ThreadPoolExecutor) -> int:
    """How many workers have a call. The executor's own books count some of them as idle."""
    return sum(1 for thread in list(executor._threads) if thread.ident in _busy)


def _look(executor: ThreadPoolExecutor) -> PoolState:
    waiting = executor._work_queue.qsize()
    return PoolState(executor._max_workers, _busy_in(executor), waiting)
