"""Files into tables: each block on the fast path if it is clean, else on the careful one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from agentscope_analyzer.engine import Engine
from agentscope_analyzer.engine.schema import SPANS
from agentscope_analyzer.ingest.attributes import Irregular
from agentscope_analyzer.ingest.blocks import read_blocks
from agentscope_analyzer.ingest.careful import CarefulReader
from agentscope_analyzer.ingest.formats import GENERATOR_FORMATS, Format
from agentscope_analyzer.ingest.frames import read_frames
from agentscope_analyzer.ingest.generators import GeneratorFiles
from agentscope_analyzer.ingest.load_lines import LoadRows
from agentscope_analyzer.ingest.metrics import MetricRows
from agentscope_analyzer.ingest.refusals import Reason, Tally, Unit
from agentscope_analyzer.ingest.repeats import drop_repeated
from agentscope_analyzer.ingest.sources import HowRead, Source
from agentscope_analyzer.ingest.span_files import SpanFiles, sorted_by_bucket
from agentscope_analyzer.ingest.traces import read_clean_traces, read_traces

__all__ = ["Reader"]

_PIECE_BYTES: Final = 1 << 20
"""How much of a block that is not clean goes to the careful path at once."""

_NOT_CLEAN: Final = (Irregular, pa.ArrowException, UnicodeError)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the table ``spans``, sorted by bucket."""

    lines: int
    spans: pa.Table
    edges: list[int]


class Reader:
    """Reads telemetry files into an engine and files of spans, and keeps count of every record."""

    def __init__(self, engine: Engine, files: SpanFiles, tally: Tally) -> None:
        self._engine = engine
        self._files = files
        self._tally = tally
        self._metrics = MetricRows(engine)
        self._load = LoadRows(engine)
        self._generators = GeneratorFiles(engine, self._load, tally)
        self._careful = CarefulReader(tally, self._metrics, self._load)

    def read(self, sources: list[Source]) -> None:
        """Read all files, then drop repeated spans and prove that nothing was lost.

        Raises StoreError when the files of spans cannot be written.
        """
        # Two threads: while one waits for the parser, the other flattens.
        with (
            _memory_given_back(),
            ThreadPoolExecutor(2, thread_name_prefix="agentscope-ingest") as threads,
        ):
            for source in sources:
                self._read_file(source, threads)
        self._files.close()
        self._metrics.flush()
        self._load.flush()
        self._engine.attach("spans", SPANS.columns, self._files.paths)
        drop_repeated(self._engine, self._tally)
        self._prove()

    def _read_file(self, source: Source, threads: ThreadPoolExecutor) -> None:
        self._tally.read[Unit.FILES.value] += 1
        read = read_frames if source.format is Format.FRAMES else read_blocks
        try:
            if source.format in GENERATOR_FORMATS:
                self._generators.read(source)
                return
            for block, rows in _ahead(read(source.path, self._tally), self._parse, threads):
                try:
                    self._take(rows.result())
                except _NOT_CLEAN:
                    self._read_pieces(block, source)
        except OSError:
            self._tally.refuse(Reason.UNREADABLE_FILE)

    def _parse(self, block: bytes) -> _Rows:
        parsed = read_traces(block)
        return self._sorted(parsed.lines, parsed.spans)

    def _sorted(self, lines: int, spans: pa.Table) -> _Rows:
        # Columns that are NULL throughout are added last: they need not be sorted.
        in_buckets, edges = sorted_by_bucket(spans, self._files.buckets)
        return _Rows(lines, _with_all_columns(in_buckets, SPANS.arrow), edges)

    def _read_pieces(self, block: bytes, source: Source) -> None:
        traces = b'"resourceSpans"' in block
        for piece in _pieces(block):
            try:
                if not traces:
                    raise Irregular
                self._take(self._parse(piece))
            except _NOT_CLEAN:
                if traces:
                    source.how = HowRead.CAREFUL
                clean = self._careful.read(piece, file=source.path.name)
                if clean.spans:
                    spans = read_clean_traces(clean.lines, clean.spans)
                    self._add(self._sorted(0, spans))

    def _take(self, rows: _Rows) -> None:
        self._tally.read[Unit.LINES.value] += rows.lines
        self._tally.read[Unit.SPANS.value] += rows.spans.num_rows
        self._add(rows)

    def _add(self, rows: _Rows) -> None:
        self._files.add(rows.spans, rows.edges)

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


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Let Arrow use the system's allocator: its own keeps most of what a large file needed."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _ahead(
    blocks: Iterator[bytes], parse: Callable[[bytes], _Rows], threads: ThreadPoolExecutor
) -> Iterator[tuple[bytes, Future[_Rows]]]:
    """Blocks in order, each with its rows to come; at most three are in memory."""
    waiting: deque[tuple[bytes, Future[_Rows]]] = deque()
    for block in blocks:
        waiting.append((block, threads.submit(parse, block)))
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
