"""Spans that came more than once: a retried export, or the same file under two names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agentscope_analyzer.engine import Engine
from agentscope_analyzer.engine.parquet import open_parquet
from agentscope_analyzer.engine.schema import SPANS
from agentscope_analyzer.ingest.refusals import Reason, Tally
from agentscope_analyzer.ingest.span_files import StoreError

__all__ = ["drop_repeated"]

_ROWS_AT_ONCE = 100_000


def drop_repeated(engine: Engine, tally: Tally) -> None:
    """Keep the first of the spans that share both ids; count the others as same or conflicting.

    All spans of a trace stand in one file, so each file is looked at for itself. Raises StoreError
    when a file cannot be written anew.
    """
    paths = engine.files["spans"]
    changed = False
    for path in paths:
        if engine.rows(_ANY_REPEATED, path=str(path)):
            _rewrite(engine, path, tally)
            changed = True
    if changed:
        engine.attach("spans", SPANS.columns, paths)


def _rewrite(engine: Engine, path: Path, tally: Tally) -> None:
    repeated = engine.arrow(_REPEATED, path=str(path))
    gone = repeated["place"].to_numpy()
    same = int(repeated["same"].to_numpy().sum())
    tally.refuse(Reason.DUPLICATE_SPAN, same)
    tally.refuse(Reason.CONFLICTING_SPAN, len(gone) - same)
    draft = path.with_suffix(".draft")
    try:
        with pq.ParquetFile(path) as file, open_parquet(draft, SPANS.arrow) as writer:
            first = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                kept = ~np.isin(np.arange(first, first + batch.num_rows), gone)
                writer.write_batch(batch.filter(pa.array(kept)))
                first += batch.num_rows
        draft.replace(path)
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error


_ANY_REPEATED = """
SELECT hash(trace_id, span_id) AS ids FROM read_parquet($path)
GROUP BY ids HAVING count(*) > 1 LIMIT 1
"""

_COLUMNS = ", ".join(f'"{column.name}"' for column in SPANS.columns)

_REPEATED = f"""
WITH numbered_spans AS (
    SELECT trace_id, span_id, file_row_number AS place, row({_COLUMNS}) AS content
    FROM read_parquet($path, file_row_number = true)
), repeated AS (
    SELECT trace_id, span_id FROM numbered_spans GROUP BY trace_id, span_id HAVING count(*) > 1
), numbered AS (
    SELECT
        place,
        content,
        first_value(content) OVER same_ids AS first_content,
        row_number() OVER same_ids AS nth
    FROM numbered_spans
    JOIN repeated USING (trace_id, span_id)
    WINDOW same_ids AS (PARTITION BY trace_id, span_id ORDER BY place)
)
SELECT place, content IS NOT DISTINCT FROM first_content AS same FROM numbered WHERE nth > 1
"""
