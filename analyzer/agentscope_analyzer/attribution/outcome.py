"""What attribution makes of one portion of a run: rows, and figures that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from agentscope_analyzer.attribution.causes import CAUSE_NAMES

__all__ = ["UNMARKED", "AttributionSummary", "Outcome", "Totals", "by_cause"]

UNMARKED: Final = "unmarked"
"""The key of ``AttributionSummary.inferred`` for turns that bear the name of marked ones."""


@dataclass(frozen=True, slots=True)
class AttributionSummary:
    """What attribution did, and what it had to put up with."""

    turns: int
    spans_used: int
    """Spans that lie below a turn or are one."""
    anomalies: dict[str, int]
    """What was cut, dropped, moved or clamped on the way, by reason."""
    background_s: float
    """For how long, summed over turns, work went on below a turn that had ended."""
    sweep_disagreement: float
    """Largest difference between the critical path's share of a group of causes and the
    equal share's, 0 to 1, before runtime evidence: how much parallel work leaves to judgement."""
    sweep_group: str | None
    """The group in which they differ most."""
    inferred: dict[str, int]
    """Where no turn was marked: what was taken for one (server, agent, root), how often; else how
    many turns were not marked themselves, but have the name of one that is (unmarked)."""


@dataclass(slots=True)
class Totals:
    """Figures that add up over the portions of a run."""

    turns: int = 0
    spans_used: int = 0
    """Spans that lie below a turn or are one."""
    background_ns: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)
    inferred: Counter[str] = field(default_factory=Counter)
    path_ns: Counter[str] = field(default_factory=Counter)
    """The critical path's own time by cause, before runtime evidence."""
    shared_s: Counter[str] = field(default_factory=Counter)
    """The equal share's time by cause."""

    def add(self, other: Totals) -> None:
        """Add another portion's."""
        self.turns += other.turns
        self.spans_used += other.spans_used
        self.background_ns += other.background_ns
        for name in ("anomalies", "inferred", "path_ns", "shared_s"):
            getattr(self, name).update(getattr(other, name))


@dataclass(slots=True)
class Outcome:
    """The rows of one portion, by table, and its totals."""

    totals: Totals = field(default_factory=Totals)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)

    def put(self, name: str, rows: pa.Table) -> None:
        """Add rows of a table."""
        if rows.num_rows:
            self.tables.setdefault(name, []).append(rows)


def by_cause(codes: Any, lengths: Any) -> Counter[str]:
    """Lengths added up by cause, exactly: integers stay integers."""
    sums = np.zeros(len(CAUSE_NAMES), dtype=np.int64)
    np.add.at(sums, codes, lengths)
    return Counter({CAUSE_NAMES[code]: int(sums[code]) for code in np.flatnonzero(sums).tolist()})
