"""Sessions of several kinds: a mean over all of them is the demand of none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

LOG_BIN = math.log(1.1)
MIN_SESSIONS = 20
MIN_KIND = 5
MIN_KIND_SHARE = 0.1
MIN_RATIO = 3.0
MIN_LIKENESS = 0.5
MAX_BETWEEN = 0.05
"""Share of the sessions in the middle third between two kinds: an even spread has a sixth there."""


@dataclass(frozen=True)
class Kinds:
    """Two kinds of sessions by one measure: what one turn asks for, ``calls`` or ``seconds``."""

    measure: str
    light: float
    heavy: float
    light_sessions: int
    heavy_sessions: int

    @property
    def ratio(self) -> float:
        """By how much a turn of the one kind asks for more than a turn of the other."""
        return self.heavy / self.light

    @property
    def heavy_share(self) -> float:
        """Sessions of the heavy kind."""
        return self.heavy_sessions / (self.light_sessions + self.heavy_sessions)


def kinds_of(asker: Asker, *, since_ns: int = 0) -> Kinds | None:
    """The clearest division of the run's sessions into two kinds; None where there is none.

    Turns that begin before ``since_ns`` are left out.
    """
    by_measure: dict[str, Rows] = {}
    for row in asker.ask("run/kinds_of_sessions", since_ns=since_ns):
        by_measure.setdefault(row["measure"], []).append(row)
    divided = [_divided(measure, rows) for measure, rows in sorted(by_measure.items())]
    found = [kinds for kinds in divided if kinds is not None]
    if not found:
        return None
    turns = asker.ask("run/likeness_of_turns", since_ns=since_ns)
    alike = {row["measure"]: likeness(row) for row in turns}
    return next((kinds for kinds in found if alike[kinds.measure] >= MIN_LIKENESS), None)


def likeness(row: Mapping[str, Any]) -> float:
    """How alike turns of one session are: the intraclass correlation of an analysis of variance.

    Where sessions differ only by the chance of their few turns it is about 0. Sessions of one turn
    each are as different as their turns: 1.
    """
    sessions, turns = row["sessions"], row["turns"]
    if turns <= sessions or sessions < 2:
        return 1.0
    between = row["between_ss"] / (sessions - 1)
    within = row["within_ss"] / (turns - sessions)
    size = (turns - row["squares"] / turns) / (sessions - 1)
    total = between + (size - 1) * within
    return float((between - within) / total) if total > 0 else 0.0


def _divided(measure: str, rows: Rows) -> Kinds | None:
    """Cut where the sum of squares within both parts is least (Fisher 1958), and judge the cut."""
    at = np.array([(row["bin"] + 0.5) * LOG_BIN for row in rows])
    n = np.array([row["sessions"] for row in rows], dtype=np.float64)
    if n.sum() < MIN_SESSIONS or at.size < 2:
        return None
    within = [_spread(at[:k], n[:k]) + _spread(at[k:], n[k:]) for k in range(1, at.size)]
    cut = 1 + int(np.argmin(within))
    light, heavy = rows[:cut], rows[cut:]
    low, high = (
        float(np.average(at[:cut], weights=n[:cut])),
        float(np.average(at[cut:], weights=n[cut:])),
    )
    third = (high - low) / 3
    between = float(n[(at > low + third) & (at < high - third)].sum())
    smaller = min(n[:cut].sum(), n[cut:].sum())
    kinds = Kinds(measure, _mean(light), _mean(heavy), int(n[:cut].sum()), int(n[cut:].sum()))
    is_clear = between <= MAX_BETWEEN * n.sum() and kinds.ratio >= MIN_RATIO
    is_large = smaller >= max(MIN_KIND, MIN_KIND_SHARE * n.sum())
    return kinds if is_clear and is_large else None


def _spread(at: np.typing.NDArray[np.float64], n: np.typing.NDArray[np.float64]) -> float:
    return float((n * (at - np.average(at, weights=n)) ** 2).sum())


def _mean(rows: Rows) -> float:
    return float(sum(row["amount"] for row in rows) / sum(row["turns"] for row in rows))
