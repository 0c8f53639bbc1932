"""Exemplars of all workers: prometheus_client's own files have no room for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample

from agentscope.export.prometheus.families import family_of
from agentscope.export.prometheus.pace import Pace
from agentscope.recording.clock import Clock
from agentscope.recording.genai_names import Taken

PREFIX = "agentscope-exemplars_"
SUFFIX = ".json"

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
    draft = path.with_suffix(".draft")
    with suppress(FileNotFoundError):  # the directory is being swept: again in a few seconds
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(path)


def attach(families: Iterable[Family], shared: Path) -> None:
    """Give each bucket the newest exemplar that any worker has for it.

    The newest of all, so that what is told of a bucket never goes back in time, whichever worker
    is asked: Prometheus would refuse it.
    """
    newest: dict[Series, tuple[float, Exemplar]] = {}
    for path in shared.glob(f"{PREFIX}*{SUFFIX}"):
        for series, at_s, exemplar in _read(path):
            if series not in newest or newest[series][0] < at_s:
                newest[series] = at_s, exemplar
    if not newest:
        return
    for family in families:
        if family.type == "histogram":
            family.samples = [_with_exemplar(one, newest) for one in family.samples]


def _with_exemplar(sample: Sample, newest: dict[Series, tuple[float, Exemplar]]) -> Sample:
    found = newest.get((sample.name, frozenset(sample.labels.items())))
    return sample if found is None else sample._replace(exemplar=found[1])


def _read(path: Path) -> Iterator[tuple[Series, float, Exemplar]]:
    # A worker that ends takes its file with it, at any moment.
    with suppress(OSError, ValueError, TypeError, AttributeError):
        for name, labels, of, value, at_s in json.loads(path.read_bytes()):
            exemplar = Exemplar(dict(of), float(value), float(at_s))
            yield (str(name), frozenset(labels.items())), float(at_s), exemplar
