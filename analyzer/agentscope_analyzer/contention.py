"""Contention: time that turns lost to something that was used up."""

from __future__ import annotations

from agentscope_analyzer.document import Ceiling, Kind
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.judged import (
    BIND_P95_SHARE,
    BIND_SHARE,
    Judged,
    ceiling_says,
    finding_of,
    label_of,
    share_evidence,
    took,
)
from agentscope_analyzer.measured import WATCH_SHARE
from agentscope_analyzer.signs import Sign, own_signs, signs_of
from agentscope_analyzer.wording import binds, percent, seconds

WATCH_P95_SHARE = 0.10
NEAR_CEILING = 1.5


def judge_contention(cause: str, facts: Facts) -> Judged:
    """Whether the cause binds, is to be watched or is ruled out, and why."""
    share, p95_share = facts.share(cause), facts.p95_share(cause)
    signs = signs_of(cause, facts)
    agreeing = sum(sign.agrees for sign in signs)
    near = _near_ceiling(cause, facts)
    large = share >= BIND_SHARE or p95_share >= BIND_P95_SHARE
    label = label_of(cause, facts)
    kind: Kind
    if large and agreeing:
        kind = "binds"
        statement = _binding_statement(cause, facts, signs)
    elif large:
        kind = "watch"
        statement = f"{label}: {_took_of_which(cause, facts)}; no independent figure confirms it"
    elif share >= WATCH_SHARE or p95_share >= WATCH_P95_SHARE:
        kind = "watch"
        statement = (
            f"{label}: {_took_of_which(cause, facts)}; binds from {percent(BIND_SHARE)}, or "
            f"{percent(BIND_P95_SHARE)} of the slowest"
        )
        if cause == "llm.retry" and facts.billing:
            statement += f"; {signs[0].says}"
    elif near is not None:
        kind = "watch"
        statement = f"{label}: {took(cause, facts)} so far, but {ceiling_says(near)}"
    elif cause == "llm.retry" and facts.billing:
        kind = "watch"  # calls that fail at once take no time, and yet nothing works without them
        statement = f"{label}: {took(cause, facts)}; {signs[0].says}"
    else:
        kind = "ruled_out"
        says = [sign.says for sign in own_signs(cause, facts)[:2]]
        statement = "; ".join(
            [f"{label}: {took(cause, facts)} (watched from {percent(WATCH_SHARE)})", *says]
        )
    evidence = [*share_evidence(cause, facts, BIND_SHARE), *(sign.evidence for sign in signs)]
    return Judged(finding_of(kind, cause, statement, evidence, facts), share, agreeing, large)


def _binding_statement(cause: str, facts: Facts, signs: list[Sign]) -> str:
    says = [sign.says for sign in signs if sign.agrees][:2]
    ceiling = next((c for c in facts.ceilings.found if _cause_of(c) == cause), None)
    limit = ceiling_says(ceiling) if ceiling is not None and ceiling.sessions is not None else None
    if cause == "llm.rate_limit":
        alone_s, p95_s = facts.without_contention["p95_s"], facts.turns["p95_s"]
        says = says[: 1 if limit else 2]  # the limit names the quota
        says.append(f"p95 {seconds(p95_s)} ({seconds(alone_s)} without any contention)")
        limit = f"{limit}, so more pods will not help" if limit else None
    opening = (
        f"{binds(cause, streamed=bool(facts.llm['streamed']))}: {_took_of_which(cause, facts)}"
    )
    return "; ".join([opening, *says, *([limit] if limit else [])])


def _took_of_which(cause: str, facts: Facts) -> str:
    # What is small in all turns is judged by the slowest: then they must be named.
    if facts.share(cause) >= BIND_SHARE or facts.p95_share(cause) < WATCH_P95_SHARE:
        return took(cause, facts)
    return f"{took(cause, facts)}, {percent(facts.p95_share(cause))} of the slowest turns'"


def _near_ceiling(cause: str, facts: Facts) -> Ceiling | None:
    seen = facts.live.most()
    for ceiling in facts.ceilings.found:
        if _cause_of(ceiling) != cause or ceiling.sessions is None:
            continue
        if ceiling.reached or ceiling.sessions <= NEAR_CEILING * seen:
            return ceiling
    return None


def _cause_of(ceiling: Ceiling) -> str:
    if ceiling.resource.startswith("db.pool"):
        return "db.pool"
    return "llm.connection" if ceiling.resource == "llm.connections" else "llm.rate_limit"
