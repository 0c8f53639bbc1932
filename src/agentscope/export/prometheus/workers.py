"""Several workers, one answer: files that they share, in prometheus_client's own format.

``PROMETHEUS_MULTIPROC_DIR`` switches it on, as it does for prometheus_client, whose files in the
same directory (the service's own metrics) are read with ours. What goes wrong with such directories
in practice is seen to: an empty or torn file fails no scrape, a full one kills nobody, gauges of dead
workers are gone, and the files that dead workers of ours leave are folded into one. Nobody waits for
another worker, which may hang: ``merged`` tells why no lock is needed to read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client.mmap_dict import mmap_key

from agentscope import conventions as c
from agentscope.export.prometheus import exemplars
from agentscope.export.prometheus.families import bounds_of, named
from agentscope.export.prometheus.owners import new_owner, pid_namespace
from agentscope.export.prometheus.pace import Pace
from agentscope.export.prometheus.shared_series import SharedSeries
from agentscope.export.prometheus.speaker import OF_THE_CONTAINER, Speaker
from agentscope.export.prometheus.values_file import ValuesFile
from agentscope.recording.instruments import Point
from agentscope.recording.recorder import Recorder
from agentscope.settings import metrics_directory

SPEAKER_NAME = ".agentscope-speaker"

EXEMPLARS_EVERY = 5
"""Of how many times that counts are published, once a second, exemplars are one time."""

_publisher: Publisher | None = None
_publishing = threading.Lock()


def publish(recorder: Recorder, shared: Path) -> None:
    """Write what this process has counted where the others find it; raises OSError.

    Series that found no room on a full disk are then missing, the others are as of now.
    """
    global _publisher
    with _publishing:  # the recorder's thread and a scrape's; two publishers would count twice
        publisher = _publisher
        if publisher is None or publisher.shared != shared or publisher.recorder is not recorder:
            if publisher is not None:
                publisher.close()
            publisher = _publisher = Publisher(recorder, shared)
        publisher.write()


def has_published(recorder: Recorder) -> bool:
    """Whether the others have ever found all that this process had counted."""
    return _publisher is not None and _publisher.recorder is recorder and _publisher.complete


def publish_each_second(recorder: Recorder) -> None:
    """Have the others able to answer for this worker, once it records."""

    def publish_metrics() -> None:
        shared = metrics_directory()
        if shared is not None:
            publish(recorder, shared)

    recorder.each_second.append(publish_metrics)


def _after_fork_in_child() -> None:
    # The files are the parent's, and its lock may have been held.
    global _publisher, _publishing
    _publisher = None
    _publishing = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Publisher:
    """The files of one recorder of this process. Not for several threads at a time."""

    def __init__(self, recorder: Recorder, shared: Path) -> None:
        self.recorder = recorder
        self.shared = shared
        self.complete = False
        self._owner = new_owner()
        self._series = SharedSeries(shared)
        self._speakers = {
            metric: Speaker(shared / f"{SPEAKER_NAME}-{pid_namespace()}-{metric.name}")
            for metric in OF_THE_CONTAINER
        }
        self._writes = 0
        self._files: dict[str, ValuesFile] = {}
        self._keys: dict[tuple[str, tuple[str, ...], str], str] = {}

    def write(self) -> None:
        """Bring the files up to date; raises OSError for those that could not be."""
        pace = Pace()
        self.shared.mkdir(parents=True, exist_ok=True)
        instruments = self.recorder.instruments
        taken = named(self.recorder, self._series.told(instruments.snapshot(), instruments))
        failures = [self._series.failure] if self._series.failure is not None else []
        told: dict[str, dict[str, float]] = {}
        for metric, points in taken:
            values = told.setdefault(_kind_of(metric), {})
            for point in pace.over(points):
                values.update(self._values(metric, point))
        for kind, values in told.items():
            if kind not in self._files:
                self._files[kind] = ValuesFile(self.shared / f"{kind}_{self._owner}.db")
            try:
                self._files[kind].write(values, pace)
            except OSError as error:
                failures.append(error)
        if self._writes % EXEMPLARS_EVERY == 0:
            exemplars.write(self._exemplars_path(), taken, self.recorder.clock, pace)
        self._writes += 1
        if failures:
            raise failures[0]
        self.complete = True

    def close(self) -> None:
        """Another recorder takes over: what this one had counted still counts, its gauges do not."""
        with suppress(OSError):
            self._exemplars_path().unlink()
        for kind, file in self._files.items():
            file.close()
            if kind.startswith("gauge"):
                with suppress(OSError):
                    file.path.unlink()
        for speaker in self._speakers.values():
            speaker.close()
        self._series.close()

    def _exemplars_path(self) -> Path:
        return self.shared / f"{exemplars.PREFIX}{self._owner}{exemplars.SUFFIX}"

    def _values(self, metric: c.Metric, point: Point) -> Iterator[tuple[str, float]]:
        name = metric.prometheus_name
        if metric.instrument != "histogram":
            speaker = self._speakers.get(metric)
            value = point.value if speaker is None else speaker.part(point.value)
            yield self._key(metric, point, name, None), value
            return
        yield self._key(metric, point, f"{name}_sum", None), point.value
        for bound, count in zip(bounds_of(metric), point.bucket_counts, strict=True):
            yield self._key(metric, point, f"{name}_bucket", bound), float(count)

    def _key(self, metric: c.Metric, point: Point, name: str, bound: str | None) -> str:
        key = self._keys.get((name, point.labels, bound or ""))
        if key is None:
            names, values = list(metric.prometheus_labels), list(point.labels)
            if bound is not None:
                names, values = [*names, "le"], [*values, bound]
            family = metric.prometheus_name.removesuffix("_total")
            key = mmap_key(family, name, names, values, metric.doc)
            self._keys[name, point.labels, bound or ""] = key
        return key


def _kind_of(metric: c.Metric) -> str:
    """How the name of a metric's file begins."""
    if metric.instrument == "gauge":
        return f"gauge_live{metric.over_workers}"
    return metric.instrument
