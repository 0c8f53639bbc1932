"""A run is read once: every question that the judgement needs, asked in order.

Nothing is judged here. Every figure comes from a question under ``sql/``; the rows of the questions
that fit on a page are kept for the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentscope import conventions as c
from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution import AttributionSummary
from agentscope_analyzer.audit import audit_of, warm_up_of
from agentscope_analyzer.before import BeforeTurns, before_turns_of
from agentscope_analyzer.ceilings import Observed, ceilings_of
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.costs import costs_of
from agentscope_analyzer.document import Rows
from agentscope_analyzer.facts import INHERENT, Facts, Row
from agentscope_analyzer.hidden import hidden_in
from agentscope_analyzer.intervals import Clusters
from agentscope_analyzer.sql import Asker, Queryable
from agentscope_analyzer.stretches import NS, Stretch, clock_ahead, stages_of, steady_of
from agentscope_analyzer.timeline import read_timeline

__all__ = ["Reader", "gather"]

CAPPED = (
    (c.HTTP_POOL_IN_USE, c.HTTP_POOL_LIMIT),
    (c.THREADPOOL_BORROWED, c.THREADPOOL_LIMIT),
)
"""Gauges of what is in use, each with the gauge of its limit."""
MAX_ROWS = 50
"""Rows of one question that a report carries; ``Facts.cut`` says where there were more."""


class Reader(Asker):
    """Asks questions and keeps the answers that a report can carry."""

    def __init__(self, engine: Queryable) -> None:
        super().__init__(engine)
        self.kept: dict[str, Rows] = {}
        self.cut: dict[str, int] = {}

    def read(self, question_id: str, /, most: int = MAX_ROWS, **params: Any) -> Rows:
        """The answer, also kept for the report, up to ``most`` rows of it."""
        rows = self.ask(question_id, **params)
        self.kept[question_id] = rows[:most]
        if len(rows) > most:
            self.cut[question_id] = len(rows)
        return rows


def gather(
    engine: Queryable,
    *,
    manifest: Mapping[str, Any] | None = None,
    manifests: Sequence[Mapping[str, Any]] | None = None,
    rejected: Mapping[str, int] | None = None,
    damaged: bool = False,
    read: Mapping[str, int] | None = None,
    summary: AttributionSummary | None = None,
    limits: Mapping[str, Quota] | None = None,
) -> Facts:
    """Read everything that the judgement needs from the tables of one run.

    What ingest and attribution say of their own work is passed on: what was refused, what was
    read, whether so much was refused that the rest may mislead.
    """
    reader = Reader(engine)
    reader.prepare(
        "llm/_rests",
        "llm/_model_spans",
        "llm/_twins",
        "llm/_nested",
        "llm/_inferences",
        "llm/_attempts",
        "llm/_tries",
        "llm/_unseen",
        "turns/_sessions",
        "turns/_spent",
        "turns/_parts",
    )
    turns = reader.read("turns/summary")[0]
    spans = reader.read("run/spans")[0]
    whole = _whole(turns)
    live = _live(reader)
    llm = reader.read("llm/summary")[0]
    by_model = reader.read("llm/by_model")
    statuses = reader.read("llm/attempts_by_status")
    window = {"from_ns": int(whole.start_s * NS), "to_ns": int(whole.end_s * NS)}
    pools = reader.read("database/pools", **window)
    caps = {
        used.name: reader.ask(
            "runtime/caps",
            used=used.name,
            size=size.name,
            label=used.attributes[0],
            **window,
        )
        for used, size in CAPPED
    }
    load = reader.read("load/joined")[0]
    steady = steady_of(whole, manifest or {}, clock_ahead_s=clock_ahead(load))
    warm_up = warm_up_of(reader, turns=turns["turns"], from_s=steady.start_s, to_s=steady.end_s)
    since_ns = 0 if warm_up is None else round(warm_up.end_s * NS)
    if warm_up is not None and not warm_up.kept:
        steady = Stretch(warm_up.end_s, steady.end_s)
    quotas, ceilings = ceilings_of(
        reader,
        Observed(
            live=live,
            given=limits or {},
            pools=pools,
            threads=caps[c.THREADPOOL_BORROWED.name],
            connections=caps[c.HTTP_POOL_IN_USE.name],
            by_model=by_model,
            failed_share=turns["errors"] / turns["turns"] if turns["turns"] else 0.0,
            steady_s=(steady.start_s, steady.end_s),
            whole_s=(whole.start_s, whole.end_s),
            hosts=_hosts(manifests or ()),
        ),
    )
    read_timeline(reader)
    audit = audit_of(
        reader,
        live=live,
        warm_up=warm_up,
        from_s=steady.start_s,
        to_s=steady.end_s,
        ahead_s=clock_ahead(load),
        has_stages=bool(stages_of(manifest or {})),
        instances=spans["instances"],
        manifests=manifests or (),
    )
    # Times of both sides say nothing of each other once a clock was set.
    comparable = audit.clock_step is None or not audit.clock_step.is_set
    return Facts(
        turns=turns,
        causes={row["cause"]: row for row in reader.read("turns/causes")},
        exemplars=_by_cause(reader.read("turns/exemplars"), "trace_id"),
        sums=reader.read("turns/sums")[0],
        by_load=_rows_by_cause(
            reader.read("turns/by_load", most=3 * len(CAUSES), since_ns=since_ns)
        ),
        without_contention=reader.read("turns/without_contention", inherent=INHERENT)[0],
        clusters=Clusters.of_rows(
            reader.ask("turns/clusters", since_ns=since_ns),
            reader.ask("turns/causes_by_cluster", since_ns=since_ns),
            reader.ask("turns/causes_at_edges"),
        ),
        shapes=reader.read("turns/shapes")[0],
        idle=reader.read("turns/idle"),
        llm=llm,
        by_model=by_model,
        costs=costs_of(reader.ask("llm/usage")),
        hidden=hidden_in(reader, llm, float(turns["wall_s"] or 0.0)),
        billing=reader.read("llm/refused_for_billing"),
        failures=sorted((row for row in statuses if row["failed"]), key=lambda row: -row["failed"]),
        caps=caps,
        waits=reader.read("waits/by_kind"),
        pools=pools,
        queries=reader.read("database/queries"),
        held=reader.read("database/held"),
        work=reader.read("runtime/work"),
        blocks=reader.read("runtime/blocks", **window),
        synchronous=reader.read("runtime/synchronous"),
        collections=reader.read("runtime/collections", **window),
        pressure=reader.read("runtime/pressure", **window),
        own_code=reader.read("runtime/own_code"),
        inflation=reader.read("runtime/inflation"),
        never_ended=reader.read("turns/never_ended")[0],
        processes=reader.read("run/processes", **window),
        spans=spans,
        metrics={row["name"]: row for row in reader.read("run/metrics")},
        load=load,
        before=before_turns_of(reader, load) if comparable else BeforeTurns(),
        other_generators=reader.read("load/other_generators"),
        other_failures=reader.read("load/other_failures"),
        turns_active={row["instance"]: row["turns"] for row in reader.read("run/turns_active")},
        quotas=quotas,
        ceilings=ceilings,
        live=live,
        whole=whole,
        steady=steady,
        audit=audit,
        manifest=manifest or {},
        manifests=manifests or (),
        rejected=dict(rejected or {}),
        damaged=damaged,
        read=dict(read or {}),
        summary=summary,
        questions=reader.kept,
        cut=reader.cut,
    )


def _whole(turns: Row) -> Stretch:
    if not turns["turns"]:
        return Stretch(0.0, 0.0)
    return Stretch(turns["first_start_ns"] / NS, turns["last_end_ns"] / NS)


def _live(asker: Asker) -> LiveSessions:
    return LiveSessions.of_rows(asker.ask("ceilings/sessions"))


def _hosts(manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Host by process, as far as manifests say."""
    return {
        str(one["instance"]): str(one.get("host") or "") for one in manifests if one.get("instance")
    }


def _by_cause(rows: Rows, column: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        values = found.setdefault(row["cause"], [])
        if row[column] not in values:
            values.append(row[column])
    return found


def _rows_by_cause(rows: Rows) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["cause"], []).append(row)
    return found
