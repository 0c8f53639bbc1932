"""How long a thread that is ready to run waits for the interpreter lock.

A thread of ours that sleeps until a moment wakes when three things have come: the moment, a
processor, and the lock. The kernel tells how long the second took (``processor.py``); the rest of
the lateness is the lock's. Another thread that runs Python gives the lock up after
``sys.getswitchinterval()``, 5 ms, so one such thread makes the figure 5 ms, three make it 15 to 20;
threads that wait, or that compute in C without the lock, leave it at the 0.1 ms that waking takes.
An event loop that is busy all the time makes other threads wait too, up to 5 ms: whose doing it is
tell the loop's own figures.
"""

from __future__ import annotations

from agentscope.runtime.processor import ProcessorWait


class LockWait:
    """Adds up what the wake-ups of one thread tell; make it in that thread."""

    def __init__(self) -> None:
        self._processor = ProcessorWait()
        self._waited_for_processor_ns = self._processor.read_ns()
        self._totals = (0, 0)

    def woke(self, due_ns: int, now_ns: int) -> None:
        """The thread slept until ``due_ns`` and runs again at ``now_ns``."""
        if not self._processor.known:  # then lateness says nothing of the lock
            return
        before_ns = self._waited_for_processor_ns
        self._waited_for_processor_ns = self._processor.read_ns()
        waited_ns = now_ns - due_ns - (self._waited_for_processor_ns - before_ns)
        total_ns, wakes = self._totals
        self._totals = (total_ns + max(waited_ns, 0), wakes + 1)

    def take(self) -> tuple[int, int]:
        """Nanoseconds waited and wake-ups since the last call; from any thread."""
        totals, self._totals = self._totals, (0, 0)
        return totals
