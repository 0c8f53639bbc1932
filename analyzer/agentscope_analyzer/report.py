"""A run in, the one report object out: open, attribute, measure, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from agentscope.conventions import CAUSE_GROUPS, CAUSES
from agentscope_analyzer.attribution import AttributionSummary, attribute
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.costs import price_date, price_source
from agentscope_analyzer.document import (
    Attribution,
    CauseShare,
    GroupShare,
    LlmFigures,
    Prices,
    Report,
    RunFacts,
    TurnFigures,
    Unpriced,
)
from agentscope_analyzer.facts import Facts, Targets
from agentscope_analyzer.gathering import gather
from agentscope_analyzer.hidden import Hidden
from agentscope_analyzer.ingest import open_run
from agentscope_analyzer.intervals import ShareInterval, shares_of
from agentscope_analyzer.sql import Queryable
from agentscope_analyzer.stretches import NS
from agentscope_analyzer.tail import tail_of
from agentscope_analyzer.timeline import exemplar_of
from agentscope_analyzer.validity import checks_of, is_complete
from agentscope_analyzer.verdict import judge

__all__ = ["Report", "Targets", "analyze_run", "report_of"]

FIRST_TOKEN: Final = "llm.first_token"
"""Where the time of hidden retries is counted: they come before the answer's first chunk."""


def analyze_run(
    path: str | Path, *, targets: Targets | None = None, limits: Sequence[Quota] = ()
) -> Report:
    """Analyse a run directory (or other OTLP-JSON files) and judge it.

    ``limits`` are quotas that the user knows; each stands in for what was recorded of its
    resource. Raises IngestError for a path that holds no run.

    >>> report = analyze_run("runs/today")  # doctest: +SKIP
    >>> report.verdict.cause  # doctest: +SKIP
    'llm.rate_limit'
    """
    with open_run(path) as run:
        summary = attribute(run.engine)
        return report_of(
            run.engine,
            manifest=run.manifest,
            manifests=run.manifests,
            rejected=run.rejected,
            damaged=run.damaged,
            read=run.read,
            summary=summary,
            targets=targets,
            limits=limits,
        )


def report_of(
    engine: Queryable,
    *,
    manifest: Mapping[str, Any] | None = None,
    manifests: Sequence[Mapping[str, Any]] | None = None,
    rejected: Mapping[str, int] | None = None,
    damaged: bool = False,
    read: Mapping[str, int] | None = None,
    summary: AttributionSummary | None = None,
    targets: Targets | None = None,
    limits: Sequence[Quota] = (),
) -> Report:
    """The report on an engine that holds a run's tables, those of attribution included."""
    facts = gather(
        engine,
        manifest=manifest,
        manifests=manifests,
        rejected=rejected,
        damaged=damaged,
        read=read,
        summary=summary,
        limits={quota.resource: quota for quota in limits},
    )
    checks = checks_of(facts)
    verdict, findings = judge(facts, checks, targets or Targets())
    streamed = "llm.generation" in facts.causes
    return Report(
        run=_run(facts),
        validity=checks,
        turns=_turns(facts),
        attribution=_attribution(facts),
        tail=tail_of(facts.clusters, facts.shapes, streamed=streamed),
        growth=facts.growth,
        verdict=verdict,
        findings=findings,
        ceilings=facts.ceilings.found,
        margin=facts.ceilings.margin,
        llm=_llm(facts),
        memory=facts.ceilings.memory,
        scalability=facts.ceilings.scalability,
        exemplar=exemplar_of(engine, verdict.cause, facts.questions),
        questions=facts.questions,
    )


def _run(facts: Facts) -> RunFacts:
    first, last = facts.turns["first_start_ns"], facts.turns["last_end_ns"]
    if first is None:
        first, last = facts.spans["first_start_ns"], facts.spans["last_end_ns"]
    run_id = facts.manifest.get("run_id")
    return RunFacts(
        id=str(run_id) if run_id else None,
        started=_moment(first),
        ended=_moment(last),
        duration_s=None if first is None or last is None else (last - first) / NS,
        turns=facts.turns["turns"],
        sessions=len(facts.live.names) or None,
        spans=facts.spans["spans"],
        instances=facts.spans["instances"],
        rejected=facts.rejected,
        complete=is_complete(facts),
    )


def _moment(at_ns: int | None) -> str | None:
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns / NS, UTC).isoformat(timespec="milliseconds")


def _turns(facts: Facts) -> TurnFigures:
    row, n = facts.turns, facts.turns["turns"]
    # Whole nanoseconds: as seconds since 1970 a moment is known to a quarter of a microsecond.
    length_ns = (row["last_end_ns"] or 0) - (row["first_start_ns"] or 0)
    return TurnFigures(
        p50_s=row["p50_s"],
        p90_s=row["p90_s"],
        p95_s=row["p95_s"],
        p99_s=row["p99_s"],
        max_s=row["max_s"],
        error_rate=row["errors"] / n if n else None,
        per_second=n * NS / length_ns if length_ns > 0 else None,
        ttfb_p50_s=row["ttfb_p50_s"],
        ttfb_p95_s=row["ttfb_p95_s"],
    )


def _attribution(facts: Facts) -> Attribution:
    groups: dict[str, GroupShare] = {}
    for group in CAUSE_GROUPS:
        members = [name for name, cause in CAUSES.items() if cause.group == group]
        if any(name in facts.causes for name in members):
            groups[group] = GroupShare(
                seconds=sum(facts.seconds(name) for name in members),
                share=sum(facts.share(name) for name in members),
            )
    intervals = shares_of(facts.clusters)
    none = ShareInterval()
    causes = {
        name: CauseShare(
            seconds=facts.seconds(name),
            share=facts.share(name),
            low=facts.causes[name]["low_s"],
            high=facts.causes[name]["high_s"],
            p95_share=facts.causes[name]["p95_share"],
            share_low=intervals.get(name, none).low,
            share_high=intervals.get(name, none).high,
            p95_share_low=intervals.get(name, none).p95_low,
            p95_share_high=intervals.get(name, none).p95_high,
        )
        for name in CAUSES
        if name in facts.causes
    }
    if facts.hidden.cause is not None and FIRST_TOKEN in causes:
        causes |= _within(causes, facts.hidden, facts.hidden.cause)
        causes = {name: causes[name] for name in CAUSES if name in causes}
    return Attribution(seconds=facts.wall_s, groups=groups, causes=causes)


def _within(causes: Mapping[str, CauseShare], hidden: Hidden, cause: str) -> dict[str, CauseShare]:
    """Bounds for retries that hide in the model's time: no second is moved for an estimate."""
    model = causes[FIRST_TOKEN]
    found = causes.get(
        cause, CauseShare(seconds=0.0, share=0.0, low=None, high=None, p95_share=0.0)
    )
    most_s = min(hidden.high_s, model.seconds)
    low_s = model.seconds if model.low is None else model.low
    high_s = model.seconds if model.high is None else model.high
    return {
        FIRST_TOKEN: replace(model, low=max(0.0, low_s - most_s), high=high_s),
        cause: replace(
            found,
            low=found.seconds if found.low is None else found.low,
            high=(found.seconds if found.high is None else found.high) + most_s,
        ),
    }


def _llm(facts: Facts) -> LlmFigures:
    row, n = facts.llm, facts.turns["turns"]
    calls, attempts = row["calls"], row["attempts"]
    if not calls and facts.seconds("llm.first_token"):
        calls = None  # phases say that models were asked, but no call of one was recorded
    # Without attempt spans retries may hide inside calls: unknown, not 0.
    counted = attempts > 0 or calls == 0
    seen = row["attempts_seen"] > 0 or calls == 0
    return LlmFigures(
        calls=calls,
        calls_per_turn=calls / n if n and calls is not None else None,
        attempts=attempts if counted else None,
        retries_hidden=attempts - row["calls_counted"] if counted else None,
        rate_limited=row["rate_limited"] if seen else None,
        backoff_s=row["backoff_s"] if seen else None,
        tokens={
            **{
                name: row[f"{name}_tokens"]
                for name in ("input", "output", "cache_read", "cache_write", "reasoning")
            },
            "calls_without_usage": None if calls is None else row["calls_without_usage"],
        },
        by_model=[
            {**model, "cost_usd": facts.costs.of(model["provider"], model["model"])}
            for model in facts.by_model
        ],
        cost_usd=facts.costs.total_usd,
        prices=_prices(facts),
    )


def _prices(facts: Facts) -> Prices:
    unpriced = [
        Unpriced(
            provider=row["provider"],
            model=row["model"],
            calls=row["calls"],
            reason=facts.costs.unpriced.get(
                (row["provider"], row["model"]), "no call says how many tokens it used"
            ),
        )
        for row in facts.by_model
        if facts.costs.of(row["provider"], row["model"]) is None
    ]
    return Prices(source=price_source(), date=price_date(), unpriced=unpriced)
