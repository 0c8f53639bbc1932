"""The thread that looks at an event loop and, while it is late, notes which code it is in."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

from agentscope.recording.guard import note_error
from agentscope.runtime.alarm import Alarm
from agentscope.runtime.frames import place
from agentscope.runtime.heartbeat import Evidence
from agentscope.runtime.interpreter import LockWait
from agentscope.runtime.rhythm import UNCALLED_LOOK_NS, Rhythm
from agentscope.runtime.samples import Samples

LATE_NS = 2_500_000
"""A loop this late is sampled: half of a block, so that short blocks are named too."""

SAMPLE_NS = 5_000_000
"""Between two samples of a block; a long one is sampled more and more rarely."""


class Watchdog:
    """Samples one loop while it is late, and tells how long it waits for the interpreter lock."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
        evidence: Evidence,
        rhythm: Rhythm,
        alarm: Alarm,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._evidence = evidence
        self._rhythm = rhythm
        self._alarm = alarm
        self._stopped = False
        self.samples = Samples()
        self.lock_wait: LockWait | None = None
        self.thread_id = 0
        """The loop's thread."""
        self.bottom: int | None = 0
        """The ``id`` of the frame that runs the loop's callbacks; 0 while that is not known, and
        None where it is asyncio's and knows itself."""

    def start(self) -> None:
        """Begin; on the loop's thread."""
        self.thread_id = threading.get_ident()
        threading.Thread(target=self._guard, name="agentscope-loop-watchdog", daemon=True).start()

    def stop(self) -> None:
        """End soon; from any thread."""
        self._stopped = True
        self._alarm.call(1)

    def _guard(self) -> None:
        last_ns = due_ns = 0
        self.lock_wait = lock_wait = LockWait()
        while not self._stopped and not self._loop.is_closed():
            try:
                now_ns = self._clock()
                wait_ns, last_ns = self._watch(now_ns, last_ns)
                if due_ns:  # only now: it lets go of the interpreter, and a block may end
                    lock_wait.woke(due_ns, now_ns)
            except Exception as error:
                note_error("event loop's watchdog", error)
                wait_ns = UNCALLED_LOOK_NS
            wait_ms = -(-wait_ns // 1_000_000)
            due_ns = self._clock() + wait_ms * 1_000_000
            if self._alarm.wait(wait_ms):
                due_ns = 0  # called before its time

    def _watch(self, now_ns: int, last_ns: int) -> tuple[int, int]:
        """Sample the loop if it is late; how long to wait then, and the time of the sample."""
        if not self._loop.is_running():
            self._evidence.absent(now_ns)
        since_ns = self._evidence.overdue(now_ns)
        late_ns = now_ns - since_ns
        if not since_ns:
            return self._rhythm.look_ns, 0
        if late_ns < LATE_NS:
            return LATE_NS - late_ns, 0
        self._sample(since_ns, min(late_ns, now_ns - last_ns))
        return max(SAMPLE_NS, late_ns // 20), now_ns

    def _sample(self, since_ns: int, weight_ns: int) -> None:
        if self.bottom == 0:
            return
        frame = sys._current_frames().get(self.thread_id)
        where = place(frame, self.bottom or 0)
        del frame  # the user's locals are not ours to keep
        if where is not None and self._evidence.overdue(self._clock()) == since_ns:
            self.samples.add(since_ns, where, weight_ns)
