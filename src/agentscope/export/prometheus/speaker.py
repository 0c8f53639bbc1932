"""Figures of the container, which each of its workers could tell: one of them does."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agentscope import conventions as c

OF_THE_CONTAINER = frozenset({c.CGROUP_THROTTLED_TIME})
"""Counters that all workers of a container read from the same place, so that a sum is wrong."""


class Speaker:
    """The part of such a counter that this worker tells: what was added while it spoke.

    Who holds the lock speaks. The kernel gives it back when a worker ends, however it ends, and
    the next one that asks goes on from there: so the parts of all workers add up to the whole.
    """

    def __init__(self, lock: Path) -> None:
        self._lock = lock
        self._descriptor: int | None = None
        self._seen = 0.0
        self._told = 0.0

    def part(self, total: float) -> float:
        """What to tell, of a counter that is at ``total`` now."""
        more, self._seen = total - self._seen, total
        if self._speaks():
            self._told += more
        return self._told

    def close(self) -> None:
        """Let another one speak."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _speaks(self) -> bool:
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()  # the directory was swept: whoever came after locked a new file
        if self._descriptor is None:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Not flock: a child of a fork would go on holding it for its dead parent.
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
        return True

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == self._lock.stat().st_ino
        except FileNotFoundError:
            return False
