"""Time-outs: durations that are a limit's and not the work's."""

from __future__ import annotations

from collections.abc import Iterator

from agentscope_analyzer.audit import Pile
from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.validity.check import check
from agentscope_analyzer.wording import amount, number, seconds

BEYOND_P95 = 0.05
"""Of all turns: with more of them cut short, the p95 is the limit's own."""
SAME = 0.05
"""Piles of several sorts that lie so near are one time-out: a turn's ends its calls."""

_NOUNS = {
    "request": "request",
    "turn": "turn",
    "call": "model call",
    "http": "HTTP call",
    "query": "query",
}
_ORDER = tuple(_NOUNS)


def timeouts(facts: Facts) -> Iterator[Check]:
    """Where many end after nearly the same time, something stopped waiting for them."""
    if not facts.turns["turns"]:
        return
    alike: list[list[Pile]] = []
    for pile in sorted(facts.audit.piles, key=lambda pile: (not pile.cut, _ORDER.index(pile.sort))):
        same = next((group for group in alike if _is_same(group[0], pile)), None)
        if same is None:
            alike.append([pile])
        elif same[0].cut == pile.cut:
            same.append(pile)  # else it is what contains those that were cut short
    for group in alike:
        detail = f"{', '.join(_found(pile) for pile in group)} {_says(group[0])}"
        yield check("timeouts", "warn", detail, group[0].least_s)
    if not alike:
        yield check("timeouts", "ok", "no duration repeats as one of a time-out would", 0)


def _is_same(one: Pile, other: Pile) -> bool:
    return abs(one.least_s - other.least_s) <= SAME * one.least_s


def _found(pile: Pile) -> str:
    sender = " that the load generator sent" if pile.sort == "request" else ""
    return f"{amount(pile.n, _NOUNS[pile.sort])} of {number(pile.of)}{sender}"


def _says(pile: Pile) -> str:
    low, high = seconds(pile.least_s), seconds(pile.most_s)
    if not pile.cut:
        return (
            f"took {low} and hardly any a little less: a time-out with a retry or a fallback behind it, "
            "unless the work itself takes so long; look at their traces"
        )
    floor = ""
    if pile.sort in ("turn", "request") and pile.share > BEYOND_P95:
        floor = f", so quantiles from p{100 * (1 - pile.share):.0f} on are lower bounds"
    return (
        f"were cut short after {low if low == high else f'{low} to {high}'}: a time-out, not the work's "
        f"own length{floor}; find who gives up, or let it wait longer in a test"
    )
