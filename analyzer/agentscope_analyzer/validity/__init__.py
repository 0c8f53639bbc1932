"""Can the run itself be believed? Each check says ok, warn or fail, with the figure behind it."""

from __future__ import annotations

from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.other_generators import other_generators
from agentscope_analyzer.validity import (
    clocks,
    coverage,
    generator,
    limits,
    models,
    moments,
    processes,
    records,
    steadiness,
    turns,
)
from agentscope_analyzer.validity.coverage import NOT_MEASURED
from agentscope_analyzer.validity.processes import apart_says
from agentscope_analyzer.validity.turns import (
    FAILED_SHARE,
    MIN_TURNS,
    MOST_FAILED_SHARE,
    hung_says,
)

__all__ = [
    "FAILED_SHARE",
    "MIN_TURNS",
    "MOST_FAILED_SHARE",
    "NOTED",
    "NOT_MEASURED",
    "UNFINISHED_SHARE",
    "apart_says",
    "checks_of",
    "hung_says",
    "is_complete",
]

UNFINISHED_SHARE = 0.05
NOTED = frozenset({"models", "warm_up", "instance_clocks"})
"""Checks that say something worth reading when all is well, too."""


def checks_of(facts: Facts) -> list[Check]:
    """Every check that the run's data allow, in the order in which a reader wants them."""
    return [check for ask in _CHECKS for check in ask(facts)]


def is_complete(facts: Facts) -> bool:
    """Nothing was refused, and the manifests say that nothing else is missing."""
    return not facts.rejected and bool(facts.manifest.get("complete"))


_CHECKS = (
    turns.turns,
    turns.length,
    turns.together,
    moments.moments,
    turns.sums,
    records.rejected,
    records.goodbye,
    turns.open_turns,
    turns.failed,
    limits.timeouts,
    records.ledger,
    records.spans_lost,
    records.sampled,
    records.orphans,
    records.internal_errors,
    turns.inferred,
    coverage.parallel,
    records.anomalies,
    generator.joined,
    other_generators,
    generator.period,
    generator.little,
    clocks.clocks,
    clocks.instance_clocks,
    coverage.crowded,
    generator.lateness,
    generator.omission,
    generator.think_time,
    generator.shared_sessions,
    processes.alike,
    turns.kinds,
    steadiness.ramp,
    steadiness.warm_up,
    steadiness.steady,
    turns.unattributed,
    models.answered_by,
    models.hidden_attempts,
    coverage.not_measured,
    coverage.ceilings,
    coverage.questions,
)
