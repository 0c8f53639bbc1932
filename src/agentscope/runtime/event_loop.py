"""Event loops: how late they run, when they were blocked, and by whose code.

A timer in the loop measures the delay. Where the loop's selector can be seen (asyncio's own), the
two ends of each round are noted, so a block's start and end are exact; elsewhere (uvloop) the start
is computed from the timer and the loop's idle time. A thread looks at a loop that is late and notes
which code the loop's thread is in.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.runtime.loop_watch import LoopWatch


class LoopMonitor:
    """Watches the event loops of this process, for one recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._watches: dict[asyncio.AbstractEventLoop, LoopWatch] = {}
        self._lock = threading.RLock()  # a signal handler may stop what it interrupts
        self._sampled = False

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """Watch ``loop``, or the one that runs here; False if none does or it is watched already.

        A loop that runs in another thread starts to be watched when it comes round. trio has no
        such loop: nothing happens.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        loop = loop or running
        if loop is None or loop.is_closed():
            return False
        with self._lock:
            if loop in self._watches:
                return False
            watch = self._watches[loop] = LoopWatch(loop, self._recorder)
            if not self._sampled:
                self._sampled = True
                self._recorder.samplers.append(self.sample)
        if loop is running:
            watch.start()
        else:
            loop.call_soon_threadsafe(watch.start, context=Context())
        return True

    def watched(self) -> list[asyncio.AbstractEventLoop]:
        """The loops that are watched now."""
        with self._lock:
            return [loop for loop in self._watches if not loop.is_closed()]

    def stop(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Stop watching ``loop``, or all; a block that is still running is recorded up to now.

        From any thread, and before the recorder shuts down.
        """
        with self._lock:
            watches = [self._watches.pop(one) for one in list(self._watches) if loop in (None, one)]
        for watch in watches:
            watch.stop()

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.event_loop.delay.max`` and the wait for the interpreter lock."""
        with self._lock:
            for loop in [one for one in self._watches if one.is_closed()]:
                self._watches.pop(loop).stop()
            watches = list(self._watches.values())
        if watches:
            worst_ns = max(watch.take_worst_ns() for watch in watches)
            instruments.set(c.LOOP_DELAY_MAX, (), worst_ns / 1e9)
        waits = [watch.lock_wait.take() for watch in watches if watch.lock_wait is not None]
        wakes = sum(count for _, count in waits)
        if wakes:
            waited_s = sum(total_ns for total_ns, _ in waits) / 1e9
            instruments.set(c.INTERPRETER_LOCK_WAIT, (), waited_s / wakes)
