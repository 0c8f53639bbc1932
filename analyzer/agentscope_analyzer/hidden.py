"""Retries inside calls whose HTTP attempts nobody recorded: an estimate, never a fact.

Most instrumentations write one span for a call of a model, however often the client sent it and
slept in between. What may still tell: the span's own count of resends, and refusals that an HTTP
client's metrics counted. Either is evidence that there were retries; how long they took is read from
how much longer calls lasted than their like, and comes with bounds. It is never taken away from the
model's time as a fact.

Without such evidence nothing is claimed. Calls that take longer under load are no evidence: a model
that slows down looks the same. Then the two cannot be told apart, and that is what is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentscope_analyzer.document import Evidence
from agentscope_analyzer.sql import Asker
from agentscope_analyzer.wording import amount, number, percent, seconds

__all__ = ["RECORD_THEM", "Hidden", "hidden_in"]

RECORD_THEM = "agentscope.instrument() records them"
"""What to type so that nothing has to be estimated."""

MIN_GROWTH = 1.5
"""Calls must take this much longer under most load than under least, at as much more load."""
MIN_SHARE = 0.03
"""Of turn time: less than this is not worth a sentence."""


@dataclass(frozen=True)
class Hidden:
    """What may hide in calls without recorded attempts."""

    calls: int
    """Calls in which something may hide."""
    cause: str | None = None
    """llm.rate_limit or llm.retry where there is evidence of retries, else None."""
    seconds: float | None = None
    """Estimate of the time they took; None where nothing is there to compare with."""
    low_s: float = 0.0
    high_s: float = 0.0
    says: str = ""
    evidence: tuple[Evidence, ...] = ()
    growth: str | None = None
    """In words, how much longer calls take under load; None where they do not."""

    def statement(self, wall_s: float) -> str:
        """What a finding says of the estimate."""
        guess = seconds(self.seconds) if self.seconds is not None else "an unknown time"
        return (
            f"{self.says}; by estimate they took {guess}, between {seconds(self.low_s)} and "
            f"{seconds(self.high_s)} ({percent(min(1.0, self.high_s / wall_s))} of turn time at "
            f"most), which is counted as the model's own; {RECORD_THEM}"
        )


def hidden_in(asker: Asker, llm: dict[str, Any], wall_s: float) -> Hidden:
    """Ask what the run tells about retries in calls without attempts; ``llm`` is ``llm/summary``."""
    counted = asker.ask("llm/refusals_counted")[0]
    # What ended a call, and what attempts show, is not hidden.
    refusals = max(0, counted["refusals"] - llm["rate_limited"] - llm["billed"] - llm["failed"])
    row = asker.ask("llm/hidden_retries", refusals=refusals)[0]
    grown = asker.ask("llm/service_growth")[0]
    growth = _growth(grown, wall_s)
    if not row["calls"] or not (refusals or row["retries"]):
        return Hidden(row["calls"], growth=growth)
    evidence, says = [], []
    low_s = high_s = 0.0
    estimate_s: float | None = None
    if row["retries"]:
        low_s, high_s, estimate_s = row["resent_low_s"], row["resent_high_s"], row["resent_s"]
        says.append(
            f"{amount(row['resent_calls'], 'model call')} without recorded attempts were sent again, "
            f"{amount(row['retries'], 'time')} in all"
        )
        evidence.append(_evidence("retries that spans count", row["retries"], "retries"))
    if refusals:
        answered_s = counted["wall_s"] * refusals / counted["refusals"]
        low_s = max(low_s, answered_s)
        high_s = max(high_s, row["refused_high_s"], low_s)
        grown_s = min(high_s, max(low_s, grown["growth_s"] or 0.0))
        estimate_s = grown_s if estimate_s is None else max(estimate_s, grown_s)
        says.append(
            f"an HTTP client's metrics count {amount(refusals, 'refusal')} (429 or 529) that no span "
            "shows"
        )
        evidence.append(_evidence("refusals that metrics count", refusals, "refusals"))
    evidence.append(_evidence("time they took at most", high_s, "s"))
    return Hidden(
        calls=row["calls"],
        cause="llm.rate_limit" if refusals else "llm.retry",
        seconds=None if estimate_s is None else min(high_s, max(low_s, estimate_s)),
        low_s=low_s,
        high_s=high_s,
        says="; ".join(says),
        evidence=tuple(evidence),
        growth=growth,
    )


def _evidence(name: str, value: float, unit: str) -> Evidence:
    question = "llm/refusals_counted" if unit == "refusals" else "llm/hidden_retries"
    return Evidence(name=name, value=value, unit=unit, limit=None, question=question)


def _growth(row: dict[str, Any], wall_s: float) -> str | None:
    if not row["least_s"] or not row["least_in_flight"] or not wall_s:
        return None
    loaded = row["most_in_flight"] >= MIN_GROWTH * row["least_in_flight"]
    slower = row["most_s"] >= MIN_GROWTH * row["least_s"]
    if not loaded or not slower or row["growth_s"] < MIN_SHARE * wall_s:
        return None
    return (
        f"with {number(row['most_in_flight'])} of them in flight they take {seconds(row['most_s'])}, "
        f"with {number(row['least_in_flight'])} {seconds(row['least_s'])} for as much output: a model "
        f"that slows down and hidden back-off (up to {seconds(row['growth_s'])}) cannot be told apart"
    )
