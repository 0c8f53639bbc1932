"""What one live session asks for, cell by cell: sessions by windows of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.window_rule import Demand

MINUTE_S = 60.0
WINDOWS_AT_LEAST = 3
"""Fewer windows than this cannot show how demand varies, so shorter runs get shorter windows."""

MOST_WINDOWS = 5_000
"""Longer stretches (one wrong clock makes a run of years) get longer windows instead."""

Floats = npt.NDArray[np.float64]
Interval = tuple[str, float, float]
"""Session, from, to: seconds since the epoch or any other common zero."""


@dataclass(frozen=True)
class LiveSessions:
    """Sessions and when each was live: from its first turn's start to its last turn's end."""

    names: tuple[str, ...]
    start: Floats
    end: Floats

    @classmethod
    def of_turns(cls, turns: Sequence[Interval]) -> LiveSessions:
        """Span each session over its turns; order of the turns does not matter."""
        spans: dict[str, tuple[float, float]] = {}
        for name, start, end in turns:
            known = spans.get(name, (start, end))
            spans[name] = (min(known[0], start), max(known[1], end))
        names = tuple(sorted(spans))
        return cls(
            names,
            np.array([spans[name][0] for name in names], dtype=np.float64),
            np.array([spans[name][1] for name in names], dtype=np.float64),
        )

    @property
    def first_s(self) -> float:
        """When the first session came to life."""
        return float(self.start.min())

    @property
    def last_s(self) -> float:
        """When the last session ended."""
        return float(self.end.max())

    def most(self) -> int:
        """Most sessions live at one moment."""
        if not self.names:
            return 0
        at = np.concatenate([self.start, self.end])
        step = np.concatenate([np.ones(self.start.size), -np.ones(self.end.size)])
        # At the same instant the new session counts before the old one goes.
        order = np.lexsort((-step, at))
        return int(np.cumsum(step[order]).max())

    def mean(self, start_s: float, end_s: float) -> float:
        """Sessions live on average over a stretch of time."""
        if end_s <= start_s:
            return 0.0
        return float(_overlap(self.start, self.end, start_s, end_s).sum() / (end_s - start_s))


def window_of(stretch_s: float, wanted_s: float = MINUTE_S) -> float:
    """Length of the windows that a stretch of time is cut into: as wanted, or a third of it."""
    return max(min(wanted_s, stretch_s / WINDOWS_AT_LEAST), stretch_s / MOST_WINDOWS)


def demand_of(
    sessions: LiveSessions,
    asked: Sequence[tuple[str, float, float]],
    held_back: Sequence[Interval],
    start_s: float,
    end_s: float,
    wanted_s: float = MINUTE_S,
) -> Demand | None:
    """Cut [start_s, end_s] into windows of the length wanted, if it is long enough for three, and count what every live session asked in each.

    ``asked`` is (session, moment, amount). ``held_back`` is time in which a session could not ask
    although it wanted to (sleeping after a 429): it is taken out of the session's exposure, so
    the rate that comes out is what the session would have asked for. None: too little time.
    """
    if end_s <= start_s or not sessions.names:
        return None
    window_s = window_of(end_s - start_s, wanted_s)
    windows = int((end_s - start_s) / window_s + 1e-9)
    number = {name: i for i, name in enumerate(sessions.names)}
    calls = sorted(
        ((number[name], at, amount) for name, at, amount in asked if name in number),
        key=lambda call: call[1],
    )
    who = np.array([call[0] for call in calls], dtype=np.int64)
    when = np.array([call[1] for call in calls], dtype=np.float64)
    amount = np.array([call[2] for call in calls], dtype=np.float64)
    held = [(number[name], a, b) for name, a, b in merged(held_back) if name in number]
    held_who = np.array([wait[0] for wait in held], dtype=np.int64)
    held_start = np.array([wait[1] for wait in held], dtype=np.float64)
    held_end = np.array([wait[2] for wait in held], dtype=np.float64)

    size = len(sessions.names)
    cells: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = []
    for k in range(windows):
        a, b = start_s + k * window_s, start_s + (k + 1) * window_s
        live = _overlap(sessions.start, sessions.end, a, b)
        lost = np.bincount(
            held_who, weights=_overlap(held_start, held_end, a, b), minlength=size
        ).astype(np.float64)
        inside = slice(*np.searchsorted(when, (a, b)))
        count = np.bincount(who[inside], weights=amount[inside], minlength=size).astype(np.float64)
        seen = np.flatnonzero((live > 0) | (count > 0))
        exposure = np.maximum(0.0, live - lost)[seen] / window_s
        cells.append((seen, count[seen], exposure))
    return Demand.of_cells(
        np.concatenate([cell[0] for cell in cells]),
        np.concatenate([cell[1] for cell in cells]),
        np.concatenate([cell[2] for cell in cells]),
        window_s,
    )


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same stretches of time with those of one session that overlap made one."""
    found: list[Interval] = []
    for name, start, end in sorted(intervals):
        if found and found[-1][0] == name and start <= found[-1][2]:
            found[-1] = (name, found[-1][1], max(end, found[-1][2]))
        else:
            found.append((name, start, end))
    return found


def _overlap(start: Floats, end: Floats, a: float, b: float) -> Floats:
    shared: Floats = np.maximum(0.0, np.minimum(end, b) - np.maximum(start, a))
    return shared
