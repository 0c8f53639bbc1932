"""How far a run's figures could be otherwise: a bootstrap that draws sessions, not turns.

Turns of one session share its user, its context and its moment, so they are no independent
observations: resampled one by one they promise a certainty that is not there. Drawn are whole
sessions, with replacement; a figure is computed of every draw, and the interval holds 95 % of them.
With few sessions such an interval is too narrow; it is widened as Student's t is wider than the
normal distribution (the expanded percentile interval of Hesterberg, "What Teachers Should Know
About the Bootstrap", The American Statistician 69, 2015). Where all slow turns are those of a few
extreme sessions even that is too narrow: other runs would have had other such sessions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.document import Rows

__all__ = ["Clusters", "Part", "ShareInterval", "interval_of", "shares_of"]

Floats = npt.NDArray[np.float64]

Part = Literal["whole", "slow", "middle", "least", "most"]
"""The whole run, its slowest turns, those around the median, those with least and most in flight."""

PARTS: Final = get_args(Part)
DRAWS: Final = 3000
SEED: Final = 20260
MIN_SESSIONS: Final = 10
"""Of fewer sessions than this, what others would have done cannot be told."""
MIN_SESSIONS_OF_A_PART: Final = 5
"""So many of them must have turns of the part in question."""
MAX_NAMELESS_SHARE: Final = 0.1
"""If more turns than this name no session, nobody knows which of them belong together."""
OUTSIDE: Final = 0.05


@dataclass(frozen=True)
class Clusters:
    """Turns and seconds by cause, cluster by cluster of sessions."""

    causes: tuple[str, ...]
    turns: dict[str, Floats]
    """Number of turns of each part, and of those ``below`` the middle: one figure a cluster."""
    seconds: dict[Part, Floats]
    """Seconds of the turns of each part: one row a cluster, one column a cause."""
    edges: dict[str, Floats]
    """Seconds of each cause in a turn at the p95 duration and at the ends of the middle fifth."""
    in_flight: dict[Part, Floats]
    """Turns in flight when those of a part by load began, added up."""
    nameless: int = 0
    """Turns whose session is not known."""

    @classmethod
    def of_rows(cls, clusters: Rows, causes: Rows, edges: Rows) -> Clusters:
        """From ``turns/clusters``, ``turns/causes_by_cluster`` and ``turns/causes_at_edges``."""
        names = tuple(sorted({row["cause"] for row in causes}))
        line = {row["cluster"]: i for i, row in enumerate(clusters)}
        at = (
            np.array([line[row["cluster"]] for row in causes], dtype=np.int64),
            np.array([names.index(row["cause"]) for row in causes], dtype=np.int64),
        )
        seconds: dict[Part, Floats] = {}
        for part in PARTS:
            seconds[part] = np.zeros((len(clusters), len(names)))
            seconds[part][at] = [row[f"{part}_s"] for row in causes]
        edge_of = {row["cause"]: row for row in edges}
        counted = (*PARTS, "below", "nameless", "least_flight", "most_flight")
        counts = {
            name: np.array([row[name] for row in clusters], dtype=np.float64) for name in counted
        }
        return cls(
            causes=names,
            turns={name: counts[name] for name in (*PARTS, "below")},
            seconds=seconds,
            edges={
                edge: np.array([edge_of[name][edge] if name in edge_of else 0.0 for name in names])
                for edge in ("p95_s", "lower_s", "upper_s")
            },
            in_flight={"least": counts["least_flight"], "most": counts["most_flight"]},
            nameless=int(counts["nameless"].sum()),
        )

    @property
    def can_be_drawn(self) -> bool:
        """Whether the sessions are known and enough for an interval."""
        return (
            len(self.turns["whole"]) >= MIN_SESSIONS
            and self.nameless <= MAX_NAMELESS_SHARE * self.turns["whole"].sum()
        )

    def sessions(self, *parts: Part) -> float:
        """How many sessions a part rests on: of the part that rests on the fewest.

        Where some have many turns of it and most have few or none, it rests on fewer than have any
        (Kish's effective number).
        """
        counts = [self.turns[part] for part in parts]
        return min(float(one.sum() ** 2 / max(1.0, (one**2).sum())) for one in counts)

    def count(self, part: Part) -> int:
        """Turns of a part."""
        return int(self.turns[part].sum())

    def per_turn(self, part: Part) -> Floats:
        """Seconds of each cause in one turn of a part, on average."""
        return _divided(self.seconds[part].sum(axis=0), self.turns[part].sum())

    def shares(self, part: Part) -> Floats:
        """Each cause's share of the time of a part's turns."""
        seconds = self.seconds[part].sum(axis=0)
        return _divided(seconds, seconds.sum())

    def per_turn_drawn(self, part: Part) -> Floats:
        """Seconds of each cause in one turn of a part, in every draw: one row a draw.

        Which turns are the slowest of a draw depends on the draw. Instead of sorting each of them,
        the mean beyond a quantile is taken with its first-order correction for where the quantile
        came to lie: what moves across it are turns as those at the edge.
        """
        taken = self._weights @ self.seconds[part]
        if part == "slow":
            moved = self._surplus("slow") * self.edges["p95_s"]
        elif part == "middle":
            lower = self._surplus("below")
            moved = (lower + self._surplus("middle")) * self.edges["upper_s"]
            moved -= lower * self.edges["lower_s"]
        else:
            return _divided(taken, self._drawn_turns(part))
        fair = self._drawn_turns("whole") * (self.turns[part].sum() / self.turns["whole"].sum())
        return _divided(taken - moved, fair)

    def shares_drawn(self, part: Part) -> Floats:
        """Each cause's share of the time of a part's turns, in every draw: one row a draw."""
        drawn = self.per_turn_drawn(part)
        return _divided(drawn, drawn.sum(axis=1, keepdims=True))

    def _surplus(self, part: str) -> Floats:
        """By how many turns a draw has more of a part than its size entitles it to."""
        fair_share = self.turns[part].sum() / self.turns["whole"].sum()
        surplus: Floats = self._drawn_turns(part) - fair_share * self._drawn_turns("whole")
        return surplus

    def _drawn_turns(self, part: str) -> Floats:
        return (self._weights @ self.turns[part])[:, np.newaxis]

    @cached_property
    def _weights(self) -> Floats:
        """How often each cluster comes in each draw."""
        size = len(self.turns["whole"])
        picks = np.random.default_rng(SEED).integers(0, size, (DRAWS, size))
        picks += np.arange(DRAWS)[:, np.newaxis] * size
        counts = np.bincount(picks.ravel(), minlength=DRAWS * size)
        return counts.reshape(DRAWS, size).astype(np.float64)


@dataclass(frozen=True)
class ShareInterval:
    """95 % intervals of a cause's share of all turn time, and of the slowest turns' time."""

    low: float | None = None
    high: float | None = None
    p95_low: float | None = None
    p95_high: float | None = None


def shares_of(clusters: Clusters) -> dict[str, ShareInterval]:
    """Intervals of every cause's shares; none where sessions are too few or not known."""
    if not clusters.can_be_drawn:
        return {}
    low, high = of_shares(clusters.shares_drawn("whole"), clusters.sessions("whole"))
    slow_sessions = clusters.sessions("slow")
    if slow_sessions < MIN_SESSIONS_OF_A_PART:
        ends: Any = [(None, None)] * len(clusters.causes)
    else:
        ends = zip(
            *(side.tolist() for side in of_shares(clusters.shares_drawn("slow"), slow_sessions)),
            strict=True,
        )
    return {
        cause: ShareInterval(float(low[i]), float(high[i]), p95_low, p95_high)
        for i, (cause, (p95_low, p95_high)) in enumerate(zip(clusters.causes, ends, strict=True))
    }


def of_shares(drawn: Floats, sessions: float) -> tuple[Floats, Floats]:
    """``interval_of`` shares: none is less than nothing or more than all, as a draw of it may be."""
    low, high = interval_of(drawn, sessions=sessions)
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def interval_of(drawn: Floats, *, sessions: float, family: int = 1) -> tuple[Floats, Floats]:
    """The ends of the interval of a figure, or of each column of figures, by its draws.

    ``sessions`` is how many had a part in the figure, at least 2; ``family`` is how many figures
    are judged together: with 95 % confidence all their intervals hold the truth (Bonferroni).
    Draws in which there was nothing to divide by are left out.
    """
    tail = NormalDist().cdf(-math.sqrt(sessions / (sessions - 1)) * _t(sessions - 1, family))
    low, high = np.nanquantile(drawn, (tail, 1 - tail), axis=0)
    return low, high


def _t(freedom: float, family: int) -> float:
    # Quantile of Student's t by its expansion in 1/freedom (Abramowitz and Stegun, 26.7.5).
    z = NormalDist().inv_cdf(1 - OUTSIDE / 2 / family)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _divided(seconds: Floats, by: Sequence[float] | Floats | np.float64) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(seconds / by, dtype=np.float64)
