"""The first limit, the second one, and how far apart they are."""

from __future__ import annotations

from agentscope_analyzer.document import Ceiling, Margin
from agentscope_analyzer.wording import live_sessions, number


def margin_of(ranked: list[Ceiling], untold: list[str]) -> Margin:
    """Of ceilings, lowest first: what comes first, what next, and what would help.

    ``untold`` are the reasons why something that was recorded has no ceiling.
    """
    known = [one for one in ranked if one.sessions is not None]
    if not known:
        return Margin(untold=untold)
    first = known[0]
    second = next((one for one in known if _name(one) != _name(first)), None)
    parts = [f"first limit: {_at(first)}"]
    times = None
    if second is not None:
        times = second.sessions / first.sessions if second.sessions and first.sessions else None
        told = f" ({number(times)} × as many)" if times is not None else ""
        parts.append(f"second: {_at(second)}{told}")
        if _overlap(first, second):
            parts.append("their intervals overlap, so either may come first")
    if first.relief:
        parts.append(first.relief)
    return Margin(
        first=first.resource,
        second=second.resource if second is not None else None,
        times=times,
        statement="; ".join(parts),
        untold=untold,
    )


def _at(ceiling: Ceiling) -> str:
    sessions = ceiling.sessions or 0.0
    at = live_sessions(sessions, ceiling.low, ceiling.high, censored=ceiling.censored)
    return f"{_name(ceiling)} at {at}"


def _name(ceiling: Ceiling) -> str:
    """Two ceilings of one resource differ in what sets them: a process's core, the host's cores."""
    if ceiling.resource == "cpu":
        return (
            f"cpu of one {ceiling.dimension}"
            if ceiling.dimension == "process"
            else f"cpu of the {ceiling.dimension}"
        )
    return ceiling.resource


def _overlap(first: Ceiling, second: Ceiling) -> bool:
    if first.low is None or second.low is None:
        return False
    return first.high is None or first.high >= second.low
