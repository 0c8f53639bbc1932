"""Clocks that moved during the run, and clocks of processes that call each other."""

from __future__ import annotations

from dataclasses import dataclass

from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

MIN_PART = 5
"""Requests of a tenth of the run: fewer say little about its clocks."""
MIN_STEP_S = 0.1
ALIKE = 0.2
"""Both bounds move with a clock by the same; a queue and work after the answer do not."""


@dataclass(frozen=True)
class ClockStep:
    """At the beginning of a tenth of the run, one clock moved against the other by so much."""

    by_s: float
    part: int

    @property
    def is_set(self) -> bool:
        """Somebody set a clock: by this much clocks do not drift."""
        return abs(self.by_s) > MIN_STEP_S


def clock_step_of(asker: Asker) -> ClockStep | None:
    """The largest step that both bounds of ``load/clock_parts`` show; None: nobody can tell."""
    parts = [row for row in asker.ask("load/clock_parts") if row["requests"] >= MIN_PART]
    if len(parts) < 2:
        return None
    steps = []
    for k in range(1, len(parts)):
        for within in (
            0,
            1,
        ):  # between two tenths, or in the middle of one, which then tells nothing
            before, after = parts[:k], parts[k + within :]
            if not after:
                continue
            above = _step(before, after, "most_s")
            below = _step(before, after, "least_s")
            if above * below > 0 and abs(above - below) <= ALIKE * max(abs(above), abs(below)):
                steps.append(ClockStep(min(above, below, key=abs), parts[k]["part"]))
    return max(steps, key=lambda step: abs(step.by_s), default=ClockStep(0.0, 0))


def _step(parts_before: Rows, parts_after: Rows, column: str) -> float:
    """By how much all values after lie above, or below, all before; 0 if they also drift."""
    before, after = [row[column] for row in parts_before], [row[column] for row in parts_after]
    step = min(after) - max(before)
    if step <= 0:
        step = min(0.0, max(after) - min(before))
    drift = max(max(part) - min(part) for part in (before, after))
    return step if drift <= abs(step) / 2 else 0.0


@dataclass(frozen=True)
class ClockPair:
    """Two processes, one of which calls the other: a row of ``run/clock_pairs``."""

    caller: str
    called: str
    calls: int
    misplaced: int
    outlasted: int
    ahead_s: float
    least_s: float
    most_s: float
    farthest_s: float

    @property
    def moved_s(self) -> float:
        """By how much the bounds of single calls contradict each other: a clock moved."""
        return max(0.0, self.least_s - self.most_s)

    @property
    def off_s(self) -> float:
        """The least difference of the two clocks that explains all calls; 0: they may agree."""
        if self.moved_s:
            return abs(self.ahead_s)
        return max(0.0, self.least_s, -self.most_s)


def clock_pairs_of(asker: Asker) -> tuple[ClockPair, ...]:
    """Every pair of processes whose calls bound the difference of their clocks, most calls first."""
    rows = asker.ask("run/clock_pairs")
    return tuple(ClockPair(**row) for row in rows if row["ahead_s"] is not None)
