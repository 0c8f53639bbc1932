"""Outputs of load generators other than our own, as rows of ``load`` and its two summaries."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

from agentscope_analyzer.engine import TABLES, Engine
from agentscope_analyzer.ingest.blocks import decoded_chunks, read_blocks
from agentscope_analyzer.ingest.documents import parse
from agentscope_analyzer.ingest.formats import Format
from agentscope_analyzer.ingest.k6 import K6Points, k6_totals
from agentscope_analyzer.ingest.load_lines import LoadRows
from agentscope_analyzer.ingest.locust_csv import LOCUST_TABLES, locust_rows
from agentscope_analyzer.ingest.refusals import Reason, Refused, Tally
from agentscope_analyzer.ingest.sources import Source

__all__ = ["GeneratorFiles", "stages_told"]

MAX_TEXT_BYTES: Final = 256 << 20
"""Of a table or summary that is read as a whole; a week of Locust comes to a fifth of it."""


class GeneratorFiles:
    """Reads such files into an engine; ``load`` takes what is told of single requests."""

    def __init__(self, engine: Engine, load: LoadRows, tally: Tally) -> None:
        self._engine = engine
        self._load = load
        self._tally = tally

    def read(self, source: Source) -> None:
        """Read one file; raises OSError when it cannot be opened."""
        file = source.path.name
        if source.format is Format.K6_POINTS:
            self._points(source)
        elif source.format is Format.K6_SUMMARY:
            try:
                document = parse(self._text(source))
            except Refused:
                document = None
            self._insert("load_totals", k6_totals(document, file, self._tally))
        else:
            lines = io.StringIO(self._text(source).decode("utf-8", "replace"), newline="")
            rows = locust_rows(source.format, lines, file, self._tally)
            self._insert(LOCUST_TABLES[source.format], rows)

    def _points(self, source: Source) -> None:
        points = K6Points(source.path.name, self._tally)
        for block in read_blocks(source.path, self._tally):
            for line in block.split(b"\n"):
                if text := line.strip():
                    points.take(text)
            self._take(points)
        history = points.history()
        self._take(points)
        self._insert("load_history", history)

    def _take(self, points: K6Points) -> None:
        for request in points.requests:
            self._load.take(request, points.file, self._tally)
        points.requests.clear()

    def _text(self, source: Source) -> bytes:
        text = bytearray()
        for chunk in decoded_chunks(source.path, self._tally):
            text += chunk
            if len(text) > MAX_TEXT_BYTES:
                self._tally.refuse(Reason.DECOMPRESSION_LIMIT)
                del text[text.rfind(b"\n", 0, MAX_TEXT_BYTES) + 1 :]
                break
        return bytes(text)

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            names = [column.name for column in TABLES[table].columns]
            self._engine.insert(table, {name: [row.get(name) for row in rows] for name in names})


_STAGES = """
SELECT at_s, MAX(users) AS users, MAX(generator) AS generator
FROM load_history
WHERE users IS NOT NULL AND name = ''
GROUP BY at_s
ORDER BY at_s
"""


def stages_told(engine: Engine) -> dict[str, Any] | None:
    """The load as a manifest tells it, from the users of each second; None where nobody counted.

    A stage is a stretch with the same users; those of one second or two are a ramp.
    """
    seconds = engine.rows(_STAGES)
    if not seconds:
        return None
    stages = list(_stages(seconds))
    return {"stages": stages, "users": max(row[1] for row in seconds), "generator": seconds[0][2]}


def _stages(seconds: list[tuple[float, int, str]]) -> Iterator[dict[str, Any]]:
    begun = seconds[0]
    for row, following in zip(seconds, [*seconds[1:], None], strict=True):
        if following is not None and following[1] == begun[1]:
            continue
        end_s = row[0] if following is None else following[0]
        lasted_s = end_s - begun[0]
        if lasted_s > 0:
            yield {
                "name": "ramp" if lasted_s < _LEAST_STAGE_S else f"{begun[1]} users",
                "start_ns": round(begun[0] * 1e9),
                "end_ns": round(end_s * 1e9),
                "users": begun[1],
            }
        if following is not None:
            begun = following


_LEAST_STAGE_S: Final = 3.0
