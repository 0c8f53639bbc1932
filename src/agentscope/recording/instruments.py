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
from typing import NamedTuple, TypeVar, cast

from agentscope import conventions as c
from agentscope.conventions import Metric
from agentscope.recording.guard import note_error

ROOM_BYTES = {
    c.HTTP_SERVER_DURATION: 150_000,
    c.TURN_DURATION: 150_000,
    c.OPERATION_DURATION: 80_000,
    c.TOKEN_USAGE: 80_000,
    c.OPERATION_FIRST_CHUNK: 50_000,
    c.OPERATION_CHUNK_GAP: 50_000,
    c.EXECUTE_TOOL_DURATION: 50_000,
    c.WAIT_DURATION: 50_000,
    c.PHASE_DURATION: 40_000,
    c.DB_CONNECTION_COUNT: 20_000,
}
"""About how much of ``/metrics`` the series of one metric may take; what comes later shares the
series whose labels are all ``other``. Together less than a megabyte: a scrape of every process
every few seconds must stay cheap, whatever hosts, models and routes clients think of. Each metric
has a room of its own, so that a flood of one label leaves the other metrics as they are."""

OTHER_ROOM_BYTES = 8_000

KEPT_FOR_KNOWN = 0.5
"""Part of a metric's room for series whose labels are known to be real: see ``Instruments.know``."""

MAX_KNOWN = 4096

MAX_WAITING = 2000

MAX_LABEL_LENGTH = 256

OTHER = "other"

Labels = tuple[str, ...]

ValueAt = Callable[[float], float | None]
"""What a gauge says at a moment, seconds since the epoch; None where it has nothing to say."""

Gathered = TypeVar("Gathered", bound="Callable[[Instruments], None]")


class Exemplar(NamedTuple):
    """One observation of a histogram that can be looked up."""

    trace_id: int
    span_id: int
    value: float
    at_ns: int
    """Monotonic."""


Exemplars = tuple[Exemplar | None, ...]
"""The last one of each bucket; empty where there is none at all."""


@dataclass(frozen=True, slots=True)
class Point:
    """One series at one moment. ``value`` is the sum where the metric is a histogram."""

    labels: Labels
    value: float
    count: int = 0
    bucket_counts: tuple[int, ...] = ()
    exemplars: Exemplars = ()

    def cumulative_counts(self) -> list[int]:
        """Observations at or below each bound, the last for +Inf, as Prometheus counts them."""
        return list(accumulate(self.bucket_counts))


class _Series:
    __slots__ = ("bucket_counts", "changed", "exemplars", "value")

    def __init__(self, buckets: int) -> None:
        self.value = 0.0
        self.bucket_counts = [0] * (buckets + 1) if buckets else []
        self.exemplars: list[Exemplar | None] = []
        self.changed = True


class Rooms:
    """How much of ``/metrics`` the series of each metric may still take."""

    def __init__(self) -> None:
        self._left_bytes: dict[Metric, float] = {}

    def take(self, metric: Metric, labels: Labels, known: bool) -> bool:
        """Take the room for a series, if there is any for it; half of it is for known ones."""
        size_bytes = _size_bytes(metric, labels)
        room_bytes = ROOM_BYTES.get(metric, OTHER_ROOM_BYTES)
        left_bytes = self._left_bytes.setdefault(metric, room_bytes)
        if not known:
            left_bytes -= KEPT_FOR_KNOWN * room_bytes
        if labels and size_bytes > left_bytes:
            return False
        self._left_bytes[metric] -= size_bytes
        return True

    def give_back(self, metric: Metric, labels: Labels) -> None:
        """Have the room of a series again; no more than there ever was: ``other`` took none."""
        left_bytes = self._left_bytes[metric] + _size_bytes(metric, labels)
        self._left_bytes[metric] = min(left_bytes, ROOM_BYTES.get(metric, OTHER_ROOM_BYTES))


class Instruments:
    """The store. ``record`` methods are for the recorder's thread, under ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._series: dict[Metric, dict[Labels, _Series]] = {}
        self._rooms = Rooms()
        self._known: set[str] = set()
        self.folded: dict[str, int] = {}
        """How many measurements went to a series ``other``, by metric."""
        self._later: dict[Hashable, Callable[[Instruments], None]] = {}
        self._passing: dict[tuple[Metric, Labels], ValueAt] = {}

    def know(self, label: str) -> None:
        """Keep room for series with this label: it was not thought of by a client.

        The template of a route is, and a model that has answered.
        """
        if len(self._known) < MAX_KNOWN:
            self._known.add(label)

    def is_known(self, labels: Labels) -> bool:
        """Whether one of these labels is."""
        return not self._known.isdisjoint(labels)

    def observe(
        self, metric: Metric, labels: Labels, value: float, exemplar: Exemplar | None = None
    ) -> None:
        """Add one observation to a histogram, and a span in which it was made."""
        try:
            series = self._series[metric][labels]
        except KeyError:
            series = self._new(metric, labels)
        bucket = bisect_left(metric.buckets, value)
        series.bucket_counts[bucket] += 1
        series.value += value
        series.changed = True
        if exemplar is not None:
            if not series.exemplars:
                series.exemplars = [None] * len(series.bucket_counts)
            series.exemplars[bucket] = exemplar

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

    def set_passing(self, metric: Metric, labels: Labels, value_at: ValueAt, now_s: float) -> None:
        """Set a gauge whose value passes with time, though nobody sets it again.

        ``now_s`` is since the epoch, as are the moments that ``value_at`` is asked for.
        """
        if (metric, labels) in self._passing or len(self._passing) < MAX_WAITING:
            self._passing[metric, labels] = value_at
        value = value_at(now_s)
        if value is not None:
            self.set(metric, labels, value)

    def pass_time(self, now_s: float) -> None:
        """Bring the gauges up to date whose values pass with time."""
        with self.lock:
            self._catch_up()
            for (metric, labels), value_at in list(self._passing.items()):
                value = value_at(now_s)
                if value is None:
                    self.forget(metric, labels)
                else:
                    self.set(metric, labels, value)

    def later(self, key: Hashable, read: Callable[[Instruments], None]) -> None:
        """Have ``read`` set gauges when the store is next looked at, about once a second.

        Of the calls with the same key until then only the last one counts: a gauge's value in
        between would be seen by nobody.
        """
        if self._later.pop(key, None) is None and len(self._later) >= MAX_WAITING:
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
        self._passing.pop((metric, labels), None)
        labels = tuple(map(_label, labels))
        if self._series.get(metric, {}).pop(labels, None) is not None:
            self._rooms.give_back(metric, labels)

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
                    exemplars = tuple(one.exemplars)
                    points.append(Point(labels, one.value, sum(counts), counts, exemplars))
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
        labels = tuple(map(_label, labels))
        if labels in all_of_it:
            return all_of_it[labels]
        if not self._rooms.take(metric, labels, self.is_known(labels)):
            self.folded[metric.name] = self.folded.get(metric.name, 0) + 1
            labels = (OTHER,) * len(labels)
            return all_of_it.setdefault(labels, _Series(len(metric.buckets)))
        series = all_of_it[labels] = _Series(len(metric.buckets))
        return series


def _size_bytes(metric: Metric, labels: Labels) -> int:
    """About what the series takes on ``/metrics``: its lines, each with all of its labels."""
    lines = len(metric.buckets) + 3 if metric.buckets else 1
    named = sum(map(len, metric.attributes)) + sum(map(len, labels)) + 4 * len(labels)
    return lines * (len(metric.name) + named + 24)


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
