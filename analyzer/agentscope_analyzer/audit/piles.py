"""Durations that pile up at one value: time-outs, told from work by their sameness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

BINS_PER_E = 100
"""Bins of ``run/durations``: a duration's logarithm times this, rounded down."""
MIN_PILE = 5
NEAR = 1
"""Bins to either side of a pile that still belong to it: a time-out is late by a little."""
AROUND = 30
"""Bins to either side that a pile is compared with: a third less, a third more."""
MIN_SHARE_AROUND = 0.5
MIN_SAVED = 10
MIN_SAVED_SHARE = 0.005
MAX_SAVED_SHARE = 0.4
MIN_OVER_MEDIAN = 3.0
MAX_BELOW = 0.2
MAX_PILES = 3
LIMITS_S = (
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    90.0,
    100.0,
    120.0,
    180.0,
    240.0,
    300.0,
    600.0,
    900.0,
)
"""Where clients, servers and proxies have their time-outs; SDKs of models have 600 s."""


@dataclass(frozen=True)
class Pile:
    """So many pieces of work of one sort that took nearly the same time."""

    sort: str
    n: int
    of: int
    """Pieces of work of that sort, short ones included."""
    least_s: float
    most_s: float
    cut: bool
    """They were cut short; else they were answered all the same, after a retry or a fallback."""

    @property
    def share(self) -> float:
        """Of all work of that sort."""
        return self.n / self.of


def piles_of(asker: Asker) -> tuple[Pile, ...]:
    """Every pile of the run, the largest share first."""
    by_sort: dict[str, Rows] = {}
    for row in asker.ask("run/durations"):
        by_sort.setdefault(row["sort"], []).append(row)
    found = [pile for sort, rows in by_sort.items() for pile in _piles(sort, rows)]
    return tuple(sorted(found, key=lambda pile: -pile.share))


def _piles(sort: str, rows: Rows) -> list[Pile]:
    of = sum(row["n"] for row in rows)
    long = [row for row in rows if row["bin"] >= 0]
    return [*_cut_short(sort, long, of), *_answered(sort, rows, long, of)][:MAX_PILES]


def _cut_short(sort: str, rows: Rows, of: int) -> list[Pile]:
    left = {row["bin"]: row for row in rows if row["cut"]}
    piles = []
    while left:
        sums = {at: _sum(left, at, NEAR) for at in left}
        at = max(sums, key=lambda bin_: (sums[bin_], -bin_))
        if sums[at] < MIN_PILE:
            break
        members = [left[bin_] for bin_ in range(at - NEAR, at + NEAR + 1) if bin_ in left]
        if sums[at] >= MIN_SHARE_AROUND * _sum(left, at, AROUND):
            least_s = min(row["least_s"] for row in members)
            most_s = max(row["most_s"] for row in members)
            piles.append(Pile(sort, sums[at], of, least_s, most_s, cut=True))
        for row in members:
            del left[row["bin"]]
    return piles


def _sum(rows: dict[int, dict[str, int]], at: int, reach: int) -> int:
    return sum(rows[b]["cut"] for b in range(at - reach, at + reach + 1) if b in rows)


def _answered(sort: str, rows: Rows, long: Rows, of: int) -> list[Pile]:
    """What was answered right after a usual time-out, with hardly anything right before it."""
    if not long:
        return []
    median_s = _median_s(rows)
    whole = np.zeros(max(row["bin"] for row in long) + 2)
    for row in long:
        whole[row["bin"]] = row["n"] - row["cut"]
    piles = []
    for limit_s in LIMITS_S:
        first, last = _bin(limit_s), _bin(1.02 * limit_s)
        n = int(whole[first : last + 1].sum())
        below = int(whole[_bin(0.8 * limit_s) : first].sum())
        is_tail = limit_s >= MIN_OVER_MEDIAN * median_s
        is_part = MIN_SAVED_SHARE * of <= n <= MAX_SAVED_SHARE * of
        if n >= MIN_SAVED and is_part and is_tail and below <= MAX_BELOW * n:
            piles.append(Pile(sort, n, of, limit_s, 1.02 * limit_s, cut=False))
    return piles


def _bin(duration_s: float) -> int:
    return int(np.floor(BINS_PER_E * np.log(duration_s) + 1e-9))


def _median_s(rows: Sequence[dict[str, int]]) -> float:
    half, passed = sum(row["n"] for row in rows) / 2, 0
    for row in sorted(rows, key=lambda row: row["bin"]):
        passed += row["n"]
        if passed >= half:
            return float(np.exp(row["bin"] / BINS_PER_E)) if row["bin"] >= 0 else 1.0
    return 1.0
