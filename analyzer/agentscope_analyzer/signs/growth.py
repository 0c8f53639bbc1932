"""Whether a cause grows with load."""

from __future__ import annotations

from agentscope_analyzer.facts import Facts, Row
from agentscope_analyzer.signs.sign import Sign, sign
from agentscope_analyzer.wording import amount, number, seconds

MIN_LOAD_RATIO = 1.5
"""Load must differ by this much before growth with it can be seen, and growth must reach it."""
MIN_TURNS = 10
"""Fewer turns than this at an end of the load are anecdotes."""
PROVED_RATIO = 1.25
"""So much is enough where the interval over sessions shows that it is not by chance."""


def growth_sign(cause: str, facts: Facts) -> Sign | None:
    """The cause's seconds a turn under most load, against least; None where load did not differ."""
    ends = growth_of(cause, facts)
    if ends is None:
        return None
    least, most = ends
    proved = any(one.cause == cause and one.kind == "grows" for one in facts.growth.causes)
    ratio = PROVED_RATIO if proved else MIN_LOAD_RATIO
    grows = most["wall_s_per_turn"] >= ratio * least["wall_s_per_turn"]
    return sign(
        "seconds a turn under most load, against least",
        most["wall_s_per_turn"],
        "s",
        "turns/by_load",
        limit=least["wall_s_per_turn"],
        agrees=grows and most["wall_s_per_turn"] > 0,
        says=f"{seconds(least['wall_s_per_turn'])} a turn with {amount(least['in_flight'], 'turn')} "
        f"in flight, {seconds(most['wall_s_per_turn'])} with {number(most['in_flight'])}",
    )


def growth_of(cause: str, facts: Facts) -> tuple[Row, Row] | None:
    """The least and the most loaded third of turns; None where load hardly differed, or turns are few."""
    rows = {row["part"]: row for row in facts.by_load.get(cause, [])}
    if 1 not in rows or 3 not in rows:
        return None
    least, most = rows[1], rows[3]
    if min(least["turns"], most["turns"]) < MIN_TURNS:
        return None
    if most["in_flight"] < MIN_LOAD_RATIO * least["in_flight"]:
        return None
    return least, most
