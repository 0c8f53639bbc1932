"""anyio on asyncio: waits for a worker thread, and for its locks, semaphores and limiters.

Starlette and FastAPI run synchronous endpoints, synchronous dependencies and ``run_in_threadpool``
by ``anyio.to_thread.run_sync``: in a thread once a ``CapacityLimiter`` gives a token, the default
one of 40 where the caller brings none. ``wait threadpool`` is the wait for that token alone; the
work in the thread is what remains. A limiter that never limited threads is a lock like any other.

The default limiter is called ``anyio``; one of the user's goes by the line that first waited.
anyio 4.0 and later for threads; the locks since they became the backend's own (4.5).
"""

from __future__ import annotations

import asyncio
import math
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.patches import Hook, Patches
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.runtime.frames import site
from agentscope.runtime.locks import begin_wait
from agentscope.runtime.threadpool import PoolState, name_of
from agentscope.runtime.waits import record_wait

Acquire = Callable[..., Awaitable[None]]

BACKEND = "anyio._backends._asyncio"
"""The module that is hooked; anyio imports it when it is first used in an event loop."""

DEFAULT = "anyio"

_UNNAMED = "anyio.CapacityLimiter"

_of_threads: weakref.WeakSet[Any] = weakref.WeakSet()
"""Limiters that have limited threads."""

_noted_loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None
"""The event loop whose default limiter was noted last: there mostly is but one."""


def patch(backend: Any) -> Callable[[], None]:
    """Hook ``backend``, anyio's module for asyncio; gives the way back.

    Raises AttributeError where its classes are not what we know.
    """
    patches = Patches()
    try:
        patches.wrap(backend.AsyncIOBackend, "run_sync_in_worker_thread", _run_sync)
        patches.wrap(backend.CapacityLimiter, "acquire_on_behalf_of", _acquire_token)
        if hasattr(backend, "Lock"):
            patches.wrap(backend.Lock, "acquire", _acquire_hook(lambda lock: not lock.locked()))
            patches.wrap(backend.Semaphore, "acquire", _acquire_hook(lambda one: one.value > 0))
    except AttributeError:
        patches.undo()
        raise
    return patches.undo


# --- threads ------------------------------------------------------------------------------------


def _run_sync(
    wrapped: Callable[..., Any], backend: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if lifecycle.recorder is not None:
        try:
            limiter = kwargs.get("limiter") or (args[3] if len(args) > 3 else None)
            if limiter is not None:
                # One made outside of the event loop stands for one made at its first use.
                _of_threads.add(getattr(limiter, "_limiter", limiter))
            elif _noted_loop() is not asyncio.get_running_loop():
                _note_default(backend)
        except Exception as error:
            internal_error("runtime.anyio", error)
    return wrapped(*args, **kwargs)


def _note_default(backend: Any) -> None:
    """Know the limiter of this event loop that limits whoever brings none."""
    global _noted_loop
    limiter = backend.current_default_thread_limiter()
    if limiter not in _of_threads:
        name_of(limiter, _look, lambda: DEFAULT)
        _of_threads.add(limiter)
    _noted_loop = weakref.ref(asyncio.get_running_loop())


def _acquire_token(
    wrapped: Callable[..., Any], limiter: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    if recorder is None or limiter.available_tokens > 0 or current_span() is None:
        return wrapped(*args, **kwargs)
    if limiter in _of_threads:
        return _waiting_for_thread(recorder, limiter, wrapped, args, kwargs)
    return _waiting_for_lock(limiter, wrapped, args, kwargs)


async def _waiting_for_thread(
    recorder: Recorder,
    limiter: Any,
    acquire: Acquire,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    start_ns = recorder.clock.monotonic_ns()
    try:
        await acquire(*args, **kwargs)
    except BaseException as error:
        _end_wait(recorder, limiter, start_ns, error)
        raise
    _end_wait(recorder, limiter, start_ns, None)


def _end_wait(recorder: Recorder, limiter: Any, start_ns: int, error: BaseException | None) -> None:
    try:
        end_ns = recorder.clock.monotonic_ns()
        by = site(sys._getframe())
        if by is not None and not by.users:  # the framework, for a synchronous endpoint
            by = None
        name = name_of(limiter, _look, lambda: _UNNAMED if by is None else by.name)
        record_wait(recorder, c.Wait.THREADPOOL, name, start_ns, end_ns, error, by)
    except Exception as fault:
        internal_error("runtime.anyio", fault)


def _look(limiter: Any) -> PoolState:
    limit = limiter.total_tokens
    waiting = len(limiter._wait_queue)
    return PoolState(None if limit == math.inf else limit, limiter.borrowed_tokens, waiting)


# --- locks --------------------------------------------------------------------------------------


def _acquire_hook(is_free: Callable[[Any], bool]) -> Hook:
    def acquire(
        wrapped: Callable[..., Any], lock: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if lifecycle.recorder is None or is_free(lock) or current_span() is None:
            return wrapped(*args, **kwargs)
        return _waiting_for_lock(lock, wrapped, args, kwargs)

    return acquire


async def _waiting_for_lock(
    lock: object, acquire: Acquire, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    waiting = begin_wait(lock)
    try:
        await acquire(*args, **kwargs)
    except BaseException as error:
        if waiting is not None:
            waiting.over(error)
        raise
    if waiting is not None:
        waiting.over()
