"""The instruments as a series of OTLP exports, cumulative or delta."""

from __future__ import annotations

from collections.abc import Sequence

from agentscope import conventions as c
from agentscope.export.otlp.payload import CUMULATIVE, DELTA, metric_fragment
from agentscope.recording.instruments import Labels, Point

Taken = Sequence[tuple[c.Metric, Sequence[Point]]]
"""What ``Instruments.snapshot`` gives."""


class Feed:
    """What to export of each snapshot. Counters and histograms only ever grow."""

    def __init__(self, started_ns: int, *, delta: bool = False) -> None:
        self._started_ns = started_ns
        self._delta = delta
        self._told: dict[tuple[str, Labels], Point] = {}
        self._told_ns = started_ns

    def fragments(self, taken: Taken, now_ns: int) -> tuple[list[bytes], int]:
        """The encoded metrics of a snapshot, and how many points they have."""
        fragments, count = [], 0
        for metric, points in taken:
            grows = metric.instrument != "gauge"
            if self._delta and grows:
                points = [
                    moved for point in points if (moved := self._since(metric, point)) is not None
                ]
            if points:
                start_ns = self._told_ns if self._delta and grows else self._started_ns
                temporality = DELTA if self._delta else CUMULATIVE
                fragments.append(metric_fragment(metric, points, start_ns, now_ns, temporality))
                count += len(points)
        return fragments, count

    def delivered(self, taken: Taken, now_ns: int) -> None:
        """The snapshot arrived: the next deltas count from it. Else they count from the last."""
        if not self._delta:
            return
        self._told = {
            (metric.name, point.labels): point
            for metric, points in taken
            if metric.instrument != "gauge"
            for point in points
        }
        self._told_ns = now_ns

    def _since(self, metric: c.Metric, point: Point) -> Point | None:
        told = self._told.get((metric.name, point.labels))
        if told is None:
            return point
        if metric.instrument == "counter":
            value = point.value - told.value
            return Point(point.labels, value) if value else None
        if point.count == told.count:
            return None
        counts = zip(point.bucket_counts, told.bucket_counts, strict=True)
        return Point(
            point.labels,
            point.value - told.value,
            point.count - told.count,
            tuple(now - before for now, before in counts),
        )
