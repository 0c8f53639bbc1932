"""Whose own code computes: told from the CPU time that its process used while it ran.

A span does not say whether its own code computed or awaited something that nobody records. But the
recorder reads the CPU seconds of the process once a second. So each stretch between two readings is
divided by what was open in it: nothing, the own code of one span alone, that of several at once. A
linear regression of the CPU seconds on these times tells how much of a processor the process uses
while own code of each name is open alone, beside what the loop uses for a span that ends and at
rest. Near 1 it computes, near 0 it waits. Where several are open at once they may wait for each other,
so what they use together tells nothing of one of them.

The uncertainty is that of a jackknife over contiguous blocks of readings, which neighbours that are
alike do not deceive: H. R. Künsch, The jackknife and the bootstrap for general stationary
observations, Annals of Statistics 17 (1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Computing", "Own", "computing"]

MIN_READINGS: Final = 20
MIN_ALONE_S: Final = 1.0
"""Own code that was open alone for less is not looked at."""
MIN_PART: Final = 0.5
"""Own code that computes for less of its time, or of which that is not certain, is left as it is."""
BLOCKS: Final = 10
ERRORS: Final = 2.0
"""Standard errors on either side of an estimate in which the truth lies, 19 times in 20."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NS: Final = 1e9


class Own(NamedTuple):
    """A stretch of own code of a span, by the span's name."""

    name: str
    start_ns: int
    end_ns: int


class Computing(NamedTuple):
    """The part of its time for which own code computed: for certain, and most likely."""

    sure: float
    likely: float


def computing(
    own: Sequence[Own], ends_ns: Ints, read_ns: Ints, cpu_s: Floats
) -> dict[str, Computing]:
    """By name: the own code of a process that computes for at least half of its time.

    ``ends_ns`` are the ends of all its spans; of its CPU time there are readings, ``cpu_s`` in all by
    the moment ``read_ns``.
    """
    if len(read_ns) <= MIN_READINGS:
        return {}
    names, alone_s, together_s = _open_times(own, read_ns)
    kept = np.flatnonzero(alone_s.sum(axis=1) >= MIN_ALONE_S)
    work = np.diff(np.searchsorted(np.sort(ends_ns), read_ns)).astype(np.float64)
    rest_s = np.diff(read_ns) / _NS
    design = np.stack([*alone_s[kept], together_s, work, rest_s], axis=1)
    part, error = _jackknife(design, np.diff(cpu_s))
    found = {}
    for i, name in enumerate(kept):
        sure = float(part[i] - ERRORS * error[i])
        if sure >= MIN_PART:
            most = float(part[i] + ERRORS * error[i])
            found[names[name]] = Computing(min(1.0, sure), 1.0 if most >= 1 else float(part[i]))
    return found


def _open_times(own: Sequence[Own], read_ns: Ints) -> tuple[list[str], Floats, Floats]:
    """The names; between readings, seconds in which each was open alone, and in which several were."""
    names = sorted({one.name for one in own})
    code = {name: i for i, name in enumerate(names)}
    codes = np.array([code[one.name] for one in own], dtype=np.int64)
    edges = np.array([(one.start_ns, one.end_ns) for one in own], dtype=np.int64).reshape(-1, 2)
    at = np.concatenate([edges[:, 0], edges[:, 1]])
    change = np.repeat([1, -1], len(edges))
    order = np.argsort(at, kind="stable")
    at, change = at[order], change[order]
    opened = np.cumsum(change)[:-1]
    # Where one alone is open, the sum of the codes of all that are is its code.
    alone = np.cumsum(change * np.tile(codes, 2)[order])[:-1]
    start, end = at[:-1], at[1:]
    of_each = [
        _between(start[(opened == 1) & (alone == i)], end[(opened == 1) & (alone == i)], read_ns)
        for i in range(len(names))
    ]
    together = _between(start[opened > 1], end[opened > 1], read_ns)
    return names, np.array(of_each).reshape(len(names), len(read_ns) - 1), together


def _between(start: Ints, end: Ints, edges: Ints) -> Floats:
    """Seconds of intervals, which do not overlap, between each two neighbouring edges."""
    lengths = np.concatenate([[0], np.cumsum(end - start)])
    i = np.searchsorted(start, edges)  # intervals that had begun by then
    running = np.maximum(0, end[i - 1] - edges) if len(end) else np.zeros(len(edges), np.int64)
    seconds: Floats = np.diff(lengths[i] - np.where(i > 0, running, 0)) / _NS
    return seconds


def _jackknife(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients of a linear regression, and their standard errors."""
    block = np.arange(len(y)) * BLOCKS // len(y)
    without = np.array([_fit(design[block != i], y[block != i]) for i in range(BLOCKS)])
    error: Floats = without.std(axis=0) * np.sqrt(BLOCKS - 1.0)
    return _fit(design, y), error


def _fit(design: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], dtype=np.float64)
