"""What grows with sessions: a gauge of a process as base + a · live sessions + b · ended sessions.

Where sessions are long, turns count too: those that the live sessions had had.

The slopes are those for which the differences between windows of one process are explained with the
least absolute error: Theil–Sen's idea for more than one slope (rank regression, Jaeckel 1972). A
window that is out of the way, a collection or a burst, does not move them. Every process has a base
of its own; the slopes are common to all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.resampling import (
    SEED,
    Interval,
    block_length,
    interval_of,
    multiplicities,
)
from agentscope_analyzer.ceilings.windows import Gauge
from agentscope_analyzer.wording import amount

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MAX_PAIRS: Final = 8_000
ROUNDS: Final = 30
NEAR: Final = 0.5
"""Pairs whose error is below this part of the median one tell how steeply the sum of signs falls."""
MIN_WINDOWS: Final = 15
MAX_CORRELATION: Final = 0.95
"""Live and ended sessions that go together more closely than this cannot be told apart."""


@dataclass(frozen=True)
class Slope:
    """How much one session adds, with its 95 % interval where there are windows enough."""

    value: float
    interval: Interval | None

    @property
    def low(self) -> float | None:
        """The interval's lower end, where there is one."""
        return self.interval.low if self.interval is not None else None

    @property
    def high(self) -> float | None:
        """Its upper end."""
        return self.interval.high if self.interval is not None else None

    @property
    def is_positive(self) -> bool:
        """Whether more than chance says that it adds something."""
        return self.interval is not None and self.interval.low > 0


@dataclass(frozen=True)
class Fit:
    """The fit: a base for each process (NaN for one without windows), and the slopes.

    ``slopes`` has those of the regressors that varied; ``drawn`` the same of every draw of the
    bootstrap, one column each.
    """

    bases: Floats
    slopes: dict[str, Slope]
    windows: int
    drawn: Floats
    error: float
    """Mean absolute error of the gauge."""

    @property
    def live(self) -> Slope | None:
        """What a live session adds; None where their number hardly varied."""
        return self.slopes.get("live")

    @property
    def ended(self) -> Slope | None:
        """What an ended session leaves behind; None where hardly any ended."""
        return self.slopes.get("ended")

    @property
    def held(self) -> Slope | None:
        """What each turn of a live session adds; None where it was not looked at."""
        return self.slopes.get("held")

    @property
    def served(self) -> Slope | None:
        """What each turn adds for good; None where it was not looked at."""
        return self.slopes.get("served")

    def together(self, **times: float) -> Slope | None:
        """Several slopes added up, each so many times; None where one of them is not known."""
        if not times.keys() <= self.slopes.keys():
            return None
        columns = [list(self.slopes).index(name) for name in times]
        factors = np.array(list(times.values()))
        value = sum(self.slopes[name].value * factor for name, factor in times.items())
        return Slope(
            float(value), interval_of(self.drawn[:, columns] @ factors, _blocks(self.windows))
        )


def fit_of(
    gauge: Gauge, inside: Flags, regressors: tuple[str, ...] = ("live", "ended")
) -> Fit | str:
    """Fit the windows that are ``inside``, one row a process, one column a window; or say why not.

    ``regressors`` are columns of a gauge; those count that varied.
    """
    inside = inside & np.isfinite(gauge.value)
    columns = np.flatnonzero(inside.any(axis=0))
    if columns.size < MIN_WINDOWS:
        return f"too short: {amount(columns.size, 'window')} of {MIN_WINDOWS}"
    value, inside = gauge.value[:, columns], inside[:, columns]
    tables = {name: getattr(gauge, name)[:, columns] for name in regressors}
    names = [name for name, table in tables.items() if varies(table, inside)]
    if not names:
        return "the number of sessions hardly varied"
    if correlated(tables, names, inside):
        alike = (
            "sessions and their turns"
            if {"held", "served"} & {*names}
            else "live and ended sessions"
        )
        return f"{alike} grew together, so they cannot be told apart"
    process, first, second = _pairs(inside)
    dy = value[process, second] - value[process, first]
    dx = np.stack(
        [tables[name][process, second] - tables[name][process, first] for name in names], axis=1
    )
    slopes = least_absolute(dx, dy)
    drawn = _drawn(dx, dy - dx @ slopes, slopes, first, second, columns.size)
    blocks = _blocks(columns.size)
    found = {
        name: Slope(float(slopes[k]), interval_of(drawn[:, k], blocks))
        for k, name in enumerate(names)
    }
    explained = sum(found[name].value * tables[name] for name in names)
    rest = np.where(inside, value - explained, np.nan)
    seen = inside.any(axis=1)
    bases = np.full(value.shape[0], np.nan)
    bases[seen] = np.nanmedian(rest[seen], axis=1)
    error = float(np.nanmean(np.abs(rest - bases[:, np.newaxis])))
    return Fit(bases, found, columns.size, drawn, error)


def _blocks(windows: int) -> int:
    return windows // block_length(windows)


def varies(table: Floats, inside: Flags) -> bool:
    """Whether a number of sessions differs by two at least, and by a fifth, on some process."""
    spans = [
        (np.quantile(row[there], 0.05), np.quantile(row[there], 0.95))
        for row, there in zip(table, inside, strict=True)
        if there.any()
    ]
    return any(high - low >= max(2.0, 0.2 * high) for low, high in spans)


def correlated(tables: dict[str, Floats], names: list[str], inside: Flags) -> bool:
    """Whether one, process by process, follows from the others too closely to be told apart."""
    centred = []
    for name in names:
        table = np.where(inside, tables[name], np.nan)
        with np.errstate(invalid="ignore"):
            centred.append((table - _mean(table))[inside])
    for k, one in enumerate(centred):
        others = centred[:k] + centred[k + 1 :]
        if others:
            x = np.stack(others, axis=1)
            rest = one - x @ np.linalg.lstsq(x, one, rcond=None)[0]
            if (rest * rest).sum() < (1 - MAX_CORRELATION**2) * (one * one).sum():
                return True
    return False


def _mean(table: Floats) -> Floats:
    known = np.isfinite(table)
    counts = np.maximum(1, known.sum(axis=1, keepdims=True))
    found: Floats = np.where(known, table, 0.0).sum(axis=1, keepdims=True) / counts
    return found


def _pairs(inside: Flags) -> tuple[npt.NDArray[np.int64], ...]:
    """Pairs of windows of one process; drawn at random where there are very many."""
    process, first, second = [], [], []
    for i, row in enumerate(inside):
        there = np.flatnonzero(row)
        a, b = np.triu_indices(there.size, 1)
        process.append(np.full(a.size, i))
        first.append(there[a])
        second.append(there[b])
    found = tuple(np.concatenate(part).astype(np.int64) for part in (process, first, second))
    size = found[0].size
    if size > MAX_PAIRS:
        pick = np.random.default_rng(SEED).choice(size, MAX_PAIRS, replace=False)
        found = tuple(part[pick] for part in found)
    return found


def least_absolute(dx: Floats, dy: Floats, weights: Floats | float = 1.0) -> Floats:
    """Slopes with the least weighted sum of absolute errors, by reweighted least squares."""
    scale = np.maximum(1e-12, np.sqrt((dx * dx).mean(axis=0)))
    x = dx / scale
    floor = max(1e-9, 1e-3 * float(np.abs(dy).mean()))
    slopes, use = np.zeros(x.shape[1]), weights * np.ones_like(dy)
    tiny = 1e-9 * np.eye(x.shape[1])
    for _ in range(ROUNDS):
        heavy = x * use[:, np.newaxis]
        moment = heavy.T @ x
        slopes = np.linalg.solve(moment + tiny * np.trace(moment), heavy.T @ dy)
        use = weights / np.maximum(floor, np.abs(dy - x @ slopes))
    found: Floats = slopes / scale
    return found


def _drawn(
    dx: Floats,
    rest: Floats,
    slopes: Floats,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    windows: int,
) -> Floats:
    """The slopes in every draw of the bootstrap, by one Newton step each: one row a draw.

    At the solution the signs of the errors, weighted by their regressors, add up to nothing; drawn
    windows tip that balance, and the slopes follow as far as the sum of signs falls with them (the
    bootstrap of a U-statistic by its linear part, Arcones and Giné 1992).
    """
    signed = dx * np.sign(rest)[:, np.newaxis]
    pull = np.stack(
        [
            np.bincount(first, signed[:, k], windows) + np.bincount(second, signed[:, k], windows)
            for k in range(dx.shape[1])
        ],
        axis=1,
    )
    width = max(1e-9, NEAR * float(np.median(np.abs(rest))))
    near = dx[np.abs(rest) <= width]
    fall = near.T @ near / width + 1e-12 * np.eye(dx.shape[1]) * max(1e-12, float((dx * dx).sum()))
    # Long blocks of few windows are too alike: without this 85 % of the intervals hold the truth.
    wider = math.sqrt(windows / max(1, windows - 2 * block_length(windows)))
    tipped = wider * (multiplicities(windows) - 1) @ pull
    found: Floats = slopes + np.linalg.solve(fall, tipped.T).T
    return found
