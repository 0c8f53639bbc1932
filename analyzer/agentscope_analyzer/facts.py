"""What a run says, read once: the rows that checks, signs and the verdict judge.

Nothing is judged here. Every figure comes from a question under ``sql/``; the rows of the questions
that fit on a page are kept for the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution import AttributionSummary
from agentscope_analyzer.ceilings import Ceilings, ceilings_of
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker, Queryable

Row = dict[str, Any]

NS = 1e9
MAX_ROWS = 50
"""Rows of one question that a report carries; ``Facts.cut`` says where there were more."""


@dataclass(frozen=True)
class Targets:
    """How long users are willing to wait for a turn, in seconds."""

    p50_s: float = 3.0
    p95_s: float = 8.0


@dataclass(frozen=True)
class Stretch:
    """A stretch of the run, in seconds since 1970."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Its length."""
        return max(0.0, self.end_s - self.start_s)


@dataclass(frozen=True)
class Facts:
    """A run's figures, by the question that gave them."""

    turns: Row
    causes: dict[str, Row]
    exemplars: dict[str, list[str]]
    sums: Row
    by_load: dict[str, list[Row]]
    without_contention: Row
    llm: Row
    by_model: Rows
    waits: Rows
    pools: Rows
    queries: Rows
    blocks: Rows
    inflation: Rows
    spans: Row
    metrics: dict[str, Row]
    load: Row
    quotas: list[Quota]
    ceilings: Ceilings
    live: LiveSessions
    whole: Stretch
    manifest: Mapping[str, Any] = field(default_factory=dict)
    manifests: Sequence[Mapping[str, Any]] = ()
    rejected: dict[str, int] = field(default_factory=dict)
    damaged: bool = False
    read: dict[str, int] = field(default_factory=dict)
    summary: AttributionSummary | None = None
    questions: dict[str, Rows] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)

    def share(self, cause: str) -> float:
        """The cause's share of the wall time of all turns."""
        return float(self.causes.get(cause, {}).get("share") or 0.0)

    def p95_share(self, cause: str) -> float:
        """The cause's share of the time of the slowest turns."""
        return float(self.causes.get(cause, {}).get("p95_share") or 0.0)

    def seconds(self, cause: str) -> float:
        """Seconds of the cause in all turns."""
        return float(self.causes.get(cause, {}).get("wall_s") or 0.0)

    @property
    def wall_s(self) -> float:
        """Durations of all turns added up."""
        return float(self.turns["wall_s"] or 0.0)

    def waits_of(self, *kinds: str) -> Rows:
        """Rows of ``waits/by_kind`` of these kinds."""
        return [row for row in self.waits if row["kind"] in kinds]

    def metric(self, name: str) -> Row | None:
        """The row of ``run/metrics`` for a metric; None where it was not recorded."""
        return self.metrics.get(name)


class Reader(Asker):
    """Asks questions and keeps the answers that a report can carry."""

    def __init__(self, engine: Queryable) -> None:
        super().__init__(engine)
        self.kept: dict[str, Rows] = {}
        self.cut: dict[str, int] = {}

    def read(self, question_id: str, **params: Any) -> Rows:
        """The answer, also kept for the report, up to MAX_ROWS rows of it."""
        rows = self.ask(question_id, **params)
        self.kept[question_id] = rows[:MAX_ROWS]
        if len(rows) > MAX_ROWS:
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
    reader.prepare("llm/_inferences", "llm/_attempts", "turns/_sessions")
    turns = reader.read("turns/summary")[0]
    spans = reader.read("run/spans")[0]
    whole = _whole(turns)
    live = _live(reader)
    inherent = "," + ",".join(name for name, cause in CAUSES.items() if cause.inherent) + ","
    llm = reader.read("llm/summary")[0]
    by_model = reader.read("llm/by_model")
    reader.read("llm/attempts_by_status")  # for the reader of the report; nothing is judged by it
    window = {"from_ns": int(whole.start_s * NS), "to_ns": int(whole.end_s * NS)}
    pools = reader.read("database/pools", **window)
    steady = steady_of(whole, manifest or {})
    quotas, ceilings = ceilings_of(
        reader,
        given=limits or {},
        live=live,
        pools=pools,
        by_model=by_model,
        failed_share=turns["errors"] / turns["turns"] if turns["turns"] else 0.0,
        start_s=steady.start_s,
        end_s=steady.end_s,
        whole_s=whole.duration_s,
    )
    return Facts(
        turns=turns,
        causes={row["cause"]: row for row in reader.read("turns/causes")},
        exemplars=_by_cause(reader.read("turns/exemplars"), "trace_id"),
        sums=reader.read("turns/sums")[0],
        by_load=_rows_by_cause(reader.read("turns/by_load")),
        without_contention=reader.read("turns/without_contention", inherent=inherent)[0],
        llm=llm,
        by_model=by_model,
        waits=reader.read("waits/by_kind"),
        pools=pools,
        queries=reader.read("database/queries"),
        blocks=reader.read("runtime/blocks"),
        inflation=reader.read("runtime/inflation"),
        spans=spans,
        metrics={row["name"]: row for row in reader.read("run/metrics")},
        load=reader.read("load/joined")[0],
        quotas=quotas,
        ceilings=ceilings,
        live=live,
        whole=whole,
        manifest=manifest or {},
        manifests=manifests or (),
        rejected=dict(rejected or {}),
        damaged=damaged,
        read=dict(read or {}),
        summary=summary,
        questions=reader.kept,
        cut=reader.cut,
    )


def steady_of(whole: Stretch, manifest: Mapping[str, Any]) -> Stretch:
    """The part of the run with most users, as the load generator's stages say, else all of it."""
    stages = [
        stage
        for stage in (manifest.get("load") or {}).get("stages") or []
        if stage.get("start_ns") and stage.get("end_ns") and stage.get("name") != "ramp"
    ]
    if not stages:
        return whole
    most = max(stage.get("users") or 0 for stage in stages)
    fullest = [stage for stage in stages if (stage.get("users") or 0) == most][-1]
    start_s = max(whole.start_s, fullest["start_ns"] / NS)
    end_s = min(whole.end_s, fullest["end_ns"] / NS)
    return Stretch(start_s, end_s) if end_s > start_s else whole


def _whole(turns: Row) -> Stretch:
    if not turns["turns"]:
        return Stretch(0.0, 0.0)
    return Stretch(turns["first_start_ns"] / NS, turns["last_end_ns"] / NS)


def _live(asker: Asker) -> LiveSessions:
    rows = asker.ask("turns/of_sessions")
    return LiveSessions.of_turns(
        [(row["session"], row["start_ns"] / NS, row["end_ns"] / NS) for row in rows]
    )


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
