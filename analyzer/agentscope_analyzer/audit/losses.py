"""Turns that a process counted against turns whose spans are in the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentscope_analyzer.sql import Asker

MIN_POINTS = 20
MIN_ACTIVE = 0.5


@dataclass(frozen=True)
class Seen:
    """One process: a row of ``run/turns_seen``, with the share of turns that it was told to keep."""

    instance: str
    points: int
    active: float
    open: float
    ended: int | None
    recorded: int
    sample_ratio: float

    @property
    def expected(self) -> int:
        """Turns that ended as the process counted; 0 where a sample leaves it to chance."""
        return 0 if self.sample_ratio < 1 else self.ended or 0

    @property
    def missing(self) -> int:
        """Of those, turns that left no span."""
        return max(0, self.expected - self.recorded)

    @property
    def unseen(self) -> float | None:
        """Share of the turns in flight that no span shows; None where there were hardly any."""
        if self.points < MIN_POINTS or self.active < MIN_ACTIVE or self.sample_ratio < 1:
            return None
        return (self.active - self.open) / self.active


def seen_of(asker: Asker, manifests: Iterable[Mapping[str, Any]]) -> tuple[Seen, ...]:
    """What each process counted, and what is there of it."""
    ratios = {
        str(entry.get("instance")): sample_ratio(entry.get("config"))
        for entry in manifests
        if entry.get("instance")
    }
    return tuple(
        Seen(**row, sample_ratio=ratios.get(row["instance"], 1.0))
        for row in asker.ask("run/turns_seen")
    )


def sample_ratio(config: Any) -> float:
    """The share of turns that a process was told to record, as its manifest says."""
    ratio = config.get("sample_ratio") if isinstance(config, Mapping) else None
    known = isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 <= ratio <= 1
    return float(ratio) if known and ratio is not None else 1.0
