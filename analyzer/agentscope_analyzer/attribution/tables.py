"""The tables that attribution adds to the canonical ones."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.engine import Column, Engine, Table

__all__ = ["BOUNDS", "SECTIONS", "SWEEP_SPANS", "TURNS", "create_tables"]

TURNS: Final = Table(
    "turns",
    "one row a turn",
    (
        Column("turn_id", "VARCHAR", "span_id of the span that is the turn"),
        Column("trace_id", "VARCHAR", "trace that the turn is part of"),
        Column("session", "VARCHAR", "the conversation, NULL where unknown"),
        Column("route", "VARCHAR", "route template, else the span's name"),
        Column("instance", "VARCHAR", "process that served the turn"),
        Column("service", "VARCHAR", "service.name"),
        Column("start_ns", "BIGINT", "start"),
        Column("end_ns", "BIGINT", "end"),
        Column("duration_s", "DOUBLE", "duration"),
        Column("status", "INTEGER", "HTTP status of the answer"),
        Column("error", "BOOLEAN", "the turn failed"),
        Column(
            "outcome", "VARCHAR", "ok, error, cancelled, abandoned or open; NULL where not said"
        ),
        Column("first_byte_s", "DOUBLE", "from the turn's start to the answer's first byte"),
    ),
)

SECTIONS: Final = Table(
    "sections",
    "every instant of every turn with its one cause: the sections of a turn add up to it exactly",
    (
        Column("turn_id", "VARCHAR", "turn"),
        Column("trace_id", "VARCHAR", "trace"),
        Column("span_id", "VARCHAR", "span on the critical path whose own time this is"),
        Column("cause", "VARCHAR", "cause, as the vocabulary spells it"),
        Column("start_ns", "BIGINT", "start"),
        Column("end_ns", "BIGINT", "end, after start_ns"),
    ),
)

BOUNDS: Final = Table(
    "bounds",
    "how far a turn's seconds of a cause can be from the truth, where the method is an estimate",
    (
        Column("turn_id", "VARCHAR", "turn"),
        Column("cause", "VARCHAR", "cause"),
        Column("low_s", "DOUBLE", "what is certain"),
        Column("high_s", "DOUBLE", "what is possible at most"),
    ),
)

SWEEP_SPANS: Final = Table(
    "sweep_spans",
    "the prepared spans of all turns, numbered: what the equal-share question reads",
    (
        Column("turn", "BIGINT", "number of the turn"),
        Column("span", "BIGINT", "number of the span"),
        Column("parent", "BIGINT", "number of the parent, -1 for the turn itself"),
        Column("cause", "VARCHAR", "cause of the span's own time before runtime evidence"),
        Column("parent_cause", "VARCHAR", "the parent's, NULL for the turn itself"),
        Column("start_ns", "BIGINT", "start, not before the parent's"),
        Column("end_ns", "BIGINT", "end, not after the parent's"),
    ),
)


def create_tables(engine: Engine) -> None:
    """Make the tables anew, empty: attribution may run twice on one engine."""
    for table in (TURNS, SECTIONS, BOUNDS, SWEEP_SPANS):
        engine.detach(table.name)
        engine.execute(table.ddl)
