"""Is a run still moving when it ends? Slopes of what should be steady, with intervals.

Slopes are Theil's and Sen's medians of pairwise slopes. Neighbouring windows of a closed loop
resemble each other, so the variance of the rank test is widened by their autocorrelation (Hamed and
Rao, "A modified Mann-Kendall trend test for autocorrelated data", 1998, with the first lag alone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.audit.warm_up import mser
from agentscope_analyzer.sql import Asker

WINDOWS = 24
MIN_TURNS = 60
MIN_LENGTH_S = 30.0
MAX_RAMP = 0.33
"""Of the run: sessions that come for longer than that are no ramp that ended."""
MIN_LIVE = 3.0
"""Live sessions on average: of fewer, each one that comes or goes is a trend."""
Z = 3.29
"""Two-sided 99.9 %: three series are looked at in every run."""
NS = 1e9

Floats = npt.NDArray[np.float64]
_EVERY: Final[Floats] = np.arange(WINDOWS, dtype=np.float64)
Measure = Literal["throughput", "turn times", "live sessions"]


class Live(Protocol):
    """Who was live when: ``ceilings.demand.LiveSessions``."""

    @property
    def names(self) -> tuple[str, ...]:
        """The sessions."""
        ...

    def mean(self, start_s: float, end_s: float) -> float:
        """Sessions live on average between two moments."""
        ...


@dataclass(frozen=True)
class Trend:
    """How much a measure changed from the start of the steady part to its end.

    ``change`` is a share of its mean level; ``low`` and ``high`` its 99.9 % interval.
    ``goes_on``: the second half moved the same way, by a quarter of it all at least.
    """

    measure: Measure
    change: float
    low: float
    high: float
    goes_on: bool
    length_s: float

    @property
    def is_sure(self) -> bool:
        """Zero lies outside of the interval, and it was not over halfway."""
        return self.goes_on and self.low * self.high > 0


def trends_of(
    asker: Asker,
    *,
    live: Live,
    pace: Mapping[str, Any],
    from_s: float,
    to_s: float,
    skip_ramp: bool,
) -> tuple[Trend, ...]:
    """The trends between two moments; none with too little data.

    What is seen ends with the last start of a turn: after it the load has gone. With ``skip_ramp``
    the sessions' coming is left out where no stages say when it ended.
    """
    if pace["last_start_ns"] is None:
        return ()
    to_s = min(to_s, pace["last_start_ns"] / NS)
    if skip_ramp and live.names and to_s > from_s:
        from_s += _ramp_s(live, from_s, to_s)
    if to_s - from_s < MIN_LENGTH_S:
        return ()
    found = _of_turns(asker, from_s, to_s)
    if not found:
        return ()
    # A session in thought at the end looks as if it had ended with its last turn.
    seen_s = to_s - from_s - max(0.0, pace["gap_p95_s"] or 0.0)
    if live.names and seen_s >= MIN_LENGTH_S:
        levels = _levels(live, from_s, from_s + seen_s, WINDOWS)
        if levels.mean() >= MIN_LIVE:
            found.append(_trend("live sessions", _EVERY, levels / levels.mean(), seen_s))
    return tuple(found)


def _of_turns(asker: Asker, from_s: float, to_s: float) -> list[Trend]:
    from_ns, window_ns = round(from_s * NS), math.ceil((to_s - from_s) * NS / WINDOWS)
    rows = asker.ask(
        "run/over_time",
        from_ns=from_ns,
        to_ns=from_ns + WINDOWS * window_ns,
        window_ns=window_ns,
    )
    if sum(row["turns"] for row in rows) < MIN_TURNS or len(rows) < WINDOWS // 2:
        return []
    slots = np.array([row["slot"] for row in rows])
    starts = np.zeros(WINDOWS)
    starts[slots] = [row["turns"] for row in rows]
    times = np.exp([row["log_s"] for row in rows])
    return [
        _trend("throughput", _EVERY, starts / starts.mean(), to_s - from_s),
        _trend("turn times", slots.astype(np.float64), times / times.mean(), to_s - from_s),
    ]


def _ramp_s(live: Live, from_s: float, to_s: float) -> float:
    """For how long sessions came; 0 where that has no end, for then it is itself what moves."""
    levels = _levels(live, from_s, to_s, 2 * WINDOWS)
    cut = mser(levels) / levels.size
    return cut * (to_s - from_s) if cut < MAX_RAMP else 0.0


def _levels(live: Live, from_s: float, to_s: float, windows: int) -> Floats:
    edges = np.linspace(from_s, to_s, windows + 1)
    return np.array([live.mean(a, b) for a, b in pairwise(edges)])


def _trend(measure: Measure, at: Floats, values: Floats, length_s: float) -> Trend:
    slope, low, high = theil_sen(at, values)
    second = at >= WINDOWS / 2
    late = theil_sen(at[second], values[second])[0] / 2
    goes_on = late * slope > 0 and abs(late) >= abs(slope) / 4
    return Trend(measure, WINDOWS * slope, WINDOWS * low, WINDOWS * high, goes_on, length_s)


def theil_sen(at: Floats, values: Floats) -> tuple[float, float, float]:
    """Median slope and its 99.9 % interval, widened for values that resemble their neighbours."""
    n = at.size
    if n < 4:
        return 0.0, -math.inf, math.inf
    i, j = np.triu_indices(n, 1)
    slopes = np.sort((values[j] - values[i]) / (at[j] - at[i]))
    slope = float(np.median(slopes))
    rest = values - slope * at
    rest = rest - rest.mean()
    around = float((rest**2).sum())
    alike = max(0.0, float((rest[1:] * rest[:-1]).sum()) / around) if around else 0.0
    alike = min(alike, 0.95)
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18 * (1 + alike) / (1 - alike))
    reach = (slopes.size - Z * spread) / 2
    if reach < 1:
        return slope, -math.inf, math.inf
    return slope, float(slopes[int(reach) - 1]), float(slopes[slopes.size - int(reach)])
