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
from agentscope_analyzer.signs.database import pinned_of
from agentscope_analyzer.signs.event_loop import MIN_CROWDED_SHARE
from agentscope_analyzer.signs.growth import growth_sign
from agentscope_analyzer.signs.interpreter import is_pressed
from agentscope_analyzer.wording import binds, percent, seconds

WATCH_P95_SHARE = 0.10
MIN_FELT_S = 0.01
MIN_SLOW_FELT_S = 0.05
"""Seconds of a turn on average, and of one of the slowest: with less than both nothing binds."""
NEAR_CEILING = 1.5
QUEUE_SHARE = 0.40
"""From here on inherent work that grows with load is contention for whoever does it."""
_QUEUES = frozenset({"db.query", "http.upstream"})


def judge_contention(cause: str, facts: Facts) -> Judged:
    """Whether the cause binds, is to be watched or is ruled out, and why."""
    signs = signs_of(cause, facts)
    agreeing = sum(sign.agrees for sign in signs)
    own, before = _own_part(cause, facts), facts.before.share(cause)
    large = facts.share(cause) * own >= BIND_SHARE
    large = large or facts.p95_share(cause) * own >= BIND_P95_SHARE
    large = (large and _is_felt(cause, facts)) or before >= BIND_SHARE
    kind: Kind
    if large and agreeing:
        kind, statement = "binds", _binding_statement(cause, facts, signs)
    elif (why := _watched(cause, facts, signs, large, own)) is not None:
        kind, statement = "watch", f"{label_of(cause, facts)}: {why}"
    else:
        kind, statement = "ruled_out", _ruled_out_statement(cause, facts, own)
    evidence = [*share_evidence(cause, facts, BIND_SHARE), *(sign.evidence for sign in signs)]
    finding = finding_of(kind, cause, statement, evidence, facts)
    return Judged(finding, facts.share(cause), agreeing, large, before)


def _is_felt(cause: str, facts: Facts) -> bool:
    """Whether it takes long enough: half of a turn that is over in a millisecond holds up nobody."""
    slow_s = facts.p95_share(cause) * facts.turns["p95_s"]
    return _a_turn_s(cause, facts) >= MIN_FELT_S or slow_s >= MIN_SLOW_FELT_S


def _a_turn_s(cause: str, facts: Facts) -> float:
    return facts.seconds(cause) / max(1, int(facts.turns["turns"]))


def _own_part(cause: str, facts: Facts) -> float:
    """The part of the cause's time that is the service's own doing."""
    if cause != "runtime.event_loop":
        return 1.0
    return 0.0 if _waits_for_lock(facts) else 1 - facts.crowding


def _waits_for_lock(facts: Facts) -> bool:
    """Whether the loop stands still because the service's own threads keep the interpreter."""
    return facts.share("runtime.cpu") >= BIND_SHARE


def _watched(cause: str, facts: Facts, signs: list[Sign], large: bool, own: float) -> str | None:
    """Why the cause is worth a look; None where it is not."""
    share, p95_share = facts.share(cause), facts.p95_share(cause)
    if cause == "runtime.event_loop" and _waits_for_lock(facts) and share >= WATCH_SHARE:
        return (
            f"{_took_of_which(cause, facts)}; it waits for the interpreter lock that the service's own "
            "threads keep: see runtime.cpu"
        )
    if not _is_felt(cause, facts) and share >= WATCH_SHARE:
        return f"{took(cause, facts)}, which is {seconds(_a_turn_s(cause, facts))} a turn: too short to be felt"
    if large:
        return f"{_took_of_which(cause, facts)}; no independent figure confirms it"
    if share * own >= WATCH_SHARE or p95_share * own >= WATCH_P95_SHARE:
        why = (
            f"{_took_of_which(cause, facts)}; binds from {percent(BIND_SHARE)}, or "
            f"{percent(BIND_P95_SHARE)} of the slowest"
        )
        crowded = own <= 1 - MIN_CROWDED_SHARE
        return f"{why}; {signs[0].says}" if crowded or _is_billed(cause, facts) else why
    if (near := _near_ceiling(cause, facts)) is not None:
        return f"{took(cause, facts)} so far, but {ceiling_says(near)}"
    if cause == "db.pool" and pinned_of(facts):
        # It binds as soon as the model is slow or users are many.
        return f"{took(cause, facts)} so far, but {signs[0].says}"
    if _is_billed(cause, facts):
        # Calls that fail at once take no time, and yet nothing works without them.
        return f"{took(cause, facts)}; {signs[0].says}"
    return None


def _is_billed(cause: str, facts: Facts) -> bool:
    return cause == "llm.retry" and bool(facts.billing)


def _ruled_out_statement(cause: str, facts: Facts, own: float) -> str:
    watched = f"watched from {percent(WATCH_SHARE)}"
    if own < 1 and facts.share(cause) >= WATCH_SHARE:
        watched += ", the machine's part left out"
    says = [sign.says for sign in own_signs(cause, facts)[:2]]
    return "; ".join([f"{label_of(cause, facts)}: {took(cause, facts)} ({watched})", *says])


def is_used_up(cause: str, facts: Facts) -> bool:
    """Whether work that is there for a single user too is waiting for something, as measured here.

    A service or a database that takes longer the more ask at a time has a queue inside; threads that
    compete for the interpreter wait for each other. Of models that is left to the provider.
    """
    if cause == "runtime.cpu":  # found only where threads compete for the interpreter
        return facts.seconds(cause) > 0
    if cause not in _QUEUES or facts.share(cause) < QUEUE_SHARE:
        return False
    growth = growth_sign(cause, facts)
    return growth is not None and growth.agrees


def _binding_statement(cause: str, facts: Facts, signs: list[Sign]) -> str:
    says = [sign.says for sign in signs if sign.agrees]
    if cause in _QUEUES:
        says = list(dict.fromkeys([signs[0].says, *says]))
    says = _with_before(says, signs) if facts.before.share(cause) else says[:2]
    ceiling = next((c for c in facts.ceilings.found if _cause_of(c) == cause), None)
    limit = ceiling_says(ceiling) if ceiling is not None and ceiling.sessions is not None else None
    if cause == "llm.rate_limit":
        alone_s, p95_s = facts.without_contention["p95_s"], facts.turns["p95_s"]
        says = says[: 1 if limit else 2]  # the limit names the quota
        says.append(f"p95 {seconds(p95_s)} ({seconds(alone_s)} without any contention)")
        limit = f"{limit}, so more pods will not help" if limit else None
    if cause == "runtime.event_loop" and is_pressed(facts):
        says.append("threads compete for the interpreter meanwhile, and that stops it too")
    opening = (
        f"{binds(cause, streamed=bool(facts.llm['streamed']))}: {_took_of_which(cause, facts)}"
    )
    return "; ".join([opening, *says, *([limit] if limit else [])])


def _with_before(says: list[str], signs: list[Sign]) -> list[str]:
    # What users wait before their turns is told whatever else there is to tell.
    told = [sign.says for sign in signs if sign.evidence.question == "load/before_turns"]
    return [*[one for one in says if one not in told][:2], *told]


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


def _cause_of(ceiling: Ceiling) -> str | None:
    """The cause that a turn's time goes to when the limit is reached; None where there is none."""
    if ceiling.resource.startswith("db.pool"):
        return "db.pool"
    if ceiling.resource == "threadpool":
        return "runtime.threadpool"
    if ceiling.resource == "llm.connections":
        return "llm.connection"
    return "llm.rate_limit" if ceiling.resource.startswith("llm.") else None
