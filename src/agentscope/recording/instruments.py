"""Counters, gauges and histograms: one store that every way out reads.

Only the recorder's thread writes into it, so an observation is a bisect and two additions; the
readers (``/metrics``, the run directory) copy it under the lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar, cast

from agentscope.conventions import Metric
from agentscope.recording.guard import note_error

MAX_SERIES = 2000
"""Series that one metric may have; the rest share the series whose labels are all ``other``."""

MAX_LABEL_LENGTH = 256

OTHER = "other"

Labels = tuple[str, ...]

Gathered = TypeVar("Gathered", bound="Callable[[Instruments], None]")


@dataclass(frozen=True, slots=True)
class Point:
    """One series at one moment. ``value`` is the sum where the metric is a histogram."""

    labels: Labels
    value: float
    count: int = 0
    bucket_counts: tuple[int, ...] = ()

    def cumulative_counts(self) -> list[int]:
        """Observations at or below each bound, the last for +Inf, as Prometheus counts them."""
        return list(accumulate(self.bucket_counts))


class _Series:
    __slots__ = ("bucket_counts", "changed", "value")

    def __init__(self, buckets: int) -> None:
        self.value = 0.0
        self.bucket_counts = [0] * (buckets + 1) if buckets else []
        self.changed = True


class Instruments:
    """The store. ``record`` methods are for the recorder's thread, under ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._series: dict[Metric, dict[Labels, _Series]] = {}
        self._later: dict[Hashable, Callable[[Instruments], None]] = {}

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        """Add one observation to a histogram."""
        try:
            series = self._series[metric][labels]
        except KeyError:
            series = self._new(metric, labels)
        series.bucket_counts[bisect_left(metric.buckets, value)] += 1
        series.value += value
        series.changed = True

    def merge(self, metric: Metric, labels: Labels, counts: Sequence[int], total: float) -> None:
        """Add many observations to a histogram, counted by its buckets already."""
        series = self._of(metric, labels)
        series.bucket_counts = [
            ours + more for ours, more in zip(series.bucket_counts, counts, strict=True)
        ]
        series.value += total
        series.changed = True

    def add(self, metric: Metric, labels: Labels, value: float) -> None:
        """Move a counter up."""
        series = self._of(metric, labels)
        series.value += value
        series.changed = True

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge, or a counter that is counted elsewhere."""
        series = self._of(metric, labels)
        series.value = value
        series.changed = True

    def later(self, key: Hashable, read: Callable[[Instruments], None]) -> None:
        """Have ``read`` set gauges when the store is next looked at, about once a second.

        Of the calls with the same key until then only the last one counts: a gauge's value in
        between would be seen by nobody.
        """
        if self._later.pop(key, None) is None and len(self._later) >= MAX_SERIES:
            self._catch_up()
        self._later[key] = read

    def gathered(self, key: Hashable, make: Callable[[], Gathered]) -> Gathered:
        """What waits under ``key`` until the store is next looked at, or what ``make`` makes.

        It is called then, once, with the store: so what many calls have in common is done once.
        """
        waiting = self._later.get(key)
        if waiting is None:
            waiting = make()
            self.later(key, waiting)
        return cast("Gathered", waiting)  # nobody else knows the key

    def forget(self, metric: Metric, labels: Labels) -> None:
        """Drop a series whose subject is gone, such as a closed pool."""
        self._series.get(metric, {}).pop(labels, None)

    def owe_all(self) -> None:
        """Have every series in the next ``changed_only`` snapshot: the last was not delivered."""
        with self.lock:
            for series in self._series.values():
                for one in series.values():
                    one.changed = True

    def snapshot(self, changed_only: bool = False) -> list[tuple[Metric, list[Point]]]:
        """All series, or those that moved since the last ``changed_only`` snapshot.

        A gauge always counts as moved: its series in the run directory has one point a second.
        """
        with self.lock:
            self._catch_up()
            taken = []
            for metric, series in self._series.items():
                points = []
                for labels, one in series.items():
                    if changed_only:
                        if not one.changed and metric.instrument != "gauge":
                            continue
                        one.changed = False
                    counts = tuple(one.bucket_counts)
                    points.append(Point(labels, one.value, sum(counts), counts))
                if points:
                    taken.append((metric, points))
            return taken

    def _catch_up(self) -> None:
        waiting, self._later = self._later, {}
        for read in waiting.values():
            try:
                read(self)
            except Exception as error:
                note_error("instruments", error)

    def _of(self, metric: Metric, labels: Labels) -> _Series:
        try:
            return self._series[metric][labels]
        except KeyError:
            return self._new(metric, labels)

    def _new(self, metric: Metric, labels: Labels) -> _Series:
        all_of_it = self._series.setdefault(metric, {})
        if len(all_of_it) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        labels = tuple(map(_label, labels))
        return all_of_it.setdefault(labels, _Series(len(metric.buckets)))


def _label(text: str) -> str:
    # Half of a surrogate pair, as broken clients send them, would fail every scrape from now on.
    return text[:MAX_LABEL_LENGTH].encode("utf-8", "replace").decode()


Sampler = Callable[[Instruments], None]
"""Called once a second in the recorder's thread, under the lock, to set gauges."""


def run_samplers(samplers: Iterable[Sampler], instruments: Instruments) -> None:
    """Call every sampler; one that fails is counted and does not stop the others."""
    for sampler in samplers:
        try:
            with instruments.lock:
                sampler(instruments)
        except Exception as error:
            note_error(f"sampler {getattr(sampler, '__qualname__', sampler)}", error)
