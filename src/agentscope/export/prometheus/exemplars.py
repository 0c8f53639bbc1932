"""Exemplars of all workers: prometheus_client's own files have no room for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample

from agentscope.export.prometheus.families import family_of
from agentscope.export.prometheus.owners import ARCHIVE, owner_of
from agentscope.export.prometheus.pace import Pace
from agentscope.recording.clock import Clock
from agentscope.recording.genai_names import Taken

PREFIX = "agentscope-exemplars_"
SUFFIX = ".json"

MAX_TOLD = 1000
"""A page has 120 KB of them at most. More there are only where clients invent labels."""

MAX_KEPT = 4000
"""Of ended workers."""

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels of a bucket."""


def write(path: Path, counted: Taken, clock: Clock, pace: Pace) -> None:
    """Leave a worker's exemplars where the others find them, all at once or not at all."""
    told = [
        (sample.name, sample.labels, *sample.exemplar[:3])
        for metric, points in counted
        if (known := [point for point in points if point.exemplars])
        for sample in family_of(metric, pace.over(known), clock).samples
        if sample.exemplar is not None
    ]
    with suppress(OSError):  # the directory is being swept, the disk is full: soon again
        _replace(path, told)


def fold(paths: Iterable[Path], archive: Path) -> None:
    """Keep those of ended workers too: what is told of a bucket would go back in time without.

    Raises OSError where the archive cannot be written; the files are then still there.
    """
    paths = list(paths)
    if not paths:
        return
    newest = _newest([*paths, archive])
    kept = sorted(newest.items(), key=lambda one: one[1][0])[-MAX_KEPT:]
    told = [
        (name, dict(labels), exemplar.labels, exemplar.value, at_s)
        for (name, labels), (at_s, exemplar) in kept
    ]
    _replace(archive, told)
    for path in paths:
        path.unlink(missing_ok=True)


def _replace(path: Path, told: Sequence[object]) -> None:
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def attach(families: Iterable[Family], shared: Path) -> None:
    """Give each bucket the newest exemplar that any worker has for it.

    The newest of all, so that what is told of a bucket never goes back in time, whichever worker
    is asked: Prometheus would refuse it.
    """
    # The archive last: what is folded meanwhile is in it.
    paths = sorted(shared.glob(f"{PREFIX}*{SUFFIX}"), key=lambda path: owner_of(path) == ARCHIVE)
    newest = _newest(paths)
    if not newest:
        return
    for family in families:
        if family.type == "histogram":
            family.samples = [_with_exemplar(one, newest) for one in family.samples]


def _newest(paths: Iterable[Path]) -> dict[Series, tuple[float, Exemplar]]:
    newest: dict[Series, tuple[float, Exemplar]] = {}
    for path in paths:
        for series, at_s, exemplar in _read(path):
            if series not in newest or newest[series][0] < at_s:
                newest[series] = at_s, exemplar
    return newest


def bound(families: Iterable[Family]) -> None:
    """Leave so many that a scrape stays small: an exemplar is as long as its line."""
    told = [
        (sum(1 for sample in family.samples if sample.exemplar is not None), family)
        for family in families
        if family.type == "histogram"
    ]
    left = MAX_TOLD
    for count, family in sorted(told, key=lambda one: one[0]):
        left -= count
        if left < 0:
            family.samples = [sample._replace(exemplar=None) for sample in family.samples]


def _with_exemplar(sample: Sample, newest: dict[Series, tuple[float, Exemplar]]) -> Sample:
    found = newest.get((sample.name, frozenset(sample.labels.items())))
    return sample if found is None else sample._replace(exemplar=found[1])


def _read(path: Path) -> Iterator[tuple[Series, float, Exemplar]]:
    # A worker that ends takes its file with it, at any moment.
    with suppress(OSError, ValueError, TypeError, AttributeError):
        for name, labels, of, value, at_s in json.loads(path.read_bytes()):
            exemplar = Exemplar(dict(of), float(value), float(at_s))
            yield (str(name), frozenset(labels.items())), float(at_s), exemplar
