"""What could not be seen or told, and what stands in doubt because of it."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope.conventions import CAUSES, RuntimeEvent
from agentscope_analyzer.document import Check, Status
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.measured import was_measured
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import percent

MAX_DISAGREEMENT = 0.1
MAX_CROWDED = 0.05

NOT_MEASURED = "not_measured"
"""The check that names, one by one, the causes that are neither found nor ruled out."""


def parallel(facts: Facts) -> Iterator[Check]:
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
    yield check("parallel", status, detail, difference)


def crowded(facts: Facts) -> Iterator[Check]:
    """A machine without a free processor makes every process on it late."""
    if not facts.spans["loop_blocks"] or facts.lived_s <= 0:
        return
    waited_s = facts.crowding * facts.stopped_s(RuntimeEvent.LOOP_BLOCKED)
    share = waited_s / facts.lived_s
    detail = f"event loops waited {percent(share)} of the run for a free processor"
    if share > MAX_CROWDED:
        detail += ": the machine is crowded, by this service or by others on it"
    yield check("processors", "warn" if share > MAX_CROWDED else "ok", detail, share)


def not_measured(facts: Facts) -> Iterator[Check]:
    """Causes that are neither found nor ruled out, each with what it would take to record it."""
    if not facts.turns["turns"]:
        return
    for cause in CAUSES:
        why = was_measured(cause, facts)
        if why is not None:
            yield check(NOT_MEASURED, "warn", f"{cause}: {why}", cause)


def ceilings(facts: Facts) -> Iterator[Check]:
    """Limits of which nobody can say at how many sessions they are reached."""
    for why in facts.ceilings.missing:
        yield check("ceilings", "warn", why, None)


def questions(facts: Facts) -> Iterator[Check]:
    """Answers that are too long for the report."""
    for question, rows in sorted(facts.cut.items()):
        shown = len(facts.questions[question])
        detail = f"{question}: the report carries {shown} of {rows} rows"
        yield check("questions", "ok", detail, rows - shown)
