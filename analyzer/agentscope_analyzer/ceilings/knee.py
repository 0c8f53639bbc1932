"""Where throughput stops to grow: the knee, or in words why there is none.

Throughput against load, both from 0 to 1; two straight lines that meet at the knee. It counts only
where the second line is much flatter, explains much more than one line does, and lies near the most
that was reached (the acceptance rule of vLLM's guidellm), and where turns take longer beyond it:
an algorithm that always finds a knee finds one in a straight line, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.resampling import Interval, interval_of
from agentscope_analyzer.wording import number, percent

Floats = npt.NDArray[np.float64]

MIN_POINTS: Final = 5
MAX_TAIL_SLOPE: Final = 0.25
MIN_BETTER: Final = 0.50
MIN_HEIGHT: Final = 0.85
MIN_SLOWER: Final = 1.25
STEPS: Final = 25


@dataclass(frozen=True)
class Knee:
    """Where it is, its 95 % interval, and in words what it rests on or why there is none."""

    sessions: float | None
    interval: Interval | None
    says: str


@dataclass(frozen=True)
class _Bend:
    at: float
    before: float
    """Slope before the bend, in parts of the axes."""
    after: float
    better: float
    """By which part the second line lowers the squared error."""
    height: float
    """Throughput at the bend over the most."""


def knee_of(
    load: Floats,
    throughput: Floats,
    turn_s: Floats,
    drawn: list[tuple[Floats, Floats, Floats]],
    blocks: int,
) -> Knee:
    """The knee of throughput over load; ``turn_s`` is how long turns took at each load."""
    if load.size < MIN_POINTS:
        return Knee(None, None, f"no knee: {load.size} loads, {MIN_POINTS} are needed")
    bend = _bend(load, throughput)
    if bend is None:
        return Knee(None, None, "no knee: throughput did not grow with load")
    slower = _slower(load, turn_s, bend.at)
    why = _refused(bend, slower)
    if why is not None:
        return Knee(None, None, f"no knee: {why}")
    again = [_bend(n, x) for n, x, _ in drawn]
    ends = interval_of(np.array([one.at if one else math.nan for one in again]), blocks)
    says = (
        f"throughput stops to grow at {number(bend.at)} live sessions: its slope falls to "
        f"{percent(max(0.0, bend.after / bend.before))} of what it was, and turns take "
        f"{number(slower)} times as long beyond"
    )
    return Knee(bend.at, ends, says)


def _refused(bend: _Bend, slower: float) -> str | None:
    if bend.before <= 0:
        return "throughput did not grow with load"
    if bend.after > MAX_TAIL_SLOPE * bend.before:
        return f"throughput still grows at {percent(bend.after / bend.before)} of its first slope"
    if bend.better < MIN_BETTER:
        return f"two lines explain only {percent(max(0.0, bend.better))} more than one"
    if bend.height < MIN_HEIGHT:
        return f"throughput at the bend is only {percent(bend.height)} of its most"
    if slower < MIN_SLOWER:
        return "turns take no longer beyond it"
    return None


def _bend(load: Floats, throughput: Floats) -> _Bend | None:
    """The two lines with the least error; None where there is nothing to bend."""
    order = np.argsort(load)
    n, x = load[order], throughput[order]
    if n[-1] <= n[0] or x.max() <= x.min():
        return None
    u, v = (n - n[0]) / (n[-1] - n[0]), (x - x.min()) / (x.max() - x.min())
    ones = np.ones_like(u)
    straight, _ = _least_squares(np.stack([ones, u], axis=1), v)
    best: tuple[float, float, Floats] | None = None
    for at in np.linspace(u[1], u[-2], STEPS):
        design = np.stack([ones, u, np.maximum(0.0, u - at)], axis=1)
        error, slopes = _least_squares(design, v)
        if best is None or error < best[0]:
            best = error, float(at), slopes
    if best is None or straight <= 0:
        return None
    error, at, p = best
    height = (float(p[0] + p[1] * at) * (x.max() - x.min()) + x.min()) / x.max()
    return _Bend(
        at=float(n[0] + at * (n[-1] - n[0])),
        before=float(p[1]),
        after=float(p[1] + p[2]),
        better=1 - error / straight,
        height=height,
    )


def _least_squares(design: Floats, y: Floats) -> tuple[float, Floats]:
    slopes = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], dtype=np.float64)
    rest = y - design @ slopes
    return float((rest * rest).sum()), slopes


def _slower(load: Floats, turn_s: Floats, at: float) -> float:
    """How many times as long turns take beyond the bend as before it."""
    before, after = (
        turn_s[(load <= at) & np.isfinite(turn_s)],
        turn_s[(load > at) & np.isfinite(turn_s)],
    )
    if not before.size or not after.size or before.mean() <= 0:
        return 0.0
    return float(after.mean() / before.mean())
