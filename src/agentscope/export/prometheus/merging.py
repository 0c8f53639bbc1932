"""Files of workers as one answer, read in slices, the unreadable ones passed over and counted.

Our own files are folded here: merging by prometheus_client is one long computation, during which
the event loop of the worker that was asked would hardly get on. The service's own are left to it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector

from agentscope.export.prometheus import values_file
from agentscope.export.prometheus.owners import ARCHIVE, is_alive, is_ours, kind_of, owner_of
from agentscope.export.prometheus.pace import Pace
from agentscope.recording.guard import note_error

_log = logging.getLogger("agentscope")

MAX_KEYS = 16_384
"""Names of series that are kept parsed: they are the same at each scrape, and in each worker."""

_skipped: set[str] = set()

Values = list[tuple[str, float]]

FOLDS: Final[dict[str, Callable[[float, float], float]]] = {
    "counter": float.__add__,
    "histogram": float.__add__,
    "gauge_livesum": float.__add__,
    "gauge_livemax": max,
    "gauge_livemin": min,
}
"""How the names of our files begin, and what becomes of two workers' values in such files."""


def merged(shared: Path, pace: Pace) -> list[Family]:
    """One family a metric, ours first; and how many files could not be read so far.

    Without a lock, for a worker that hangs would hold it: a file that is folded meanwhile is either
    read, or gone and in the archive, which is read last and tells of which files it has taken in.
    """
    paths = sorted(shared.glob("*.db"))
    ours = [one for one in paths if kind_of(one) in FOLDS and is_ours(owner_of(one))]
    counting = [one for one in ours if owner_of(one) != ARCHIVE and not _is_passed(one)]
    living = {one: read(one, pace) for one in counting}
    folded: dict[str, dict[_Series, float]] = {}
    docs: dict[str, str] = {}
    for kind in FOLDS:
        values, noted = read_archive(shared / f"{kind}_{ARCHIVE}.db", pace)
        known = frozenset(noted)
        _fold(kind, values, folded, docs, pace)
        for path, more in living.items():
            if kind_of(path) == kind and path.name not in known:
                _fold(kind, more or (), folded, docs, pace)
    families = [
        family for kind, values in folded.items() for family in _families(kind, values, docs, pace)
    ]
    families += _families_of_the_service(set(paths).difference(ours), pace)
    skipped = CounterMetricFamily(
        "agentscope_sdk_worker_files_skipped",
        "files of workers that could not be read, and what they held is missing",
    )
    skipped.add_metric([], len(_skipped))
    return [*families, skipped]


def _is_passed(path: Path) -> bool:
    """Whether it holds gauges of a worker that has ended."""
    return kind_of(path).startswith("gauge") and not is_alive(path)


def _fold(
    kind: str,
    values: Iterable[tuple[str, float]],
    folded: dict[str, dict[_Series, float]],
    docs: dict[str, str],
    pace: Pace,
) -> None:
    fold, sums = FOLDS[kind], folded.setdefault(kind, {})
    for key, value in pace.over(values):
        # Not by the key: workers of another release may describe a metric in other words.
        series, docs[series.family] = _parsed(key)
        sums[series] = fold(sums[series], value) if series in sums else value


def _families_of_the_service(files: Iterable[Path], pace: Pace) -> list[Family]:
    sound = [str(path) for path in sorted(files) if read(path, pace) is not None]
    try:
        return list(MultiProcessCollector.merge(pace.over(sound), accumulate=True))
    except Exception as error:  # one that is gone by now, or holds what is no metric
        note_error("the service's own metrics files", error)
        return []


def read(path: Path, pace: Pace) -> Values | None:
    """What a file holds; None where it is gone or no such file, and the latter is said once."""
    found = _read(path, pace)
    return None if found is None else found[0]


def read_archive(path: Path, pace: Pace) -> tuple[Values, list[str]]:
    """What ended workers had counted, and which files it is from, as far as that matters."""
    found = _read(path, pace)
    return ([], []) if found is None else (found[0], values_file.noted(found[1]))


def _read(path: Path, pace: Pace) -> tuple[Values, bytes] | None:
    try:
        series, note = values_file.read(path)
        return [(key, value) for key, value in pace.over(series) if _parsed(key)], note
    except FileNotFoundError:
        return None
    except Exception as error:  # struct.error, ValueError, OSError, KeyError of what is no key, …
        if path.name not in _skipped:
            _skipped.add(path.name)
            _log.warning("agentscope: %s is no readable metrics file: %r", path, error)
        return None


_Labels = tuple[tuple[str, str], ...]


class _Series(NamedTuple):
    """What prometheus_client's key of a series says."""

    family: str
    sample: str
    labels: _Labels
    """Those of a bucket without its bound."""
    bound: str


@lru_cache(MAX_KEYS)
def _parsed(key: str) -> tuple[_Series, str]:
    family, sample, labels, doc = json.loads(key)
    bound = labels.pop("le", "")
    return _Series(family, sample, tuple(labels.items()), bound), doc


def _families(
    kind: str, values: dict[_Series, float], docs: dict[str, str], pace: Pace
) -> list[Family]:
    families: dict[str, Family] = {}
    buckets: dict[tuple[str, _Labels], list[tuple[float, str, float]]] = {}
    for (name, sample, labels, bound), value in pace.over(values.items()):
        if name not in families:
            families[name] = Family(name, docs[name], kind.partition("_")[0])
        if bound:
            buckets.setdefault((name, labels), []).append((float(bound), bound, value))
        elif kind != "histogram":
            families[name].add_sample(sample, dict(labels), value)
    for (name, labels), counts in pace.over(buckets.items()):
        # All of one histogram in a row, as OpenMetrics wants it.
        below = 0.0
        for _, bound, count in sorted(counts):
            below += count
            families[name].add_sample(f"{name}_bucket", {**dict(labels), "le": bound}, below)
        families[name].add_sample(f"{name}_count", dict(labels), below)
        total = values.get(_Series(name, f"{name}_sum", labels, ""), 0.0)
        families[name].add_sample(f"{name}_sum", dict(labels), total)
    return list(families.values())
