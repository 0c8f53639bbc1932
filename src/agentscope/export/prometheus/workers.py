"""Several workers, one answer: files that they share, in prometheus_client's own format.

``PROMETHEUS_MULTIPROC_DIR`` switches it on, as it does for prometheus_client, whose files in the
same directory (the service's own metrics) are read with ours. What goes wrong with such directories
in practice is seen to: an empty or torn file fails no scrape, gauges of dead workers are gone, and
the files that dead workers of ours leave are folded into one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from agentscope import conventions as c
from agentscope.export.prometheus import exemplars, merging
from agentscope.export.prometheus.families import bounds_of, counted
from agentscope.export.prometheus.pace import Pace
from agentscope.export.prometheus.speaker import OF_THE_CONTAINER, Speaker
from agentscope.recording.instruments import Point
from agentscope.recording.recorder import Recorder
from agentscope.settings import metrics_directory

LOCK_NAME = ".agentscope-lock"
SPEAKER_NAME = ".agentscope-speaker"
ARCHIVE = "agentscope-ended"
"""Stands for the process in the name of the files that hold what ended workers had counted."""

EXEMPLARS_EVERY = 5
"""Of how many times that counts are published, once a second, exemplars are one time."""

MAX_CLOCK_DOUBT_S = 5
"""When a process was started is reckoned from the wall clock, which may have been set since."""

_publisher: Publisher | None = None


def publish(recorder: Recorder, shared: Path) -> None:
    """Write what this process has counted where the others find it."""
    global _publisher
    publisher = _publisher
    if publisher is None or publisher.shared != shared or publisher.recorder is not recorder:
        if publisher is not None:
            publisher.close()
        publisher = _publisher = Publisher(recorder, shared)
    publisher.write()


def publish_each_second(recorder: Recorder) -> None:
    """Have the others able to answer for this worker, once it records."""

    def publish_metrics() -> None:
        shared = metrics_directory()
        if shared is not None:
            publish(recorder, shared)

    recorder.each_second.append(publish_metrics)


class Publisher:
    """The files of one recorder of this process."""

    def __init__(self, recorder: Recorder, shared: Path) -> None:
        self.recorder = recorder
        self.shared = shared
        # A pid comes again, in containers soon; with when it was started it does not.
        started_s = int(psutil.Process().create_time())
        number = secrets.randbelow(1 << 32)  # a process may record anew
        self._pid = os.getpid()
        self._owner = f"{os.getpid()}-{started_s}-{_pid_namespace()}-{number}"
        self._speakers = {
            metric: Speaker(shared / f"{SPEAKER_NAME}-{_pid_namespace()}-{metric.name}")
            for metric in OF_THE_CONTAINER
        }
        self._writes = 0
        self._writing = threading.Lock()
        self._files: dict[str, MmapedDict] = {}
        self._gauges: dict[str, set[str]] = {}
        self._keys: dict[tuple[str, tuple[str, ...], str], str] = {}

    def write(self) -> None:
        """Bring the files up to date."""
        with self._writing:
            pace = Pace()
            self.shared.mkdir(parents=True, exist_ok=True)
            taken = counted(self.recorder)
            live: dict[str, dict[str, float]] = {}
            for metric, points in taken:
                values = live.setdefault(_kind_of(metric), {})
                for point in pace.over(points):
                    values.update(self._values(metric, point))
            for kind, values in live.items():
                self._write(kind, values, pace)
            if self._writes % EXEMPLARS_EVERY == 0:
                exemplars.write(self._exemplars_path(), taken, self.recorder.clock, pace)
            self._writes += 1

    def close(self) -> None:
        """Another recorder takes over: what this one had counted still counts, its gauges do not."""
        with self._writing:
            if os.getpid() == self._pid:
                self._exemplars_path().unlink(missing_ok=True)
            for speaker in self._speakers.values():
                speaker.close()
            for kind in list(self._files):
                if kind.startswith("gauge") and os.getpid() == self._pid:
                    self._forget(kind)
                else:
                    self._files.pop(kind).close()

    def _write(self, kind: str, values: dict[str, float], pace: Pace) -> None:
        gone = not self._gauges.get(kind, set()) <= values.keys()
        if kind in self._files and (gone or not self._path(kind).exists()):
            self._forget(kind)  # such a file has no way to lose one of its series
        if kind not in self._files:
            self._files[kind] = MmapedDict(str(self._path(kind)))
        file = self._files[kind]
        for key, value in pace.over(values.items()):
            file.write_value(key, value, 0.0)
        if kind.startswith("gauge"):
            self._gauges[kind] = set(values)

    def _forget(self, kind: str) -> None:
        self._files.pop(kind).close()
        self._path(kind).unlink(missing_ok=True)

    def _path(self, kind: str) -> Path:
        return self.shared / f"{kind}_{self._owner}.db"

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


def _pid_namespace() -> int:
    """Which processes can be seen: containers that share a directory see each its own."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def merged(shared: Path, pace: Pace) -> list[Family]:
    """The metrics of all workers, those of dead ones as far as they still count."""
    with _locked(shared):
        _bury(shared, pace)
        files = sorted(shared.glob("*.db"))
        ours = [path for path in files if _is_ours(path)]
        theirs = [path for path in files if not _is_ours(path)]
        families = merging.merged(ours, theirs, pace)
        exemplars.attach(families, shared)
    return families


def _is_ours(path: Path) -> bool:
    kind, _, owner = path.stem.rpartition("_")
    return kind in merging.FOLDS and (owner == ARCHIVE or owner.count("-") == 3)


@contextmanager
def _locked(shared: Path) -> Iterator[None]:
    """One reader at a time: while another folds files, some would be counted twice."""
    descriptor = os.open(shared / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bury(shared: Path, pace: Pace) -> None:
    """Remove the gauges of dead workers, and fold what our own had counted into one file a kind."""
    for path in shared.glob(f"{exemplars.PREFIX}*"):
        if not _is_alive(path.stem.rpartition("_")[2]):
            path.unlink(missing_ok=True)
    for path in shared.glob("*.db"):
        kind, _, owner = path.stem.rpartition("_")
        if owner == ARCHIVE or _is_alive(owner):
            continue
        with suppress(FileNotFoundError):
            if kind.startswith("gauge_live") or not path.stat().st_size:
                path.unlink()
            elif _is_ours(path) and (values := merging.read(path, pace)) is not None:
                archive = MmapedDict(str(shared / f"{kind}_{ARCHIVE}.db"))
                for key, value in values:
                    archive.write_value(key, archive.read_value(key)[0] + value, 0.0)
                archive.close()
                path.unlink()


def _is_alive(owner: str) -> bool:
    """Whether the process of a file still runs: ``pid``, or of ours ``pid-start-namespace-number``.

    One that cannot be told is taken to be alive.
    """
    pid, *ours = owner.split("-")
    try:
        number, told = int(pid), [int(part) for part in ours]
    except ValueError:
        return True
    if len(told) == 3 and told[1] != _pid_namespace():
        return True
    try:
        process = psutil.Process(number)
        started_s = process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return len(told) != 3 or abs(started_s - told[0]) <= MAX_CLOCK_DOUBT_S
