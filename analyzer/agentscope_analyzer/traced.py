"""One turn, looked at closely: its spans, its critical path, its causes, and what stood still.

Plain data for every reporter: the terminal's picture, the JSON document, the Perfetto trace and the
HTML report's waterfall are made from the same ``Trace``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from agentscope.conventions import CAUSES, RuntimeEvent
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.tree import Forest, adopt, link, prepare
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.sql import expanded, questions

__all__ = ["Section", "Trace", "TracedEvent", "TracedSpan", "trace_of"]

Row = dict[str, Any]


class Section(msgspec.Struct, frozen=True):
    """A stretch of the critical path: the span whose own time it is, and the cause."""

    span_id: str
    name: str
    cause: str
    start_ns: int
    end_ns: int


class TracedSpan(msgspec.Struct, frozen=True):
    """A span of the turn, as recorded but for a host's wrong clock.

    ``cause`` is that of most of its own time on the critical path, None off it; ``depth`` is 0 for
    the turn itself; ``detail`` says what came of it (``429``, ``ReadTimeout``), of a wait which pool
    or lock it was for, '' where nothing is known.
    """

    span_id: str
    parent_id: str
    name: str
    kind: str
    cause: str | None
    depth: int
    start_ns: int
    end_ns: int
    status: str
    instance: str
    critical: bool
    detail: str = ""


class TracedEvent(msgspec.Struct, frozen=True):
    """Runtime evidence within the turn: a block of the event loop, a collector pause, a freeze.

    ``where`` is the function, file and line that blocked or held, None where not known.
    """

    name: str
    start_ns: int
    end_ns: int
    where: str | None


class Trace(msgspec.Struct, frozen=True):
    """One turn. The sections of ``critical_path`` cover it exactly; ``causes`` are seconds.

    ``bounds`` has low and high seconds of the causes that are estimates. ``spans`` stand in the
    order of a waterfall: a parent, then all that lies below it, by start.
    """

    trace_id: str
    turn_id: str
    name: str
    session: str | None
    start_ns: int
    end_ns: int
    duration_s: float
    critical_path: list[Section]
    causes: dict[str, float]
    spans: list[TracedSpan]
    events: list[TracedEvent]
    bounds: dict[str, tuple[float, float]] = {}


def trace_of(engine: Engine, trace_id: str, *, turn_id: str | None = None) -> Trace:
    """The turn of a trace, from the tables of an engine on which ``attribute`` has run.

    Of a trace with several turns it is the longest, unless ``turn_id`` names one. Raises
    LookupError, in a sentence that says what to type, for a trace that holds no such turn.

    >>> trace_of(run.engine, "4bf92f3577b34da6a3ce929d0e0e4736").causes  # doctest: +SKIP
    {'llm.first_token': 1.2, 'db.query': 0.05}
    """
    turns = engine.query(_TURNS, trace_id=trace_id)
    chosen = [turn for turn in turns if turn_id in (None, turn["turn_id"])]
    if not chosen:
        raise LookupError(_not_found(engine, trace_id, turn_id, turns))
    turn = chosen[0]
    rows: dict[str, Row] = {}
    for row in engine.query(_SPANS, trace_id=trace_id):
        rows.setdefault(row["span_id"], row)  # of a span that came twice, the first counts
    shift_ns = _shifts(engine, trace_id, turn["turn_id"], rows.values())
    path = _path(engine, turn["turn_id"], trace_id, rows)
    own: dict[str, Counter[str]] = {}
    for section in path:
        ns = section.end_ns - section.start_ns
        own.setdefault(section.span_id, Counter())[section.cause] += ns
    in_order = _in_order(rows, turn, alone=len(turns) == 1, on_path=own)
    spans = [_span(rows[i], depth, own.get(i), shift_ns.get(i, 0)) for i, depth in in_order]
    total = sum(own.values(), Counter[str]())
    return Trace(
        trace_id=trace_id,
        turn_id=turn["turn_id"],
        name=rows[turn["turn_id"]]["name"],
        session=turn["session"],
        start_ns=turn["start_ns"],
        end_ns=turn["end_ns"],
        duration_s=(turn["end_ns"] - turn["start_ns"]) / 1e9,
        critical_path=path,
        causes={cause: total[cause] / 1e9 for cause in CAUSES if total[cause]},
        spans=spans,
        events=_events(engine, trace_id, turn, spans, shift_ns),
        bounds={
            row["cause"]: (row["low_s"], row["high_s"])
            for row in engine.query(_BOUNDS, turn_id=turn["turn_id"], trace_id=trace_id)
        },
    )


_TURNS: Final = """
SELECT turn_id, session, start_ns, end_ns FROM turns
WHERE trace_id = $trace_id ORDER BY end_ns - start_ns DESC, turn_id
"""

_SPANS: Final = """
SELECT
  span_id, parent_id, name, kind, start_ns, end_ns, status, instance,
  http_status, error_type, wait_kind, wait_resource
FROM spans WHERE trace_id = $trace_id AND runtime_event IS NULL
ORDER BY start_ns, end_ns DESC, span_id
"""

_SECTIONS: Final = """
SELECT span_id, cause, start_ns, end_ns FROM sections
WHERE turn_id = $turn_id AND trace_id = $trace_id ORDER BY start_ns
"""

_BOUNDS: Final = """
SELECT b.cause, b.low_s, b.high_s FROM bounds AS b
JOIN turns AS t ON t.turn_id = b.turn_id
WHERE b.turn_id = $turn_id AND t.trace_id = $trace_id ORDER BY b.cause
"""

_EVENTS: Final = """
SELECT name, instance, start_ns, end_ns, code_function, code_file, code_line FROM spans
WHERE runtime_event IS NOT NULL AND list_contains($instances, instance)
  AND start_ns < $until_ns AND end_ns > $from_ns
  AND (runtime_event <> $held OR trace_id = $trace_id)
ORDER BY start_ns, end_ns
"""


def _not_found(engine: Engine, trace_id: str, turn_id: str | None, turns: list[Row]) -> str:
    if turns:
        known = " or ".join(turn["turn_id"] for turn in turns[:3])
        return f"trace {trace_id} has no turn {turn_id}; give {known}"
    ((spans,),) = engine.rows(
        "SELECT count(*) FROM spans WHERE trace_id = $trace_id", trace_id=trace_id
    )
    if spans:
        return f"trace {trace_id} holds no turn; give one that agentscope trace RUN lists"
    return f"there is no trace {trace_id} in this run; agentscope trace RUN lists some"


def _path(engine: Engine, turn_id: str, trace_id: str, rows: Mapping[str, Row]) -> list[Section]:
    """The turn's sections in order of time; what goes on with the same span and cause is one."""
    path: list[Section] = []
    for row in engine.query(_SECTIONS, turn_id=turn_id, trace_id=trace_id):
        last = path[-1] if path else None
        start_ns = row["start_ns"]
        if last is not None and (last.span_id, last.cause) == (row["span_id"], row["cause"]):
            path.pop()
            start_ns = last.start_ns
        name = rows[row["span_id"]]["name"]
        path.append(Section(row["span_id"], name, row["cause"], start_ns, row["end_ns"]))
    return path


def _shifts(engine: Engine, trace_id: str, turn_id: str, rows: Iterable[Row]) -> dict[str, int]:
    """By how many nanoseconds attribution moved spans of hosts whose clock was wrong."""
    instances = {row["instance"] for row in rows}
    if len(instances) == 1 and all(instances):
        return {}
    sql = expanded(questions()["attribution/_prepared_spans"])
    bucket = trace_id[30:32]
    ((marked,),) = engine.rows("SELECT count(*) FROM spans WHERE is_turn")
    table = engine.arrow(
        f"SELECT * FROM ({sql}) WHERE trace_id = $trace_id ORDER BY start_ns, end_ns DESC, span_id",
        trace_id=trace_id,
        marked=int(marked > 0),
        bucket_low=bucket,
        bucket_high=f"{bucket}g",
    )
    forest = Forest(Spans.from_table(table))
    link(forest, 0, table.num_rows)
    turn = forest.spans.span_id.index(turn_id)
    adopt(forest, [turn])
    prepare(forest, turn)
    return {forest.spans.span_id[row]: by_ns for row, by_ns in forest.spans.shift.items()}


def _in_order(
    rows: Mapping[str, Row], turn: Row, *, alone: bool, on_path: Iterable[str]
) -> list[tuple[str, int]]:
    """Ids of the turn's spans, parents first, each with its depth."""
    children: dict[str, list[str]] = {}
    for span_id, row in rows.items():
        children.setdefault(row["parent_id"], []).append(span_id)
    adopted = _orphans(rows, turn) if alone else []
    top: str = turn["turn_id"]
    children[top] = sorted(
        [*children.get(top, ()), *adopted], key=lambda span_id: rows[span_id]["start_ns"]
    )
    found: dict[str, int] = {}
    # Whatever attribution rearranged, a span on the path is part of the picture.
    todo = [*((span_id, 1) for span_id in on_path), (top, 0)]
    while todo:
        span_id, depth = todo.pop()
        if span_id not in found:  # parents may be told in a circle
            found[span_id] = depth
            todo += [(kid, depth + 1) for kid in reversed(children.get(span_id, ()))]
    return list(found.items())


def _orphans(rows: Mapping[str, Row], turn: Row) -> list[str]:
    """Spans of the turn's time whose parent was lost: attribution hangs them below the turn."""
    above = set()
    up = turn["turn_id"]
    while up in rows and up not in above:
        above.add(up)
        up = rows[up]["parent_id"]
    return [
        span_id
        for span_id, row in rows.items()
        if row["parent_id"]
        and row["parent_id"] not in rows
        and span_id not in above
        and turn["start_ns"] <= row["start_ns"] < turn["end_ns"]
    ]


def _span(row: Row, depth: int, own: Counter[str] | None, shift_ns: int) -> TracedSpan:
    return TracedSpan(
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        name=row["name"],
        kind=row["kind"],
        cause=own.most_common(1)[0][0] if own else None,
        depth=depth,
        start_ns=row["start_ns"] + shift_ns,
        end_ns=row["end_ns"] + shift_ns,
        status=row["status"],
        instance=row["instance"],
        critical=bool(own),
        detail=_detail(row),
    )


def _detail(row: Row) -> str:
    if row["wait_kind"] is not None:
        return row["wait_resource"] or ""
    if row["http_status"] is not None:
        return str(row["http_status"])
    return row["error_type"] or ""


def _events(
    engine: Engine, trace_id: str, turn: Row, spans: list[TracedSpan], shift_ns: Mapping[str, int]
) -> list[TracedEvent]:
    """What stood still in the turn's processes meanwhile, on the turn's clock."""
    ahead_ns = {span.instance: shift_ns.get(span.span_id, 0) for span in reversed(spans)}
    found = engine.query(
        _EVENTS,
        trace_id=trace_id,
        instances=[*ahead_ns],
        held=RuntimeEvent.CONNECTION_HELD.value,
        from_ns=turn["start_ns"] - max(ahead_ns.values()),
        until_ns=turn["end_ns"] - min(ahead_ns.values()),
    )
    events = []
    for row in found:
        start_ns, end_ns = (row[at] + ahead_ns[row["instance"]] for at in ("start_ns", "end_ns"))
        if start_ns < turn["end_ns"] and end_ns > turn["start_ns"]:
            events.append(TracedEvent(row["name"], start_ns, end_ns, _where(row)))
    return sorted(events, key=lambda event: (event.start_ns, event.end_ns))


def _where(row: Row) -> str | None:
    line = f":{row['code_line']}" if row["code_line"] is not None else ""
    file = f"{row['code_file']}{line}" if row["code_file"] else ""
    return " ".join(part for part in (row["code_function"], file) if part) or None
