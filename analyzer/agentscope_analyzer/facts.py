"""What a run says, read once: the rows that checks, signs and the verdict judge.

Nothing is judged here. Every figure comes from a question under ``sql/``; the rows of the questions
that fit on a page are kept for the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentscope import conventions as c
from agentscope.conventions import CAUSES
from agentscope_analyzer.attribution import AttributionSummary
from agentscope_analyzer.audit import Audit, audit_of, warm_up_of
from agentscope_analyzer.before import BeforeTurns, before_turns_of
from agentscope_analyzer.ceilings import Ceilings, Observed, ceilings_of
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.costs import Costs, costs_of
from agentscope_analyzer.document import Growth, Rows
from agentscope_analyzer.growth import growth_of
from agentscope_analyzer.hidden import Hidden, hidden_in
from agentscope_analyzer.intervals import Clusters
from agentscope_analyzer.sql import Asker, Queryable
from agentscope_analyzer.stretches import NS, Stretch, clock_ahead, stages_of, steady_of
from agentscope_analyzer.timeline import read_timeline

Row = dict[str, Any]

CAPPED = (
    (c.HTTP_POOL_IN_USE, c.HTTP_POOL_LIMIT),
    (c.THREADPOOL_BORROWED, c.THREADPOOL_LIMIT),
)
"""Gauges of what is in use, each with the gauge of its limit."""
MAX_ROWS = 50
"""Rows of one question that a report carries; ``Facts.cut`` says where there were more."""


@dataclass(frozen=True)
class Targets:
    """How long users are willing to wait for a turn, in seconds."""

    p50_s: float = 3.0
    p95_s: float = 8.0


@dataclass(frozen=True)
class Facts:
    """A run's figures, by the question that gave them."""

    turns: Row
    causes: dict[str, Row]
    exemplars: dict[str, list[str]]
    sums: Row
    by_load: dict[str, list[Row]]
    without_contention: Row
    clusters: Clusters
    shapes: Row
    llm: Row
    by_model: Rows
    costs: Costs
    hidden: Hidden
    billing: Rows
    caps: dict[str, Rows]
    """Rows of ``runtime/caps`` by the gauge of what is in use."""
    waits: Rows
    pools: Rows
    queries: Rows
    held: Rows
    work: Rows
    blocks: Rows
    synchronous: Rows
    collections: Rows
    pressure: Rows
    own_code: Rows
    inflation: Rows
    spans: Row
    metrics: dict[str, Row]
    load: Row
    before: BeforeTurns
    other_generators: Rows
    other_failures: Rows
    turns_active: dict[str, int]
    quotas: list[Quota]
    ceilings: Ceilings
    live: LiveSessions
    whole: Stretch
    steady: Stretch
    """The part with most users, without its warm-up: what ceilings and trends are taken from."""
    audit: Audit
    idle: Rows = field(default_factory=list)
    """The longest time without a turn in flight."""
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
    def failed_share(self) -> float:
        """Failed turns, or failed requests where the load generator saw more of them."""
        turns, requests = self.turns["turns"], self.load["requests"]
        return max(
            self.turns["errors"] / turns if turns else 0.0,
            self.load["failed"] / requests if requests else 0.0,
        )

    @property
    def failed_of(self) -> str:
        """``turns``, or what the load generator sent, where ``failed_share`` is its share."""
        turns = self.turns["turns"]
        seen = self.turns["errors"] / turns if turns else 0.0
        return "turns" if seen >= self.failed_share else "requests at the load generator"

    @property
    def cut_off(self) -> list[tuple[str, int | None]]:
        """Processes that never said goodbye, each with the turns it last had in hand."""
        found = []
        for entry in self.manifests:
            if entry.get("instance") and entry.get("ended_ns") is None:
                instance, told = str(entry["instance"]), entry.get("open_turns")
                counts = [self.turns_active.get(instance), told if type(told) is int else None]
                known = [n for n in counts if n is not None and n >= 0]
                found.append((instance, max(known, default=None)))
        return found

    @property
    def unfinished(self) -> int:
        """Turns whose end was never seen: open at shutdown, or lost with their process."""
        return int(self.spans["open_turns"]) + sum(n or 0 for _, n in self.cut_off)

    @property
    def wall_s(self) -> float:
        """Durations of all turns added up."""
        return float(self.turns["wall_s"] or 0.0)

    @property
    def lived_s(self) -> float:
        """How long the processes lived, added up: from the first turn to the last's end, each."""
        return self.whole.duration_s * max(1, int(self.turns["instances"]))

    @cached_property
    def growth(self) -> Growth:
        """What grows with load, each with its interval."""
        return growth_of(self.clusters, streamed="llm.generation" in self.causes)

    def stopped_s(self, event: str) -> float:
        """Seconds of all runtime events of one kind."""
        return float(sum(row["wall_s"] for row in self.blocks if row["event"] == event))

    @property
    def crowding(self) -> float:
        """The part of the loop's standing still in which the machine had no processor for it."""
        blocked_s = self.stopped_s(c.RuntimeEvent.LOOP_BLOCKED)
        waited_s = sum(float(row["processor_s"]) for row in self.blocks)
        # A process whose quota is used up is kept from running, too: that is not the machine's.
        waited_s -= self.stopped_s(c.RuntimeEvent.CPU_THROTTLED)
        return max(0.0, waited_s) / blocked_s if blocked_s else 0.0

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
        "llm/_model_spans",
        "llm/_twins",
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
    # Own code is a cause of its own only where threads compete for the interpreter: no turn that is
    # alone would wait for it.
    alone = [name for name, cause in CAUSES.items() if cause.inherent and name != "runtime.cpu"]
    inherent = "," + ",".join(alone) + ","
    llm = reader.read("llm/summary")[0]
    by_model = reader.read("llm/by_model")
    reader.read("llm/attempts_by_status")  # for the reader of the report; nothing is judged by it
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
    return Facts(
        turns=turns,
        causes={row["cause"]: row for row in reader.read("turns/causes")},
        exemplars=_by_cause(reader.read("turns/exemplars"), "trace_id"),
        sums=reader.read("turns/sums")[0],
        by_load=_rows_by_cause(reader.read("turns/by_load", most=3 * len(CAUSES))),
        without_contention=reader.read("turns/without_contention", inherent=inherent)[0],
        clusters=Clusters.of_rows(
            reader.ask("turns/clusters"),
            reader.ask("turns/causes_by_cluster"),
            reader.ask("turns/causes_at_edges"),
        ),
        shapes=reader.read("turns/shapes")[0],
        idle=reader.read("turns/idle"),
        llm=llm,
        by_model=by_model,
        costs=costs_of(reader.ask("llm/usage")),
        hidden=hidden_in(reader, llm, float(turns["wall_s"] or 0.0)),
        billing=reader.read("llm/refused_for_billing"),
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
        spans=spans,
        metrics={row["name"]: row for row in reader.read("run/metrics")},
        load=load,
        before=before_turns_of(reader, load),
        other_generators=reader.read("load/other_generators"),
        other_failures=reader.read("load/other_failures"),
        turns_active={row["instance"]: row["turns"] for row in reader.read("run/turns_active")},
        quotas=quotas,
        ceilings=ceilings,
        live=live,
        whole=whole,
        steady=steady,
        audit=audit_of(
            reader,
            live=live,
            warm_up=warm_up,
            from_s=steady.start_s,
            to_s=steady.end_s,
            ahead_s=clock_ahead(load),
            has_stages=bool(stages_of(manifest or {})),
            instances=spans["instances"],
            manifests=manifests or (),
        ),
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
