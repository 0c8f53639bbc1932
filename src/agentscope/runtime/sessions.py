"""Active sessions: counted in bounded memory, whatever ids clients send."""

from __future__ import annotations

import threading
from collections import OrderedDict

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.instruments import Instruments

MAX_SESSIONS = 65_536
"""Sessions told apart at a time; about 7 MB. Beyond, the one idle longest is forgotten."""


class SessionTable:
    """When each session was last seen, the longest idle first.

    Only a hash of the id is kept: an id is the client's to choose, a megabyte long if it likes.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[int, int] = OrderedDict()
        self._idle_ns = 0
        self._clock = Clock()
        self._lock = threading.RLock()  # a finalizer may end a turn in the middle of another's

    def configure(self, idle_s: float, clock: Clock) -> None:
        """Take the idle time-out and the clock."""
        self._idle_ns = int(idle_s * 1e9)
        self._clock = clock

    def touch(self, session_id: str) -> None:
        """A turn of the session is running or has just ended."""
        key = hash(session_id)
        seen = self._seen
        with self._lock:
            seen[key] = self._clock.monotonic_ns()
            seen.move_to_end(key)
            if len(seen) > MAX_SESSIONS:
                seen.popitem(last=False)

    def active(self) -> int:
        """Sessions seen within the idle time-out."""
        horizon_ns = self._clock.monotonic_ns() - self._idle_ns
        seen = self._seen
        with self._lock:
            while seen and next(iter(seen.values())) < horizon_ns:
                seen.popitem(last=False)
            return len(seen)

    def clear(self) -> None:
        """Forget all; for the child of a fork, whose sessions are others."""
        self._lock = threading.RLock()
        self._seen.clear()

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.sessions.active``."""
        instruments.set(c.SESSIONS_ACTIVE, (), self.active())
