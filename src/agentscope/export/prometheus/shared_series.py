"""Which series the workers of a service show, all together: one bound for all of them.

Each worker bounds its own series, but no two of them meet the same flood, and what ended ones had
counted stays. So they agree, in a list that they share and that only grows. A series that found no
room on it is told as ``other``, by whoever counts it and from its first count on: none moves from
the one to the other, which would look like a sudden rise.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agentscope import conventions as c
from agentscope.recording.genai_names import Taken
from agentscope.recording.instruments import OTHER, Instruments, Labels, Point, Rooms

LIST_NAME = ".agentscope-series"

PATIENCE_S = 0.2
"""How long another worker, which asks at the same time, is waited for."""

Series = tuple[c.Metric, Labels]


class SharedSeries:
    """The list, as one worker knows it. Not for several threads at a time."""

    def __init__(self, shared: Path) -> None:
        self._path = shared / LIST_NAME
        self._descriptor: int | None = None
        self._read_bytes = 0
        self._rooms = Rooms()
        self._listed: set[Series] = set()
        self._decided: dict[Series, bool] = {}
        """Whether each series of this worker's is shown; it stays so."""
        self.failure: OSError | None = None
        """Why nothing could be agreed the last time; None where it could."""

    def told(self, taken: Taken, instruments: Instruments) -> Taken:
        """A snapshot as this worker is to tell it.

        New series of which nothing could be agreed, as the list cannot be written, are left out
        until it can. Gauges are all told: they end with their worker.
        """
        seen = [
            (metric, point.labels)
            for metric, points in taken
            if metric.instrument != "gauge"
            for point in points
        ]
        new = [one for one in seen if one not in self._decided]
        if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
            self.close()  # swept
        if self._descriptor is None:
            self._rooms, self._listed, self._read_bytes = Rooms(), set(), 0
            new = seen
        self.failure = None
        if new:
            try:
                self._agree(new, instruments)
            except OSError as error:
                self.close()  # what it has room for is reckoned anew
                self.failure = error
        return [
            (metric, points if metric.instrument == "gauge" else self._folded(metric, points))
            for metric, points in taken
        ]

    def close(self) -> None:
        """Give the list back; it stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _folded(self, metric: c.Metric, points: Sequence[Point]) -> list[Point]:
        shown = {
            point.labels: point for point in points if self._decided.get((metric, point.labels))
        }
        others = [point for point in points if self._decided.get((metric, point.labels)) is False]
        if others:
            other = (OTHER,) * len(metric.attributes)
            shown[other] = _sum(other, [*others, shown[other]] if other in shown else others)
        return list(shown.values())

    def _agree(self, new: Sequence[Series], instruments: Instruments) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _alone(self._descriptor):
            self._catch_up(self._descriptor)
            lines = []
            decided = {one: self._is_shown(one, instruments) for one in new}
            for one, shown in decided.items():
                if shown and one not in self._listed:
                    lines.append(json.dumps([one[0].name, *one[1]]) + "\n")
            text = "".join(lines).encode()
            _append(self._descriptor, self._read_bytes, text)
            self._read_bytes += len(text)
            self._listed.update(one for one, shown in decided.items() if shown)
            self._decided.update(decided)

    def _is_shown(self, series: Series, instruments: Instruments) -> bool:
        before = self._decided.get(series)
        if before is False or series in self._listed:
            return before is not False
        metric, labels = series
        fits = self._rooms.take(metric, labels, instruments.is_known(labels))
        return fits or set(labels) <= {OTHER} or before is True

    def _catch_up(self, descriptor: int) -> None:
        """Read what others have added."""
        more_bytes = max(0, os.fstat(descriptor).st_size - self._read_bytes)
        for line in os.pread(descriptor, more_bytes, self._read_bytes).splitlines():
            with suppress(ValueError, LookupError, TypeError):  # of workers of another release
                name, *labels = json.loads(line)
                series = c.METRICS[name], tuple(labels)
                self._rooms.take(*series, known=True)
                self._listed.add(series)
        self._read_bytes += more_bytes


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """While nobody else has the list; raises OSError."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.005)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child of a fork may have it open too


def _append(descriptor: int, end: int, text: bytes) -> None:
    try:
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, text[written:], end + written)
    except OSError:
        os.ftruncate(descriptor, end)  # others would read half of a line
        raise


def _sum(labels: Labels, points: Sequence[Point]) -> Point:
    counts = zip(*(point.bucket_counts for point in points), strict=True)
    return Point(
        labels,
        sum(point.value for point in points),
        sum(point.count for point in points),
        tuple(map(sum, counts)),
    )
