"""The recorder's one thread: asleep while there is nothing to do, woken without a wait."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from agentscope.recording.guard import note_error


class Worker:
    """Calls ``work`` in a daemon thread, made when it is first needed.

    Where something waits, as ``waiting`` tells, within ``poll_s``; where nothing does, once
    ``idle_s`` gives the seconds for, or when ``wake`` is called. A process that forks before it
    serves has no thread to lose.
    """

    def __init__(
        self,
        work: Callable[[], None],
        waiting: Callable[[], bool],
        idle_s: Callable[[], float],
        poll_s: float,
    ) -> None:
        self._work = work
        self._waiting = waiting
        self._idle_s = idle_s
        self._poll_s = poll_s
        # Re-entrant: a signal handler or a finalizer may end a span in the middle of anything.
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        # Released to wake the thread. An event would do, could a signal handler set one safely.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._stopping = False
        self.resting = True
        """Whether the next that comes has to wake the thread, or to start it."""

    @property
    def running(self) -> bool:
        """Whether the thread was ever needed."""
        return self._thread is not None

    def rouse(self, begin: Callable[[], None]) -> None:
        """Wake the thread; where there is none, start one, and ``begin`` what goes with it."""
        if self._thread is None and not self._stopping:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(
                        target=self._run, name="agentscope-recorder", daemon=True
                    )
                    try:
                        thread.start()
                        self._thread = thread
                        begin()
                    except RuntimeError as error:  # no more threads; the next span tries again
                        note_error("recorder's thread", error)
                        return
        self.wake()

    def wake(self) -> None:
        """Wake the thread, if there is one."""
        self.resting = False
        if self._asleep.locked():
            with contextlib.suppress(RuntimeError):  # awake by now
                self._asleep.release()

    def stop(self) -> None:
        """End the thread soon; no other is started."""
        self._stopping = True
        self.wake()

    def _run(self) -> None:
        while not self._stopping:
            self._rest()
            if self._waiting() and not self._stopping:
                self._asleep.acquire(timeout=self._poll_s)
            try:
                self._work()
            except Exception as error:
                note_error("recorder", error)

    def _rest(self) -> None:
        """Sleep while there is nothing to do."""
        self.resting = True
        if not self._waiting():  # what comes after this look wakes us
            self._asleep.acquire(timeout=max(self._idle_s(), self._poll_s))
        self.resting = False
