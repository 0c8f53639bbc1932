"""A layer's figures and how they would come out with other sessions like these.

Whole sessions are drawn, with replacement; within a draw each kind of turn counts by its weight.
Quantiles of a draw need no sorting: the share of its turns below the whole sample's quantile says
by how much to look higher or lower in that sample (Woodruff, "Confidence Intervals for Medians and
Other Position Measures", Journal of the American Statistical Association 47, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from agentscope_analyzer.layers.sample import Floats, Ints, Sample

__all__ = ["DRAWS", "Resampled", "shift", "shift_drawn"]

DRAWS: Final = 2000
SHIFT_DRAWS: Final = 500
SEED: Final = 20260
MAX_CLUSTERS: Final = 500
"""More sessions than this are drawn in as many groups."""
MAX_SESSIONS_OF_SHIFT: Final = 400
"""More sessions than this are represented by as many of them: the interval is wider than need be."""


@dataclass(frozen=True)
class Resampled:
    """A sample with its turns' kinds, their weights, and a seed of its own."""

    sample: Sample
    kinds: Ints
    weights: Floats
    seed: int = 0

    @cached_property
    def mean_s(self) -> Floats:
        """Seconds of each cause in a turn."""
        mean: Floats = self._mean(np.ones((1, self._clusters)))[0]
        return mean

    @cached_property
    def mean_drawn_s(self) -> Floats:
        """The same in every draw: one row a draw."""
        return self._mean(self._draws)

    def quantile_s(self, p: float) -> float:
        """The quantile of turn durations."""
        return float(self._at(np.array([p]))[0])

    def quantile_drawn_s(self, p: float) -> Floats:
        """The same in every draw."""
        below = (self.sample.duration_s <= self.quantile_s(p)).astype(np.float64)[:, np.newaxis]
        shares = self._mean_of(below, np.ones((1, self._clusters)))[0, 0]
        drawn = self._mean_of(below, self._draws)[:, 0]
        return self._at(np.clip(p - (drawn - shares), 0.0, 1.0))

    def sessions_beyond(self, p: float) -> int:
        """How many sessions have turns at or above the quantile: what it rests on."""
        beyond = (self.sample.duration_s >= self.quantile_s(p)) & (self.kinds >= 0)
        return len(np.unique(self.sample.session[beyond]))

    @cached_property
    def session_medians(self) -> Floats:
        """Logarithms of the median turn of each session that has one, of weighted turns."""
        use = self.kinds >= 0
        session, duration_s = self.sample.session[use], self.sample.duration_s[use]
        order = np.lexsort((duration_s, session))
        session, duration_s = session[order], np.maximum(duration_s[order], 1e-9)
        weight = self._turn_weights[use][order]
        starts = np.flatnonzero(np.diff(session, prepend=-1))
        medians = [
            _weighted_median(duration_s[a:b], weight[a:b])
            for a, b in zip(starts, [*starts[1:], len(session)], strict=True)
        ]
        return np.log(np.array(medians, dtype=np.float64))

    @cached_property
    def _turn_weights(self) -> Floats:
        counts = np.bincount(self.kinds[self.kinds >= 0], minlength=len(self.weights))
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(counts > 0, self.weights / counts, 0.0)
        return np.where(self.kinds >= 0, each[np.maximum(self.kinds, 0)], 0.0)

    @cached_property
    def _sorted(self) -> tuple[Floats, Floats]:
        """Durations of the turns that count, and the place of each from 0 to 1."""
        order = np.argsort(self.sample.duration_s, kind="stable")
        weight = self._turn_weights[order]
        duration_s, weight = self.sample.duration_s[order][weight > 0], weight[weight > 0]
        before = np.cumsum(weight) - weight
        # With equal weights: rank i of n at i / (n - 1), as the report's quantiles.
        last = weight.sum() - (weight**2).sum() / weight.sum()
        return duration_s, np.minimum(before / last, 1.0) if last > 0 else before

    def _at(self, p: Floats) -> Floats:
        duration_s, place = self._sorted
        return np.interp(p, place, duration_s)

    def _mean(self, draws: Floats) -> Floats:
        return self._mean_of(self.sample.seconds, draws)

    def _mean_of(self, columns: Floats, draws: Floats) -> Floats:
        """The weighted mean of columns over turns, for each row of how often clusters count."""
        cells, size = self._cells, len(self.weights)
        turns = np.bincount(cells[cells >= 0], minlength=self._clusters * size)
        drawn_turns = draws @ turns.reshape(self._clusters, size).astype(np.float64)
        share = np.where(drawn_turns > 0, self.weights, 0.0)
        share = share / share.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(drawn_turns > 0, share / drawn_turns, 0.0)
        means = np.empty((len(draws), columns.shape[1]))
        for i in range(columns.shape[1]):
            sums = np.bincount(
                cells[cells >= 0], weights=columns[cells >= 0, i], minlength=self._clusters * size
            )
            means[:, i] = ((draws @ sums.reshape(self._clusters, size)) * each).sum(axis=1)
        return means

    @property
    def _clusters(self) -> int:
        return max(1, min(self.sample.sessions, MAX_CLUSTERS))

    @cached_property
    def _cells(self) -> Ints:
        cluster = self.sample.session % self._clusters
        return np.where(self.kinds >= 0, cluster * len(self.weights) + self.kinds, -1)

    @cached_property
    def _draws(self) -> Floats:
        size = self._clusters
        picks = np.random.default_rng((SEED, self.seed)).integers(0, size, (DRAWS, size))
        picks += np.arange(DRAWS)[:, np.newaxis] * size
        return (
            np.bincount(picks.ravel(), minlength=DRAWS * size)
            .reshape(DRAWS, size)
            .astype(np.float64)
        )


def shift(before: Floats, after: Floats) -> float:
    """Hodges-Lehmann's estimate: the median of all differences of one of each."""
    return float(np.median(np.subtract.outer(after, before)))


def shift_drawn(before: Resampled, after: Resampled) -> Floats:
    """The shift of the sessions' medians in every draw of sessions of both runs."""
    generator = np.random.default_rng((SEED, before.seed, after.seed))
    a, b = _some(before.session_medians, generator), _some(after.session_medians, generator)
    return np.array(
        [
            shift(
                a[generator.integers(0, len(a), len(a))], b[generator.integers(0, len(b), len(b))]
            )
            for _ in range(SHIFT_DRAWS)
        ]
    )


def _some(medians: Floats, generator: np.random.Generator) -> Floats:
    if len(medians) <= MAX_SESSIONS_OF_SHIFT:
        return medians
    return generator.choice(medians, MAX_SESSIONS_OF_SHIFT, replace=False)


def _weighted_median(sorted_values: Floats, weights: Floats) -> float:
    total = np.cumsum(weights)
    half = total[-1] / 2
    i = int(np.searchsorted(total, half * (1 - 1e-12)))
    at_edge = i + 1 < len(total) and abs(total[i] - half) <= 1e-9 * total[-1]
    return float((sorted_values[i] + sorted_values[i + 1]) / 2 if at_edge else sorted_values[i])
