"""Records: did all that was recorded arrive, and could it be read?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentscope_analyzer.audit import sample_ratio
from agentscope_analyzer.document import Check, Status
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number, percent

MAX_DROPPED = 0.01
MOST_AHEAD = 0.2
"""So much of what it has written can a process that still runs have counted meanwhile."""
MAX_MISSING = 0.01
MIN_MISSING = 2
"""A process that was killed had counted a turn or two more than it had written."""
MOST_MISSING = 0.1
MAX_UNSEEN = 0.05
MOST_UNSEEN = 0.2
MAX_ORPHANS = 0.05
_UNITS = {"spans": "spans", "metrics": "metric_points"}
"""Signals of the ledger, as ingest counts them."""


def rejected(facts: Facts) -> Iterator[Check]:
    """What could not be read."""
    refused = sum(facts.rejected.values())
    if not refused:
        spans = amount(facts.spans["spans"], "span")
        yield check("rejected", "ok", f"nothing was refused; {spans} read", 0)
        return
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(facts.rejected.items()))
    detail = f"{amount(refused, 'record')} refused: {reasons}"
    if facts.damaged:
        detail += "; more than 1 % of one kind, so the rest may mislead"
    yield check("rejected", "fail" if facts.damaged else "warn", detail, refused)


def goodbye(facts: Facts) -> Iterator[Check]:
    """Processes that were cut off."""
    processes = _processes(facts)
    if not processes:
        detail = "no manifest of a process: whether the run was cut off is not known"
        yield check("goodbye", "warn", detail, None)
        return
    for instance, turns in facts.cut_off:
        lost = "turns open then are lost"
        if turns is not None:
            lost = f"{amount(turns, 'turn')} open in its last second, lost" if turns else ""
        detail = f"cut off: instance {instance} said no goodbye (killed, or still running)"
        yield check("goodbye", "warn", f"{detail}; {lost}" if lost else detail, turns)
    if not facts.cut_off:
        every = "the instance" if len(processes) == 1 else f"all {len(processes)} instances"
        yield check("goodbye", "ok", f"{every} said goodbye", 0)


def _processes(facts: Facts) -> list[Mapping[str, Any]]:
    return [entry for entry in facts.manifests if entry.get("instance")]


def ledger(facts: Facts) -> Iterator[Check]:
    """Created = delivered + dropped + pending, and what was delivered is in the files."""
    accounts = facts.manifest.get("ledger") or []
    if not accounts:
        return
    lost: dict[str, int] = {}
    missing = created = 0
    for account in accounts:
        for reason, n in account["dropped"].items():
            key = f"{account['signal']} {reason}"
            lost[key] = lost.get(key, 0) + n
        created += account["created"]
        ended = account["delivered"] + account["pending"] + sum(account["dropped"].values())
        missing += abs(account["created"] - ended)
    gone = _gone(facts)
    if missing:
        detail = f"{amount(missing, 'record')} of {number(created)} neither delivered nor dropped"
        yield check("ledger", "fail", f"the ledger does not balance: {detail}", missing)
    elif gone:
        # A process that still runs goes on counting while its files are read.
        running = bool(facts.cut_off) and gone <= MOST_AHEAD * created
        status: Status = "fail" if gone > MAX_DROPPED * created and not running else "warn"
        why = "a file is missing or was cut; copy the whole run directory"
        if running:
            why = f"the run goes on (analyze it again when it has ended), or {why}"
        detail = f"{amount(gone, 'record')} of {number(created)} were written and are not in the files: {why}"
        yield check("ledger", status, detail, gone)
    elif lost:
        n = sum(lost.values())
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
        status = "fail" if n > MAX_DROPPED * created else "warn"
        detail = f"{amount(n, 'record')} of {number(created)} dropped: {reasons}"
        yield check("ledger", status, detail, n)
    else:
        detail = f"created = delivered + pending for {amount(created, 'record')}, none dropped"
        yield check("ledger", "ok", detail, 0)


def _gone(facts: Facts) -> int:
    """Records that processes wrote into the run directory and that ingest did not find there."""
    return sum(
        max(0, account["delivered"] - facts.read[_UNITS[account["signal"]]])
        for account in facts.manifest["ledger"]
        if account["sink"] == "run_directory" and _UNITS.get(account["signal"]) in facts.read
    )


def spans_lost(facts: Facts) -> Iterator[Check]:
    """What processes counted of their turns, ended and in flight, against the spans of turns."""
    seen = facts.audit.seen
    ended = sum(one.expected for one in seen)
    missing = sum(one.missing for one in seen)
    active = sum(one.active for one in seen if one.unseen is not None)
    open_ = sum(one.open for one in seen if one.unseen is not None)
    unseen = (active - open_) / active if active else 0.0
    if missing > max(MIN_MISSING, MAX_MISSING * ended):
        share = missing / ended
        where = max(seen, key=lambda one: one.missing)
        detail = (
            f"{amount(missing, 'turn')} of {number(ended)} that processes counted left no span, most of "
            f"them in instance {where.instance} ({number(where.missing)}): what is missing may be what "
            "binds; look for its traces file"
        )
        yield check("spans_lost", "fail" if share > MOST_MISSING else "warn", detail, share)
    elif unseen > MAX_UNSEEN:
        detail = (
            f"by Little's law turns are missing: {number(active)} in flight as processes counted them, "
            f"{number(open_)} by their spans at the same moments; those without an end left none"
        )
        yield check("spans_lost", "fail" if unseen > MOST_UNSEEN else "warn", detail, unseen)
    elif ended:
        left = f"all but {number(missing)}" if missing else "each of them"
        detail = f"{amount(ended, 'turn')} counted by processes, {left} left a span"
        yield check("spans_lost", "ok", detail, missing / ended)


def sampled(facts: Facts) -> Iterator[Check]:
    """Of a sample of turns, rates and demand per session are too low."""
    ratios = [sample_ratio(entry.get("config")) for entry in facts.manifests]
    least = min(ratios, default=1.0)
    if least < 1:
        detail = (
            f"only {percent(least)} of turns were recorded (sample_ratio): throughput, demand per "
            "session and ceilings are those of the sample; record a load run with sample_ratio 1"
        )
        yield check("sampled", "warn", detail, least)


def orphans(facts: Facts) -> Iterator[Check]:
    """Spans whose parent is in no file."""
    if facts.summary is None or not facts.summary.spans_used:
        return
    found = facts.summary.anomalies
    lost = found.get("orphans_adopted", 0) + found.get("orphans_unused", 0)
    share = lost / (facts.summary.spans_used + found.get("orphans_unused", 0))
    if share > MAX_ORPHANS:
        detail = (
            f"{percent(share)} of spans ({number(lost)}) name a parent that is in no file: parts of "
            "traces were lost, or recorded elsewhere; give the analyzer the files of every service"
        )
        yield check("orphans", "warn", detail, share)


def internal_errors(facts: Facts) -> Iterator[Check]:
    """Faults of the recorder that it caught itself."""
    faults = facts.manifest.get("internal_errors") or {}
    if faults:
        detail = ", ".join(f"{where} {n}" for where, n in sorted(faults.items()))
        n = sum(faults.values())
        yield check("internal_errors", "warn", f"faults of the recorder, caught: {detail}", n)


def anomalies(facts: Facts) -> Iterator[Check]:
    """What attribution mended."""
    mended = facts.summary.anomalies if facts.summary is not None else {}
    if mended:
        told = ", ".join(f"{reason} {n}" for reason, n in sorted(mended.items()))
        detail = f"spans were mended before they were added up: {told}"
        yield check("anomalies", "ok", detail, sum(mended.values()))
