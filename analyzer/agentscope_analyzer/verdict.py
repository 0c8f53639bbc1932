"""From figures to findings: what binds, what to watch, what is ruled out, and why.

Contention (a cause that is not inherent) binds when it takes enough of the turns' time *and* at
least one figure that does not come from that time agrees. Inherent work binds only when users wait
longer than they should even with all contention taken away. The rules in full:

==========  =====================================================================================
binds       contention with ≥ 10 % of turn time or ≥ 20 % of the slowest turns' (and 10 ms of a
            turn or 50 ms of a slow one), or of what users wait before their turns ≥ 10 % of all
            their waiting, and a sign agrees; or work at
            something used up: ≥ 40 % of turn time, and it grows with load; or the largest group of
            inherent causes, ≥ 40 % of turn time, when p50 or p95 without any contention is above
            its target
watch       contention of 3 to 10 %, or above it without a sign; a ceiling within 1.5 × of the
            sessions seen; connections held while a model answers; inherent groups of ≥ 20 % when
            the target is missed
ruled_out   everything else that was measured
confidence  high with two agreeing signs, medium with one, low for a model whose HTTP attempts are
            not known; where nothing binds: high, but medium if targets are missed, time is
            unexplained or hidden, contention is not confirmed, one process does worse than the
            others, turns never ended or 5 % of them failed, and low if half of them did, whatever
            binds; one step down with fewer than 30 turns, for each check that failed, and
            where 5 % of turns never ended; low with fewer than 10 turns; withheld where the input
            cannot be trusted at all
==========  =====================================================================================

What checks of the run itself do to the verdict, beside the step down for each that failed:

====================  ========  =====================================================================
sums                  fail      withheld: something is counted twice or not at all
moments               fail      withheld: times in another unit make every duration another one
spans_lost            fail      withheld from half of the turns on: what is missing may be what binds
ramp                  fail      said in the statement: fewer users than were meant
generator_late        fail      said in the statement: less load than was meant
steady                warn      said in the statement: figures are bounds, not levels
together              warn      said in the statement: figures mix two loads
spans_lost, clocks    fail      said in the statement
processes             warn      said in the statement: one process does worse than its like
failed, open_turns    warn      said in the statement: turns that failed, or that never ended
think_time            warn      the first limit in sight is said to be a lower bound
any other             warn      nothing: its detail says which figures it touches
====================  ========  =====================================================================

Between several that bind the one with the largest share is the verdict. What was not measured is
neither a finding nor ruled out: the validity checks name it.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentscope.conventions import CAUSES, UNATTRIBUTED
from agentscope_analyzer.contention import is_used_up, judge_contention
from agentscope_analyzer.document import (
    Ceiling,
    Check,
    Confidence,
    Finding,
    Kind,
    Status,
    Verdict,
)
from agentscope_analyzer.facts import Facts, Targets
from agentscope_analyzer.inherent import Inherent, missed_target
from agentscope_analyzer.judged import (
    BIND_SHARE,
    Judged,
    ceiling_says,
    finding_of,
    is_long,
    label_of,
    sessions_of,
)
from agentscope_analyzer.measured import WATCH_SHARE, was_measured
from agentscope_analyzer.validity import (
    FAILED_SHARE,
    MIN_TURNS,
    MOST_FAILED_SHARE,
    UNFINISHED_SHARE,
    apart_says,
    hung_says,
)
from agentscope_analyzer.wording import percent, seconds

FEW_TURNS = 10
MAX_UNEXPLAINED = 0.50
MOST_LOST = 0.5
"""Share of the turns that left no span: of the rest nothing can be told of the whole."""

_DOUBTS: dict[tuple[str, Status], str] = {
    ("spans_lost", "fail"): "many of its turns left no span",
    ("ramp", "fail"): "its ramp never ended",
    ("generator_late", "fail"): "its load generator could not keep up",
    ("clocks", "fail"): "a clock was set while it lasted",
    ("together", "warn"): "it looks like two runs in one directory",
    ("steady", "warn"): "it was still moving as it ended",
}
"""What a check says of the run, in a verdict's words."""

_STEPS: tuple[Confidence, ...] = ("low", "medium", "high")
_ORDER: dict[Kind, int] = {"binds": 0, "watch": 1, "ruled_out": 2}


def judge(facts: Facts, checks: Iterable[Check], targets: Targets) -> tuple[Verdict, list[Finding]]:
    """The verdict, and a finding for every cause that was measured: what binds first."""
    checks = list(checks)
    inherent = Inherent.of(facts, targets)
    found = [
        inherent.judge(cause)
        if CAUSES[cause].inherent and not is_used_up(cause, facts)
        else judge_contention(cause, facts)
        for cause in CAUSES
        if cause != UNATTRIBUTED and facts.wall_s and was_measured(cause, facts) is None
    ]
    hidden = _hidden(found, facts)
    found += [hidden] if hidden is not None else []
    found.sort(key=lambda one: (_ORDER[one.finding.kind], -one.weight))
    return _verdict(found, facts, checks, targets), [one.finding for one in found]


def _hidden(found: list[Judged], facts: Facts) -> Judged | None:
    """Retries that were estimated are watched, never a verdict: see ``hidden``."""
    hidden = facts.hidden
    if hidden.cause is None or any(one.finding.cause == hidden.cause for one in found):
        return None
    if not facts.wall_s or hidden.high_s < WATCH_SHARE * facts.wall_s:
        return None
    statement = f"{label_of(hidden.cause, facts)}: {hidden.statement(facts.wall_s)}"
    finding = finding_of("watch", hidden.cause, statement, list(hidden.evidence), facts)
    return Judged(finding, facts.share(hidden.cause), 0)


def _verdict(found: list[Judged], facts: Facts, checks: list[Check], targets: Targets) -> Verdict:
    withheld = _withheld(facts, checks)
    if withheld is not None:
        return withheld
    binding = [one for one in found if one.finding.kind == "binds"]
    if binding:
        return _bound(binding, facts, checks)
    return _unbound(found, facts, checks, missed_target(facts, targets), targets)


def _bound(binding: list[Judged], facts: Facts, checks: list[Check]) -> Verdict:
    first = max(binding, key=lambda one: one.weight)
    cause = first.finding.cause
    statement = first.finding.statement
    others = [one for one in binding if one is not first]
    if others:
        also = ", ".join(f"{one.finding.cause} {percent(one.share)}" for one in others)
        statement += f"; also binding: {also}"
    statement += _amiss(facts)
    statement += _doubted(checks)
    # Turns that failed stopped early or gave up late: their times show what they waited for at most.
    step = 0 if facts.failed_share >= MOST_FAILED_SHARE else min(2, first.agreeing)
    return Verdict(
        group=CAUSES[cause].group,
        cause=cause,
        share=first.share,
        statement=statement,
        confidence=_confidence(step, facts, checks),
    )


def _amiss(facts: Facts) -> str:
    """What no share of turn time tells: turns that failed or never ended, one process that is sick."""
    told = []
    if facts.failed_share >= FAILED_SHARE:
        told.append(f"but {percent(facts.failed_share)} of {facts.failed_of} failed")
    if facts.hung is not None:
        told.append(hung_says(facts.hung))
    if facts.audit.apart is not None:
        told.append(apart_says(facts.audit.apart))
    return "".join(f"; {one}" for one in told)


def _unbound(
    found: list[Judged], facts: Facts, checks: list[Check], missed: str | None, targets: Targets
) -> Verdict:
    causes = [name for name in CAUSES if facts.share(name) > 0]
    largest = sorted(causes, key=facts.share, reverse=True)[:3]
    unexplained = facts.share(UNATTRIBUTED)
    failed = facts.failed_share
    if failed >= MOST_FAILED_SHARE:
        statement = (
            f"{percent(failed)} of {facts.failed_of} failed, so their times say little about what binds; find "
            "out first why they fail"
        )
    elif facts.hung is not None:
        statement = f"{hung_says(facts.hung)}: a deadlock, or a call without a time-out"
    elif missed is None:
        first = largest[0]
        kind = "inherent" if CAUSES[first].inherent else "contention"
        kind = "not explained" if first == UNATTRIBUTED else kind
        opening = "nothing" if unexplained < MAX_UNEXPLAINED else "nothing that was recorded"
        statement = (
            f"{opening} binds at this load: p95 {seconds(facts.turns['p95_s'])} is within the "
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
    unconfirmed = [one.finding.cause for one in found if one.large]
    if unconfirmed:
        statement += f"; not confirmed by a second figure: {', '.join(unconfirmed)}"
    outside = facts.before.unexplained_share
    if outside >= BIND_SHARE:
        statement += f"; {facts.before.says}"
    if facts.billing:
        statement += f"; billing, not rate: {facts.billing[0]['billing_code']}"
    if FAILED_SHARE <= failed < MOST_FAILED_SHARE:
        statement += f"; but {percent(failed)} of {facts.failed_of} failed"
    if facts.audit.apart is not None:
        statement += f"; {apart_says(facts.audit.apart)}"
    sight = next((c for c in facts.ceilings.found if c.sessions is not None), None)
    if sight is not None:
        statement += f"; {_sight(sight, facts.live.most())}"
        if any(check.check == "think_time" and check.status != "ok" for check in checks):
            statement += ", a lower bound, for users hardly think"
    statement += _doubted(checks)
    # Time of a cause that nobody measured would be missing an explanation, or sit in a call whose
    # attempts were not recorded; where there is little of either, nothing can hide.
    hidden = unexplained >= WATCH_SHARE or any(check.check == "attempts" for check in checks)
    doubt = hidden or missed is not None or bool(unconfirmed) or failed >= FAILED_SHARE
    doubt = (
        doubt or outside >= BIND_SHARE or facts.hung is not None or facts.audit.apart is not None
    )
    step = 0 if failed >= MOST_FAILED_SHARE else 1 if doubt else 2
    return Verdict(
        group=None,
        cause=None,
        share=None,
        statement=statement,
        confidence=_confidence(step, facts, checks),
    )


def _doubted(checks: list[Check]) -> str:
    """What is wrong with the run, where that changes what the verdict means."""
    told = [
        words
        for (name, status), words in _DOUBTS.items()
        if any(check.check == name and check.status == status for check in checks)
    ]
    return f"; mind of this run: {' and '.join(told)}" if told else ""


def _sight(ceiling: Ceiling, seen: int) -> str:
    """How far away the first limit is, in sessions."""
    at = sessions_of(ceiling)
    if ceiling.reached and ceiling.resource.startswith("llm."):
        return f"one limit is reached already, at little cost so far: {ceiling_says(ceiling)}"
    if is_long(ceiling):
        return f"first limit in sight: {ceiling_says(ceiling)}"
    if (ceiling.sessions or 0) >= seen:
        return f"first limit in sight: {ceiling.resource} at {at} (seen: {seen})"
    return f"{ceiling.resource} should be used up at {at}, yet {seen} were seen without it binding"


def _withheld(facts: Facts, checks: list[Check]) -> Verdict | None:
    if facts.damaged:
        why = "more than 1 % of the input could not be read"
    elif not facts.turns["turns"]:
        why = "no turn was found in this run"
    elif not facts.wall_s:
        why = "all turns are empty: they end when they start"
    elif any(check.check == "moments" for check in checks):
        why = "its times are no moments of our days"
    elif any(check.check == "sums" and check.status == "fail" for check in checks):
        why = "the causes do not add up to the turns' durations"
    elif any(
        check.check == "spans_lost"
        and isinstance(check.value, float)
        and check.value >= MOST_LOST
        and check.status == "fail"
        for check in checks
    ):
        why = "at least half of its turns left no span, or of those in flight at any moment"
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
    turns = facts.turns["turns"]
    if turns < FEW_TURNS:
        return "low"
    step -= turns < MIN_TURNS
    step -= len({check.check for check in checks if check.status == "fail"})
    step -= facts.unfinished >= UNFINISHED_SHARE * turns
    return _STEPS[max(0, step)]
