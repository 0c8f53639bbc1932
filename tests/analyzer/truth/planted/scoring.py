"""How right the analyzer was on a run whose truth is known."""

from __future__ import annotations

import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from planted.capacity import sessions_at_limit
from planted.cases import Case, case_of
from planted.classes import MODEL

from agentscope.conventions import CAUSE_GROUPS, CAUSES
from agentscope_analyzer.document import Report
from agentscope_analyzer.report import analyze_run

FALSE_SHARE = 0.05
"""A cause that is said to bind and truly took less than this is a false alarm."""
SLACK = 0.003
"""Of turn time: what rounds of the loop cost that are too short to be recorded is in no bound."""


@dataclass
class Score:
    """One case, judged."""

    name: str
    seed: int
    right: bool
    trivial: bool
    """Whether the largest span name would have been right."""
    share_error: float
    """Largest error of a group's share, in points."""
    share_group: str
    bounded: int
    """Groups of causes for which bounds are told."""
    held: int
    """Of these, so many for which the truth lies within them."""
    ceiling_error: float | None
    """Of the ceiling, as part of the true one; None where none is told or asked for."""
    false_alarms: list[str]
    memory_right: bool | None
    says: str
    truth: dict[str, float] = field(default_factory=dict)


def score_of(name: str, seed: int, ceilings: bool = True) -> Score:
    """Make a case of the class, have it analysed, compare.

    The true ceiling takes a long run of its own, so it can be left out.
    """
    case = case_of(name, seed)
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        report = analyze_run(case.run.save(Path(folder) / "run"))
    return judged(case, report, ceilings=ceilings)


def judged(case: Case, report: Report, *, ceilings: bool = True) -> Score:
    """Compare a report with the truth."""
    error, group = max(share_errors(case, report))
    held = bounds_held(case, report)
    return Score(
        name=case.name,
        seed=case.seed,
        right=is_right(case, report),
        trivial=largest_span_is_right(case),
        share_error=error,
        share_group=group,
        bounded=len(held),
        held=sum(held),
        ceiling_error=ceiling_error(case, report) if ceilings else None,
        false_alarms=false_alarms(case, report),
        memory_right=memory_right(case, report),
        says=f"{report.verdict.cause} ({report.verdict.confidence}): {report.verdict.statement}",
        truth={cause: case.run.share(cause) for cause in case.run.seconds},
    )


def is_right(case: Case, report: Report) -> bool:
    """The verdict names what binds, and nothing where nothing does."""
    verdict = report.verdict
    binding = {finding.cause for finding in report.findings if finding.kind == "binds"}
    if case.planted.hidden:
        suspected = {f.cause for f in report.findings if f.kind != "ruled_out"}
        doubtful = verdict.confidence == "low" or "llm.rate_limit" in suspected
        return verdict.cause in {None, "llm.rate_limit", *MODEL} and doubtful
    if not case.causes:
        return verdict.cause is None
    return verdict.cause in case.causes and case.planted.also <= binding


def share_errors(case: Case, report: Report) -> list[tuple[float, str]]:
    """By how many points each group's share is off."""
    truth = case.run.group_shares()
    told = {name: group.share for name, group in report.attribution.groups.items()}
    return [
        (100 * abs(told.get(group, 0.0) - truth.get(group, 0.0)), group) for group in CAUSE_GROUPS
    ]


def bounds_held(case: Case, report: Report) -> list[bool]:
    """For each group that bounds are told of, whether its true time lies within them."""
    truth, whole_s = case.run.group_shares(), report.attribution.seconds
    ends: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, told in report.attribution.causes.items():
        both = ends[CAUSES[name].group]
        both[0] += told.seconds if told.low is None else told.low
        both[1] += told.seconds if told.high is None else told.high
    return [
        low - SLACK * whole_s <= truth.get(group, 0.0) * whole_s <= high + SLACK * whole_s
        for group, (low, high) in ends.items()
        if high > low
    ]


def false_alarms(case: Case, report: Report) -> list[str]:
    """Causes that are said to bind and took next to nothing; on a healthy run any."""
    binding = [finding.cause for finding in report.findings if finding.kind == "binds"]
    if not case.planted.causes:
        return binding
    return [cause for cause in binding if case.run.share(cause) < FALSE_SHARE]


def ceiling_error(case: Case, report: Report) -> float | None:
    """How far off the ceiling is, as part of the true one."""
    resource = case.planted.ceiling
    if resource is None:
        return None
    told = next((c.sessions for c in report.ceilings if c.resource == resource), None)
    if told is None:
        return math.inf
    true = sessions_at_limit(case.planted, resource, case.seed)
    return told / true - 1


def memory_right(case: Case, report: Report) -> bool | None:
    """Whether a leak is told from none; None where that is not asked, or not told."""
    if case.planted.leaks is None or report.memory.leak is None:
        return None
    return report.memory.leak == case.planted.leaks


def largest_span_is_right(case: Case) -> bool:
    """The trivial rule: what binds is the kind of span that took most time."""
    seconds: dict[str, float] = defaultdict(float)
    for seen in case.run.service.recorders:
        for span in seen.spans:
            length_ns = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
            cause = _cause_of(str(span["name"]))
            if cause is not None:
                seconds[cause] += length_ns / 1e9
    largest = max(seconds, key=seconds.__getitem__)
    causes = case.causes
    return largest in causes or (largest == "llm.first_token" and "llm.generation" in causes)


_BY_NAME = {
    "wait rate_limit": "llm.rate_limit",
    "wait retry_backoff": "llm.retry",
    "wait http.pool": "llm.connection",
    "wait db.pool": "db.pool",
    "wait threadpool": "runtime.threadpool",
    "wait lock": "wait.lock",
    "event_loop.blocked": "runtime.event_loop",
    "gc.pause": "runtime.gc",
    "cpu.throttled": "runtime.throttled",
    "load_conversation": "context.load",
    "GET": "http.upstream",
}


def _cause_of(name: str) -> str | None:
    if name.startswith("chat "):
        return "llm.first_token"
    if name.startswith("execute_tool "):
        return "tool.execution"
    if name.split()[0] in ("SELECT", "INSERT", "UPDATE"):
        return "db.query"
    return _BY_NAME.get(name)


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


CHANCE = 1 / len(CAUSES)
"""Of naming, at random, one of the causes or that nothing binds."""
