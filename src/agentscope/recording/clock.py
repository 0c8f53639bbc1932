"""Time: durations from the monotonic clock, dates from one wall-clock anchor per process."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The process's clock.

    Spans carry monotonic nanoseconds; ``epoch_ns`` turns them into dates through one anchor taken
    at start, so a step of the wall clock can neither stretch a span nor reorder two of them.
    """

    __slots__ = ("_offset_ns", "monotonic_ns")

    monotonic_ns: Callable[[], int]
    """Nanoseconds that only ever grow; the hot path calls it directly."""

    def __init__(self) -> None:
        self.monotonic_ns = time.perf_counter_ns
        # The anchor's own reading takes time: of a few, the tightest pair is the truest.
        pairs = [(time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()) for _ in range(5)]
        before, wall, after = min(pairs, key=lambda pair: pair[2] - pair[0])
        self._offset_ns = wall - (before + after) // 2

    def epoch_ns(self, monotonic_ns: int) -> int:
        """The date of a monotonic reading, in nanoseconds since 1970."""
        return monotonic_ns + self._offset_ns

    def from_epoch_ns(self, epoch_ns: int) -> int:
        """The monotonic reading that belongs to a date."""
        return epoch_ns - self._offset_ns
