"""Plain turns are attributed many at a time: the rows are those of the walk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentscope_analyzer.attribution.outcome import Totals
from agentscope_analyzer.attribution.plain_pieces import Pieces
from agentscope_analyzer.attribution.plan import WRITTEN, attribute_table, plan_for
from agentscope_analyzer.attribution.spans import prepared_spans, turn_names, use_turn_names
from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.engine import Engine

MS = 1_000_000
ROLES: list[dict[str, Any]] = [
    {},
    {},
    {"kind": "CLIENT", "operation": "chat", "model": "m"},
    {"kind": "CLIENT", "operation": "chat", "model": "m", "streamed": True},
    {"kind": "CLIENT", "http_method": "POST"},
    {"kind": "CLIENT", "http_method": "POST", "http_status": 200},
    {"kind": "CLIENT", "db_system": "postgresql"},
    {"operation": "execute_tool", "tool": "t"},
    {"phase": "context_load"},
    {"phase": "llm_call"},
    {"operation": "invoke_agent"},
    {"wait_kind": "db.pool"},
    {"wait_kind": "http.connect"},
    {"wait_kind": "rate_limit"},
    {"wait_kind": "of its own"},
    {"kind": "SERVER", "instance": "p2"},
    {"session": "s1"},
]
ODDITIES: list[dict[str, Any]] = [
    {"http_status": 429, "status": "ERROR"},
    {"error_type": "ReadTimeout"},
    {"outcome": "cancelled"},
    {"parent_id": "lost"},
    {"scope": "another"},
    {"session": "s2"},
    {"session": ""},
    {"is_turn": True},
    {"span_id": "1"},
    {"kind": "CONSUMER"},
    {"kind": "PRODUCER"},
]


@st.composite
def trees(draw: st.DrawFn, trace: int) -> list[dict[str, Any]]:
    """A turn and what lies below it, mostly one span after the other, each within its parent."""
    length = draw(st.integers(0, 40))
    begin = draw(st.integers(0, 20))
    spans = [span(trace, 0, "", begin, begin + length, is_turn=True, kind="SERVER")]
    if draw(st.booleans()):
        spans[0]["session"] = draw(st.sampled_from(["s1", "s2", ""]))
    if draw(st.booleans()):
        times = st.sampled_from([0.0, 0.001, 0.0123456789, 0.5, 1e10, float("nan")])
        spans[0] |= {"first_byte_s": draw(times), "send_wait_s": draw(times)}
    room = {0: (begin, begin + length)}  # what is left of each span for children
    overlaps = draw(st.booleans()) and draw(st.booleans())
    for number in range(1, draw(st.integers(1, 9))):
        above = draw(st.sampled_from(sorted(room)))
        low, high = room[above]
        start = draw(st.integers(low, max(low, high)))
        end = draw(st.integers(start, max(start, high)))
        row = span(trace, number, str(above), start, end)
        row |= draw(st.sampled_from(ROLES))
        if row.get("streamed") and draw(st.booleans()):
            row["first_chunk_s"] = draw(st.integers(0, end - start + 2)) / 1e3
        spans.append(row)
        room[number] = (start, end)
        if not overlaps:
            room[above] = (end, high)
    if draw(st.integers(0, 3)) == 0:
        odd = draw(st.sampled_from(spans))
        odd |= draw(st.sampled_from(ODDITIES))
    return spans


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some turns, and stops of their processes."""
    spans = [row for trace in range(draw(st.integers(1, 6))) for row in draw(trees(trace + 1))]
    for number in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, 60))
        stop = span(99, number, "", start, start + draw(st.integers(1, 30)))
        event = draw(st.sampled_from(["loop_blocked", "gc_pause", "cpu_throttled"]))
        spans.append(stop | {"runtime_event": event})
    return spans


def span(
    trace: int, number: int, parent: str, start_ms: int, end_ms: int, **columns: Any
) -> dict[str, Any]:
    return {
        "trace_id": f"{trace:032x}",
        "span_id": str(number) if trace == 99 else f"{trace}.{number}",
        "parent_id": f"{trace}.{parent}" if parent else "",
        "name": "n",
        "kind": "INTERNAL",
        "start_ns": start_ms * MS,
        "end_ns": end_ms * MS,
        "status": "UNSET",
        "service": "a",
        "instance": "p1",
        "scope": "agentscope",
        **columns,
    }


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.in_memory(threads=1) as engine:
        create_tables(engine)
        yield engine


def outcome(engine: Engine, table: pa.Table, *, columnar: bool) -> tuple[Totals, dict[str, Any]]:
    plan = plan_for(engine, columnar=columnar)
    found = attribute_table(plan, engine, table, {})
    rows = {
        kind.name: sorted(
            repr([row[column.name] for column in kind.columns])
            for part in found.tables.get(kind.name, ())
            for row in part.to_pylist()
        )
        for kind in WRITTEN
    }
    return found.totals, rows


@given(spans=runs())
@settings(max_examples=2_000 if os.environ.get("AGENTSCOPE_PROOFS") == "1" else 100, deadline=None)
def test_plain_turns_get_the_rows_that_the_walk_gives(
    engine: Engine, spans: list[dict[str, Any]]
) -> None:
    """Whatever the turns are: the same rows, totals and anomalies, to the nanosecond."""
    agree(engine, spans)


def test_turns_of_centuries_get_the_rows_that_the_walk_gives(engine: Engine) -> None:
    """Turns too long to be put one behind the other in 64 bits are walked, not mixed up."""
    century_ms = 100 * 365 * 86_400 * 1_000
    spans = []
    for trace in (1, 2, 3):
        begin_ms = trace * 1_000
        spans += [
            span(trace, 0, "", begin_ms, begin_ms + century_ms, is_turn=True, kind="SERVER"),
            span(trace, 1, "0", begin_ms + 5, begin_ms + 9, kind="CLIENT", db_system="sqlite"),
        ]
    agree(engine, spans)


def test_pieces_of_several_parts_stand_in_order_of_turn_and_time() -> None:
    """Turns at rows 0 and 2 that last from 10 to 30 and from 0 to 20; nothing of no length is kept."""
    axis = np.array([-10, 0, 20])
    turn, start, end = [2, 0, 2], [0, 25, 7], [5, 30, 20]
    first = Pieces(*(np.array(column) for column in (turn, start, end, turn, turn)))
    turn, start, end = [0, 2, 0], [10, 5, 25], [25, 7, 25]
    second = Pieces(*(np.array(column) for column in (turn, start, end, turn, turn)))

    joined = Pieces.joined(axis, first, second)

    places = list(zip(*(column.tolist() for column in joined.columns[:3]), strict=True))
    assert places == [(0, 10, 25), (0, 25, 30), (2, 0, 5), (2, 5, 7), (2, 7, 20)]


def agree(engine: Engine, spans: list[dict[str, Any]]) -> None:
    """Attribute these spans both ways and compare."""
    engine.execute("DELETE FROM spans")
    columns = sorted({name for row in spans for name in row})
    engine.insert("spans", {name: [row.get(name) for row in spans] for name in columns})
    use_turn_names(engine, turn_names(engine))
    table = prepared_spans(engine, marked=True)

    fast, fast_rows = outcome(engine, table, columnar=True)
    slow, slow_rows = outcome(engine, table, columnar=False)

    assert fast_rows == slow_rows
    for cause in fast.shared_s | slow.shared_s:
        assert fast.shared_s[cause] == pytest.approx(slow.shared_s[cause], abs=1e-9)
    for figure in ("turns", "spans_used", "anomalies", "background_ns", "inferred", "path_ns"):
        assert getattr(fast, figure) == getattr(slow, figure)
