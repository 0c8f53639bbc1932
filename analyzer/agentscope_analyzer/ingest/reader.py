"""Files into tables: each block on the fast path if it is clean, else on the careful one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from agentscope_analyzer.engine import Engine
from agentscope_analyzer.engine.schema import SPANS
from agentscope_analyzer.ingest.attributes import Irregular
from agentscope_analyzer.ingest.blocks import read_blocks
from agentscope_analyzer.ingest.careful import CarefulReader
from agentscope_analyzer.ingest.load_lines import LoadRows
from agentscope_analyzer.ingest.metrics import MetricRows
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit
from agentscope_analyzer.ingest.sources import HowRead, Source
from agentscope_analyzer.ingest.traces import TraceBlock, read_clean_traces, read_traces

__all__ = ["Reader"]

_PIECE_BYTES: Final = 1 << 20
"""How much of a block that is not clean goes to the careful path at once."""

_ROWS_AT_ONCE: Final = 250_000
"""DuckDB takes whole row groups (122 880 rows) without copying them twice."""

_NOT_CLEAN: Final = (Irregular, pa.ArrowException, UnicodeError)


class Reader:
    """Reads telemetry files into an engine and keeps count of every record."""

    def __init__(self, engine: Engine, tally: Tally) -> None:
        self._engine = engine
        self._tally = tally
        self._metrics = MetricRows(engine)
        self._load = LoadRows(engine)
        self._careful = CarefulReader(tally, self._metrics, self._load)
        self._spans: list[pa.Table] = []

    def read(self, sources: list[Source]) -> None:
        """Read all files, then drop repeated spans and prove that nothing was lost."""
        # Two threads: while one waits for the parser, the other flattens.
        with ThreadPoolExecutor(2, thread_name_prefix="agentscope-ingest") as threads:
            for source in sources:
                self._read_file(source, threads)
        self._flush_spans()
        self._metrics.flush()
        self._load.flush()
        self._drop_repeated_spans()
        self._prove()

    def _read_file(self, source: Source, threads: ThreadPoolExecutor) -> None:
        self._tally.read[Unit.FILES.value] += 1
        try:
            for block, parsed in _ahead(read_blocks(source.path, self._tally), threads):
                try:
                    self._take(parsed.result())
                except _NOT_CLEAN:
                    self._read_pieces(block, source)
        except OSError:
            self._tally.refuse(Reason.UNREADABLE_FILE)

    def _read_pieces(self, block: bytes, source: Source) -> None:
        traces = b'"resourceSpans"' in block
        for piece in _pieces(block):
            try:
                if not traces:
                    raise Irregular
                self._take(read_traces(piece))
            except _NOT_CLEAN:
                if traces:
                    source.how = HowRead.CAREFUL
                clean = self._careful.read(piece, file=source.path.name)
                if clean.spans:
                    self._gather(read_clean_traces(clean.lines, clean.spans))

    def _take(self, block: TraceBlock) -> None:
        self._tally.read[Unit.LINES.value] += block.lines
        self._tally.read[Unit.SPANS.value] += block.spans.num_rows
        self._gather(block.spans)

    def _gather(self, spans: pa.Table) -> None:
        self._spans.append(spans)
        if sum(part.num_rows for part in self._spans) >= _ROWS_AT_ONCE:
            self._flush_spans()

    def _flush_spans(self) -> None:
        if self._spans:
            schema = SPANS.arrow
            same = [_with_all_columns(part, schema) for part in self._spans]
            self._spans.clear()
            self._engine.load("spans", pa.concat_tables(same))

    def _drop_repeated_spans(self) -> None:
        if not self._engine.rows(_ANY_REPEATED):
            return
        self._engine.execute(_REPEATED)
        ((same, other),) = self._engine.rows(_HOW_REPEATED)
        self._engine.execute("DELETE FROM spans WHERE rowid IN (SELECT place FROM repeated_spans)")
        self._engine.execute("DROP TABLE repeated_spans")
        self._tally.refuse(Reason.DUPLICATE_SPAN, same)
        self._tally.refuse(Reason.CONFLICTING_SPAN, other)

    def _prove(self) -> None:
        for table, unit in (
            ("spans", Unit.SPANS),
            ("metrics", Unit.METRIC_POINTS),
            ("load", Unit.LOAD_LINES),
        ):
            ((rows,),) = self._engine.rows(f"SELECT count(*) FROM {table}")
            if rows != self._tally.good(unit):
                msg = f"{table}: {rows} rows, but {self._tally.good(unit)} good records were read"
                raise AssertionError(msg)


_ANY_REPEATED = """
SELECT hash(trace_id, span_id) AS ids FROM spans GROUP BY ids HAVING count(*) > 1 LIMIT 1
"""

_REPEATED = """
CREATE TEMP TABLE repeated_spans AS
WITH repeated AS (
    SELECT trace_id, span_id FROM spans GROUP BY trace_id, span_id HAVING count(*) > 1
), numbered AS (
    SELECT
        spans.rowid AS place,
        spans AS content,
        first_value(spans) OVER same_ids AS first_content,
        row_number() OVER same_ids AS nth
    FROM spans
    JOIN repeated ON spans.trace_id = repeated.trace_id AND spans.span_id = repeated.span_id
    WINDOW same_ids AS (PARTITION BY spans.trace_id, spans.span_id ORDER BY spans.rowid)
)
SELECT place, content IS NOT DISTINCT FROM first_content AS same FROM numbered WHERE nth > 1
"""

_HOW_REPEATED = """
SELECT count(*) FILTER (WHERE same), count(*) FILTER (WHERE NOT same) FROM repeated_spans
"""


def _ahead(
    blocks: Iterator[bytes], threads: ThreadPoolExecutor
) -> Iterator[tuple[bytes, Future[TraceBlock]]]:
    """Blocks in order, each with its rows to come; at most three are in memory."""
    waiting: deque[tuple[bytes, Future[TraceBlock]]] = deque()
    for block in blocks:
        waiting.append((block, threads.submit(read_traces, block)))
        if len(waiting) > 2:
            yield waiting.popleft()
    yield from waiting


def _pieces(block: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(block):
        end = block.find(b"\n", start + _PIECE_BYTES) + 1 or len(block)
        # What stands behind the last newline may be torn: it must not spoil the lines before.
        whole = block.rfind(b"\n", start, end) + 1
        if start < whole < end:
            yield block[start:whole]
            start = whole
        yield block[start:end]
        start = end


def _with_all_columns(part: pa.Table, schema: pa.Schema) -> pa.Table:
    have = set(part.column_names)
    return pa.table(
        [
            part.column(field.name).cast(field.type)
            if field.name in have
            else pa.nulls(part.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
