"""The second opinion: shares of wall time by the equal-share question, against the path's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from agentscope.conventions import CAUSES
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import questions

__all__ = ["equal_shares", "largest_difference", "numbered_from"]

_PORTION_SPANS: Final = 1_000_000


def equal_shares(engine: Engine) -> dict[str, float]:
    """Wall seconds of each cause, every instant shared equally among the spans that work.

    A large run is answered in portions of turns: the shares add up, the memory does not.
    """
    turns, spans = engine.rows("SELECT COALESCE(max(turn) + 1, 0), count(*) FROM sweep_spans")[0]
    sql = questions()["attribution/equal_share"].body
    portions = 1 + spans // _PORTION_SPANS
    shares: dict[str, float] = defaultdict(float)
    for i in range(portions):
        for row in engine.query(
            sql,
            first_turn=turns * i // portions,
            end_turn=turns * (i + 1) // portions,
        ):
            shares[row["cause"]] += row["wall_s"]
    return dict(shares)


def numbered_from(rows: pa.Table, turns: int, spans: int) -> pa.Table:
    """Rows of ``sweep_spans`` with numbers that go on where those of an earlier portion ended."""
    parent = pc.if_else(pc.less(rows["parent"], 0), rows["parent"], pc.add(rows["parent"], spans))
    for name, numbers in (
        ("turn", pc.add(rows["turn"], turns)),
        ("span", pc.add(rows["span"], spans)),
        ("parent", parent),
    ):
        rows = rows.set_column(rows.column_names.index(name), name, numbers)
    return rows


def largest_difference(
    path_s: Mapping[str, float], sweep_s: Mapping[str, float]
) -> tuple[str | None, float]:
    """The group of causes whose share of wall time the two differ in most, and by how much."""
    path, sweep = _group_shares(path_s), _group_shares(sweep_s)
    differences = {g: abs(path.get(g, 0.0) - sweep.get(g, 0.0)) for g in sorted({*path, *sweep})}
    group = max(differences, key=differences.__getitem__, default=None)
    return (None, 0.0) if group is None else (group, differences[group])


def _group_shares(seconds: Mapping[str, float]) -> dict[str, float]:
    total = sum(seconds.values())
    shares: dict[str, float] = defaultdict(float)
    for cause, cause_s in seconds.items():
        if total > 0:
            shares[CAUSES[cause].group] += cause_s / total
    return dict(shares)
