"""Attribution as one stage of the analysis: canonical spans in, turns with their causes out."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

import pyarrow.compute as pc

from agentscope_analyzer.attribution.interpreter import pressed_stretches, share_interpreter
from agentscope_analyzer.attribution.kept import Kept
from agentscope_analyzer.attribution.outcome import UNMARKED, AttributionSummary, Totals
from agentscope_analyzer.attribution.plan import (
    WRITTEN,
    Plan,
    attribute_table,
    plan_for,
    result_path,
    sweep_rows,
)
from agentscope_analyzer.attribution.spans import find_twins, load_portions, use_turn_names
from agentscope_analyzer.attribution.sweep import largest_difference, numbered_from
from agentscope_analyzer.attribution.tables import BOUNDS, SECTIONS, SWEEP_SPANS, create_tables
from agentscope_analyzer.attribution.workers import attribute_all
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.engine.schema import SPANS

__all__ = ["UNMARKED", "AttributionSummary", "attribute", "prepare_sweep"]


def attribute(engine: Engine, *, columnar: bool = True) -> AttributionSummary:
    """Give every instant of every turn one cause; writes ``turns``, ``sections`` and ``bounds``.

    Without ``columnar`` every turn is walked by itself: the same rows, the slow way.

    >>> with Engine.in_memory() as engine:
    ...     attribute(engine).turns
    0
    """
    create_tables(engine)
    kept = Kept(engine.kept) if engine.kept is not None and columnar else None
    if kept is not None and (summary := kept.load(engine)) is not None:
        return summary
    draft = kept.draft() if kept is not None else None
    if draft is not None:
        engine.on_close(partial(shutil.rmtree, draft, ignore_errors=True))
    summary = _attribute(engine, plan_for(engine, columnar=columnar), draft)
    if kept is not None and draft is not None:
        kept.save(draft, engine, summary)
    return summary


def prepare_sweep(engine: Engine) -> None:
    """Fill ``sweep_spans`` with all turns of the run: what ``attribution/equal_share`` reads.

    ``attribute`` asks that question portion by portion and keeps the answers alone.
    """
    engine.execute(f"DELETE FROM {SWEEP_SPANS.name}")
    plan = plan_for(engine, columnar=False)
    use_turn_names(engine, plan.turn_names)
    twins = find_twins(engine)
    turns = spans = 0
    for table in load_portions(engine, marked=plan.marked):
        for rows in sweep_rows(plan, engine, table, twins):
            engine.load(SWEEP_SPANS.name, numbered_from(rows, turns, spans))
            turns += pc.max(rows["turn"]).as_py() + 1
            spans += pc.max(rows["span"]).as_py() + 1


def _attribute(engine: Engine, plan: Plan, draft: Path | None) -> AttributionSummary:
    if len(engine.files.get(SPANS.name, ())) > 1:
        totals = _attribute_files(engine, plan, draft)
    else:
        totals = _attribute_rows(engine, plan)
    if pressed_stretches(engine, plan.stops):
        for table in (SECTIONS, BOUNDS):
            engine.hold(table)
        share_interpreter(engine, plan.stops)
    return _summary(totals)


def _attribute_rows(engine: Engine, plan: Plan) -> Totals:
    totals = Totals()
    use_turn_names(engine, plan.turn_names)
    twins = find_twins(engine)
    for table in load_portions(engine, marked=plan.marked):
        outcome = attribute_table(plan, engine, table, twins)
        for name, parts in outcome.tables.items():
            for rows in parts:
                engine.load(name, rows)
        totals.add(outcome.totals)
    return totals


def _attribute_files(engine: Engine, plan: Plan, draft: Path | None) -> Totals:
    folder = draft or Path(tempfile.mkdtemp(prefix="attribution-", dir=engine.folder))
    paths = engine.files[SPANS.name]
    totals = attribute_all(plan, paths, folder, scratch=engine.folder, cores=engine.threads)
    for table in WRITTEN:
        results = [result_path(folder, table, number) for number in range(len(paths))]
        engine.attach(table.name, table.columns, results)
    return totals


def _summary(totals: Totals) -> AttributionSummary:
    path_s = {name: ns / 1e9 for name, ns in totals.path_ns.items()}
    group, disagreement = largest_difference(path_s, totals.shared_s)
    return AttributionSummary(
        turns=totals.turns,
        spans_used=totals.spans_used,
        anomalies={reason: n for reason, n in sorted(totals.anomalies.items()) if n},
        background_s=totals.background_ns / 1e9,
        sweep_disagreement=disagreement,
        sweep_group=group,
        inferred=dict(totals.inferred),
    )
