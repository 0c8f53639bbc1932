"""Are the times moments of our days? Nanoseconds written as something else are years off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agentscope_analyzer.document import Check
from agentscope_analyzer.facts import Facts
from agentscope_analyzer.validity.check import check

EARLIEST_S: Final = 1_000_000_000.0
"""September 2001, before there was anything to record: a time below it counts something else."""
LATEST_S: Final = 4_102_444_800.0
"""The year 2100."""
_UNITS: Final = {1e3: "microseconds", 1e6: "milliseconds", 1e9: "seconds"}


def moments(facts: Facts) -> Iterator[Check]:
    """Nothing can be believed of turns that begin in 1970 or in 2262: their lengths are off, too."""
    if not facts.turns["turns"]:
        return
    start_s, end_s = facts.whole.start_s, facts.whole.end_s
    if end_s >= EARLIEST_S and start_s <= LATEST_S:
        return
    detail = (
        "turns lie outside the years 2001 to 2100: times are not nanoseconds, or no clock was right"
    )
    unit = _unit(start_s, end_s)
    if unit is not None:
        detail = (
            f"times are {unit} since 1970, not nanoseconds: multiply them where they are written"
        )
    yield check("moments", "fail", detail, start_s)


def _unit(start_s: float, end_s: float) -> str | None:
    """The unit in which all times would be of our days."""
    for factor, unit in _UNITS.items():
        if start_s * factor >= EARLIEST_S and end_s * factor <= LATEST_S:
            return unit
    return None
