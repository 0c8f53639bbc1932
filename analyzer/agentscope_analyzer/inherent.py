"""Inherent work: time that is there at any load, and binds only where users wait too long for it."""

from __future__ import annotations

from dataclasses import dataclass

from agentscope.conventions import CAUSE_GROUPS, CAUSES, UNATTRIBUTED
from agentscope_analyzer.audit import Pile
from agentscope_analyzer.document import Evidence, Kind
from agentscope_analyzer.facts import Facts, Targets
from agentscope_analyzer.judged import (
    BIND_SHARE,
    Judged,
    finding_of,
    label_of,
    share_evidence,
    took,
)
from agentscope_analyzer.measured import attempts_hidden
from agentscope_analyzer.signs import Sign, growth_of, own_signs
from agentscope_analyzer.signs.growth import MIN_TURNS
from agentscope_analyzer.wording import amount, binds, number, percent, seconds

INHERENT_SHARE = 0.40
INHERENT_WATCH_SHARE = 0.20
INHERENT_LEAD_SHARE = 0.50
"""Work that takes so much is watched though users do not wait too long yet; models always do."""
INHERENT_NAMED_SHARE = 0.10
"""From here on work is ruled out by what users wait, below it by its size."""
GROUP_NAMED_SHARE = 0.05
"""A group that takes so much more than its largest cause is named beside it."""
STEADY_RATIO = 1.25
"""An inherent cause that grows by less than this from least to most load does not grow with it."""


MOST_CUT_SHARE = 0.5
"""Of the calls: where a time-out ends so many, how long they take is the time-out's figure."""
MANY_CALLS = 5.0
"""Calls of models in a turn: with so many of them it is not one slow answer that makes a turn long."""
_SORTS = {"llm": "call", "database": "query", "upstream": "http"}


@dataclass(frozen=True)
class Inherent:
    """What inherent causes are judged by; ``group`` is the one that binds, if one does."""

    facts: Facts
    targets: Targets
    group: str | None

    @classmethod
    def of(cls, facts: Facts, targets: Targets) -> Inherent:
        """The largest group binds when targets fail although nothing was used up."""
        group = max(CAUSE_GROUPS, key=lambda name: group_share(name, facts))
        large = group != UNATTRIBUTED and group_share(group, facts) >= INHERENT_SHARE
        return cls(facts, targets, group if large and _missed_alone(facts, targets) else None)

    def judge(self, cause: str) -> Judged:
        """Whether the cause binds, is to be watched or is ruled out, and why."""
        facts, group = self.facts, CAUSES[cause].group
        missed = _missed_alone(facts, self.targets)
        members = [name for name, one in CAUSES.items() if one.group == group and one.inherent]
        bound = group == self.group
        leads = bound and max(members, key=facts.share) == cause
        load = _load_says(members if leads else [cause], facts)
        kind: Kind
        if leads:
            kind = "binds"
            statement = self._binding_statement(cause, load)
        elif missed and bound and facts.share(cause) >= BIND_SHARE:
            kind = "watch"
            statement = f"{label_of(cause, facts)}: {took(cause, facts)}, part of the verdict"
        elif missed and not bound and group_share(group, facts) >= INHERENT_WATCH_SHARE:
            kind = "watch"
            statement = (
                f"{label_of(cause, facts)}: {took(cause, facts)}, work that is there at any load; "
                f"{missed}"
            )
        elif missed is None and group != "llm" and facts.share(cause) >= INHERENT_LEAD_SHARE:
            kind = "watch"
            statement = (
                f"{label_of(cause, facts)}: {took(cause, facts)}, more than all else together; "
                "no target is missed"
            )
            statement = "; ".join([statement, *_names(cause, facts)])
        else:
            kind = "ruled_out"
            statement = self._ruled_out_statement(cause, missed)
        agreeing = 1 + bool(load is not None and load.agrees)
        if group == "llm" and attempts_hidden(facts):
            agreeing = 0  # retries and back-off would look the same
        finding = finding_of(kind, cause, statement, self._evidence(cause, load), facts)
        return Judged(finding, facts.share(cause), agreeing)

    def _binding_statement(self, cause: str, load: Sign | None) -> str:
        facts, group = self.facts, CAUSES[cause].group
        if group == "llm":
            opening = f"the model itself binds: {_answer_time(facts)}"
        else:
            opening = f"{binds(cause)}: {took(cause, facts)}"
            whole = group_share(group, facts)
            if whole >= facts.share(cause) + GROUP_NAMED_SHARE:
                opening += f" ({percent(whole)} with the rest of {group})"
        says = load.says if load is not None else _unseen(facts)
        limits = _limits(group, facts)
        if limits and limits[0].share >= MOST_CUT_SHARE:
            says = "what a time-out ends cannot show whether it grows with load"
        cut = [_limit_says(pile) for pile in limits[:1]]
        parts = [opening, *_names(cause, facts), *cut, _too_long(facts, self.targets), says]
        if group == "llm" and (hidden := attempts_hidden(facts)):
            parts.append(f"{hidden}, so retries and back-off may hide in it")
        return "; ".join(parts)

    def _ruled_out_statement(self, cause: str, missed: str | None) -> str:
        facts, p95_s = self.facts, self.facts.without_contention["p95_s"]
        statement = f"{label_of(cause, facts)}: {took(cause, facts)}"
        if facts.share(cause) >= INHERENT_NAMED_SHARE and missed is None:
            statement += (
                f"; p95 without contention is {seconds(p95_s)}, within the "
                f"{seconds(self.targets.p95_s)} target"
            )
        else:
            statement += f"; inherent work binds from {percent(INHERENT_SHARE)}"
        return "; ".join([statement, *(sign.says for sign in own_signs(cause, facts)[:1])])

    def _evidence(self, cause: str, load: Sign | None) -> list[Evidence]:
        facts = self.facts
        evidence = [
            *share_evidence(cause, facts, INHERENT_SHARE),
            Evidence(
                name="p95 of turns without any contention",
                value=facts.without_contention["p95_s"],
                unit="s",
                limit=self.targets.p95_s,
                question="turns/without_contention",
            ),
        ]
        if load is not None:
            evidence.append(load.evidence)
        return evidence + [sign.evidence for sign in own_signs(cause, facts)]


def _names(cause: str, facts: Facts) -> list[str]:
    """Which statement, tool or service it is, mostly."""
    named = cause in ("db.query", "tool.execution", "http.upstream")
    return [sign.says for sign in own_signs(cause, facts)[:1]] if named else []


def _limits(group: str, facts: Facts) -> list[Pile]:
    """Durations of this work that repeat as those of a time-out do, most of them first."""
    found = [pile for pile in facts.audit.piles if pile.sort == _SORTS.get(group)]
    return sorted(found, key=lambda pile: -pile.n)


def _limit_says(pile: Pile) -> str:
    noun = {"call": "model call", "http": "HTTP call", "query": "query"}[pile.sort]
    return f"{number(pile.n)} of {amount(pile.of, noun)} end after {seconds(pile.least_s)}, as at a time-out"


def missed_target(facts: Facts, targets: Targets) -> str | None:
    """In words which target the turns miss, the p95 first; None where both are met."""
    return _over(facts.turns["p50_s"], facts.turns["p95_s"], targets)


def group_share(group: str, facts: Facts) -> float:
    """The share of turn time of a group's inherent causes."""
    return sum(
        facts.share(name)
        for name, cause in CAUSES.items()
        if cause.group == group and cause.inherent
    )


def _missed_alone(facts: Facts, targets: Targets) -> str | None:
    alone = facts.without_contention
    return _over(alone["p50_s"], alone["p95_s"], targets)


def _over(p50_s: float | None, p95_s: float | None, targets: Targets) -> str | None:
    if p95_s is not None and p95_s > targets.p95_s:
        return f"p95 {seconds(p95_s)} against a target of {seconds(targets.p95_s)}"
    if p50_s is not None and p50_s > targets.p50_s:
        return f"p50 {seconds(p50_s)} against a target of {seconds(targets.p50_s)}"
    return None


def _answer_time(facts: Facts) -> str:
    """The group's share, and its two parts where some of the calls were streamed."""
    whole = f"{percent(group_share('llm', facts))} of turn time is its own answer time"
    streamed, calls = facts.llm["streamed"] or 0, facts.llm["calls"] or 0
    if calls >= MANY_CALLS * facts.turns["turns"]:
        whole += f", in {number(calls / facts.turns['turns'])} calls a turn"
    first, generating = facts.share("llm.first_token"), facts.share("llm.generation")
    if not generating:
        return f"{whole}, none of it known as streamed" if calls and not streamed else whole
    included = ", unstreamed answers included" if streamed < calls else ""
    return (
        f"{whole} ({percent(first)} before the first token{included}; "
        f"{percent(generating)} generating)"
    )


def _too_long(facts: Facts, targets: Targets) -> str:
    """The missed target, and what would be left of it without contention."""
    name, target_s = ("p95_s", targets.p95_s)
    if facts.without_contention["p95_s"] <= targets.p95_s:
        name, target_s = ("p50_s", targets.p50_s)
    took_s, alone_s = facts.turns[name], facts.without_contention[name]
    alone = f" ({seconds(alone_s)} without any contention)" if alone_s < 0.98 * took_s else ""
    return f"{name.removesuffix('_s')} {seconds(took_s)}{alone} against a target of {seconds(target_s)}"


def _unseen(facts: Facts) -> str:
    if facts.turns["turns"] < 3 * MIN_TURNS:
        return "too few turns to see if it grows with load"
    return "load did not vary enough to see if it grows"


def _load_says(causes: list[str], facts: Facts) -> Sign | None:
    """Whether inherent work takes as long under much load as under little."""
    ends = [found for cause in causes if (found := growth_of(cause, facts)) is not None]
    if not ends:
        return None
    least, most = ends[0]
    least_s = sum(low["wall_s_per_turn"] for low, _ in ends)
    most_s = sum(high["wall_s_per_turn"] for _, high in ends)
    steady = most_s < STEADY_RATIO * least_s
    spread = f"{number(least['in_flight'])} or {number(most['in_flight'])} turns in flight"
    told = f"{seconds(least_s)} and {seconds(most_s)} a turn with {spread}"
    evidence = Evidence(
        name="seconds a turn under most load, against least",
        value=most_s,
        unit="s",
        limit=least_s,
        question="turns/by_load",
    )
    proved = any(one.kind == "grows" and one.cause in causes for one in facts.growth.causes)
    steadily = "it hardly grows with load" if proved else "no load effect"
    return Sign(evidence, steady, f"{steadily if steady else 'it grows with load'} ({told})")
