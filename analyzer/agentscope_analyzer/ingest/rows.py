"""Spans, metric points and requests written by hand: for tests and small experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentscope_analyzer.engine import TABLES, Engine

__all__ = ["insert_load", "insert_metrics", "insert_spans"]

_SPAN_DEFAULTS: dict[str, Any] = {
    "trace_id": f"{1:032x}",
    "parent_id": "",
    "name": "",
    "kind": "INTERNAL",
    "status": "UNSET",
    "service": "service",
    "instance": "instance-1",
    "scope": "test",
    "attrs": {},
}
_METRIC_DEFAULTS: dict[str, Any] = {
    "instance": "instance-1",
    "kind": "gauge",
    "unit": "",
    "attrs": {},
}


def insert_spans(engine: Engine, spans: Iterable[Mapping[str, Any]]) -> int:
    """Append spans given as dicts by column; what is left out gets a plain default.

    ``span_id`` and ``parent_id`` may be given as small integers, so that trees stay readable;
    a span without ``span_id`` gets its position (from 1) as id. Returns how many spans.

    >>> with Engine.in_memory() as engine:
    ...     insert_spans(engine, [
    ...         {"name": "POST /chat", "kind": "SERVER", "start_ns": 0, "end_ns": 9, "is_turn": True},
    ...         {"parent_id": 1, "name": "chat", "kind": "CLIENT", "start_ns": 2, "end_ns": 7},
    ...     ])
    ...     engine.rows("SELECT span_id, parent_id FROM spans")
    2
    [('0000000000000001', ''), ('0000000000000002', '0000000000000001')]
    """
    rows = []
    for position, span in enumerate(spans, start=1):
        row = {**_SPAN_DEFAULTS, "span_id": position, **span}
        row["trace_id"] = _hex(row["trace_id"], 32)
        row["span_id"] = _hex(row["span_id"], 16)
        row["parent_id"] = _hex(row["parent_id"], 16)
        rows.append(row)
    return _insert(engine, "spans", rows)


def insert_metrics(engine: Engine, points: Iterable[Mapping[str, Any]]) -> int:
    """Append metric points given as dicts by column; gauges of one instance by default."""
    return _insert(engine, "metrics", [{**_METRIC_DEFAULTS, **point} for point in points])


def insert_load(engine: Engine, requests: Iterable[Mapping[str, Any]]) -> int:
    """Append requests of a load generator given as dicts by column."""
    return _insert(engine, "load", [dict(request) for request in requests])


def _insert(engine: Engine, table: str, rows: list[dict[str, Any]]) -> int:
    names = {name for row in rows for name in row}
    known = [column.name for column in TABLES[table].columns]
    ordered = [name for name in known if name in names] + sorted(names - set(known))
    return engine.insert(table, {name: [row.get(name) for row in rows] for name in ordered})


def _hex(value: int | str, digits: int) -> str:
    return f"{value:0{digits}x}" if isinstance(value, int) else value
