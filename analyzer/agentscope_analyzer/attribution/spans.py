"""The spans of a run as columns of plain Python values: what the tree and the walk work on.

Everything that SQL can say about a span alone is said there (``_prepared_spans.sql``); Python sees
integers and a few shared strings, so a span costs it no query and no object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import expanded, questions

__all__ = [
    "Spans",
    "find_twins",
    "load_portions",
    "prepared_spans",
    "turn_names",
    "use_turn_names",
    "with_asked",
]

_BUCKET_SPANS: Final = 400_000
_MOST_BUCKETS: Final = 256
_QUESTION: Final = "attribution/_prepared_spans"
_ASKED: Final = "attribution/_asked"
_TURN_NAMES: Final = "attribution/_turn_names"
_TWINS: Final = "llm/_twins"


@dataclass(slots=True)
class Spans:
    """Spans by row number; traces stand together, sorted by start.

    ``start`` and ``end`` are working copies that preparing a turn clamps; ``raw_start`` and
    ``raw_end`` keep what was recorded. Rows beyond ``table`` are second parts of spans that
    outlived their parent (``part``); ``origin`` names the row they are a part of.
    """

    table: pa.Table
    span_id: list[str]
    parent_id: list[str]
    kind: list[str]
    instance: list[str]
    role: list[str]
    failure: list[str | None]
    streams: list[bool]
    first_chunk: list[int | None]
    is_turn: list[bool]
    start: list[int]
    end: list[int]
    raw_start: list[int]
    raw_end: list[int]
    parent: list[int]
    ours: list[bool] = field(default_factory=list)
    """Recorded by agentscope; empty where that holds for all spans of the portion, or for none."""
    twins: dict[str, dict[str, str]] = field(default_factory=dict)
    """By trace: calls of models that another span records, too, and that span (``_twins.sql``)."""
    origin: dict[int, int] = field(default_factory=dict)
    shift: dict[int, int] = field(default_factory=dict)
    """Nanoseconds by which a span was moved because its host's clock was wrong."""

    @classmethod
    def from_table(cls, table: pa.Table) -> Spans:
        """Take the columns out of the answer of ``_prepared_spans.sql``."""
        start: list[int] = table["start_ns"].to_numpy().tolist()
        end: list[int] = table["end_ns"].to_numpy().tolist()
        return cls(
            table=table,
            span_id=table["span_id"].to_pylist(),
            parent_id=table["parent_id"].to_pylist(),
            kind=_shared(table["kind"]),
            instance=_shared(table["instance"]),
            role=_shared(table["role"]),
            failure=_shared(table["failure"]),
            streams=table["streams"].to_numpy().tolist(),
            first_chunk=_shared(table["first_chunk_ns"]),
            is_turn=table["is_turn"].to_numpy().tolist(),
            start=start,
            end=end,
            raw_start=start.copy(),
            raw_end=end.copy(),
            parent=[-1] * len(start),
            ours=_mixed(table["is_ours"]),
        )

    def traces(self) -> Iterator[tuple[int, int]]:
        """First row and row after the last, trace by trace."""
        codes = self.table["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        edges = (codes[1:] != codes[:-1]).nonzero()[0] + 1
        bounds = [0, *edges.tolist(), len(codes)]
        yield from pairwise(bounds)

    def await_kind(self, row: int) -> int:
        """Spans with the same one take alike long by nature."""
        kind: int = self.table["await_kind"][self.origin.get(row, row)].as_py()
        return kind

    def part(self, row: int, parent: int, start_ns: int, end_ns: int) -> int:
        """Add a second part of a span below another parent; returns its row."""
        new = len(self.start)
        for column in (self.span_id, self.parent_id, self.kind, self.instance, self.role):
            column.append(column[row])
        self.failure.append(self.failure[row])
        self.streams.append(self.streams[row])
        self.first_chunk.append(self.first_chunk[row])
        self.is_turn.append(False)
        self.start.append(start_ns)
        self.end.append(end_ns)
        self.raw_start.append(self.raw_start[row])
        self.raw_end.append(self.raw_end[row])
        self.parent.append(parent)
        if self.ours:
            self.ours.append(self.ours[row])
        self.origin[new] = self.origin.get(row, row)
        if row in self.shift:
            self.shift[new] = self.shift[row]
        return new


def load_portions(engine: Engine, *, marked: bool) -> Iterator[pa.Table]:
    """The prepared spans of all traces that can hold a turn, in portions that bound the memory.

    A trace is in one portion as a whole: portions go by the last digits of the trace id, which
    every generator of ids draws at random.
    """
    ((spans,),) = engine.rows("SELECT count(*) FROM spans")
    buckets = min(_MOST_BUCKETS, 1 + spans // _BUCKET_SPANS)
    edges = ["", *(f"{i * 256 // buckets:02x}" for i in range(1, buckets)), "g"]
    for low, high in pairwise(edges):
        yield prepared_spans(engine, marked=marked, bucket_low=low, bucket_high=high)


def prepared_spans(
    engine: Engine, *, marked: bool, bucket_low: str = "", bucket_high: str = "g"
) -> pa.Table:
    """The answer of ``_prepared_spans.sql``; ``use_turn_names`` comes first."""
    sql = expanded(questions()[_QUESTION], frozenset({questions()[_TURN_NAMES].table}))
    return engine.arrow(
        sql, marked=int(marked), bucket_low=bucket_low, bucket_high=bucket_high
    ).combine_chunks()


def with_asked(engine: Engine, table: pa.Table) -> pa.Table:
    """Prepared spans with what each inference asked (``_asked.sql``), where any has failed."""
    inference = pc.equal(table["role"], "inference")
    asked: list[str | None] = [None] * table.num_rows
    if pc.any(pc.and_(inference, pc.is_valid(table["failure"]))).as_py():
        found = engine.rows(questions()[_ASKED].body)
        told = {(trace_id, span_id): text for trace_id, span_id, text in found}
        ids = table.select(["trace_id", "span_id"]).filter(inference)
        rows = pc.indices_nonzero(inference).to_pylist()
        pairs = zip(ids["trace_id"].to_pylist(), ids["span_id"].to_pylist(), strict=True)
        for row, pair in zip(rows, pairs, strict=True):
            asked[row] = told.get(pair)
    return table.append_column("asked", pa.array(asked, pa.string()))


def turn_names(engine: Engine) -> pa.Table:
    """The names of turns in a whole run."""
    return engine.arrow(questions()[_TURN_NAMES].body)


def use_turn_names(engine: Engine, names: pa.Table) -> None:
    """Let an engine, which may hold a part of the run, prepare its spans with these names."""
    table = questions()[_TURN_NAMES].table
    engine.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} (turn_service VARCHAR, turn_name VARCHAR)"
    )
    engine.load(table, names)


def find_twins(engine: Engine) -> dict[str, dict[str, str]]:
    """By trace: calls of models that another span records, too, and that span (``_twins.sql``)."""
    ((scopes,),) = engine.rows("SELECT count(DISTINCT scope) FROM spans")
    found: dict[str, dict[str, str]] = {}
    if scopes > 1:
        for trace_id, span_id, call_id in engine.rows(expanded(questions()[_TWINS])):
            found.setdefault(trace_id, {})[span_id] = call_id
    return found


def _mixed(column: pa.ChunkedArray) -> list[bool]:
    flags: list[bool] = column.to_numpy().tolist()
    return flags if any(flags) and not all(flags) else []


def _shared(column: pa.ChunkedArray) -> list[Any]:
    # Few distinct values: one Python object each, however many rows there are.
    encoded = column.combine_chunks().dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    return [values[i] for i in encoded.indices.fill_null(-1).to_numpy().tolist()]
