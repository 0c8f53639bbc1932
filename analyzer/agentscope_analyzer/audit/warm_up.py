"""Warm-up: turns at the start that took longer than those after them, found from the turns alone.

MSER-5 (White, "An effective truncation heuristic for bias reduction in simulation output", 1997):
of all places to cut the first half, the one after which the mean is known best. It cuts something
of nearly every series, so a cut counts only if what lies before it really differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.sql import Asker

BATCH = 5
MAX_BATCHES = 2_000
MIN_BATCHES = 12
MIN_LEFT_S = 30.0
MIN_LEFT_TURNS = 30
MIN_EFFECT = 0.10
MIN_Z = 3.09
"""One-sided p < .001, of both tests."""
NS = 1e9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WarmUp:
    """The part at the start whose turns took ``ratio`` times as long as those after it."""

    start_s: float
    end_s: float
    turns: int
    ratio: float
    kept: bool
    """What remains is too short: it was not left out of anything."""
    p95_s: float
    """95th percentile of the turns after it."""

    @property
    def length_s(self) -> float:
        """How long it lasted."""
        return self.end_s - self.start_s


def warm_up_of(asker: Asker, *, turns: int, from_s: float, to_s: float) -> WarmUp | None:
    """The warm-up between two moments, None where there is none or nobody could tell."""
    size = max(BATCH, math.ceil(turns / MAX_BATCHES))
    rows = asker.ask("run/batches", from_ns=round(from_s * NS), to_ns=round(to_s * NS), size=size)
    if rows and rows[-1]["turns"] < size:
        rows.pop()
    if len(rows) < MIN_BATCHES:
        return None
    log_s = np.array([row["log_s"] for row in rows])
    cut = mser(log_s)
    if not _differs(log_s, cut):
        return None
    end_s = rows[cut]["start_ns"] / NS
    after = asker.ask("run/since", from_ns=rows[cut]["start_ns"])[0]
    last_s = rows[-1]["start_ns"] / NS
    return WarmUp(
        start_s=from_s,
        end_s=end_s,
        turns=size * cut,
        ratio=math.exp(log_s[:cut].mean() - log_s[cut:].mean()),
        kept=last_s - end_s < MIN_LEFT_S or after["turns"] < MIN_LEFT_TURNS,
        p95_s=after["p95_s"],
    )


def mser(values: Floats) -> int:
    """How many of the first values to leave out: at most half of them."""
    n = values.size
    left = np.arange(n, 0, -1)
    total, squares = values[::-1].cumsum()[::-1], (values**2)[::-1].cumsum()[::-1]
    spread = (squares - total**2 / left) / left.astype(np.float64) ** 2
    return int(np.argmin(spread[: n // 2 + 1]))


def _differs(log_s: Floats, cut: int) -> bool:
    """Slower before the cut, by more than chance: a quicker start is a load that still builds up."""
    before, after = log_s[:cut], log_s[cut:]
    if cut < 2 or math.exp(before.mean() - after.mean()) < 1 + MIN_EFFECT:
        return False
    return welch_z(before, after) > MIN_Z and mann_whitney_z(before, after) > MIN_Z


def welch_z(one: Floats, other: Floats) -> float:
    """Welch's statistic for a difference of means."""
    error = math.sqrt(one.var(ddof=1) / one.size + other.var(ddof=1) / other.size)
    difference = float(one.mean() - other.mean())
    return difference / error if error else math.copysign(math.inf, difference)


def mann_whitney_z(one: Floats, other: Floats) -> float:
    """Mann and Whitney's statistic, by its normal approximation: how often ``one`` is larger."""
    below = np.searchsorted(np.sort(other), one, side="left")
    up_to = np.searchsorted(np.sort(other), one, side="right")
    larger = float((below + up_to).sum()) / 2
    pairs = one.size * other.size
    return (larger - pairs / 2) / math.sqrt(pairs * (one.size + other.size + 1) / 12)
