"""A run in, the one report object out: open, attribute, measure, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentscope.conventions import CAUSE_GROUPS, CAUSES, Wait
from agentscope_analyzer.attribution import AttributionSummary, attribute
from agentscope_analyzer.ceilings.quotas import Quota
from agentscope_analyzer.document import (
    Attribution,
    CauseShare,
    GroupShare,
    LlmFigures,
    MemoryFigures,
    Report,
    RunFacts,
    TurnFigures,
)
from agentscope_analyzer.facts import NS, Facts, Targets, gather
from agentscope_analyzer.ingest import open_run
from agentscope_analyzer.sql import Queryable
from agentscope_analyzer.validity import checks_of, is_complete
from agentscope_analyzer.verdict import judge

__all__ = ["Report", "Targets", "analyze_run", "report_of"]


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
    return Report(
        run=_run(facts),
        validity=checks,
        turns=_turns(facts),
        attribution=_attribution(facts),
        verdict=verdict,
        findings=findings,
        ceilings=facts.ceilings.found,
        llm=_llm(facts),
        memory=MemoryFigures(),
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
    length_s = facts.whole.duration_s
    return TurnFigures(
        p50_s=row["p50_s"],
        p90_s=row["p90_s"],
        p95_s=row["p95_s"],
        p99_s=row["p99_s"],
        max_s=row["max_s"],
        error_rate=row["errors"] / n if n else None,
        per_second=n / length_s if length_s > 0 else None,
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
    causes = {
        name: CauseShare(
            seconds=facts.seconds(name),
            share=facts.share(name),
            low=facts.causes[name]["low_s"],
            high=facts.causes[name]["high_s"],
            p95_share=facts.causes[name]["p95_share"],
        )
        for name in CAUSES
        if name in facts.causes
    }
    return Attribution(seconds=facts.wall_s, groups=groups, causes=causes)


def _llm(facts: Facts) -> LlmFigures:
    row, n = facts.llm, facts.turns["turns"]
    calls, attempts = row["calls"], row["attempts"]
    if not calls and facts.seconds("llm.first_token"):
        calls = None  # phases say that models were asked, but no call of one was recorded
    # Without attempt spans retries may hide inside calls: unknown, not 0.
    seen = attempts > 0 or calls == 0
    return LlmFigures(
        calls=calls,
        calls_per_turn=calls / n if n and calls is not None else None,
        attempts=attempts if seen else None,
        retries_hidden=attempts - row["calls_with_attempts"] if seen else None,
        rate_limited=row["rate_limited"] if seen else None,
        backoff_s=sum(
            (wait["wall_s"] for wait in facts.waits_of(Wait.RATE_LIMIT, Wait.RETRY_BACKOFF)), 0.0
        )
        if seen
        else None,
        tokens={"input": row["input_tokens"], "output": row["output_tokens"]},
        by_model=facts.by_model,
        cost_usd=None,
    )
