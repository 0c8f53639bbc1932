"""How many sessions fit under a quota: the window rule and its interval.

A quota of Q a minute is not reached when the *mean* minute needs Q but when busy minutes do.
With μ and σ the mean and deviation of one session's demand in a minute, N independent sessions
need μN ± zσ√N, so N* is the largest N with μN + zσ√N ≤ Q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.resampling import DRAWS, SEED, Interval, interval_of

Z_1_PERCENT = 2.33
"""Normal quantile: at N* at most one window in a hundred needs more than the quota."""

MIN_SESSIONS_FOR_INTERVAL = 5
"""Resampling fewer sessions than this tells nothing about sessions that were not seen."""


def sessions_within(quota: float, mean: float, deviation: float, z: float = Z_1_PERCENT) -> float:
    """Solve μN + zσ√N = Q for N: the ceiling in sessions, not rounded. ``mean`` must be > 0.

    >>> sessions_within(150, 2.0, 0.0)
    75.0
    """
    spread = z * deviation
    root = (-spread + math.sqrt(spread * spread + 4 * mean * quota)) / (2 * mean)
    return root * root


@dataclass(frozen=True)
class Demand:
    """One row a session: sums over its windows, enough for mean, deviation and resampling.

    A cell is one session in one window; e is the fraction of the window in which the session
    was live and free to ask, c is what it asked for.
    """

    window_s: float
    e: npt.NDArray[np.float64]
    c: npt.NDArray[np.float64]
    ee: npt.NDArray[np.float64]
    ce: npt.NDArray[np.float64]
    cc: npt.NDArray[np.float64]

    @classmethod
    def of_cells(
        cls,
        session: npt.NDArray[np.int64],
        asked: npt.NDArray[np.float64],
        exposure: npt.NDArray[np.float64],
        window_s: float,
    ) -> Demand:
        """Sum cells by session; ``session`` numbers them from 0."""
        size = int(session.max()) + 1 if session.size else 0

        def total(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.bincount(session, weights=weights, minlength=size).astype(np.float64)

        return cls(
            window_s,
            total(exposure),
            total(asked),
            total(exposure * exposure),
            total(asked * exposure),
            total(asked * asked),
        )

    def per_minute(self) -> tuple[float, float] | None:
        """Mean and deviation of one live session's demand in 60 s; None if nothing was asked."""
        return self.within(60.0)

    def within(self, length_s: float) -> tuple[float, float] | None:
        """The same in any length of time.

        Windows shorter than that are taken as independent, so the variance grows in proportion to
        time.
        """
        e, c = self.e.sum(), self.c.sum()
        if e <= 0 or c <= 0:
            return None
        mean = c / e
        variance = max(0.0, self.cc.sum() - 2 * mean * self.ce.sum() + mean**2 * self.ee.sum()) / e
        scale = length_s / self.window_s
        return float(mean * scale), math.sqrt(variance * scale)

    def interval(
        self, quota: float, *, z: float = Z_1_PERCENT, length_s: float = 60.0
    ) -> Interval | None:
        """95 % interval of the ceiling by resampling whole sessions; None if they are too few.

        ``quota`` is what may be asked for in ``length_s``.
        """
        size = self.e.size
        if size < MIN_SESSIONS_FOR_INTERVAL:
            return None
        generator = np.random.default_rng(SEED)
        ceilings = np.full(DRAWS, np.nan)
        for i in range(DRAWS):
            pick = generator.integers(0, size, size)
            drawn = Demand(
                self.window_s,
                self.e[pick],
                self.c[pick],
                self.ee[pick],
                self.ce[pick],
                self.cc[pick],
            ).within(length_s)
            if drawn is not None:
                ceilings[i] = sessions_within(quota, *drawn, z=z)
        return interval_of(ceilings, size)
