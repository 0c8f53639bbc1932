"""Plain turns, many at a time: the rows that the walk would give, from columns.

A turn is plain if nothing in its trace needs a decision (``plain_tree``, ``plain_causes``) and its
spans agree on the session. There only one span works at any instant, so the equal share of a turn's
time is its path's own time.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentscope_analyzer.attribution.causes import CAUSE_NAMES, OWN_CODE
from agentscope_analyzer.attribution.outcome import Outcome, by_cause
from agentscope_analyzer.attribution.plain_causes import PlainCauses
from agentscope_analyzer.attribution.plain_pieces import Bounds, Pieces, send_plain, starve_plain
from agentscope_analyzer.attribution.plain_tree import Ints, PlainTree, Sections
from agentscope_analyzer.attribution.portion import count_unmarked, turn_rows
from agentscope_analyzer.attribution.stops import Stops

__all__ = ["attribute_plain"]

_NS = 1e9


def attribute_plain(
    table: pa.Table, stops: dict[str, Stops], twins: Container[str], outcome: Outcome
) -> pa.Table:
    """Attribute the plain turns of a portion with marked turns; returns the spans of all others.

    ``table`` is the answer of ``_prepared_spans.sql``; ``twins`` has the traces in which several
    instrumentations recorded the same calls.
    """
    tree = PlainTree.of(table)
    _leave_twins(tree, twins)
    causes = PlainCauses(tree)
    sections = tree.sections()
    sessions = _sessions(tree)
    kept = ~tree.odd[tree.trace[sections.row]]
    sections = Sections(sections.start[kept], sections.end[kept], sections.row[kept])
    _write_turns(tree, sessions, outcome)
    _count(tree, causes, sections, outcome)
    parts, code = causes.pieces(sections)
    turn = tree.turn_of[tree.trace[parts.row]]
    pieces = Pieces.joined(tree.axis(), Pieces(turn, parts.start, parts.end, parts.row, code))
    bounds = Bounds()
    pieces = starve_plain(tree, pieces, stops, bounds)
    pieces = send_plain(tree, pieces, bounds)
    _write_pieces(tree, pieces, bounds, outcome)
    return table.filter(pa.array(tree.odd[tree.trace]))


def _leave_twins(tree: PlainTree, twins: Container[str]) -> None:
    first = np.flatnonzero(np.diff(tree.trace, prepend=-1))
    names = tree.table["trace_id"].take(pa.array(first)).to_pylist() if twins else []
    for trace, name in enumerate(names):
        if name in twins:
            tree.odd[trace] = True


def _sessions(tree: PlainTree) -> pa.Array:
    """The session of each row that is a turn; leaves turns whose spans name several."""
    encoded = tree.table["session"].combine_chunks().dictionary_encode()
    code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    code[code == pc.index(encoded.dictionary, "").as_py()] = -1
    told = np.full(len(tree.odd), -1, dtype=np.int64)
    for level in tree.levels:
        naming = level[code[level] >= 0]
        trace = tree.trace[naming]
        fresh = told[trace] < 0
        told[trace[fresh]] = code[naming[fresh]]
        # A turn's own name holds, whatever those below it say.
        of_others = code[tree.turn_of[trace]] < 0
        tree.leave(naming[of_others & (told[trace] != code[naming])])
    names = pa.array(told, mask=told < 0)
    return encoded.dictionary.take(names)


def _turns(tree: PlainTree) -> Ints:
    return tree.turn_of[~tree.odd]


def _write_turns(tree: PlainTree, sessions: pa.Array, outcome: Outcome) -> None:
    turns = tree.table.take(pa.array(_turns(tree)))
    outcome.put("turns", turn_rows(turns, sessions.filter(pa.array(~tree.odd))))
    count_unmarked(turns, outcome.totals.inferred, marked=True)


def _count(tree: PlainTree, causes: PlainCauses, sections: Sections, outcome: Outcome) -> None:
    totals = outcome.totals
    totals.turns += int(np.count_nonzero(~tree.odd))
    totals.spans_used += sum(
        int(np.count_nonzero(~tree.odd[tree.trace[level]])) for level in tree.levels
    )
    path_ns = by_cause(causes.bases()[sections.row], sections.end - sections.start)
    totals.path_ns.update(path_ns)
    totals.shared_s.update({cause: ns / _NS for cause, ns in path_ns.items()})


def _write_pieces(tree: PlainTree, pieces: Pieces, bounds: Bounds, outcome: Outcome) -> None:
    table = tree.table
    columns = {
        "turn_id": _repeated(table["span_id"], pieces.turn),
        "trace_id": _repeated(table["trace_id"], pieces.turn),
        "span_id": table["span_id"].take(pa.array(pieces.row)),
        "cause": pa.array(CAUSE_NAMES).take(pa.array(pieces.code & (OWN_CODE - 1))),
        "start_ns": pa.array(pieces.start),
        "end_ns": pa.array(pieces.end),
    }
    outcome.put("sections", pa.table(columns))
    outcome.put("bounds", bounds.table(table["span_id"]))


def _repeated(column: pa.ChunkedArray, rows: Ints) -> pa.ChunkedArray:
    return column.take(pa.array(rows))
