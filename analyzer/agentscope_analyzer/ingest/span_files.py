"""Spans on their way into Parquet files, a whole trace always in one file.

Each file is one bucket of traces, small enough that whoever needs whole traces can hold it in
memory. Rows of a file stand in the order in which they were read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from agentscope_analyzer.engine.parquet import open_parquet
from agentscope_analyzer.engine.schema import SPANS

__all__ = ["SpanFiles", "StoreError", "buckets_for", "sorted_by_bucket"]

_SMALL_RUN_SPANS: Final = 250_000
"""Not worth dividing."""
_BUCKET_SPANS: Final = 500_000
_FEWEST_BUCKETS: Final = 4
"""So that several processors have work until the end."""
_MOST_BUCKETS: Final = 128
_BYTES_A_SPAN: Final = 450
"""Of the recorder's JSON; writers of more attributes get more buckets than they need."""

_GATHERED_SPANS: Final = 500_000
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93],
    dtype=np.uint64,
)
_IDS: Final = frozenset({"trace_id", "span_id", "parent_id", "response_id", "start_ns", "end_ns"})


class StoreError(Exception):
    """Files could not be written: the folder is full, or it has gone."""


def buckets_for(size_bytes: int) -> int:
    """How many files the spans of so much JSON are divided into."""
    spans = size_bytes // _BYTES_A_SPAN
    if spans <= _SMALL_RUN_SPANS:
        return 1
    return min(_MOST_BUCKETS, max(_FEWEST_BUCKETS, 1 + spans // _BUCKET_SPANS))


def sorted_by_bucket(spans: pa.Table, buckets: int) -> tuple[pa.Table, list[int]]:
    """The rows with those of one bucket together, in order otherwise, and where each begins."""
    if buckets == 1 or not spans.num_rows:
        return spans, [0] + [spans.num_rows] * buckets
    bucket = _bucket_of(spans.column("trace_id").combine_chunks(), buckets)
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(buckets + 1))
    return spans.take(pa.array(order)), edges.tolist()


def _bucket_of(trace_ids: pa.StringArray, buckets: int) -> npt.NDArray[np.uint8]:
    # Which digits of an id are random is up to its generator, so all of them count.
    first = trace_ids.offset * 32
    digits = np.frombuffer(
        trace_ids.buffers()[2], dtype=np.uint8, count=32 * len(trace_ids), offset=first
    )
    mixed = (digits.view(np.uint64).reshape(-1, 4) * _ODD).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(29)
    mixed *= _ODD[1]
    found: npt.NDArray[np.uint8] = ((mixed >> np.uint64(40)) % np.uint64(buckets)).astype(np.uint8)
    return found


class SpanFiles:
    """Gathers rows of the table ``spans`` and writes them away, many at a time."""

    def __init__(self, folder: Path, buckets: int) -> None:
        self.paths = tuple(folder / f"spans-{i:03d}.parquet" for i in range(buckets))
        self._writers: list[pq.ParquetWriter | None] = [None] * buckets
        self._gathered: list[list[pa.Table]] = [[] for _ in range(buckets)]
        self._waiting = 0
        self.rows = 0

    @property
    def buckets(self) -> int:
        """How many files there will be."""
        return len(self.paths)

    def add(self, spans: pa.Table, edges: list[int]) -> None:
        """Take rows as ``sorted_by_bucket`` gives them. Raises StoreError."""
        for gathered, start, end in zip(self._gathered, edges[:-1], edges[1:], strict=True):
            if end > start:
                gathered.append(spans.slice(start, end - start))
        self.rows += spans.num_rows
        self._waiting += spans.num_rows
        if self._waiting >= _GATHERED_SPANS:
            self._flush()

    def close(self) -> None:
        """Write the rest and finish the files, empty ones included. Raises StoreError."""
        self._flush()
        try:
            for i in range(self.buckets):
                self._writer(i).close()
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from error

    def _flush(self) -> None:
        try:
            for i, gathered in enumerate(self._gathered):
                if gathered:
                    self._writer(i).write_table(pa.concat_tables(gathered))
                    gathered.clear()
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from error
        self._waiting = 0

    def _writer(self, i: int) -> pq.ParquetWriter:
        writer = self._writers[i]
        if writer is None:
            writer = self._writers[i] = open_parquet(self.paths[i], SPANS.arrow, plain=_IDS)
        return writer
