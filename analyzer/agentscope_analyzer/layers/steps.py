"""What changed from one run to a later one, and what can be said of it.

A difference counts when the interval of its cause, judged together with the other causes by Holm's
method, leaves out zero, and when it is large enough to matter: a part of the earlier run's turn.
Nothing changed when the whole interval is within that margin. Between the two nothing is known, and
the least difference that such runs would show is told instead (four times out of five, at 5 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from agentscope.conventions import CAUSES
from agentscope_analyzer.intervals import MIN_SESSIONS, interval_of
from agentscope_analyzer.layers.document import CauseDifference, Change, Difference, Step
from agentscope_analyzer.layers.resampling import Resampled, shift, shift_drawn
from agentscope_analyzer.layers.sample import Floats, Layer
from agentscope_analyzer.wording import LABELS, number, seconds

__all__ = ["MARGIN", "step_between"]

MARGIN: Final = 0.05
"""Share of the earlier run's mean turn that a difference must reach to matter."""
POWER: Final = 1.96 + 0.84
"""Standard errors that a difference must measure to be found four times out of five."""
MIN_MARGIN_S: Final = 0.001
"""Nobody waits for less."""
MIN_SESSIONS_BEYOND: Final = 5
"""Fewer sessions with turns beyond a quantile, and it is theirs alone."""
MAX_SESSIONS_TOLD: Final = 10_000
MOST_TOLD: Final = 3
LEAST_TOLD: Final = 0.05
"""Of the whole difference; less of a cause is in the table, not in the sentence."""
P50, P95 = 0.5, 0.95


def step_between(before: tuple[Layer, Resampled], after: tuple[Layer, Resampled]) -> Step:
    """The differences of two layers, and one sentence."""
    (earlier, a), (later, b) = before, after
    pair = _Pair(a, b)
    mean_a, mean_b = a.mean_s, b.mean_s
    margin_s = _margin_s(float(mean_a.sum()))
    causes = _causes(pair, earlier, later, margin_s)
    mean = pair.difference(
        float(mean_a.sum()), float(mean_b.sum()),
        b.mean_drawn_s.sum(axis=1) - a.mean_drawn_s.sum(axis=1), margin_s,
    )  # fmt: skip
    p50, p95 = (_quantile(pair, p) for p in (P50, P95))
    ratio = _ratio(pair)
    return Step(
        before=earlier.name,
        after=later.name,
        statement=_statement(earlier.name, later.name, ratio, mean, causes),
        ratio=ratio,
        mean_s=mean,
        p50_s=p50,
        p95_s=p95,
        causes=causes,
    )


class _Pair:
    """Two resampled runs; intervals only where enough sessions are known in both.

    ``beyond`` is how many sessions have turns beyond the quantile in question.
    """

    def __init__(self, a: Resampled, b: Resampled, beyond: int | None = None) -> None:
        self.a, self.b = a, b
        sessions = min(len(a.session_medians), len(b.session_medians))
        self.known = a.sample.known and b.sample.known
        self.can_be_drawn = self.known and sessions >= MIN_SESSIONS
        self.sessions = sessions if beyond is None else min(sessions, beyond)
        if beyond is not None and beyond < MIN_SESSIONS_BEYOND:
            self.can_be_drawn = False

    def difference(self, before: float, after: float, drawn: Floats, margin: float) -> Difference:
        return Difference(**self.judged(before, after, drawn, margin, family=1))

    def judged(
        self, before: float, after: float, drawn: Floats, margin: float, *, family: int
    ) -> dict[str, Any]:
        """The fields of a Difference; ``family`` is of how many the sign is judged together."""
        difference = after - before
        fields: dict[str, Any] = {
            "before": before, "after": after, "difference": difference, "margin": margin,
            "low": None, "high": None, "detectable": None, "sessions_needed": None,
            "change": "not_judged",
        }  # fmt: skip
        if not self.can_be_drawn:
            return fields
        low, high = self.interval(drawn)
        detectable = POWER * float(np.nanstd(drawn))
        change = _change(difference, (low, high), self.interval(drawn, family), margin)
        needed = _sessions_needed(self.sessions, detectable, margin)
        return fields | {
            "low": low,
            "high": high,
            "detectable": detectable,
            "sessions_needed": needed if change == "inconclusive" else None,
            "change": change,
        }

    def interval(self, drawn: Floats, family: int = 1) -> tuple[float, float]:
        low, high = interval_of(drawn, sessions=self.sessions, family=family)
        return float(low), float(high)


def _quantile(pair: _Pair, p: float) -> Difference:
    """A quantile rests on the sessions that have turns beyond it: of too few nothing is said."""
    a, b = pair.a, pair.b
    before, after = a.quantile_s(p), b.quantile_s(p)
    drawn = b.quantile_drawn_s(p) - a.quantile_drawn_s(p)
    of_tail = _Pair(a, b, min(a.sessions_beyond(p), b.sessions_beyond(p)))
    return of_tail.difference(before, after, drawn, _margin_s(before))


def _margin_s(turn_s: float) -> float:
    return max(MARGIN * turn_s, MIN_MARGIN_S)


def _causes(pair: _Pair, earlier: Layer, later: Layer, margin_s: float) -> list[CauseDifference]:
    """Causes that took time in either run, largest difference first."""
    mean_a, mean_b = pair.a.mean_s, pair.b.mean_s
    there = [i for i in range(len(mean_a)) if mean_a[i] > 0 or mean_b[i] > 0]
    drawn = (
        pair.b.mean_drawn_s - pair.a.mean_drawn_s
        if pair.can_be_drawn
        else np.zeros((1, len(mean_a)))
    )
    families = _holm(pair, drawn, there)
    names = list(CAUSES)
    found = [
        CauseDifference(
            cause=names[i],
            recorded_before=earlier.recorded(names[i]),
            recorded_after=later.recorded(names[i]),
            **pair.judged(
                float(mean_a[i]), float(mean_b[i]), drawn[:, i], margin_s, family=families[i]
            ),
        )
        for i in there
    ]
    return sorted(found, key=lambda cause: (-abs(cause.difference), cause.cause))


def _holm(pair: _Pair, drawn: Floats, columns: Sequence[int]) -> dict[int, int]:
    """With how many others each column is judged: the surest with all, and so on until one fails."""
    if not pair.can_be_drawn:
        return dict.fromkeys(columns, 1)
    deviation = np.nanstd(drawn, axis=0)
    means = np.abs(np.nanmean(drawn, axis=0))
    certainty = {i: means[i] / deviation[i] if deviation[i] > 0 else math.inf for i in columns}
    families, left = {}, len(columns)
    for i in sorted(columns, key=lambda i: -certainty[i]):
        families[i] = left
        low, high = pair.interval(drawn[:, i], left)
        if left > 1 and not low <= 0 <= high:
            left -= 1
    return families


def _ratio(pair: _Pair) -> Difference | None:
    """How many times as long; its interval and margins are those of the logarithm, undone."""
    if not pair.known:
        return None
    medians = pair.a.session_medians, pair.b.session_medians
    moved = shift(*medians)
    before, after = (float(np.exp(np.median(side))) for side in medians)
    drawn = shift_drawn(pair.a, pair.b) if pair.can_be_drawn else np.zeros(1)
    fields = pair.judged(0.0, moved, drawn, math.log1p(MARGIN), family=1)
    undone = {
        key: None if fields[key] is None else math.exp(fields[key])
        for key in ("difference", "low", "high", "margin", "detectable")
    }
    return Difference(**{**fields, **undone, "before": before, "after": after})


def _change(
    difference: float, interval: tuple[float, float], in_family: tuple[float, float], margin: float
) -> Change:
    low, high = interval
    if not in_family[0] <= 0 <= in_family[1] and abs(difference) >= margin:
        return "added" if difference > 0 else "saved"
    if -margin <= low and high <= margin:
        return "unchanged"
    return "inconclusive"


def _sessions_needed(sessions: int, detectable: float, margin: float) -> int | None:
    """How many sessions show the margin; None where these do, or no number within reason."""
    if detectable <= margin or margin <= 0:
        return None
    needed = math.ceil(sessions * (detectable / margin) ** 2)
    return needed if needed <= MAX_SESSIONS_TOLD else None


def _statement(
    before: str,
    after: str,
    ratio: Difference | None,
    mean: Difference,
    causes: list[CauseDifference],
) -> str:
    """What the step did to a turn, and what of it is whose."""
    if mean.change == "not_judged":
        return (
            f"{after} takes {seconds(abs(mean.difference))} {_more(mean)} a turn than {before} on average: "
            "sessions are too few or not known, so how much of it is chance cannot be told"
        )
    whose = _whose(mean, causes)
    times = f", {number(ratio.difference)} times as long" if ratio is not None else ""
    if mean.change in ("added", "saved"):
        what = f"{after} {_verb(mean)} {seconds(abs(mean.difference))} a turn{times}"
        return f"{what}: {whose}" if whose else f"{what}, of no single cause"
    if mean.change == "unchanged":
        what = f"{after} changes a turn by less than {seconds(mean.margin)}"
        return f"{what}, though not what it is made of: {whose}" if whose else what
    least = mean.detectable or 0.0
    return f"whether {after} changes a turn is open: less than {seconds(least)} would not show in such runs"


def _whose(mean: Difference, causes: list[CauseDifference]) -> str:
    """The causes that moved most: ``database queries 127 ms, locks … -20 ms``."""
    worth_telling = LEAST_TOLD * abs(mean.difference)
    return ", ".join(
        f"{LABELS[cause.cause]} {'-' if cause.difference < 0 else ''}{seconds(abs(cause.difference))}"
        for cause in [cause for cause in causes if cause.change in ("added", "saved")][:MOST_TOLD]
        if abs(cause.difference) >= worth_telling
    )


def _verb(mean: Difference) -> str:
    return "adds" if mean.difference > 0 else "saves"


def _more(mean: Difference) -> str:
    return "more" if mean.difference > 0 else "less"
