"""Turns: are there enough, did they end well, is their time accounted for, are they alike?"""

from __future__ import annotations

from collections.abc import Iterator

from agentscope.conventions import UNATTRIBUTED
from agentscope_analyzer.attribution import UNMARKED
from agentscope_analyzer.document import Check, Status
from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, moment, number, percent, seconds

MIN_TURNS = 30
MIN_RUN_S = 60.0
MAX_RUN_S = 60 * 86_400.0
MIN_IDLE_S = 15.0
MIN_IDLE_SHARE = 0.1
"""A shorter part of the run without a turn is a pause of few users."""
FAILED_SHARE = 0.05
MOST_FAILED_SHARE = 0.5
"""From here on the times of turns say little: those that fail stop early or give up late."""
MAX_UNATTRIBUTED = 0.1


def turns(facts: Facts) -> Iterator[Check]:
    """Enough turns for a p95, or none at all."""
    n = facts.turns["turns"]
    if n == 0:
        detail = (
            "no turn was found: a request is one when a call of a model, a tool or a phase runs in "
            "it; mark others with agentscope.turn(…)"
        )
        if not facts.spans["spans"]:
            detail = "no span was read: give the directory that the service recorded into"
        yield check("turns", "fail", detail, n)
    elif n < MIN_TURNS:
        detail = f"{amount(n, 'turn')}: not enough data, {MIN_TURNS} are needed to trust a p95"
        yield check("turns", "warn", detail, n)
    else:
        yield check("turns", "ok", amount(n, "turn"), n)


def length(facts: Facts) -> Iterator[Check]:
    """Long enough for a quota of a minute, and no longer than a clock that is right allows."""
    if not facts.turns["turns"]:
        return
    length_s = facts.whole.duration_s
    short = length_s < MIN_RUN_S
    detail = f"turns span {seconds(length_s)}"
    if length_s > MAX_RUN_S:
        days = f"{number(length_s / 86_400)} days"
        yield check("length", "fail", f"turns span {days}: a clock was wrong", length_s)
        return
    if short:
        detail += ": shorter than the minute that quotas are counted in"
    yield check("length", "warn" if short else "ok", detail, length_s)


def together(facts: Facts) -> Iterator[Check]:
    """One load from end to end: no long time in which everybody was gone."""
    for row in facts.idle:
        idle_s = row["idle_s"]
        goes_on = row["across"] and row["processes"]
        if idle_s < max(MIN_IDLE_S, MIN_IDLE_SHARE * facts.whole.duration_s) or goes_on:
            continue
        who = "process served turns" if row["across"] else "session came back"
        detail = (
            f"no turn was in flight for {seconds(idle_s)} from {moment(row['from_ns'])} on, and no "
            f"{who} after it that had before: two runs in one directory? Analyze each of them alone"
        )
        yield check("together", "warn", detail, idle_s)


def sums(facts: Facts) -> Iterator[Check]:
    """Every turn's causes add up to its duration."""
    n, unequal = facts.sums["turns"], facts.sums["unequal"]
    if not n:
        return
    if unequal:
        largest = facts.sums["largest_difference_ns"]
        detail = (
            f"the causes of {unequal} of {amount(n, 'turn')} do not add up, by up to {largest} ns"
        )
        yield check("sums", "fail", detail, unequal)
    else:
        detail = f"the causes of {number(n)} of {amount(n, 'turn')} add up to their duration, to the nanosecond"
        yield check("sums", "ok", detail, 0)


def open_turns(facts: Facts) -> Iterator[Check]:
    """Turns that the end of their process cut short."""
    n = facts.spans["open_turns"]
    if n:
        detail = f"{amount(n, 'turn')} still running at shutdown, ended there: too short"
        if facts.hung is not None:
            detail += f"; {hung_says(facts.hung)}"
        yield check("open_turns", "warn", detail, n)


def hung_says(hung: Row) -> str:
    """``20 turns never ended: open for up to 119 s, and none that ended took more than 1.9 s``."""
    ended = (
        ""
        if hung["ended_s"] is None
        else f", and none that ended took over {seconds(hung['ended_s'])}"
    )
    told = (
        f"{amount(hung['turns'], 'turn')} never ended: open for up to {seconds(hung['longest_s'])}"
    )
    share = percent(hung["cause_s"] / hung["wall_s"])
    return f"{told}{ended}; {share} of their time is {hung['cause']}"


def failed(facts: Facts) -> Iterator[Check]:
    """Turns that failed, as both sides saw it."""
    n, errors = facts.turns["turns"], facts.turns["errors"]
    if not n:
        return
    share = facts.failed_share
    detail = f"{number(errors)} of {amount(n, 'turn')} failed"
    if facts.load["failed"]:
        requests = amount(facts.load["requests"], "request")
        detail += f"; {number(facts.load['failed'])} of {requests} failed at the load generator"
    if share >= MOST_FAILED_SHARE:
        yield check("failed", "fail", f"{detail}: times of failed turns say little", share)
    else:
        yield check("failed", "warn" if share >= FAILED_SHARE else "ok", detail, share)


def inferred(facts: Facts) -> Iterator[Check]:
    """What was taken for a turn where none is marked."""
    found = dict(facts.summary.inferred) if facts.summary is not None else {}
    unmarked = found.pop(UNMARKED, 0)
    if unmarked:
        detail = (
            f"{amount(unmarked, 'turn')} told by name only: not marked, but named as marked ones"
        )
        yield check("turns_inferred", "ok", detail, unmarked)
    if found:
        told = ", ".join(f"{kind} {n}" for kind, n in sorted(found.items()))
        detail = f"no span is marked agentscope.turn, so these stand for turns: {told}"
        yield check("turns_inferred", "warn", detail, sum(found.values()))


def unattributed(facts: Facts) -> Iterator[Check]:
    """Time that nothing recorded explains."""
    if not facts.turns["turns"]:
        return
    share = facts.share(UNATTRIBUTED)
    status: Status = "warn" if share > MAX_UNATTRIBUTED else "ok"
    detail = f"{percent(share)} of turn time has no recorded explanation"
    if status == "warn":
        detail += (
            ": agentscope trace shows in which span; what runs there is context_load, llm_call or "
            "tool, or a library that is not hooked"
        )
    yield check("unattributed", status, detail, share)


def kinds(facts: Facts) -> Iterator[Check]:
    """Sessions of two kinds: how many of them fit depends on how many are of which."""
    found, apart = facts.audit.kinds, facts.audit.apart
    if found is None:
        return
    if found.measure == "seconds" and apart is not None and not apart.fails:
        return  # not the sessions differ, but the processes that serve them: see ``processes``
    sessions = found.light_sessions + found.heavy_sessions
    heavy, light = number(found.heavy), number(found.light)
    per_turn = (
        f"{heavy} model calls a turn against {light}"
        if found.measure == "calls"
        else f"turns of {seconds(found.heavy)} against {seconds(found.light)}"
    )
    detail = (
        f"two kinds of sessions: {number(found.heavy_sessions)} of {number(sessions)} have {per_turn}, "
        "with hardly any in between; means and ceilings in sessions hold for this mix alone: run or "
        "analyse the kinds apart"
    )
    yield check("mixed_workload", "warn", detail, found.heavy_share)
