"""Traces in which nothing needs a decision, told from columns: their trees and critical paths.

The walk (``portion``) looks at one span after the other: it cuts cycles, clamps, moves clocks,
chooses among parallel children. In most traces there is nothing to cut, clamp, move or choose: one
marked turn, every span within its parent, one child after the other. There the critical path is
what the children leave of each parent, and a column at a time gives it. Traces that are not
certainly so are left to the walk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Ints", "PlainTree", "Sections"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MOST_LEVELS: Final = 64
_MOST_NS: Final = 2**62
"""All turns of a portion together."""


@dataclass(frozen=True, slots=True)
class Sections:
    """Stretches of the critical paths, each the own time of one span."""

    start: Ints
    end: Ints
    row: Ints


@dataclass(slots=True)
class PlainTree:
    """The prepared spans of a portion as columns; ``odd`` marks the traces left to the walk."""

    table: pa.Table
    start: Ints
    end: Ints
    trace: Ints
    odd: Flags
    turn_of: Ints
    """By trace: the row of its turn."""
    parent: Ints
    """By row; at a turn, and where there is none, the row behind the last."""
    levels: list[Ints] = field(default_factory=list)
    """Rows at and below the turns: the turns, their children, the children of these, …"""

    @classmethod
    def of(cls, table: pa.Table) -> PlainTree:
        """Link the spans of a table that ``_prepared_spans.sql`` gave for marked turns."""
        trace = codes_of(table["trace_id"])
        n, traces = table.num_rows, int(trace[-1]) + 1 if table.num_rows else 0
        tree = cls(
            table=table,
            start=table["start_ns"].to_numpy(),
            end=table["end_ns"].to_numpy(),
            trace=trace,
            odd=np.zeros(traces, dtype=np.bool_),
            turn_of=np.full(traces, n, dtype=np.int64),
            parent=np.full(n, n, dtype=np.int64),
        )
        tree._find_turns()
        tree._link()
        tree._descend()
        return tree

    def leave(self, rows: Flags | Ints) -> None:
        """Leave the traces of these rows to the walk."""
        self.odd[self.trace[rows]] = True

    def sections(self) -> Sections:
        """What children leave of their parents; finds the traces in which children overlap."""
        n = len(self.trace)
        below = np.zeros(n, dtype=np.bool_)
        for level in self.levels:
            below[level] = True
        lasting = below & (self.end > self.start)
        kids = np.flatnonzero(lasting & (self.parent < n))
        kids = kids[np.argsort(self.parent[kids], kind="stable")]  # the rows are in order of start
        parent, start, end = self.parent[kids], self.start[kids], self.end[kids]
        first = np.ones(len(kids), dtype=np.bool_)
        first[1:] = parent[1:] != parent[:-1]
        last = np.ones(len(kids), dtype=np.bool_)
        last[:-1] = first[1:]
        since = np.empty(len(kids), dtype=np.int64)
        since[1:] = end[:-1]
        since[first] = self.start[parent[first]]
        self.leave(kids[since > start])
        leaves = lasting.copy()
        leaves[parent] = False
        alone = np.flatnonzero(leaves)
        found = Sections(
            start=np.concatenate([since, end[last], self.start[alone]]),
            end=np.concatenate([start, self.end[parent[last]], self.end[alone]]),
            row=np.concatenate([parent, parent[last], alone]),
        )
        kept = found.end > found.start
        return Sections(found.start[kept], found.end[kept], found.row[kept])

    def axis(self) -> Ints:
        """By row of a turn: what, added to its instants, puts the turns one behind the other.

        So one number tells the order by turn and by time.
        """
        turns = self.turn_of[~self.odd]
        lengths = self.end[turns] - self.start[turns]
        shift = np.zeros(len(self.trace), dtype=np.int64)
        shift[turns] = np.cumsum(lengths) - lengths - self.start[turns]
        return shift

    def _find_turns(self) -> None:
        turns = np.flatnonzero(self.table["is_turn"].to_numpy())
        count = np.bincount(self.trace[turns], minlength=len(self.odd))
        self.odd |= count != 1
        self.turn_of[self.trace[turns]] = turns
        self.leave(turns[self.end[turns] - self.start[turns] > _MOST_NS // (len(turns) + 1)])

    def _link(self) -> None:
        table, n = self.table, len(self.trace)
        names = pa.concat_arrays([*table["span_id"].chunks, *table["parent_id"].chunks])
        codes = codes_of(names)
        own, above = codes[:n], codes[n:]
        place = np.full(int(codes.max(initial=0)) + 1, n, dtype=np.int64)
        rows = np.arange(n)
        place[own] = rows
        again = place[own] != rows
        self.leave(again)
        self.leave(place[own[again]])
        has_parent = pc.not_equal(table["parent_id"], "").to_numpy()
        is_turn = table["is_turn"].to_numpy()
        parent = np.where(has_parent, place[above], n)
        self.leave(has_parent & (parent == n) & ~is_turn)
        linked = np.flatnonzero(parent < n)
        up = parent[linked]
        self.leave(linked[(self.trace[up] != self.trace[linked]) | (up >= linked)])
        consumes = pc.equal(table["kind"], "CONSUMER").to_numpy()
        produces = pc.equal(table["kind"], "PRODUCER").to_numpy()
        self.leave(linked[consumes[linked] & produces[up]])
        ours = table["is_ours"].to_numpy()
        self.leave(np.flatnonzero((ours[1:] != ours[:-1]) & (self.trace[1:] == self.trace[:-1])))
        parent[is_turn] = n
        self.parent = parent

    def _descend(self) -> None:
        n = len(self.trace)
        depth = np.full(n + 1, -1, dtype=np.int64)
        level = self.turn_of[~self.odd]
        depth[level] = 0
        waiting = np.flatnonzero((self.parent < n) & ~self.odd[self.trace])
        while len(level):
            self.levels.append(level)
            below = depth[self.parent[waiting]] >= 0
            level, waiting = waiting[below], waiting[~below]
            depth[level] = len(self.levels)
            if len(self.levels) == _MOST_LEVELS:
                self.leave(level)
                break
            up = self.parent[level]
            inside = (self.start[level] >= self.start[up]) & (self.end[level] <= self.end[up])
            self.leave(level[~inside | (self.start[level] >= self.end[up])])


def codes_of(column: pa.ChunkedArray | pa.Array) -> Ints:
    """Equal values as equal numbers, counted from 0 in order of appearance."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    indices: Any = array.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    codes: Ints = indices.astype(np.int64)
    return codes
