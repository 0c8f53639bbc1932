"""An alarm that one thread sets for another, and moves without waking it.

A watchdog that looks from time to time costs a wake-up each time, a tenth of a millisecond of a
processor where nothing else runs. Here the thread that is watched moves the moment forward as long
as it goes on, and the watchdog wakes only when it did not. Linux has such a clock: timerfd(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import threading
from collections.abc import Callable
from typing import Any, Protocol

_MONOTONIC = 1
"""``CLOCK_MONOTONIC`` of ``clock_gettime(2)``."""
MAX_KEPT = 256
"""Different spans of time, in milliseconds, that are kept as the kernel wants them."""


class Alarm(Protocol):
    """What a watchdog waits for."""

    settable: bool
    """Whether ``set`` does anything; where not, the watchdog has to look by itself."""

    def set(self, after_ns: int) -> None:
        """Ring so long from now, or up to a millisecond later, and not when it was set for before;
        0 for not at all."""

    def call(self, within_ns: int) -> None:
        """Ring so long from now at the latest."""

    def wait(self, timeout_ms: int) -> bool:
        """Wait until it rings; False if it has not after ``timeout_ms``."""


def new_alarm() -> Alarm:
    """The kernel's, or one that can only be rung at once where there is none."""
    try:
        return TimerAlarm()
    except (OSError, AttributeError):  # another system, no descriptor left, a sandbox
        return LockAlarm()


class _Time(ctypes.Structure):
    """``struct itimerspec``, for a timer that rings once."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("after_s", ctypes.c_long),
        ("after_ns", ctypes.c_long),
    )


class TimerAlarm:
    """The kernel's timer as a descriptor. Setting it takes one to three microseconds."""

    settable = True

    def __init__(self) -> None:
        self._descriptor = -1
        self._poll = select.poll()
        # PyDLL: the call takes a microsecond, so the interpreter lock is kept.
        library = ctypes.PyDLL(None)
        self._settime: Callable[..., int] = library.timerfd_settime
        descriptor = library.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError("no timer to be had")
        self._descriptor = descriptor
        self._times: dict[int, Any] = {}
        self._poll.register(descriptor, select.POLLIN)

    def set(self, after_ns: int) -> None:
        """See ``Alarm``."""
        after_ms = -(-after_ns // 1_000_000)
        time = self._times.get(after_ms)
        if time is None:
            seconds, rest_ms = divmod(after_ms, 1000)
            time = ctypes.byref(_Time(0, 0, seconds, rest_ms * 1_000_000))
            if len(self._times) < MAX_KEPT:
                self._times[after_ms] = time
        self._settime(self._descriptor, 0, time, None)

    def call(self, within_ns: int) -> None:
        """See ``Alarm``."""
        self.set(within_ns)

    def wait(self, timeout_ms: int) -> bool:
        """See ``Alarm``."""
        if not self._poll.poll(timeout_ms):
            return False
        with contextlib.suppress(BlockingIOError):  # set anew meanwhile
            os.read(self._descriptor, 8)
        return True

    def __del__(self) -> None:
        # Not before: the number would be another file's while a thread still sets or waits.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LockAlarm:
    """An alarm that rings at once or not at all."""

    settable = False

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def set(self, after_ns: int) -> None:
        """See ``Alarm``; nothing happens."""

    def call(self, within_ns: int) -> None:
        """See ``Alarm``."""
        with contextlib.suppress(RuntimeError):  # rings already
            self._silence.release()

    def wait(self, timeout_ms: int) -> bool:
        """See ``Alarm``."""
        return self._silence.acquire(timeout=timeout_ms / 1e3)
