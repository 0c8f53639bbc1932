"""The walk: the turns of one portion of a run, one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from agentscope_analyzer.attribution.backoffs import BackOffs, back_off, bound_back_offs
from agentscope_analyzer.attribution.causes import CAUSE_NAMES, OWN_CODE, Causes, Piece
from agentscope_analyzer.attribution.critical_path import Section, critical_path
from agentscope_analyzer.attribution.outcome import UNMARKED, Outcome
from agentscope_analyzer.attribution.sending import send
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.starvation import Bound, settle, starve
from agentscope_analyzer.attribution.stops import Stops
from agentscope_analyzer.attribution.tree import Forest, adopt, link, prepare
from agentscope_analyzer.attribution.turns import find_turns

__all__ = ["Portion", "count_unmarked", "turn_rows"]

_CODE_MASK: Final = OWN_CODE - 1

_Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(slots=True)
class Portion:
    """The turns of one portion and what is found out about them, as columns."""

    spans: Spans
    marked: bool
    stops: dict[str, Stops]
    outcome: Outcome = field(default_factory=Outcome)
    forest: Forest = field(init=False)
    path_ns: list[int] = field(default_factory=lambda: [0] * len(CAUSE_NAMES))
    turns: list[int] = field(default_factory=list)
    sessions: list[str | None] = field(default_factory=list)
    piece_counts: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    bounds: list[tuple[int, int, Bound]] = field(default_factory=list)
    span_counts: list[int] = field(default_factory=list)
    span_rows: list[int] = field(default_factory=list)
    span_codes: list[int] = field(default_factory=list)
    session_of: list[str | None] = field(default_factory=list)

    def attribute(self) -> Outcome:
        """Walk each turn; the rows of ``turns``, ``sections``, ``bounds`` and ``sweep_spans``."""
        spans, totals = self.spans, self.outcome.totals
        forest = self.forest = Forest(spans, anomalies=totals.anomalies)
        causes, backoffs = Causes(spans), BackOffs(spans)
        first_bytes = spans.table["first_byte_s"].to_pylist()
        self.session_of = spans.table["session"].to_pylist()
        send_waits = spans.table["send_wait_s"].to_pylist()
        for first, last in spans.traces():
            link(forest, first, last)
            turns = find_turns(forest, marked=self.marked, inferred=totals.inferred)
            if forest.lost and turns:
                adopt(forest, turns)
            for turn in turns:
                order = prepare(forest, turn)
                totals.background_ns += forest.latest - spans.end[turn]
                causes.classify(order)
                path = critical_path(turn, forest.children, spans.start, spans.end)
                pieces = causes.pieces(path)
                self._add_spans(turn, order, causes, path)
                bounds: dict[int, Bound] = {}
                slept = backoffs.find(order)
                if slept:
                    pieces = back_off(pieces, spans, slept)
                if self.stops:
                    pieces = starve(pieces, spans, self.stops, bounds)
                    settle(pieces, bounds)
                if send_waits[turn] and first_bytes[turn] is not None:
                    pieces = send(pieces, turn, first_bytes[turn], send_waits[turn], bounds)
                if slept:
                    bound_back_offs(pieces, bounds)
                self.pieces += pieces
                self.piece_counts.append(len(pieces))
                self.bounds += [(turn, code, bound) for code, bound in bounds.items()]
        self._write()
        return self.outcome

    def _add_spans(self, turn: int, order: list[int], causes: Causes, path: list[Section]) -> None:
        self.turns.append(turn)
        self.sessions.append(self._session(order))
        self.span_counts.append(len(order))
        self.span_rows += order
        codes = causes.bases(order)
        self.span_codes += codes
        path_ns = self.path_ns
        code_of = dict(zip(order, codes, strict=True))
        for start, end, row in path:
            path_ns[code_of[row]] += end - start

    def _session(self, order: list[int]) -> str | None:
        # Other instrumentations put the conversation on the model's spans, not on the server's.
        sessions = self.session_of
        return next((sessions[row] for row in order if row < len(sessions) and sessions[row]), None)

    def _write(self) -> None:
        if self.turns:
            self._write_turns()
            self._write_sections()
            self._write_bounds()
            self._write_sweep_spans()
            totals = self.outcome.totals
            totals.turns += len(self.turns)
            totals.spans_used += len(self.span_rows) - len(self.spans.origin)
            for name, ns in zip(CAUSE_NAMES, self.path_ns, strict=True):
                if ns:
                    totals.path_ns[name] += ns

    def _write_turns(self) -> None:
        turns = self.spans.table.take(pa.array(self.turns))
        self.outcome.put("turns", turn_rows(turns, pa.array(self.sessions, pa.string())))
        count_unmarked(turns, self.outcome.totals.inferred, marked=self.marked)

    def _write_sections(self) -> None:
        table = self.spans.table
        pieces = np.array(self.pieces, dtype=np.int64).reshape(-1, 4)
        spans = pa.array(self._recorded(pieces[:, 2]))
        turns = pa.array(np.repeat(self.turns, self.piece_counts))
        columns = {
            "turn_id": table["span_id"].take(turns),
            "trace_id": table["trace_id"].take(turns),
            "span_id": table["span_id"].take(spans),
            "cause": pa.array(CAUSE_NAMES).take(pa.array(pieces[:, 3] & _CODE_MASK)),
            "start_ns": pa.array(pieces[:, 0]),
            "end_ns": pa.array(pieces[:, 1]),
        }
        self.outcome.put("sections", pa.table(columns))

    def _write_bounds(self) -> None:
        span_id = self.spans.span_id
        columns = {
            "turn_id": pa.array([span_id[turn] for turn, _, _ in self.bounds], pa.string()),
            "cause": pa.array([CAUSE_NAMES[code] for _, code, _ in self.bounds], pa.string()),
            "low_s": pa.array([bound.low / 1e9 for _, _, bound in self.bounds], pa.float64()),
            "high_s": pa.array([bound.high / 1e9 for _, _, bound in self.bounds], pa.float64()),
        }
        self.outcome.put("bounds", pa.table(columns))

    def _write_sweep_spans(self) -> None:
        spans = self.spans
        names = pa.array(CAUSE_NAMES)
        rows = np.array(self.span_rows, dtype=np.int64)
        parents = np.array(spans.parent, dtype=np.int64)[rows]
        below = parents >= 0
        codes = np.zeros(len(spans.start), dtype=np.int64)
        codes[rows] = self.span_codes
        columns = {
            "turn": pa.array(np.repeat(np.arange(len(self.turns)), self.span_counts)),
            "span": pa.array(rows),
            "parent": pa.array(np.where(below, parents, -1)),
            "cause": names.take(pa.array(codes[rows])),
            "parent_cause": names.take(pa.array(codes[parents], mask=~below)),
            "start_ns": pa.array(np.array(spans.start, dtype=np.int64)[rows]),
            "end_ns": pa.array(np.array(spans.end, dtype=np.int64)[rows]),
        }
        self.outcome.put("sweep_spans", pa.table(columns))

    def _recorded(self, rows: _Rows) -> _Rows:
        # Second parts of a span stand for the span itself.
        table, origin = self.spans.table, self.spans.origin
        if not origin:
            return rows
        recorded: _Rows = np.arange(table.num_rows + len(origin))
        recorded[list(origin)] = list(origin.values())
        found: _Rows = recorded[rows]
        return found


def turn_rows(turns: pa.Table, sessions: pa.Array) -> pa.Table:
    """Rows of the table ``turns`` from the prepared spans that are turns."""
    duration_ns = turns["end_ns"].to_numpy() - turns["start_ns"].to_numpy()
    copied = ("trace_id", "route", "instance", "service", "start_ns", "end_ns")
    columns = {name: turns[name] for name in (*copied, "error", "outcome", "first_byte_s")}
    columns |= {
        "turn_id": turns["span_id"],
        "session": sessions,
        "duration_s": pa.array(duration_ns / 1e9),
        "status": turns["http_status"],
    }
    return pa.table(columns)


def count_unmarked(turns: pa.Table, inferred: Counter[str], *, marked: bool) -> None:
    """Count the turns that are none but for their names."""
    unmarked = int(np.count_nonzero(turns["is_unmarked"].to_numpy())) if marked else 0
    if unmarked:
        inferred[UNMARKED] += unmarked
