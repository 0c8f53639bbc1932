"""The load generator: could it keep up, and did it send what users would have sent?"""

from __future__ import annotations

from collections.abc import Iterator

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Check, Status
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number, percent, seconds

MAX_OUTSIDE = 0.05
MAX_LATE_OF_THINK = 0.1
MAX_LATE_S = 0.1
MAX_LATE_OF_CYCLE = 0.1
"""Of the time from one request of a user to the next: later than this, and it was another load."""
MAX_UNRECORDED = 0.1
MAX_OMITTED = 0.1
MIN_OMITTED_S = 0.1
MIN_GAPS = 20
MIN_THINK_S = 0.1
MIN_THINK_OF_TURN = 0.02
MAX_OVERLAPPING = 0.05
MAX_STRANGERS = 0.02
EXAMPLE_THINK_S = 10.0


def joined(facts: Facts) -> Iterator[Check]:
    """Requests and turns, one by one."""
    load = facts.load
    if not load["requests"]:
        return
    sent, found, turns = load["requests"], load["joined"], facts.turns["turns"]
    told = (
        f"{number(sent)} sent by the load generator, {number(turns)} recorded, {number(found)} "
        "joined by trace id"
    )
    if sent == found == turns:
        yield check("load_joined", "ok", f"turns: {told}", 0)
        return
    if not load["traced"]:
        detail = (
            f"turns: {number(sent)} sent by the load generator, {number(turns)} recorded; no request "
            "carried a trace id (traceparent), so none can be joined"
        )
        yield check("load_joined", "warn", detail, abs(sent - turns))
        return
    parts = []
    untraced = sent - load["traced"]
    lost = load["traced"] - found
    if untraced:
        parts.append(f"{number(untraced)} sent without a trace id")
    if lost:
        failed = number(load["failed_unjoined"])
        parts.append(f"{number(lost)} sent but not recorded ({failed} of them failed)")
    if load["turns_unsent"]:
        parts.append(f"{number(load['turns_unsent'])} recorded that the generator did not report")
    detail = f"turns: {told}: {', '.join(parts) or 'several requests share a trace'}"
    # Without one joined turn, trace ids were not passed on: that loses nothing.
    unrecorded = lost - load["failed_unjoined"] if found else 0
    status: Status = "fail" if unrecorded > MAX_UNRECORDED * load["traced"] else "warn"
    if status == "fail":
        detail += ": what is missing may be what binds; see the ledger, and record every instance"
    yield check("load_joined", status, detail, abs(sent - turns))


def little(facts: Facts) -> Iterator[Check]:
    """Little's law, L = λW: what users waited for must be what turns took."""
    users_s, turns_s = facts.load["users_wall_s"], facts.load["turns_wall_s"]
    if not users_s or turns_s is None or facts.whole.duration_s <= 0:
        return
    outside = (users_s - turns_s) / users_s
    length_s = facts.whole.duration_s
    detail = (
        f"in flight on average: {number(users_s / length_s)} requests at the generator, "
        f"{number(turns_s / length_s)} turns in the service"
    )
    if abs(outside) > MAX_OUTSIDE:
        where = (
            f"{percent(outside)} of users' waiting is outside the recorded turns{_outside(facts)}"
            if outside > 0
            else "turns last longer than users waited (work after the answer, clock difference)"
        )
        yield check("little", "warn", f"{detail}: {where}", outside)
    else:
        yield check("little", "ok", detail, outside)


def _outside(facts: Facts) -> str:
    """Where it is: at a late generator, before the turns with what the process did, or unknown."""
    if _is_late(facts):
        return " (the generator was late itself, so this may be its own: see generator_late)"
    before = facts.before
    if not before.large:
        return " (network, accept queue, missing spans)"
    told = [f"{percent(before.part(cause))} {cause}" for cause in CAUSES if before.part(cause)]
    told.append(f"{percent(before.unexplained_s / before.wall_s)} accept queue, network, set-up")
    return f", {seconds(before.mean_s)} before each turn ({', '.join(told)})"


def lateness(facts: Facts) -> Iterator[Check]:
    """Requests that were due, whose user was free, and that were not sent: the generator's fault."""
    sending = facts.audit.sending
    late_s = sending["late_p95_s"]
    if late_s is None:
        return
    detail = f"the load generator sent 95 % of requests within {seconds(late_s)} of due"
    if not _is_late(facts):
        yield check("generator_late", "ok", detail, late_s)
        return
    detail += f": more than {seconds(_late_bound_s(facts))}, so it was overloaded itself"
    outside_s = _outside_s(facts)
    if outside_s is not None:
        detail += f"; users' {seconds(outside_s)} a request outside of turns may be its own"
    cycle_s = sending["cycle_s"]
    share = sending["late_mean_s"] / cycle_s if cycle_s else 0.0
    if share > MAX_LATE_OF_CYCLE:
        detail += f"; the load was {percent(share)} below what was meant"
    detail += ": give it more processes (--processes N) or a machine of its own, or fewer users"
    status: Status = "fail" if share > MAX_LATE_OF_CYCLE else "warn"
    yield check("generator_late", status, detail, late_s)


def _is_late(facts: Facts) -> bool:
    """Whether more than one request in twenty was sent later than users would notice."""
    late_s = facts.audit.sending["late_p95_s"]
    return late_s is not None and late_s > _late_bound_s(facts)


def _late_bound_s(facts: Facts) -> float:
    think = (facts.manifest.get("load") or {}).get("think_time_s")
    if isinstance(think, list) and think and all(isinstance(end, int | float) for end in think):
        return max(MAX_LATE_S, MAX_LATE_OF_THINK * sum(think) / len(think))
    return MAX_LATE_S


def _outside_s(facts: Facts) -> float | None:
    """What users waited outside of turns, for one request; None where that is little."""
    load = facts.load
    if not load["joined"] or load["turns_wall_s"] is None:
        return None
    outside_s = load["users_wall_s"] - load["turns_wall_s"]
    return outside_s / load["joined"] if outside_s > MAX_OUTSIDE * load["users_wall_s"] else None


def omission(facts: Facts) -> Iterator[Check]:
    """Coordinated omission: by how much users would see other latencies than those sent did."""
    sending, moments = facts.audit.sending, facts.audit.by_moment
    requests, sent_s, due_s = sending["requests"], sending["sent_p95_s"], sending["due_p95_s"]
    if not requests or sending["unplanned"] > requests or not sent_s:
        return
    closed = bool(sending["users"]) and not sending["behind"]
    loop = "closed loop (users wait for each answer): " if closed else ""
    detail = f"{loop}users' p95 is {seconds(sent_s)} from when requests were sent"
    detail += f", {seconds(due_s)} from when they were due"
    larger, why = sent_s, []
    if _is_more(due_s, sent_s):
        larger, why = due_s, ["requests were sent late"]
    if moments is not None:
        every_s = moments.ratio * sent_s
        detail += f", {seconds(every_s)} with every moment of the run counted alike"
        sure = moments.low > 1 + MAX_OMITTED or moments.stalled
        if sure and _is_more(every_s, sent_s):
            larger = max(larger, every_s)
            why.append("slow moments were sent fewer of them")
    if why:
        detail += (
            f": {' and '.join(why)}, so quote {seconds(larger)}, or let sessions arrive at a rate of "
            "their own"
        )
    share = larger / sent_s - 1
    yield check("coordinated_omission", "warn" if why else "ok", detail, share)


def _is_more(one_s: float, other_s: float) -> bool:
    """Enough for users to notice."""
    return one_s - other_s > MIN_OMITTED_S and one_s > (1 + MAX_OMITTED) * other_s


def think_time(facts: Facts) -> Iterator[Check]:
    """Users that never think ask for more than any user does."""
    pace = facts.audit.pace
    if pace["gaps"] < MIN_GAPS or pace["overlapping"] > MAX_OVERLAPPING * pace["gaps"]:
        return  # turns of one session at once have no thought between them: see ``shared_sessions``
    gap_s, turn_s = max(0.0, pace["gap_p50_s"]), pace["turn_p50_s"]
    detail = f"users think {seconds(gap_s)} between two turns of a session, median"
    if gap_s >= max(MIN_THINK_S, MIN_THINK_OF_TURN * turn_s):
        yield check("think_time", "ok", detail, gap_s)
        return
    less = (turn_s + EXAMPLE_THINK_S) / (turn_s + gap_s)
    detail = (
        f"users hardly think: the next turn of a session begins {seconds(gap_s)} after the last one's "
        f"end, median, so ceilings in sessions are lower bounds; with {seconds(EXAMPLE_THINK_S)} of "
        f"thought a session would ask for {number(less)} times less: give the load its users' think "
        "time (--think MIN,MAX)"
    )
    yield check("think_time", "warn", detail, gap_s)


def shared_sessions(facts: Facts) -> Iterator[Check]:
    """Two turns of one session at once: several users behind one session's name."""
    pace = facts.audit.pace
    if pace["gaps"] < MIN_GAPS:
        return
    share = pace["overlapping"] / pace["gaps"]
    if share > MAX_OVERLAPPING:
        detail = (
            f"{number(pace['overlapping'])} of {amount(pace['gaps'], 'turn')} begin before an earlier "
            "turn of their session has ended: several users share a session id, or went on without an "
            "answer, so demand per session is overstated; give each user a session of its own"
        )
        yield check("sessions", "warn", detail, share)


def period(facts: Facts) -> Iterator[Check]:
    """The load generator's lines and the turns must be of the same time."""
    told = facts.audit.period
    if not told["requests"] or not told["turns"]:
        return
    outside = told["before"] + told["after"]
    sent_s = told["last_s"] - told["first_s"]
    detail = f"the load generator sent for {seconds(sent_s)}, turns span {seconds(facts.whole.duration_s)}"
    if outside > MAX_STRANGERS * told["turns"]:
        detail += (
            f": {number(told['before'])} turns before it began and {number(told['after'])} after it "
            "ended; another run or other callers are in this directory, or the clocks differ: "
            "analyse one run at a time"
        )
        yield check("load_period", "warn", detail, outside)
    else:
        yield check("load_period", "ok", detail, outside)
