"""Stories of a few spans, told in milliseconds, and what attribution makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from agentscope_analyzer.attribution import AttributionSummary, attribute
from agentscope_analyzer.engine import Engine

_EPOCH_NS = 1_790_000_000_000_000_000


@dataclass(frozen=True)
class Story:
    """What came out, in milliseconds after the epoch of the stories."""

    summary: AttributionSummary
    engine: Engine

    @property
    def sections(self) -> list[tuple[str, str, float, float]]:
        """Span, cause, start, end of every section in order of time."""
        return [
            (span, cause, _ms(start), _ms(end))
            for span, cause, start, end in self.engine.rows(
                "SELECT span_id, cause, start_ns, end_ns FROM sections ORDER BY start_ns, trace_id"
            )
        ]

    @property
    def bounds(self) -> list[tuple[str, str, float, float]]:
        """Turn, cause, low, high in milliseconds."""
        return [
            (turn, cause, round(low * 1e3, 6), round(high * 1e3, 6))
            for turn, cause, low, high in self.engine.rows(
                "SELECT turn_id, cause, low_s, high_s FROM bounds ORDER BY turn_id, cause"
            )
        ]

    @property
    def turns(self) -> list[str]:
        """The spans that were taken for turns."""
        return [row[0] for row in self.engine.rows("SELECT turn_id FROM turns ORDER BY start_ns")]


@pytest.fixture
def tell() -> Iterator[Callable[..., Story]]:
    """``tell(span("turn", "", 0, 100, is_turn=True), …)``: attribute a story."""
    with Engine.in_memory(threads=1) as engine:

        def told(*spans: dict[str, Any]) -> Story:
            engine.execute("DELETE FROM spans")
            columns = sorted({name for span in spans for name in span})
            engine.insert("spans", {name: [s.get(name) for s in spans] for name in columns})
            return Story(attribute(engine), engine)

        yield told


@pytest.fixture
def span() -> Callable[..., dict[str, Any]]:
    """``span(id, parent, start_ms, end_ms, **columns)``: a row of ``spans``."""

    def row(
        span_id: str, parent_id: str, start_ms: float, end_ms: float, **columns: Any
    ) -> dict[str, Any]:
        return {
            "trace_id": f"{1:032x}",
            "span_id": span_id,
            "parent_id": parent_id,
            "name": span_id,
            "kind": _kind(columns),
            "start_ns": _EPOCH_NS + round(start_ms * 1e6),
            "end_ns": _EPOCH_NS + round(end_ms * 1e6),
            "status": "UNSET",
            "service": "agent",
            "instance": "p1",
            "scope": "agentscope",
            **columns,
        }

    return row


def _kind(columns: dict[str, Any]) -> str:
    if columns.get("is_turn"):
        return "SERVER"
    calls = ("http_method", "db_system", "model")
    return "CLIENT" if any(columns.get(name) for name in calls) else "INTERNAL"


def _ms(ns: int) -> float:
    return (ns - _EPOCH_NS) / 1e6
