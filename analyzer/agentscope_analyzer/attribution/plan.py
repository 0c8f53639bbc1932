"""What every portion of a run must know, and what is done with one portion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from agentscope_analyzer.attribution.outcome import Outcome
from agentscope_analyzer.attribution.plain import attribute_plain
from agentscope_analyzer.attribution.portion import Portion
from agentscope_analyzer.attribution.spans import (
    Spans,
    find_twins,
    prepared_spans,
    turn_names,
    use_turn_names,
    with_asked,
)
from agentscope_analyzer.attribution.stops import Stops, load_stops
from agentscope_analyzer.attribution.sweep import equal_shares
from agentscope_analyzer.attribution.tables import (
    BOUNDS,
    SECTIONS,
    SWEEP_SPANS,
    TURNS,
    create_tables,
)
from agentscope_analyzer.engine import Engine, Table
from agentscope_analyzer.engine.parquet import open_parquet
from agentscope_analyzer.engine.schema import SPANS

__all__ = [
    "WRITTEN",
    "Plan",
    "attribute_file",
    "attribute_table",
    "own_engine",
    "plan_for",
    "result_path",
    "sweep_rows",
]

_MEMORY_LIMIT: Final = "700MB"
_IDS: Final = frozenset({"turn_id", "trace_id", "span_id", "start_ns", "end_ns"})

WRITTEN: tuple[Table, ...] = (TURNS, SECTIONS, BOUNDS)
"""The tables that attribution leaves to whoever comes after it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for a whole run."""

    marked: bool
    """At least one turn is marked, so that nothing else is one."""
    columnar: bool
    """Plain turns are attributed many at a time, not walked one by one: the rows are the same."""
    turn_names: pa.Table
    stops: dict[str, Stops]


def plan_for(engine: Engine, *, columnar: bool = True) -> Plan:
    """Ask an engine that holds the whole run."""
    ((marked,),) = engine.rows("SELECT count(*) > 0 FROM spans WHERE is_turn")
    return Plan(bool(marked), columnar, turn_names(engine), load_stops(engine))


def attribute_table(
    plan: Plan, engine: Engine, table: pa.Table, twins: Mapping[str, dict[str, str]]
) -> Outcome:
    """Attribute the prepared spans of whole traces; ``engine`` holds what they were made from."""
    outcome = Outcome()
    if plan.columnar and plan.marked and table.num_rows:  # a file may hold no trace
        table = attribute_plain(table, plan.stops, twins, outcome)
    if table.num_rows:
        _walk(plan, engine, table, twins, outcome)
    engine.execute(f"DELETE FROM {SWEEP_SPANS.name}")
    for rows in outcome.tables.pop(SWEEP_SPANS.name, ()):
        engine.load(SWEEP_SPANS.name, rows)
        outcome.totals.shared_s.update(equal_shares(engine))
    return outcome


def sweep_rows(
    plan: Plan, engine: Engine, table: pa.Table, twins: Mapping[str, dict[str, str]]
) -> list[pa.Table]:
    """The rows of ``sweep_spans`` for the prepared spans of whole traces, numbered from 0."""
    outcome = Outcome()
    if table.num_rows:
        _walk(plan, engine, table, twins, outcome)
    return outcome.tables.get(SWEEP_SPANS.name, [])


def _walk(
    plan: Plan,
    engine: Engine,
    table: pa.Table,
    twins: Mapping[str, dict[str, str]],
    outcome: Outcome,
) -> None:
    """Attribute turn by turn."""
    spans = Spans.from_table(with_asked(engine, table))
    spans.twins = dict(twins)
    Portion(spans, plan.marked, plan.stops, outcome).attribute()


def attribute_file(plan: Plan, engine: Engine, path: Path, folder: Path, number: int) -> Outcome:
    """Attribute the traces of one file of spans and write the rows to ``folder``.

    ``engine`` is for this alone; the outcome has the totals and no rows. Raises OSError.
    """
    engine.attach(SPANS.name, SPANS.columns, [path])
    use_turn_names(engine, plan.turn_names)
    twins = find_twins(engine)
    table = prepared_spans(engine, marked=plan.marked)
    outcome = attribute_table(plan, engine, table, twins)
    for kind in WRITTEN:
        path = result_path(folder, kind, number)
        with open_parquet(path, kind.arrow, plain=_IDS) as writer:
            for rows in outcome.tables.get(kind.name, ()):
                writer.write_table(rows.select(kind.arrow.names).cast(kind.arrow))
    return Outcome(outcome.totals)


def own_engine(spans: Path) -> Engine:
    """An engine for one worker, with the tables that attribution needs."""
    engine = Engine.in_memory(memory_limit=_MEMORY_LIMIT, threads=1, readable=spans)
    create_tables(engine)
    return engine


def result_path(folder: Path, table: Table, number: int) -> Path:
    """Where the rows of one portion are written."""
    return folder / f"{table.name}-{number:03d}.parquet"
