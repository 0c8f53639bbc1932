"""Attribution as one stage of the analysis: canonical spans in, turns with their causes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from agentscope_analyzer.attribution.backoffs import BackOffs, back_off, bound_back_offs
from agentscope_analyzer.attribution.causes import CAUSE_NAMES, OWN_CODE, Causes, Piece
from agentscope_analyzer.attribution.critical_path import Section, critical_path
from agentscope_analyzer.attribution.interpreter import share_interpreter
from agentscope_analyzer.attribution.sending import send
from agentscope_analyzer.attribution.spans import load_spans
from agentscope_analyzer.attribution.starvation import Bound, starve
from agentscope_analyzer.attribution.stops import Stops, load_stops
from agentscope_analyzer.attribution.sweep import equal_shares, largest_difference
from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.attribution.tree import Forest, adopt, link, prepare
from agentscope_analyzer.attribution.turns import find_turns
from agentscope_analyzer.engine import Engine

__all__ = ["UNMARKED", "AttributionSummary", "attribute"]

UNMARKED: Final = "unmarked"
"""The key of ``AttributionSummary.inferred`` for turns that bear the name of marked ones."""

_UNMARKED: Final = """
SELECT count(*) FROM turns
JOIN spans ON spans.trace_id = turns.trace_id AND spans.span_id = turns.turn_id
WHERE spans.is_turn IS NULL
"""

_CODE_MASK: Final = OWN_CODE - 1

_Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


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


def attribute(engine: Engine) -> AttributionSummary:
    """Give every instant of every turn one cause; writes ``turns``, ``sections`` and ``bounds``.

    >>> with Engine.in_memory() as engine:
    ...     attribute(engine).turns
    0
    """
    create_tables(engine)
    ((marked,),) = engine.rows("SELECT count(*) > 0 FROM spans WHERE is_turn")
    run = _Run(engine, bool(marked), load_stops(engine))
    for spans in load_spans(engine, marked=run.marked):
        _Portion(run, Forest(spans, anomalies=run.anomalies)).attribute()
    share_interpreter(engine, run.stops)
    sweep_s = equal_shares(engine)
    path_s = {name: ns / 1e9 for name, ns in zip(CAUSE_NAMES, run.path_ns, strict=True) if ns}
    ((unmarked,),) = engine.rows(_UNMARKED)
    if run.marked and unmarked:
        run.inferred[UNMARKED] = unmarked
    group, disagreement = largest_difference(path_s, sweep_s)
    return AttributionSummary(
        turns=run.turns,
        spans_used=run.spans_used,
        anomalies={reason: n for reason, n in sorted(run.anomalies.items()) if n},
        background_s=run.background_ns / 1e9,
        sweep_disagreement=disagreement,
        sweep_group=group,
        inferred=dict(run.inferred),
    )


@dataclass(slots=True)
class _Run:
    """What adds up over the portions of a run."""

    engine: Engine
    marked: bool
    stops: dict[str, Stops]
    anomalies: Counter[str] = field(default_factory=Counter)
    inferred: Counter[str] = field(default_factory=Counter)
    path_ns: list[int] = field(default_factory=lambda: [0] * len(CAUSE_NAMES))
    background_ns: int = 0
    turns: int = 0
    spans_used: int = 0
    span_numbers: int = 0


@dataclass(slots=True)
class _Portion:
    """The turns of one portion and what is found out about them, as columns."""

    run: _Run
    forest: Forest
    turns: list[int] = field(default_factory=list)
    sessions: list[str | None] = field(default_factory=list)
    piece_counts: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    bounds: list[tuple[int, int, Bound]] = field(default_factory=list)
    span_counts: list[int] = field(default_factory=list)
    span_rows: list[int] = field(default_factory=list)
    span_codes: list[int] = field(default_factory=list)
    session_of: list[str | None] = field(default_factory=list)

    def attribute(self) -> None:
        forest, run = self.forest, self.run
        spans = forest.spans
        causes, backoffs = Causes(spans), BackOffs(spans)
        first_bytes = spans.table["first_byte_s"].to_pylist()
        self.session_of = spans.table["session"].to_pylist()
        send_waits = spans.table["send_wait_s"].to_pylist()
        for first, last in spans.traces():
            link(forest, first, last)
            turns = find_turns(forest, marked=run.marked, inferred=run.inferred)
            if forest.lost and turns:
                adopt(forest, turns)
            for turn in turns:
                order = prepare(forest, turn)
                run.background_ns += forest.latest - spans.end[turn]
                causes.classify(order)
                path = critical_path(turn, forest.children, spans.start, spans.end)
                pieces = causes.pieces(path)
                self._add_spans(turn, order, causes, path)
                bounds: dict[int, Bound] = {}
                slept = backoffs.find(order)
                if slept:
                    pieces = back_off(pieces, spans, slept)
                if run.stops:
                    pieces = starve(pieces, spans, run.stops, bounds)
                if send_waits[turn] and first_bytes[turn] is not None:
                    pieces = send(pieces, turn, first_bytes[turn], send_waits[turn], bounds)
                if slept:
                    bound_back_offs(pieces, bounds)
                self.pieces += pieces
                self.piece_counts.append(len(pieces))
                self.bounds += [(turn, code, bound) for code, bound in bounds.items()]
        self._write()

    def _add_spans(self, turn: int, order: list[int], causes: Causes, path: list[Section]) -> None:
        self.turns.append(turn)
        self.sessions.append(self._session(order))
        self.span_counts.append(len(order))
        self.span_rows += order
        codes = causes.bases(order)
        self.span_codes += codes
        path_ns = self.run.path_ns
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
            self.run.turns += len(self.turns)
            self.run.spans_used += len(self.span_rows) - len(self.forest.spans.origin)

    def _write_turns(self) -> None:
        turns = self.forest.spans.table.take(pa.array(self.turns))
        duration_ns = turns["end_ns"].to_numpy() - turns["start_ns"].to_numpy()
        copied = ("trace_id", "route", "instance", "service", "start_ns", "end_ns")
        columns = {name: turns[name] for name in (*copied, "error", "outcome", "first_byte_s")}
        columns |= {
            "turn_id": turns["span_id"],
            "session": pa.array(self.sessions, pa.string()),
            "duration_s": pa.array(duration_ns / 1e9),
            "status": turns["http_status"],
        }
        self.run.engine.load("turns", pa.table(columns))

    def _write_sections(self) -> None:
        table = self.forest.spans.table
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
        self.run.engine.load("sections", pa.table(columns))

    def _write_bounds(self) -> None:
        span_id = self.forest.spans.span_id
        self.run.engine.insert(
            "bounds",
            {
                "turn_id": [span_id[turn] for turn, _, _ in self.bounds],
                "cause": [CAUSE_NAMES[code] for _, code, _ in self.bounds],
                "low_s": [bound.low / 1e9 for _, _, bound in self.bounds],
                "high_s": [bound.high / 1e9 for _, _, bound in self.bounds],
            },
        )

    def _write_sweep_spans(self) -> None:
        spans, run = self.forest.spans, self.run
        names = pa.array(CAUSE_NAMES)
        rows = np.array(self.span_rows, dtype=np.int64)
        parents = np.array(spans.parent, dtype=np.int64)[rows]
        below = parents >= 0
        codes = np.zeros(len(spans.start), dtype=np.int64)
        codes[rows] = self.span_codes
        first = run.span_numbers
        columns = {
            "turn": pa.array(np.repeat(np.arange(len(self.turns)) + run.turns, self.span_counts)),
            "span": pa.array(rows + first),
            "parent": pa.array(np.where(below, parents + first, -1)),
            "cause": names.take(pa.array(codes[rows])),
            "parent_cause": names.take(pa.array(codes[parents], mask=~below)),
            "start_ns": pa.array(np.array(spans.start, dtype=np.int64)[rows]),
            "end_ns": pa.array(np.array(spans.end, dtype=np.int64)[rows]),
        }
        run.engine.load("sweep_spans", pa.table(columns))
        run.span_numbers += len(spans.start)

    def _recorded(self, rows: _Rows) -> _Rows:
        # Second parts of a span stand for the span itself.
        table, origin = self.forest.spans.table, self.forest.spans.origin
        if not origin:
            return rows
        recorded: _Rows = np.arange(table.num_rows + len(origin))
        recorded[list(origin)] = list(origin.values())
        found: _Rows = recorded[rows]
        return found
