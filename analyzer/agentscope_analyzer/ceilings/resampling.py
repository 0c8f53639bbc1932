"""Intervals by resampling: blocks of windows, so that what belongs together in time stays so.

Windows that follow each other are alike (a burst, a collector's cycle, a session's context), so they
are drawn as moving blocks (Künsch 1989). Few blocks would make the interval too narrow: it is widened as
``intervals`` does for few sessions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.intervals import interval_of as ends_of

Floats = npt.NDArray[np.float64]

DRAWS: Final = 400
SEED: Final = 20260
SHORT: Final = 2
"""Windows of a block of what is counted anew in each window, as work and turns are."""
MIN_BLOCKS: Final = 4
"""Of fewer independent stretches of time than this, an interval would only look like knowledge."""


@dataclass(frozen=True)
class Interval:
    """Ends of a 95 % interval."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """How far its ends are apart."""
        return self.high - self.low


def block_length(windows: int) -> int:
    """Windows of a block: twice the cube root of their number, but six blocks at least.

    That is for gauges, which remember. What is counted anew in each window needs SHORT blocks only.
    """
    return max(1, min(math.ceil(2 * math.cbrt(windows)), windows // 6))


def multiplicities(windows: int, draws: int = DRAWS, length: int | None = None) -> Floats:
    """How often each window comes in each draw of moving blocks: one row a draw.

    The blocks wrap around, so that the first and the last windows come as often as the others.
    """
    length = length or block_length(windows)
    blocks = math.ceil(windows / length)
    generator = np.random.default_rng(SEED)
    starts = generator.integers(0, windows, (draws, blocks))
    picks = (starts[:, :, np.newaxis] + np.arange(length)) % windows
    picks = picks.reshape(draws, -1)[:, :windows]
    picks += np.arange(draws)[:, np.newaxis] * windows
    counts = np.bincount(picks.ravel(), minlength=draws * windows)
    return counts.reshape(draws, windows).astype(np.float64)


def interval_of(drawn: Floats, blocks: int) -> Interval | None:
    """The 95 % interval of a figure from its values in all draws; None where blocks are too few.

    Draws in which the figure could not be computed are NaN; a tenth of them is too many.
    """
    known = drawn[np.isfinite(drawn)]
    if blocks < MIN_BLOCKS or not known.size or known.size < 0.9 * drawn.size:
        return None
    low, high = ends_of(known, sessions=blocks)
    return Interval(float(low), float(high))


def ratio_interval(above: Floats, below: Floats) -> Interval | None:
    """The 95 % interval of Σ above / Σ below, one figure a window each."""
    weights = multiplicities(above.size) if above.size else np.zeros((1, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (weights @ above) / (weights @ below)
    return interval_of(drawn, above.size // block_length(above.size))
