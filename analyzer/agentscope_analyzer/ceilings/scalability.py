"""How throughput grows with sessions: four models, the one that explains most for its parameters.

They are compared by AICc. A model is a description of what was measured: beyond 1.5 times the
largest load nothing is said.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from agentscope_analyzer.ceilings.knee import Knee, knee_of
from agentscope_analyzer.ceilings.laws import PARAMETERS, Fit, aicc_of, fit_of
from agentscope_analyzer.ceilings.resampling import (
    SHORT,
    Interval,
    interval_of,
    multiplicities,
)
from agentscope_analyzer.ceilings.windows import Windows
from agentscope_analyzer.document import Load, Scalability
from agentscope_analyzer.wording import amount, interval, number, percent

Floats = npt.NDArray[np.float64]

MIN_LOADS: Final = 6
MAX_LOADS: Final = 12
MIN_RATIO: Final = 2.0
"""The largest load must be so many times the smallest one."""
FARTHEST: Final = 1.5
TURNS_A_WINDOW: Final = 2.0
DRAWN: Final = 100
DIFFERENT: Final = 0.10
UNDECIDED: Final = 2.0
"""AICc differences below this do not tell two models apart (Burnham and Anderson 2002)."""
MIN_TURNS: Final = 100
MIN_SLOWER: Final = 1.1
"""Where a service is at a limit, turns take longer than with little load by this factor at least."""
SURE: Final = 6.0
"""So much better than plain proportion must a model with a limit be."""


def scalability_of(windows: Windows | None) -> Scalability:
    """The report's figures; ``statement`` says why where there are none."""
    if windows is None:
        return Scalability(statement="not enough data: no turn names its session")
    n, x, turn_s, ended = _points(windows)
    if n.size == 0:
        return Scalability(statement="not enough data: no window of the run tells its load")
    levels, why = levels_of(n)
    size = int(levels.max()) + 1
    once = np.ones((1, n.size))
    load, throughput, weight = (row[0] for row in _loads(once, levels, n, x))
    with np.errstate(invalid="ignore", divide="ignore"):
        length_s = np.bincount(levels, turn_s, size) / np.bincount(levels, ended, size)
    loads = [
        Load(
            sessions=float(load[k]),
            turns_per_s=float(throughput[k]),
            turn_s=float(length_s[k]) if np.isfinite(length_s[k]) else None,
            windows=int(weight[k]),
        )
        for k in range(size)
    ]
    largest = float(load.max())
    known = Scalability(loads=loads, largest_sessions=largest, valid_to_sessions=FARTHEST * largest)
    if ended.sum() < MIN_TURNS:
        why = f"{amount(round(float(ended.sum())), 'turn')} to go by, {MIN_TURNS} are needed"
    if why is not None:
        return replace(known, statement=f"not enough data: {why}", knee=f"no knee: {why}")
    draws = multiplicities(n.size, DRAWN, SHORT)
    drawn = list(zip(*_loads(draws, levels, n, x), strict=True))
    fits = {model: fit_of(model, load, throughput, weight) for model in PARAMETERS}
    aicc = {model: aicc_of(fit, load, throughput, weight) for model, fit in fits.items()}
    best = fits[min(aicc, key=lambda model: aicc[model])]
    if aicc["linear"] - aicc[best.model] < SURE:  # a limit is claimed only where it shows
        best = fits["linear"]
    knee = (
        Knee(None, None, "no knee: throughput may as well grow in proportion to sessions")
        if best.model == "linear"
        else knee_of(load, throughput, length_s, drawn, n.size // SHORT)
    )
    if best.model != "linear" and _slower(load, length_s) < MIN_SLOWER:
        return replace(
            known,
            knee=knee.says,
            statement=(
                "throughput grows less than sessions do, yet turns take no longer: sessions asked for "
                "less, the service did not give less"
            ),
        )
    return _told(best, fits, aicc, drawn, n.size // SHORT, knee, known)


def _slower(load: Floats, turn_s: Floats) -> float:
    """How many times as long turns take in the upper half of loads as in the lower one."""
    order = np.argsort(load)
    half = load.size // 2
    low, high = turn_s[order[:half]], turn_s[order[-half:]]
    low, high = low[np.isfinite(low)], high[np.isfinite(high)]
    return float(high.mean() / low.mean()) if low.size and high.size and low.mean() > 0 else 0.0


def levels_of(n: Floats) -> tuple[npt.NDArray[np.int64], str | None]:
    """The level of load of each window, from 0; and why there are too few of them, if so."""
    low, high = float(n.min()), float(n.max())
    if high <= 0 or high == low:
        return np.zeros(n.size, dtype=np.int64), "load did not vary"
    raw = np.minimum(MAX_LOADS - 1, ((n - low) / (high - low) * MAX_LOADS).astype(np.int64))
    _, levels = np.unique(raw, return_inverse=True)
    count = int(levels.max()) + 1
    if count < MIN_LOADS:
        return (
            levels,
            f"{count} levels of load, {MIN_LOADS} are needed; a ramp or stages would tell",
        )
    if high < MIN_RATIO * max(low, 1.0):
        return levels, (
            f"load went from {number(low)} to {number(high)} sessions only; a ramp or stages would tell"
        )
    return levels, None


def _points(windows: Windows) -> tuple[Floats, Floats, Floats, Floats]:
    """Sessions, turns a second, seconds and number of turns that ended: one figure a window.

    Windows are put together until they are longer than turns, whose work falls into one then.
    """
    ended = windows.ended_turns.sum()
    turn_length_s = windows.ended_turns_s.sum() / ended if ended else 0.0
    merged = max(1, math.ceil(TURNS_A_WINDOW * turn_length_s / windows.window_s))
    count = windows.count // merged

    def total(table: Floats) -> Floats:
        found: Floats = table[: count * merged].reshape(count, merged).sum(axis=1)
        return found

    sessions = total(windows.sessions) / merged
    use = (total(windows.known.astype(np.float64)) == merged) & (sessions > 0)
    use[np.flatnonzero(use)[:1]] = False  # turns begin in it, and of these only short ones end
    rate = total(windows.turns_per_s.sum(axis=0)) / merged
    turn_s, number_ended = (
        total(windows.ended_turns_s.sum(axis=0)),
        total(windows.ended_turns.sum(axis=0)),
    )
    return sessions[use], rate[use], turn_s[use], number_ended[use]


def _loads(
    weights: Floats, levels: npt.NDArray[np.int64], n: Floats, x: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean load, mean throughput and number of windows of every level: one row a draw.

    A level that a draw does not have keeps a weight of next to nothing.
    """
    member = (levels[:, np.newaxis] == np.arange(levels.max() + 1)).astype(np.float64)
    count = weights @ member
    safe = np.maximum(count, 1e-9)
    base = np.ones((1, n.size))
    whole = base @ member
    usual_n, usual_x = (base @ (member * v[:, np.newaxis]) / whole for v in (n, x))
    load = np.where(count > 0, weights @ (member * n[:, np.newaxis]) / safe, usual_n)
    throughput = np.where(count > 0, weights @ (member * x[:, np.newaxis]) / safe, usual_x)
    return load, throughput, np.maximum(count, 1e-6)


def _told(
    best: Fit,
    fits: dict[str, Fit],
    aicc: dict[str, float],
    drawn: list[tuple[Floats, Floats, Floats]],
    blocks: int,
    knee: Knee,
    known: Scalability,
) -> Scalability:
    again = [fit_of(best.model, *loads, start=best) for loads in drawn]
    ends = {
        name: interval_of(np.array([getattr(fit, name) for fit in again]), blocks)
        for name in _FIGURES[best.model]
    }
    farthest = known.valid_to_sessions or 0.0
    seen = best.peak <= farthest
    figures: dict[str, float | None] = {
        name: getattr(best, name) for name in ends if seen or name != "peak"
    }
    for name, found in ends.items():
        if found is not None and name in figures:
            figures[f"{name}_low"] = found.low
            figures[f"{name}_high"] = min(found.high, farthest) if name == "peak" else found.high
    if "peak" in figures:
        figures["peak_sessions"] = figures.pop("peak")
        figures["peak_turns_per_s"] = float(best.at(np.array([best.peak]))[0])
    return replace(
        known,
        model=best.model,
        gamma=best.gamma,
        aicc={model: round(value, 2) for model, value in aicc.items()},
        knee_sessions=knee.sessions,
        knee_low=knee.interval.low if knee.interval else None,
        knee_high=knee.interval.high if knee.interval else None,
        knee=knee.says,
        statement=_statement(best, fits, aicc, ends.get("peak") if seen else None, farthest),
        **figures,
    )


_FIGURES: Final = {
    "linear": (),
    "asymptotes": ("peak",),
    "amdahl": ("alpha",),
    "usl": ("alpha", "beta", "peak"),
}
"""What there is to tell of each model, beside its γ."""
_NAMES: Final = {
    "linear": "proportion",
    "asymptotes": "a plateau",
    "amdahl": "Amdahl's law",
    "usl": "the Universal Scalability Law",
}


def _statement(
    best: Fit,
    fits: dict[str, Fit],
    aicc: dict[str, float],
    ends: Interval | None,
    farthest: float,
) -> str:
    largest = farthest / FARTHEST
    within = f" {interval(ends.low, min(ends.high, farthest))}" if ends is not None else ""
    if best.model == "linear":
        so_far = "as far as this run tells, throughput grows in proportion to sessions up to"
        parts = [f"{so_far} {number(largest)}: it shows no limit"]
    elif best.peak <= farthest:
        most = float(best.at(np.array([best.peak]))[0])
        parts = [
            (
                f"throughput is at its most, {number(most)} turns/s, from {number(best.peak)}{within} "
                "live sessions on"
            )
        ]
    else:
        lost = 1 - float(best.at(np.array([largest]))[0]) / (best.gamma * largest)
        parts = [
            (
                f"at {number(largest)} live sessions throughput is {percent(lost)} below proportion; "
                f"where it peaks lies beyond {number(farthest)}, 1.5 times the largest load seen"
            )
        ]
    better = [model for model, value in aicc.items() if value < aicc[best.model]]
    if better:
        parts.append(
            f"{' and '.join(_NAMES[model] for model in better)} would explain it better, but not by "
            "enough to be sure of a limit"
        )
        return "; ".join(parts)
    parts.append(f"{_NAMES[best.model]} explains it best")
    rivals = [
        model
        for model, value in aicc.items()
        if best.model not in (model, "linear") and value - aicc[best.model] < UNDECIDED
    ]
    if rivals:
        parts.append(f"{' and '.join(_NAMES[model] for model in rivals)} nearly as well")
    at = np.array([min(best.peak, farthest)])
    said = float(best.at(at)[0])
    apart = max((abs(float(fits[m].at(at)[0]) / said - 1) for m in rivals), default=0.0)
    if apart > DIFFERENT:
        parts.append(f"they differ by {percent(apart)} at {number(float(at[0]))} sessions")
    return "; ".join(parts)
