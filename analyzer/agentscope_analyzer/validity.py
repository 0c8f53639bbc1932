"""Can the run itself be believed? Each check says ok, warn or fail, with the figure behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentscope.conventions import CAUSES, UNATTRIBUTED, RuntimeEvent
from agentscope_analyzer.attribution import UNMARKED
from agentscope_analyzer.document import Check, Status, Value
from agentscope_analyzer.facts import Facts, clock_ahead, steady_of
from agentscope_analyzer.hidden import RECORD_THEM
from agentscope_analyzer.measured import was_measured
from agentscope_analyzer.wording import amount, number, percent, seconds

MIN_TURNS = 30
MIN_RUN_S = 60.0
MAX_RUN_S = 60 * 86_400.0
MAX_DROPPED = 0.01
MAX_OUTSIDE = 0.05
MAX_CROWDED = 0.05
MAX_RAMP = 0.5
MAX_LATE_OF_THINK = 0.1
MAX_LATE_S = 0.1
MAX_UNATTRIBUTED = 0.1
MAX_DISAGREEMENT = 0.1
FAILED_SHARE = 0.05
MOST_FAILED_SHARE = 0.5
"""From here on the times of turns say little: those that fail stop early or give up late."""
UNFINISHED_SHARE = 0.05
MIN_CLOCK_AHEAD_S = 0.1

NOT_MEASURED = "not_measured"
"""The check that names, one by one, the causes that are neither found nor ruled out."""


def checks_of(facts: Facts) -> list[Check]:
    """Every check that the run's data allow, in the order in which a reader wants them."""
    return [check for ask in _CHECKS for check in ask(facts)]


def is_complete(facts: Facts) -> bool:
    """Nothing was refused, and the manifests say that nothing else is missing."""
    return not facts.rejected and bool(facts.manifest.get("complete"))


def _check(check: str, status: Status, detail: str, value: Value) -> Check:
    return Check(check=check, status=status, detail=detail, value=value)


def _turns(facts: Facts) -> Iterator[Check]:
    n = facts.turns["turns"]
    if n == 0:
        detail = "no turn was found: no SERVER span is marked agentscope.turn"
        if not facts.spans["spans"]:
            detail = "no span was read: give the directory that the service recorded into"
        yield _check("turns", "fail", detail, n)
    elif n < MIN_TURNS:
        detail = f"{amount(n, 'turn')}: not enough data, {MIN_TURNS} are needed to trust a p95"
        yield _check("turns", "warn", detail, n)
    else:
        yield _check("turns", "ok", amount(n, "turn"), n)


def _length(facts: Facts) -> Iterator[Check]:
    if not facts.turns["turns"]:
        return
    length_s = facts.whole.duration_s
    short = length_s < MIN_RUN_S
    detail = f"turns span {seconds(length_s)}"
    if length_s > MAX_RUN_S:
        days = f"{number(length_s / 86_400)} days"
        yield _check("length", "fail", f"turns span {days}: a clock was wrong", length_s)
        return
    if short:
        detail += ": shorter than the minute that quotas are counted in"
    yield _check("length", "warn" if short else "ok", detail, length_s)


def _sums(facts: Facts) -> Iterator[Check]:
    n, unequal = facts.sums["turns"], facts.sums["unequal"]
    if not n:
        return
    if unequal:
        largest = facts.sums["largest_difference_ns"]
        detail = (
            f"the causes of {unequal} of {amount(n, 'turn')} do not add up, by up to {largest} ns"
        )
        yield _check("sums", "fail", detail, unequal)
    else:
        detail = f"the causes of {number(n)} of {amount(n, 'turn')} add up to their duration, to the nanosecond"
        yield _check("sums", "ok", detail, 0)


def _rejected(facts: Facts) -> Iterator[Check]:
    refused = sum(facts.rejected.values())
    if not refused:
        spans = amount(facts.spans["spans"], "span")
        yield _check("rejected", "ok", f"nothing was refused; {spans} read", 0)
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(facts.rejected.items()))
    detail = f"{amount(refused, 'record')} refused: {reasons}"
    if facts.damaged:
        detail += "; more than 1 % of one kind, so the rest may mislead"
    yield _check("rejected", "fail" if facts.damaged else "warn", detail, refused)


def _goodbye(facts: Facts) -> Iterator[Check]:
    processes = _processes(facts)
    if not processes:
        detail = "no manifest of a process: whether the run was cut off is not known"
        yield _check("goodbye", "warn", detail, None)
        return
    for instance, turns in facts.cut_off:
        lost = "turns open then are lost"
        if turns is not None:
            lost = f"{amount(turns, 'turn')} open in its last second, lost" if turns else ""
        detail = f"cut off: instance {instance} said no goodbye (killed, or still running)"
        yield _check("goodbye", "warn", f"{detail}; {lost}" if lost else detail, turns)
    if not facts.cut_off:
        every = "the instance" if len(processes) == 1 else f"all {len(processes)} instances"
        yield _check("goodbye", "ok", f"{every} said goodbye", 0)


def _open_turns(facts: Facts) -> Iterator[Check]:
    n = facts.spans["open_turns"]
    if n:
        detail = f"{amount(n, 'turn')} still running at shutdown, ended there: too short"
        yield _check("open_turns", "warn", detail, n)


def _failed(facts: Facts) -> Iterator[Check]:
    turns, errors = facts.turns["turns"], facts.turns["errors"]
    if not turns:
        return
    share = facts.failed_share
    detail = f"{number(errors)} of {amount(turns, 'turn')} failed"
    if facts.load["failed"]:
        requests = amount(facts.load["requests"], "request")
        detail += f"; {number(facts.load['failed'])} of {requests} failed at the load generator"
    if share >= MOST_FAILED_SHARE:
        yield _check("failed", "fail", f"{detail}: times of failed turns say little", share)
    else:
        yield _check("failed", "warn" if share >= FAILED_SHARE else "ok", detail, share)


def _ledger(facts: Facts) -> Iterator[Check]:
    ledger = facts.manifest.get("ledger") or []
    if not ledger:
        return
    lost: dict[str, int] = {}
    missing = created = 0
    for account in ledger:
        for reason, n in account["dropped"].items():
            key = f"{account['signal']} {reason}"
            lost[key] = lost.get(key, 0) + n
        created += account["created"]
        ended = account["delivered"] + account["pending"] + sum(account["dropped"].values())
        missing += abs(account["created"] - ended)
    if missing:
        detail = f"{amount(missing, 'record')} of {number(created)} neither delivered nor dropped"
        yield _check("ledger", "fail", f"the ledger does not balance: {detail}", missing)
    elif lost:
        n = sum(lost.values())
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
        status: Status = "fail" if n > MAX_DROPPED * created else "warn"
        detail = f"{amount(n, 'record')} of {number(created)} dropped: {reasons}"
        yield _check("ledger", status, detail, n)
    else:
        detail = f"created = delivered + pending for {amount(created, 'record')}, none dropped"
        yield _check("ledger", "ok", detail, 0)


def _internal_errors(facts: Facts) -> Iterator[Check]:
    faults = facts.manifest.get("internal_errors") or {}
    if faults:
        detail = ", ".join(f"{where} {n}" for where, n in sorted(faults.items()))
        n = sum(faults.values())
        yield _check("internal_errors", "warn", f"faults of the recorder, caught: {detail}", n)


def _inferred(facts: Facts) -> Iterator[Check]:
    inferred = dict(facts.summary.inferred) if facts.summary is not None else {}
    unmarked = inferred.pop(UNMARKED, 0)
    if unmarked:
        detail = (
            f"{amount(unmarked, 'turn')} told by name only: not marked, but named as marked ones"
        )
        yield _check("turns_inferred", "ok", detail, unmarked)
    if inferred:
        told = ", ".join(f"{kind} {n}" for kind, n in sorted(inferred.items()))
        detail = f"no span is marked agentscope.turn, so these stand for turns: {told}"
        yield _check("turns_inferred", "warn", detail, sum(inferred.values()))


def _parallel(facts: Facts) -> Iterator[Check]:
    """The critical path against the equal-share sweep: two ways to divide parallel work."""
    summary = facts.summary
    if summary is None or not facts.turns["turns"]:
        return
    difference = summary.sweep_disagreement
    detail = "equal shares for parallel work give the same picture"
    if difference > MAX_DISAGREEMENT:
        detail = (
            f"parallel work: equal shares give {summary.sweep_group} {percent(difference)} of turn "
            "time more or less than the critical path does"
        )
    status: Status = "warn" if difference > MAX_DISAGREEMENT else "ok"
    yield _check("parallel", status, detail, difference)


def _anomalies(facts: Facts) -> Iterator[Check]:
    anomalies = facts.summary.anomalies if facts.summary is not None else {}
    if anomalies:
        told = ", ".join(f"{reason} {n}" for reason, n in sorted(anomalies.items()))
        detail = f"spans were mended before they were added up: {told}"
        yield _check("anomalies", "ok", detail, sum(anomalies.values()))


def _joined(facts: Facts) -> Iterator[Check]:
    load = facts.load
    if not load["requests"]:
        return
    sent, joined, turns = load["requests"], load["joined"], facts.turns["turns"]
    told = (
        f"{number(sent)} sent by the load generator, {number(turns)} recorded, {number(joined)} "
        "joined by trace id"
    )
    if sent == joined == turns:
        yield _check("load_joined", "ok", f"turns: {told}", 0)
        return
    parts = []
    untraced = sent - load["traced"]
    lost = load["traced"] - joined
    if untraced:
        parts.append(f"{number(untraced)} sent without a trace id")
    if lost:
        failed = number(load["failed_unjoined"])
        parts.append(f"{number(lost)} sent but not recorded ({failed} of them failed)")
    if load["turns_unsent"]:
        parts.append(f"{number(load['turns_unsent'])} recorded that the generator did not report")
    detail = f"turns: {told}: {', '.join(parts) or 'several requests share a trace'}"
    yield _check("load_joined", "warn", detail, abs(sent - turns))


def _little(facts: Facts) -> Iterator[Check]:
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
        yield _check("little", "warn", f"{detail}: {where}", outside)
    else:
        yield _check("little", "ok", detail, outside)


def _outside(facts: Facts) -> str:
    """Where it is: before the turns, with what the process did meanwhile, else not known."""
    before = facts.before
    if not before.large:
        return " (network, accept queue, missing spans)"
    told = [f"{percent(before.part(cause))} {cause}" for cause in CAUSES if before.part(cause)]
    told.append(f"{percent(before.unexplained_s / before.wall_s)} accept queue, network, set-up")
    return f", {seconds(before.mean_s)} before each turn ({', '.join(told)})"


def _crowded(facts: Facts) -> Iterator[Check]:
    """A machine without a free processor makes every process on it late."""
    if not facts.spans["loop_blocks"] or facts.lived_s <= 0:
        return
    waited_s = facts.crowding * facts.stopped_s(RuntimeEvent.LOOP_BLOCKED)
    share = waited_s / facts.lived_s
    detail = f"event loops waited {percent(share)} of the run for a free processor"
    if share > MAX_CROWDED:
        detail += ": the machine is crowded, by this service or by others on it"
    yield _check("processors", "warn" if share > MAX_CROWDED else "ok", detail, share)


def _clocks(facts: Facts) -> Iterator[Check]:
    ahead_s, within_s = facts.load["clock_ahead_s"], facts.load["clock_within_s"]
    if ahead_s is None:
        return
    told = f"{seconds(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'}"
    detail = f"the service's clock is {told} the load generator's, to {seconds(within_s)}"
    if abs(ahead_s) <= MIN_CLOCK_AHEAD_S + within_s:
        detail = (
            f"service and load generator agree on the time, to {seconds(abs(ahead_s) + within_s)}"
        )
        yield _check("clocks", "ok", detail, ahead_s)
        return
    if clock_ahead(facts.load):
        detail += "; load stages were moved by it"
    yield _check("clocks", "warn", detail, ahead_s)


def _lateness(facts: Facts) -> Iterator[Check]:
    late_s = facts.load["late_p95_s"]
    if late_s is None:
        return
    think = (facts.manifest.get("load") or {}).get("think_time_s")
    bound_s = MAX_LATE_S
    if isinstance(think, list) and think and all(isinstance(end, int | float) for end in think):
        bound_s = max(bound_s, MAX_LATE_OF_THINK * sum(think) / len(think))
    late = late_s > bound_s
    detail = f"the load generator sent 95 % of requests within {seconds(max(0.0, late_s))} of due"
    if late:
        detail += f": more than {seconds(bound_s)}, so it was overloaded itself"
    yield _check("generator_late", "warn" if late else "ok", detail, late_s)


def _ramp(facts: Facts) -> Iterator[Check]:
    stages = (facts.manifest.get("load") or {}).get("stages")
    if not stages or facts.whole.duration_s <= 0:
        return
    steady = steady_of(facts.whole, facts.manifest, clock_ahead_s=clock_ahead(facts.load))
    share = max(0.0, (steady.start_s - facts.whole.start_s) / facts.whole.duration_s)
    detail = f"full load began after {percent(share)} of the run"
    status: Status = "warn" if share > MAX_RAMP else "ok"
    yield _check("ramp", status, detail, share)


def _unattributed(facts: Facts) -> Iterator[Check]:
    if not facts.turns["turns"]:
        return
    share = facts.share(UNATTRIBUTED)
    status: Status = "warn" if share > MAX_UNATTRIBUTED else "ok"
    detail = f"{percent(share)} of turn time has no recorded explanation"
    if status == "warn":
        detail += ": mark it with agentscope.phase(…), context_load, llm_call or tool"
    yield _check("unattributed", status, detail, share)


def _hidden_attempts(facts: Facts) -> Iterator[Check]:
    calls, seen = facts.llm["calls"], facts.llm["calls_with_attempts"]
    if not calls and facts.seconds("llm.first_token"):
        detail = (
            "models are known by llm_call phases only: retries and back-off look like inference"
        )
        yield _check("attempts", "warn", detail, None)
    if calls and seen < calls:
        detail = (
            f"{number(calls - seen)} of {amount(calls, 'model call')} show no HTTP attempt: retries and "
            "back-off inside them look like inference"
        )
        if facts.hidden.growth is not None and facts.hidden.cause is None:
            detail += f"; {facts.hidden.growth}"
        detail += f"; {RECORD_THEM}"
        yield _check("attempts", "warn", detail, calls - seen)


def _not_measured(facts: Facts) -> Iterator[Check]:
    if not facts.turns["turns"]:
        return
    for cause in CAUSES:
        why = was_measured(cause, facts)
        if why is not None:
            yield _check(NOT_MEASURED, "warn", f"{cause}: {why}", cause)


def _ceilings(facts: Facts) -> Iterator[Check]:
    for why in facts.ceilings.missing:
        yield _check("ceilings", "warn", why, None)


def _questions(facts: Facts) -> Iterator[Check]:
    for question, rows in sorted(facts.cut.items()):
        shown = len(facts.questions[question])
        detail = f"{question}: the report carries {shown} of {rows} rows"
        yield _check("questions", "ok", detail, rows - shown)


_CHECKS = (
    _turns,
    _length,
    _sums,
    _rejected,
    _goodbye,
    _open_turns,
    _failed,
    _ledger,
    _internal_errors,
    _inferred,
    _parallel,
    _anomalies,
    _joined,
    _little,
    _clocks,
    _crowded,
    _lateness,
    _ramp,
    _unattributed,
    _hidden_attempts,
    _not_measured,
    _ceilings,
    _questions,
)


def _processes(facts: Facts) -> list[Mapping[str, Any]]:
    return [entry for entry in facts.manifests if entry.get("instance")]
