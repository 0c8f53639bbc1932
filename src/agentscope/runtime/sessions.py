"""Active sessions: counted in bounded memory, whatever ids clients send."""

from __future__ import annotations

import threading
from collections import OrderedDict

from agentscope import conventions as c
from agentscope.recording.clock import Clock
from agentscope.recording.instruments import Instruments

MAX_SESSIONS = 16_384
"""Sessions told apart at a time unless settings say otherwise; about 7 MB."""


class SessionTable:
    """When each session was last seen and how many turns it had, the longest idle first.

    Only a hash of the id is kept: an id is the client's to choose, a megabyte long if it likes.
    Beyond the bound, the session that has been idle longest is forgotten, and counted.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._ended: list[int] = []
        """Turns of each session that went idle since the last sample."""
        self._forgotten = 0
        self._idle_ns = 0
        self._max_sessions = MAX_SESSIONS
        self._clock = Clock()
        self._lock = threading.RLock()  # a finalizer may end a turn in the middle of another's

    def configure(self, idle_s: float, clock: Clock, max_sessions: int = MAX_SESSIONS) -> None:
        """Take the idle time-out, the clock and the bound."""
        self._idle_ns = int(idle_s * 1e9)
        self._clock = clock
        self._max_sessions = max_sessions

    def touch(self, session_id: str) -> None:
        """A turn of the session begins."""
        self._note(session_id, 1)

    def renew(self, session_id: str) -> None:
        """A turn of the session is still running, or has just ended."""
        self._note(session_id, 0)

    def _note(self, session_id: str, turns: int) -> None:
        key = hash(session_id)
        seen = self._seen
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            last_ns, before = seen.get(key, (now_ns, 0))
            if last_ns < now_ns - self._idle_ns:  # that session is over: this is a new one
                self._end(before)
                before = 0
            seen[key] = (now_ns, before + turns)
            seen.move_to_end(key)
            while len(seen) > self._max_sessions:
                seen.popitem(last=False)
                self._forgotten += 1

    def _end(self, turns: int) -> None:
        # As many as there may be sessions: where nobody samples, this must not grow either.
        if turns and len(self._ended) < self._max_sessions:
            self._ended.append(turns)

    def active(self) -> int:
        """Sessions seen within the idle time-out."""
        seen = self._seen
        with self._lock:
            horizon_ns = self._clock.monotonic_ns() - self._idle_ns
            while seen:
                last_ns, turns = next(iter(seen.values()))
                if last_ns >= horizon_ns:
                    break
                seen.popitem(last=False)
                self._end(turns)
            return len(seen)

    def clear(self) -> None:
        """Forget all; for the child of a fork, whose sessions are others."""
        self._lock = threading.RLock()
        self._seen.clear()
        self._ended.clear()
        self._forgotten = 0

    def sample(self, instruments: Instruments) -> None:
        """Set ``agentscope.sessions.active``, and observe the turns of sessions that are over."""
        instruments.set(c.SESSIONS_ACTIVE, (), self.active())
        with self._lock:
            ended, self._ended = self._ended, []
            forgotten, self._forgotten = self._forgotten, 0
        for turns in ended:
            instruments.observe(c.SESSION_TURNS, (), turns)
        if forgotten:
            instruments.add(c.SESSIONS_FORGOTTEN, (), forgotten)
