"""How long a thread has been ready to run without a processor: the kernel counts it."""

from __future__ import annotations

import os


class ProcessorWait:
    """The run-queue delay of the thread that makes this object; always 0 where it is not told.

    Linux tells it in ``/proc/thread-self/schedstat`` (Documentation/scheduler/sched-stats.rst).
    One reading takes about two microseconds and touches no disk.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        try:
            # The path names the thread that opens it; any thread may read afterwards.
            self._descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            self.read_ns()
        except (OSError, IndexError, ValueError):
            self.close()

    @property
    def known(self) -> bool:
        """Whether the kernel tells."""
        return self._descriptor >= 0

    def read_ns(self) -> int:
        """Nanoseconds since the thread began."""
        if self._descriptor < 0:
            return 0
        return int(os.pread(self._descriptor, 96, 0).split()[1])

    def close(self) -> None:
        """Give the descriptor back; the reading is 0 from now on."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()
