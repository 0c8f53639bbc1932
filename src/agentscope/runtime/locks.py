"""Waits for locks: asyncio's by a hook, any other lock by ``watch_lock``.

A free lock costs nothing more than before. asyncio's locks and semaphores ask for their event loop
only when they have to wait, to make the future that ends the wait. That question is what is hooked:
in Lock and Semaphore (BoundedSemaphore is one). A Condition waits for its lock, which is a Lock;
what it waits for until it is notified may be news of any kind, a result or the next message, and
is not called a lock. Nor is a Queue, for the same reason: who makes a pool of one's own out of
either has its waits seen by putting a Semaphore of the pool's size in front. trio's locks and
worker threads are not hooked: under trio these waits stay without a cause.

A lock has no name, so a wait goes by the line of the user's code that waited; in a task that has
no such line (``asyncio.wait_for(lock.acquire(), 5)`` makes one before Python 3.12) by the kind of
lock alone. Where a client library waits for a lock of its own, the wait for its pool says so
already: nothing is recorded.

``threading.Lock`` is a type written in C; nothing of it can be replaced, and to put another in its
place would change every lock of every library. Blocking the event loop with one shows as an
``event_loop.blocked`` that names the line. For waits in threads, wrap the lock: ``watch_lock``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients import LIBRARIES
from agentscope.clients.queries import inside
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import text_of
from agentscope.runtime.frames import Site, site
from agentscope.runtime.waits import MIN_WAIT_NS, record_wait

_LOCKS: tuple[type, ...] = (asyncio.Lock, asyncio.Semaphore)

_LOOP_OF = "_get_loop"
"""The question for the loop; private, and the same since Python 3.10."""

_CARRIERS = ("httpcore", "httpcore2")
"""What the client libraries with a hook are built on: their pools are recorded there."""


class Waiting:
    """A wait for a lock, from the moment it begins."""

    __slots__ = ("_name", "_recorder", "_site", "_start_ns")

    def __init__(self, recorder: Recorder, name: str, by: Site | None) -> None:
        self._recorder = recorder
        self._name = name
        self._site = by
        self._start_ns = recorder.clock.monotonic_ns()

    def over(self, error: BaseException | None = None) -> None:
        """The lock is there, or the wait was given up; in the context in which it began."""
        try:
            record_wait(
                self._recorder,
                c.Wait.LOCK,
                self._name,
                self._start_ns,
                self._recorder.clock.monotonic_ns(),
                error,
                self._site,
            )
        except Exception as fault:
            internal_error("runtime.locks", fault)


def begin_wait(lock: object) -> Waiting | None:
    """The wait for ``lock`` that begins here; None if it is of no turn, or a client library's."""
    recorder = lifecycle.recorder
    if recorder is None:
        return None
    try:
        if current_span() is None:
            return None
        frame = sys._getframe()
        by = site(frame, of_client)
        if by is not None:
            return Waiting(recorder, by.name, by)
        if inside() or site(frame) is not None:
            return None
        return Waiting(recorder, _kind(type(lock)), None)
    except Exception as error:
        internal_error("runtime.locks", error)
        return None


def _kind(lock: type) -> str:
    return f"{lock.__module__.partition('.')[0]}.{lock.__qualname__}"


@lru_cache(maxsize=4096)
def of_client(module: str) -> bool:
    """Whether ``module`` is of a client library with a hook, whose waits are recorded there."""
    return any(module == name or module.startswith(f"{name}.") for name in (*LIBRARIES, *_CARRIERS))


# --- asyncio's ------------------------------------------------------------------------------------


def patch() -> Callable[[], None]:
    """Hook asyncio's locks; gives the way back. Raises AttributeError where they are unlike it."""
    loop_of: Callable[[Any], asyncio.AbstractEventLoop] = getattr(asyncio.Lock, _LOOP_OF)

    def _get_loop(self: Any) -> Any:
        loop = loop_of(self)
        waiting = begin_wait(self)
        return loop if waiting is None else _FutureMaker(loop, waiting)

    for lock in _LOCKS:
        if getattr(lock, _LOOP_OF) is not loop_of:
            raise AttributeError(f"{lock.__qualname__} makes its futures otherwise")
    for lock in _LOCKS:
        setattr(lock, _LOOP_OF, _get_loop)

    def undo() -> None:
        for lock in _LOCKS:
            if vars(lock).get(_LOOP_OF) is _get_loop:
                delattr(lock, _LOOP_OF)

    return undo


class _FutureMaker:
    """Stands in for an event loop while a lock makes the future that it will wait for."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: Waiting) -> None:
        self._loop = loop
        self._waiting = waiting

    def create_future(self) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        waiting = self._waiting
        # First of its callbacks: it runs just before the task that waits goes on.
        future.add_done_callback(lambda _: waiting.over())
        return future

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


# --- any other ------------------------------------------------------------------------------------


def watch_lock(lock: Any, name: str) -> WatchedLock:
    """Record the waits for a lock of ``threading``: ``lock = watch_lock(Lock(), "cache")``.

    Use what it returns in the place of ``lock``: it is taken and given back in the same way, and
    whatever else one asks of it is the lock's own. ``name`` is what findings call it. Semaphores
    and the locks of ``multiprocessing`` can be watched too.
    """
    return WatchedLock(lock, name)


class WatchedLock:
    """A lock whose waits are recorded, below the span that is current in the waiting thread."""

    __slots__ = ("__weakref__", "_lock", "_name")

    def __init__(self, lock: Any, name: str) -> None:
        self._lock = lock
        self._name = text_of(name)

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Take the lock; arguments and result are those of the lock's own method."""
        recorder = lifecycle.recorder
        if recorder is None:
            return bool(self._lock.acquire(*args, **kwargs))
        start_ns = recorder.clock.monotonic_ns()
        try:
            return bool(self._lock.acquire(*args, **kwargs))
        finally:
            end_ns = recorder.clock.monotonic_ns()
            if end_ns - start_ns >= MIN_WAIT_NS:
                self._record(recorder, start_ns, end_ns)

    def release(self, *args: Any) -> None:
        """Give the lock back."""
        self._lock.release(*args)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} of {self._lock!r}>"

    def _record(self, recorder: Recorder, start_ns: int, end_ns: int) -> None:
        try:
            if current_span() is not None:
                by = site(sys._getframe())
                record_wait(recorder, c.Wait.LOCK, self._name, start_ns, end_ns, site=by)
        except Exception as error:
            internal_error("runtime.locks", error)
