"""When an event loop was blocked: the arithmetic, without a loop, a thread or a clock.

There are two kinds of evidence. ``Iterations`` is told when the loop begins and ends to poll, so
both ends of a block are seen. ``Heartbeat`` knows when a timer was due and when it ran, and at best
how long the loop has been idle, which is all that a loop written in C (uvloop) lets anybody know.
Times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

SLOT_NS = 50_000_000
"""One observation of the delay for each slot, whatever the rhythm of the beats."""

MAX_SLOTS = 1000
"""Observations that one stop may yield; a longer one is observed more coarsely."""


class Block(NamedTuple):
    """The loop did not come round from ``start_ns`` to ``end_ns``."""

    start_ns: int
    end_ns: int
    uncertainty_ns: int = 0
    """How far off the start may be, either way; the end is always seen."""


class Evidence(Protocol):
    """What is known of one loop."""

    def beat(self, expected_ns: int, actual_ns: int) -> Block | None:
        """A timer due at ``expected_ns`` ran; the block that this proves, if any."""

    def overdue(self, now_ns: int) -> int:
        """Since when the loop may be stuck; 0 if it is known not to be."""

    def running_block(self, now_ns: int) -> Block | None:
        """The block that has not ended yet, cut at ``now_ns``. Asked once, at the end."""

    def absent(self, now_ns: int) -> None:
        """The loop is not being run at all: nothing before ``now_ns`` is a block."""


class Heartbeat:
    """Evidence from timers, and from a clock of the loop's idle time where there is one.

    A timer late by 5 ms or more proves a stop from the moment it was due. The stop began between
    the beat before, when the loop was free, and that moment. The idle time since that beat was
    spent before the stop, beside as much work as the loop has been doing lately: that gives the
    start, exactly so on a loop that did nothing else. Without an idle clock it is the middle, so
    that sums over many blocks come out right. Stops that fit between two beats are not seen.
    """

    def __init__(
        self, min_block_ns: int, now_ns: int, idle_ns: Callable[[], int] | None = None
    ) -> None:
        self._min_block_ns = min_block_ns
        self._free_ns = now_ns
        self._expected_ns = 0
        self._idle_clock = idle_ns
        self._idle_ns = idle_ns() if idle_ns else 0
        self._utilisation = 0.0
        self._away = False
        self.busy_ns = 0
        """How long the loop worked between the last two beats; 0 without an idle clock."""

    def expect(self, expected_ns: int) -> None:
        """The next beat is due at ``expected_ns``."""
        self._expected_ns = expected_ns

    def beat(self, expected_ns: int, actual_ns: int) -> Block | None:
        """See ``Evidence``."""
        idle_ns: int | None = None
        if self._idle_clock is not None:
            before_ns, self._idle_ns = self._idle_ns, self._idle_clock()
            idle_ns = self._idle_ns - before_ns
        block = None if self._away else self._block(expected_ns, actual_ns, idle_ns)
        elapsed_ns = actual_ns - self._free_ns
        if idle_ns is not None and elapsed_ns > 0:
            self.busy_ns = min(max(elapsed_ns - idle_ns, 0), elapsed_ns)
            if block is None:
                self._utilisation += (self.busy_ns / elapsed_ns - self._utilisation) / 8
        self._free_ns = actual_ns
        self._expected_ns = 0
        self._away = False
        return block

    def overdue(self, now_ns: int) -> int:
        """See ``Evidence``."""
        expected_ns = self._expected_ns
        return expected_ns if 0 < expected_ns < now_ns and not self._away else 0

    def running_block(self, now_ns: int) -> Block | None:
        """See ``Evidence``."""
        if self._away or not self._expected_ns:
            return None
        return self._block(self._expected_ns, now_ns, None)

    def absent(self, now_ns: int) -> None:
        """See ``Evidence``. When it is run again the first beat tells."""
        self._away = True

    def _block(self, expected_ns: int, end_ns: int, idle_ns: int | None) -> Block | None:
        free_ns = self._free_ns
        expected_ns = max(expected_ns, free_ns)
        if end_ns - expected_ns < self._min_block_ns:
            return None
        if idle_ns is None:
            margin_ns = (expected_ns - free_ns) // 2
            return Block(expected_ns - margin_ns, end_ns, margin_ns)
        earliest_ns = min(free_ns + idle_ns, expected_ns)
        work_ns = round(idle_ns * self._utilisation / max(1 - self._utilisation, 0.01))
        start_ns = min(earliest_ns + work_ns, expected_ns)
        return Block(start_ns, end_ns, start_ns - earliest_ns)


class Iterations:
    """Evidence from the loop's own rounds: callbacks run from one poll's end to the next's start.

    A late timer still tells something that the rounds do not: the loop was ready to go on and did
    not get the interpreter or the processor, or several short rounds have backed up. Then the
    stop counts from the moment the timer was due.
    """

    __slots__ = ("_covered_ns", "_late_ns", "_min_block_ns", "since_ns")

    def __init__(self, min_block_ns: int, now_ns: int) -> None:
        self._min_block_ns = min_block_ns
        self._covered_ns = now_ns
        self._late_ns = 0
        self.since_ns = now_ns
        """When the present round began; 0 while the loop polls."""

    def polls(self, now_ns: int) -> Block | None:
        """The loop's round is over; it begins to poll."""
        if now_ns - self.since_ns < self._min_block_ns and not self._late_ns:
            self.since_ns = 0  # nearly always: nothing to tell
            return None
        block = self.running_block(now_ns)
        if not self.since_ns:  # it was absent, and is run again
            self._covered_ns = now_ns
        self.since_ns = self._late_ns = 0
        return block

    def beat(self, expected_ns: int, actual_ns: int) -> Block | None:
        """See ``Evidence``. The round goes on, so there is no block to tell yet."""
        if actual_ns - expected_ns >= self._min_block_ns:
            self._late_ns = expected_ns
        return None

    def overdue(self, now_ns: int) -> int:
        """See ``Evidence``."""
        return self.since_ns

    def running_block(self, now_ns: int) -> Block | None:
        """See ``Evidence``."""
        since_ns = self.since_ns
        if not since_ns:
            return None
        if self._late_ns:
            since_ns = min(since_ns, self._late_ns)
        # What has been told once is not told again.
        since_ns = max(since_ns, self._covered_ns)
        if now_ns - since_ns < self._min_block_ns:
            return None
        self._covered_ns = now_ns
        return Block(since_ns, now_ns)

    def absent(self, now_ns: int) -> None:
        """See ``Evidence``."""
        self.since_ns = 0
        self._covered_ns = now_ns


class Slots:
    """Delays at even distances in time, so that their histogram weighs time and not beats.

    A timer that is set again only after it ran would see a stop of a second once, and a thousand
    healthy milliseconds fifty times. All the slots that the stop covers count instead, each with
    what a timer due then would have waited.
    """

    def __init__(self, now_ns: int) -> None:
        self._next_ns = now_ns

    def delays_s(self, expected_ns: int, actual_ns: int) -> Iterator[float]:
        """Delays of the slots up to ``actual_ns``, when the beat due at ``expected_ns`` ran."""
        slot_ns = self._next_ns
        step_ns = max(SLOT_NS, (actual_ns - slot_ns) // MAX_SLOTS)
        while slot_ns <= actual_ns:
            # Slots long before the beat was due passed while the loop slept.
            slept = slot_ns <= expected_ns - SLOT_NS
            yield 0.0 if slept else max(actual_ns - max(slot_ns, expected_ns), 0) / 1e9
            slot_ns += step_ns
        self._next_ns = slot_ns
