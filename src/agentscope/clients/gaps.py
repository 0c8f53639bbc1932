"""The gaps between the chunks of a streamed answer: their histogram, and the longest of them.

A chunk costs its reader one look at the clock. What the readings say is worked out in the
recorder's thread once the call has ended; a long stream's meanwhile, some at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.span import Span

MAX_READINGS = 1024
"""Readings that one stream keeps."""

_BOUNDS_NS = [round(bound * 1e9) for bound in c.OPERATION_CHUNK_GAP.buckets]


class Gaps:
    """The gaps of the streams that fill one span: one stream, or those of a retry loop's."""

    __slots__ = ("_counts", "_longest_ns", "_total_ns", "arrivals")

    def __init__(self) -> None:
        self.arrivals: list[int] = []
        """When the chunks came, monotonic; whoever appends the last of ``MAX_READINGS`` folds."""
        self._counts = [0] * (len(_BOUNDS_NS) + 1)
        self._longest_ns = self._total_ns = 0

    def fold(self) -> None:
        """Count the gaps between the readings, and keep the last reading."""
        arrivals = self.arrivals
        readings = arrivals.copy()  # a reader in another thread may still append
        if len(readings) < 2:
            return
        gaps_ns = [after_ns - before_ns for before_ns, after_ns in pairwise(readings)]
        for gap_ns in gaps_ns:
            self._counts[bisect_left(_BOUNDS_NS, gap_ns)] += 1
        self._longest_ns = max(self._longest_ns, *gaps_ns)
        self._total_ns += readings[-1] - readings[0]
        del arrivals[: len(readings) - 1]

    def came(self, now_ns: int) -> None:
        """A chunk came."""
        self.arrivals.append(now_ns)
        if len(self.arrivals) == MAX_READINGS:
            self.fold()

    def next_stream(self) -> None:
        """What comes now is of another stream: no gap lies between the two."""
        self.fold()
        self.arrivals.clear()

    def report(self, span: Span, instruments: Instruments) -> None:
        """Tell the ended ``span`` its longest gap, and the histogram all of them."""
        self.fold()
        if not any(self._counts):
            return
        attributes = span.attributes
        attributes[c.LONGEST_CHUNK_GAP] = self._longest_ns / 1e9
        labels = tuple(
            str(attributes.get(key, ""))
            for key in (c.OPERATION_NAME, c.PROVIDER_NAME, c.REQUEST_MODEL)
        )
        instruments.merge(c.OPERATION_CHUNK_GAP, labels, self._counts, self._total_ns / 1e9)
