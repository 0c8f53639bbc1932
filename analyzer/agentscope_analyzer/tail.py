"""Why the slow turns are slow: the p95 turns against the median ones, as a difference by cause.

A cause that fills a slow turn need not be what makes it slow: the model's own time is most of any
turn, fast or slow. What a slow turn has more of than a middle one is. Part of the difference may be
that slow turns do more (other routes, more calls of models): that is told apart from the same work
taking longer, for no cause of waiting can be blamed for it.
"""

from __future__ import annotations

from typing import Any, Final

from agentscope_analyzer.document import Tail, TailCause
from agentscope_analyzer.intervals import (
    MIN_SESSIONS_OF_A_PART,
    Clusters,
    Floats,
    interval_of,
)
from agentscope_analyzer.wording import amount, label, number, percent, seconds

__all__ = ["tail_of"]

MIN_TURNS: Final = 10
"""Fewer slow turns than this are anecdotes."""
MIN_TAIL: Final = 0.25
"""Slow turns that take longer than middle ones by less than this part are no tail to explain."""
NAMED_SHARE: Final = 0.10
SHAPE_SHARE: Final = 0.20
"""From this part of the difference on, what turns do is said beside their causes."""
MAX_NAMED: Final = 2


def tail_of(clusters: Clusters, shapes: dict[str, Any], *, streamed: bool = True) -> Tail:
    """Explain the tail from turns by cluster and the answer of ``turns/shapes``.

    ``streamed`` says how a model's time is spoken of: whether its answers come in chunks.
    """
    slow, middle = clusters.per_turn("slow"), clusters.per_turn("middle")
    told = clusters.count("slow") > 0 and clusters.count("middle") > 0
    causes = _causes(clusters, slow, middle) if told else []
    slow_s, middle_s = float(slow.sum()), float(middle.sum())
    return Tail(
        slow_turns=clusters.count("slow"),
        middle_turns=clusters.count("middle"),
        slow_s=slow_s if told else None,
        middle_s=middle_s if told else None,
        difference_s=slow_s - middle_s if told else None,
        shape_s=shapes["shape_s"],
        slow_calls=shapes["slow_calls"],
        middle_calls=shapes["middle_calls"],
        causes=causes,
        statement=_statement(clusters.count("slow"), causes, slow_s, middle_s, shapes, streamed),
    )


def _causes(clusters: Clusters, slow: Floats, middle: Floats) -> list[TailCause]:
    difference = slow - middle
    longer_s = difference.sum()
    ends = _ends(clusters)
    found = [
        TailCause(
            cause=cause,
            slow_s=float(slow[i]),
            middle_s=float(middle[i]),
            difference_s=float(difference[i]),
            share=float(difference[i] / longer_s) if longer_s > 0 else None,
            low_s=None if ends is None else float(ends[0][i]),
            high_s=None if ends is None else float(ends[1][i]),
        )
        for i, cause in enumerate(clusters.causes)
        if slow[i] or middle[i]
    ]
    return sorted(found, key=lambda one: -one.difference_s)


def _ends(clusters: Clusters) -> tuple[Floats, Floats] | None:
    sessions = clusters.sessions("slow", "middle")
    if not clusters.can_be_drawn or sessions < MIN_SESSIONS_OF_A_PART:
        return None
    drawn = clusters.per_turn_drawn("slow") - clusters.per_turn_drawn("middle")
    return interval_of(drawn, sessions=sessions)


def _statement(
    turns: int,
    causes: list[TailCause],
    slow_s: float,
    middle_s: float,
    shapes: dict[str, Any],
    streamed: bool,
) -> str:
    if turns < MIN_TURNS:
        return (
            f"not enough turns to explain the slow ones: {amount(turns, 'turn')} at or above the "
            f"p95, {MIN_TURNS} needed"
        )
    longer_s = slow_s - middle_s
    compared = f"({seconds(slow_s)} against {seconds(middle_s)})"
    if longer_s <= MIN_TAIL * middle_s:
        return (
            f"no tail to explain: the slowest turns take hardly longer than middle ones {compared}"
        )
    said = f"the slowest turns take {seconds(longer_s)} longer than middle ones {compared}: "
    said += _blamed(causes, longer_s, streamed)
    shape_s = shapes["shape_s"] or 0.0
    if shape_s >= SHAPE_SHARE * longer_s:
        said += (
            f"; {percent(min(1.0, shape_s / longer_s))} goes with what they do: "
            f"{number(shapes['slow_calls'])} model calls a turn against "
            f"{number(shapes['middle_calls'])}"
        )
    return said


def _blamed(causes: list[TailCause], longer_s: float, streamed: bool) -> str:
    """``81 % [74 %, 88 %] of it is the provider's quota``."""
    if causes[0].low_s is None:
        share = percent(causes[0].difference_s / longer_s)
        return f"{share} of it {_label(causes[0], streamed)}, of too few sessions to be sure of it"
    named = [
        f"{percent(one.difference_s / longer_s)} {_within(one, longer_s)} of it "
        f"{_label(one, streamed)}"
        for one in causes
        if (one.low_s or 0.0) > 0 and one.difference_s >= NAMED_SHARE * longer_s
    ]
    return f"{' and '.join(named[:MAX_NAMED])}" if named else "no cause's part in it is certain"


def _label(one: TailCause, streamed: bool) -> str:
    return label(one.cause, streamed=streamed)


def _within(one: TailCause, longer_s: float) -> str:
    most_s = max(longer_s, one.difference_s)  # a part is not more than the whole
    low, high = (min(max(0.0, end or 0.0), most_s) / longer_s for end in (one.low_s, one.high_s))
    return f"[{percent(low)}, {percent(high)}]"
