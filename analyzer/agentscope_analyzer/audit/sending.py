"""What users would have seen whose requests do not wait for the service: closed loops corrected.

A user who waits for each answer sends little while the service is slow, so slow moments count for
little in the percentiles of what was sent: coordinated omission (Tene, "How NOT to measure latency",
2013). His correction takes every long duration for a stall of the whole service, which a long turn
is not. Here every moment of the run counts alike instead, however few requests came in it: what
arrivals see that know nothing of the service (Wolff, "Poisson arrivals see time averages", 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.sql import Asker

MIN_REQUESTS = 100
PER_WINDOW = 8.0
"""Requests that a window has on average: fewer, and chance alone would weigh them."""
MIN_WINDOWS, MAX_WINDOWS = 10, 200
MOST_BY_CHANCE = 2.0
"""Windows that one with requests may stand for: itself and one after it."""
QUANTILE = 0.95
RESAMPLES = 400
BIN = 1.05
"""Ratio of a bin's bounds; see ``load/by_moment.sql``."""


@dataclass(frozen=True)
class ByMoment:
    """A 95th percentile with every request counted alike, and with every moment counted alike."""

    sent_p95_s: float
    moment_p95_s: float
    low: float
    """95 % interval of ``ratio``, from a bootstrap over windows of time."""
    high: float
    stalled: int
    """Windows in a row, two or more, in which nothing at all was sent; by chance there are none."""

    @property
    def ratio(self) -> float:
        """By how much the one exceeds the other."""
        return self.moment_p95_s / self.sent_p95_s


def by_moment_of(asker: Asker, *, from_s: float, to_s: float, requests: int) -> ByMoment | None:
    """Compare them between two moments of the load generator; None with too little data."""
    windows = min(MAX_WINDOWS, int(requests / PER_WINDOW))
    if requests < MIN_REQUESTS or windows < MIN_WINDOWS or to_s <= from_s:
        return None
    rows = asker.ask(
        "load/by_moment", from_s=from_s, window_s=(to_s - from_s) / windows, windows=windows
    )
    if sum(row["requests"] for row in rows) < MIN_REQUESTS:
        return None
    bins = sorted({row["bin"] for row in rows})
    place = {bin_: i for i, bin_ in enumerate(bins)}
    counts = np.zeros((windows, len(bins)))
    for row in rows:
        counts[row["slot"], place[row["bin"]]] = row["requests"]
    return compare(counts, np.array([BIN ** (bin_ + 0.5) for bin_ in bins]))


def compare(counts: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> ByMoment:
    """From requests by window and duration; windows without any count for the one before them."""
    total = counts.sum(axis=1)
    # A run that begins with silence is one of its ramp.
    first = int(np.flatnonzero(total)[0])
    counts, total = counts[first:], total[first:]
    weight = np.bincount(np.maximum.accumulate(np.where(total > 0, np.arange(total.size), 0)))
    weight = np.pad(weight, (0, total.size - weight.size)).astype(np.float64)
    shares = counts / np.maximum(total, 1.0)[:, None] * weight[:, None]
    chosen = np.random.default_rng(0).integers(0, total.size, (RESAMPLES, total.size))
    drawn = np.stack([np.bincount(row, minlength=total.size) for row in chosen]).astype(np.float64)
    sent = _quantiles(np.vstack([counts.sum(axis=0), drawn @ counts]), values)
    moment = _quantiles(np.vstack([shares.sum(axis=0), drawn @ shares]), values)
    low, high = np.quantile(moment[1:] / sent[1:], (0.025, 0.975))
    stalled = int(weight[weight > MOST_BY_CHANCE].sum() - (weight > MOST_BY_CHANCE).sum())
    return ByMoment(float(sent[0]), float(moment[0]), float(low), float(high), stalled)


def _quantiles(
    weights: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    cumulated = np.cumsum(weights, axis=1)
    reached = cumulated >= QUANTILE * cumulated[:, -1:] - 1e-9
    found: npt.NDArray[np.float64] = values[np.argmax(reached, axis=1)]
    return found
