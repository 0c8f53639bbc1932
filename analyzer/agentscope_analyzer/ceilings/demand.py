"""Who was live when, and what one live session asks of a model, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.window_rule import Demand
from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

MINUTE_S: Final = 60.0
NS: Final = 1e9
WINDOWS_AT_LEAST: Final = 3
"""Fewer windows than this cannot show how demand varies, so shorter runs get shorter windows."""

MOST_WINDOWS: Final = 5_000
"""Longer stretches (one wrong clock makes a run of years) get longer windows instead."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LiveSessions:
    """Sessions and when each was live: from its first turn's start to its last turn's end."""

    names: tuple[str, ...]
    start: Floats
    end: Floats

    @classmethod
    def of_rows(cls, rows: Rows) -> LiveSessions:
        """From the answer of ``ceilings/sessions``."""
        return cls(
            tuple(row["session"] for row in rows),
            np.array([row["start_ns"] / NS for row in rows], dtype=np.float64),
            np.array([row["end_ns"] / NS for row in rows], dtype=np.float64),
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
        shared = np.minimum(self.end, end_s) - np.maximum(self.start, start_s)
        return float(np.maximum(0.0, shared).sum() / (end_s - start_s))


def window_of(stretch_s: float, wanted_s: float = MINUTE_S) -> float:
    """Length of the windows that a stretch of time is cut into: as wanted, or a third of it."""
    return max(min(wanted_s, stretch_s / WINDOWS_AT_LEAST), stretch_s / MOST_WINDOWS)


class Demands:
    """Demand per live session in [start_s, end_s], asked for once per model and window length."""

    def __init__(self, asker: Asker, start_s: float, end_s: float) -> None:
        self._asker = asker
        self.start_s = start_s
        self.end_s = end_s
        self._rows: dict[tuple[str, str, bool, float, bool, float], Rows] = {}

    def of(
        self,
        dimension: str,
        provider: str,
        model: str,
        *,
        every_model: bool = False,
        wanted_s: float = MINUTE_S,
        held_back: str = "",
        cached_weight: float = 1.0,
    ) -> Demand | None:
        """What sessions ask for in windows of the length wanted, if there is time for three.

        ``held_back`` names a cause: time in which a session could not ask although it wanted to
        (sleeping after a 429) is taken out of its exposure, so the rate that comes out is what the
        session would have asked for. None: too little time.
        """
        if self.end_s <= self.start_s:
            return None
        window_s = window_of(self.end_s - self.start_s, wanted_s)
        key = (provider, model, every_model, wanted_s, bool(held_back), cached_weight)
        if key not in self._rows:
            window_ns = max(1, round(window_s * NS))
            windows = int((self.end_s - self.start_s) / window_s + 1e-6)
            from_ns = round(self.start_s * NS)
            self._rows[key] = self._asker.ask(
                "ceilings/demand",
                provider=provider,
                model=model,
                every_model=int(every_model),
                cached_weight=cached_weight,
                cause=held_back,
                from_ns=from_ns,
                to_ns=from_ns + windows * window_ns,
                window_ns=window_ns,
            )
        return demand_of_rows(self._rows[key], dimension, window_s)


def demand_of_rows(rows: Rows, dimension: str, window_s: float) -> Demand:
    """One dimension of the answer of ``ceilings/demand``."""

    def column(name: str) -> Floats:
        return np.array([row[name] for row in rows], dtype=np.float64)

    return Demand(
        window_s,
        column("e"),
        column(dimension),
        column("ee"),
        column(f"{dimension}_e"),
        column(f"{dimension}_2"),
    )
