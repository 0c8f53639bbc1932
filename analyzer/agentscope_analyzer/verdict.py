"""From figures to findings: what binds, what to watch, what is ruled out, and why.

Contention (a cause that is not inherent) binds when it takes enough of the turns' time *and* at
least one figure that does not come from that time agrees. Inherent work binds only when users wait
longer than they should even with all contention taken away. The rules in full:

==========  =====================================================================================
binds       contention with ≥ 10 % of turn time or ≥ 20 % of the slowest turns', and a sign agrees;
            or the largest group of inherent causes, ≥ 40 % of turn time, when p50 or p95 without
            any contention is above its target
watch       contention of 3 to 10 %, or above it without a sign; a ceiling within 1.5 × of the
            sessions seen; inherent groups of ≥ 20 % when the target is missed
ruled_out   everything else that was measured
confidence  high with two agreeing signs, medium with one; where nothing binds: high, but medium if
            targets are missed or time is unexplained or hidden; one step down with fewer than 30
            turns, and one for a failed check; withheld where the input cannot be trusted at all
==========  =====================================================================================

Between several that bind the one with the largest share is the verdict. What was not measured is
neither a finding nor ruled out: the validity checks name it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentscope.conventions import CAUSE_GROUPS, CAUSES, UNATTRIBUTED
from agentscope_analyzer.document import (
    Ceiling,
    Check,
    Confidence,
    Evidence,
    Finding,
    Kind,
    Verdict,
)
from agentscope_analyzer.facts import Facts, Targets
from agentscope_analyzer.measured import was_measured
from agentscope_analyzer.signs import Sign, growth_of, own_signs, signs_of
from agentscope_analyzer.validity import MIN_TURNS
from agentscope_analyzer.wording import amount, binds, interval, label, number, percent, seconds

BIND_SHARE = 0.10
BIND_P95_SHARE = 0.20
WATCH_SHARE = 0.03
WATCH_P95_SHARE = 0.10
INHERENT_SHARE = 0.40
INHERENT_WATCH_SHARE = 0.20
INHERENT_NAMED_SHARE = 0.10
"""From here on work is ruled out by what users wait, below it by its size."""
MAX_UNEXPLAINED = 0.50
NEAR_CEILING = 1.5
GROUP_NAMED_SHARE = 0.05
"""A group that takes so much more than its largest cause is named beside it."""
STEADY_RATIO = 1.25
"""An inherent cause that grows by less than this from least to most load does not grow with it."""

_STEPS: tuple[Confidence, ...] = ("low", "medium", "high")
_ORDER: dict[Kind, int] = {"binds": 0, "watch": 1, "ruled_out": 2}


def judge(facts: Facts, checks: Iterable[Check], targets: Targets) -> tuple[Verdict, list[Finding]]:
    """The verdict, and a finding for every cause that was measured: what binds first."""
    checks = list(checks)
    missed = _missed(facts, targets)
    bound_group = _inherent_group(facts, targets)
    found = [
        judged
        for cause in CAUSES
        if (judged := _judged(cause, facts, targets, bound_group)) is not None
    ]
    found.sort(key=lambda one: (_ORDER[one.finding.kind], -one.share))
    findings = [one.finding for one in found]
    withheld = _withheld(facts, checks)
    if withheld is not None:
        return withheld, findings
    binding = [one for one in found if one.finding.kind == "binds"]
    if binding:
        return _bound(binding, facts, checks), findings
    return _unbound(facts, checks, targets, missed), findings


@dataclass(frozen=True)
class _Judged:
    finding: Finding
    share: float
    agreeing: int
    """Signs, beside the share, that agree."""


def _judged(cause: str, facts: Facts, targets: Targets, bound_group: str | None) -> _Judged | None:
    if cause == UNATTRIBUTED or was_measured(cause, facts) is not None or not facts.wall_s:
        return None
    if CAUSES[cause].inherent:
        return _inherent(cause, facts, targets, bound_group)
    return _contention(cause, facts)


# --- contention -----------------------------------------------------------------------------


def _contention(cause: str, facts: Facts) -> _Judged:
    share, p95_share = facts.share(cause), facts.p95_share(cause)
    signs = signs_of(cause, facts)
    agreeing = sum(sign.agrees for sign in signs)
    near = _near_ceiling(cause, facts)
    large = share >= BIND_SHARE or p95_share >= BIND_P95_SHARE
    kind: Kind
    if large and agreeing:
        kind = "binds"
        statement = _binding_statement(cause, facts, signs)
    elif large or share >= WATCH_SHARE or p95_share >= WATCH_P95_SHARE:
        kind = "watch"
        statement = f"{_label(cause, facts)}: {_took(cause, facts)}" + (
            "; no independent figure confirms it"
            if large
            else f"; binds from {percent(BIND_SHARE)}"
        )
    elif near is not None:
        kind = "watch"
        statement = (
            f"{_label(cause, facts)}: {_took(cause, facts)} so far, but {_ceiling_says(near)}"
        )
    else:
        kind = "ruled_out"
        says = [sign.says for sign in own_signs(cause, facts)[:2]]
        took = f"{_took(cause, facts)} (watched from {percent(WATCH_SHARE)})"
        statement = "; ".join([f"{_label(cause, facts)}: {took}", *says])
    evidence = [*_share_evidence(cause, facts, BIND_SHARE), *(sign.evidence for sign in signs)]
    return _Judged(_finding(kind, cause, statement, evidence, facts), share, agreeing)


def _binding_statement(cause: str, facts: Facts, signs: list[Sign]) -> str:
    says = [sign.says for sign in signs if sign.agrees][:2]
    statement = f"{binds(cause, streamed=bool(facts.llm['streamed']))}: {_took(cause, facts)}; {'; '.join(says)}"
    ceiling = next((c for c in facts.ceilings.found if _cause_of(c) == cause), None)
    if ceiling is not None and ceiling.sessions is not None:
        statement += f"; {_ceiling_says(ceiling)}"
        if cause == "llm.rate_limit":
            statement += ", so more pods will not help"
    return statement


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


def _ceiling_says(ceiling: Ceiling) -> str:
    within = interval(ceiling.low, ceiling.high)
    sessions = amount(int(ceiling.sessions or 0), "live session")
    return (
        f"{number(ceiling.limit)} {ceiling.unit} are used up at {sessions}"
        f"{' ' + within if within else ''}"
    )


# --- inherent work --------------------------------------------------------------------------


def _missed(facts: Facts, targets: Targets) -> str | None:
    return _over(facts.turns["p50_s"], facts.turns["p95_s"], targets)


def _over(p50_s: float | None, p95_s: float | None, targets: Targets) -> str | None:
    """In words which target is missed, the p95 first; None where both are met."""
    if p95_s is not None and p95_s > targets.p95_s:
        return f"p95 {seconds(p95_s)} against a target of {seconds(targets.p95_s)}"
    if p50_s is not None and p50_s > targets.p50_s:
        return f"p50 {seconds(p50_s)} against a target of {seconds(targets.p50_s)}"
    return None


def _too_long(facts: Facts, targets: Targets) -> str:
    """The missed target, and what would be left of it without contention."""
    name, target_s = ("p95_s", targets.p95_s)
    if facts.without_contention["p95_s"] <= targets.p95_s:
        name, target_s = ("p50_s", targets.p50_s)
    took_s, alone_s = facts.turns[name], facts.without_contention[name]
    alone = f", {seconds(alone_s)} without any contention" if alone_s < 0.98 * took_s else ""
    told = f"{name.removesuffix('_s')} {seconds(took_s)}{alone}"
    return f"{told}, against a target of {seconds(target_s)}"


def _inherent_group(facts: Facts, targets: Targets) -> str | None:
    """The group that binds by its own work: the largest, when targets fail without contention."""
    alone = facts.without_contention
    if _over(alone["p50_s"], alone["p95_s"], targets) is None:
        return None
    group = max(CAUSE_GROUPS, key=lambda name: _group_share(name, facts))
    if group == UNATTRIBUTED or _group_share(group, facts) < INHERENT_SHARE:
        return None
    return group


def _group_share(group: str, facts: Facts) -> float:
    return sum(
        facts.share(name)
        for name, cause in CAUSES.items()
        if cause.group == group and cause.inherent
    )


def _inherent(cause: str, facts: Facts, targets: Targets, bound_group: str | None) -> _Judged:
    share, group = facts.share(cause), CAUSES[cause].group
    alone = facts.without_contention
    missed = _over(alone["p50_s"], alone["p95_s"], targets)
    evidence = [
        *_share_evidence(cause, facts, INHERENT_SHARE),
        Evidence(
            name="p95 of turns without any contention",
            value=alone["p95_s"],
            unit="s",
            limit=targets.p95_s,
            question="turns/without_contention",
        ),
    ]
    load = _load_says(cause, facts)
    if load is not None:
        evidence.append(load.evidence)
    evidence += [sign.evidence for sign in signs_of(cause, facts) if sign.evidence not in evidence]
    members = [name for name, one in CAUSES.items() if one.group == group and one.inherent]
    leads = max(members, key=facts.share) == cause
    took = _took(cause, facts)
    kind: Kind
    if group == bound_group and leads:
        kind = "binds"
        says = load.says if load is not None else "load did not vary enough to see if it grows"
        whole = _group_share(group, facts)
        if whole >= share + GROUP_NAMED_SHARE:
            took += f" ({percent(whole)} with the rest of {group})"
        statement = f"{binds(cause, streamed=bool(facts.llm['streamed']))}: {took}; {_too_long(facts, targets)}; {says}"
    elif missed and (group == bound_group or _group_share(group, facts) >= INHERENT_WATCH_SHARE):
        kind = "watch"
        statement = f"{_label(cause, facts)}: {took}, work that is there at any load; {missed}"
    else:
        kind = "ruled_out"
        statement = f"{_label(cause, facts)}: {took}"
        if share >= INHERENT_NAMED_SHARE and missed is None:
            statement += (
                f"; p95 without contention is {seconds(alone['p95_s'])}, within the "
                f"{seconds(targets.p95_s)} target"
            )
        else:
            statement += f"; inherent work binds from {percent(INHERENT_SHARE)}"
    if kind == "ruled_out":
        statement = "; ".join([statement, *(s.says for s in own_signs(cause, facts)[:1])])
    agreeing = 1 + bool(load is not None and load.agrees)
    return _Judged(_finding(kind, cause, statement, evidence, facts), share, agreeing)


def _load_says(cause: str, facts: Facts) -> Sign | None:
    """Whether inherent work takes as long under much load as under little."""
    ends = growth_of(cause, facts)
    if ends is None:
        return None
    least, most = ends
    steady = most["wall_s_per_turn"] < STEADY_RATIO * least["wall_s_per_turn"]
    spread = f"{number(least['in_flight'])} or {number(most['in_flight'])} turns in flight"
    told = f"{seconds(least['wall_s_per_turn'])} and {seconds(most['wall_s_per_turn'])} a turn"
    evidence = Evidence(
        name="seconds a turn under most load, against least",
        value=most["wall_s_per_turn"],
        unit="s",
        limit=least["wall_s_per_turn"],
        question="turns/by_load",
    )
    says = (
        f"no load effect ({told} with {spread})"
        if steady
        else f"it grows with load ({told} with {spread})"
    )
    return Sign(evidence, steady, says)


# --- the sentence on top --------------------------------------------------------------------


def _bound(binding: list[_Judged], facts: Facts, checks: list[Check]) -> Verdict:
    first = max(binding, key=lambda one: one.share)
    cause = first.finding.cause
    statement = first.finding.statement
    others = [one for one in binding if one is not first]
    if others:
        also = ", ".join(f"{one.finding.cause} {percent(one.share)}" for one in others)
        statement += f"; also binding: {also}"
    return Verdict(
        group=CAUSES[cause].group,
        cause=cause,
        share=first.share,
        statement=statement,
        confidence=_confidence(min(2, first.agreeing), facts, checks),
    )


def _unbound(facts: Facts, checks: list[Check], targets: Targets, missed: str | None) -> Verdict:
    causes = [name for name in CAUSES if facts.share(name) > 0]
    largest = sorted(causes, key=facts.share, reverse=True)[:3]
    unexplained = facts.share(UNATTRIBUTED)
    if missed is None:
        first = largest[0]
        kind = "inherent" if CAUSES[first].inherent else "contention"
        kind = "not explained" if first == UNATTRIBUTED else kind
        statement = (
            f"nothing binds at this load: p95 {seconds(facts.turns['p95_s'])} is within the "
            f"{seconds(targets.p95_s)} target; the largest share is {first}, "
            f"{percent(facts.share(first))}, {kind}"
        )
    elif unexplained >= MAX_UNEXPLAINED:
        statement = (
            f"what binds was not recorded: {missed}, and {percent(unexplained)} of turn time has no "
            "recorded explanation"
        )
    else:
        shares = ", ".join(f"{name} {percent(facts.share(name))}" for name in largest)
        statement = f"no single cause binds, yet {missed}: {shares}"
    sight = next((c for c in facts.ceilings.found if c.sessions is not None), None)
    if sight is not None:
        statement += f"; {_sight(sight, facts.live.most())}"
    # Time of a cause that nobody measured would be missing an explanation, or sit in a call whose
    # attempts were not recorded; where there is little of either, nothing can hide.
    hidden = unexplained >= WATCH_SHARE or any(check.check == "attempts" for check in checks)
    step = 1 if hidden or missed is not None else 2
    return Verdict(
        group=None,
        cause=None,
        share=None,
        statement=statement,
        confidence=_confidence(step, facts, checks),
    )


def _sight(ceiling: Ceiling, seen: int) -> str:
    """How far away the first limit is, in sessions."""
    within = interval(ceiling.low, ceiling.high)
    at = f"{amount(int(ceiling.sessions or 0), 'live session')}{' ' + within if within else ''}"
    if (ceiling.sessions or 0) >= seen:
        return f"first limit in sight: {ceiling.resource} at {at} (seen: {seen})"
    return f"{ceiling.resource} should be used up at {at}, yet {seen} were seen without it binding"


def _withheld(facts: Facts, checks: list[Check]) -> Verdict | None:
    if not facts.turns["turns"]:
        why = "no turn was found in this run"
    elif facts.damaged:
        why = "more than 1 % of the input could not be read"
    elif any(check.check == "sums" and check.status == "fail" for check in checks):
        why = "the causes do not add up to the turns' durations"
    else:
        return None
    return Verdict(
        group=None,
        cause=None,
        share=None,
        statement=f"verdict withheld: {why}",
        confidence="withheld",
    )


def _confidence(step: int, facts: Facts, checks: list[Check]) -> Confidence:
    step -= facts.turns["turns"] < MIN_TURNS
    step -= any(check.status == "fail" for check in checks)
    return _STEPS[max(0, step)]


# --- parts of a finding ---------------------------------------------------------------------


def _finding(
    kind: Kind, cause: str, statement: str, evidence: list[Evidence], facts: Facts
) -> Finding:
    traces = facts.exemplars.get(cause, []) if kind != "ruled_out" else []
    return Finding(kind=kind, cause=cause, statement=statement, evidence=evidence, traces=traces)


def _label(cause: str, facts: Facts) -> str:
    return label(cause, streamed=bool(facts.llm["streamed"]))


def _took(cause: str, facts: Facts) -> str:
    return f"{percent(facts.share(cause))} of turn time"


def _share_evidence(cause: str, facts: Facts, limit: float) -> list[Evidence]:
    return [
        Evidence(
            name="share of the wall time of all turns",
            value=facts.share(cause),
            unit="share",
            limit=limit,
            question="turns/causes",
        ),
        Evidence(
            name="share of the time of the slowest turns",
            value=facts.p95_share(cause),
            unit="share",
            limit=BIND_P95_SHARE if not CAUSES[cause].inherent else None,
            question="turns/causes",
        ),
    ]
