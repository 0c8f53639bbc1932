"""Turns told span by span in milliseconds, as tables of an engine or as a run directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.attribution import attribute
from agentscope_analyzer.engine import Engine

T0_NS = 1_790_000_000_000_000_000
Row = dict[str, Any]

_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_ATTRIBUTES = {
    "is_turn": "agentscope.turn",
    "session": "gen_ai.conversation.id",
    "tool": "gen_ai.tool.name",
    "db_system": "db.system.name",
    "http_method": "http.request.method",
    "http_status": "http.response.status_code",
    "wait_kind": "agentscope.wait.kind",
    "wait_resource": "agentscope.wait.resource",
    "operation": "gen_ai.operation.name",
    "model": "gen_ai.request.model",
    "runtime_event": "agentscope.runtime.event",
    "code_function": "code.function.name",
    "code_file": "code.file.path",
    "code_line": "code.line.number",
}


@pytest.fixture
def span() -> Callable[..., Row]:
    """``span("tool", "turn", 10, 90, trace=1, **columns)``: a row of ``spans``."""

    def row(
        span_id: str,
        parent_id: str,
        start_ms: float,
        end_ms: float,
        *,
        trace: int = 1,
        **columns: Any,
    ) -> Row:
        calls = ("http_method", "db_system", "model")
        kind = "CLIENT" if any(name in columns for name in calls) else "INTERNAL"
        return {
            "trace_id": f"{trace:032x}",
            "span_id": span_id,
            "parent_id": parent_id,
            "name": span_id,
            "kind": "SERVER" if columns.get("is_turn") else kind,
            "start_ns": T0_NS + round(start_ms * 1e6),
            "end_ns": T0_NS + round(end_ms * 1e6),
            "status": "UNSET",
            "service": "agent",
            "instance": "p1",
            "scope": "agentscope",
            **columns,
        }

    return row


@pytest.fixture
def tell() -> Iterator[Callable[..., Engine]]:
    """``tell(span(…), …)``: an engine with these spans, attributed unless ``raw``."""
    with Engine.in_memory(threads=1) as engine:

        def told(*spans: Row, raw: bool = False) -> Engine:
            engine.execute("DELETE FROM spans")
            fill(engine, spans)
            if not raw:
                attribute(engine)
            return engine

        yield told


def fill(engine: Engine, spans: tuple[Row, ...]) -> None:
    columns = sorted({name for one in spans for name in one})
    engine.insert("spans", {name: [one.get(name) for one in spans] for name in columns})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """``written(span(…), …)``: a run directory with these spans as OTLP-JSON."""

    def write(*spans: Row) -> Path:
        resource = {
            "attributes": [_told("service.name", "agent"), _told("service.instance.id", "p1")]
        }
        scoped = [{"scope": {"name": "agentscope"}, "spans": [_otlp(one) for one in spans]}]
        document = {"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}
        run = tmp_path / "run"
        run.mkdir()
        (run / "traces-p1.jsonl").write_text(json.dumps(document) + "\n")
        return run

    return write


def _otlp(row: Row) -> Row:
    parent = {"parentSpanId": _hex(row["parent_id"])} if row["parent_id"] else {}
    return {
        "traceId": row["trace_id"],
        "spanId": _hex(row["span_id"]),
        "name": row["name"],
        "kind": _KINDS[row["kind"]],
        "startTimeUnixNano": str(row["start_ns"]),
        "endTimeUnixNano": str(row["end_ns"]),
        "attributes": [_told(key, row[name]) for name, key in _ATTRIBUTES.items() if name in row],
        "status": {"code": 2 if row["status"] == "ERROR" else 0},
        **parent,
    }


def _hex(span_id: str) -> str:
    return span_id.encode().hex().rjust(16, "0")[-16:]


def _told(key: str, value: Any) -> Row:
    kind = {bool: "boolValue", int: "intValue", str: "stringValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if type(value) is int else value}}
