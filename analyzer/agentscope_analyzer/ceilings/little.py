"""Little's law as a check: what gauges see in use, against uses a second times their length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from agentscope_analyzer.wording import number, percent

MAX_DIFFERENCE: Final = 0.05
Z_95: Final = 1.96


@dataclass(frozen=True)
class Little:
    """L, in use on average as looked at; λW, in use on average as recorded use by use.

    ``error`` is the doubt about L that comes from looking only now and then.
    """

    seen: float
    told: float
    error: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the two agree within a twentieth, or within what looking now and then explains."""
        apart = abs(self.seen - self.told)
        return apart <= max(MAX_DIFFERENCE * max(self.seen, self.told), Z_95 * self.error)

    def says(self, what: str, where: str) -> str | None:
        """What is missing where they do not agree; None where they do."""
        if self.holds:
            return None
        if self.seen > self.told:
            return (
                f"spans are missing: {number(self.seen)} {what} in use, of which {where} explain "
                f"{percent(self.told / self.seen)}"
            )
        return (
            f"a pool was not looked at: {where} say {number(self.told)} {what} in use, gauges "
            f"{number(self.seen)}"
        )


def looking_error(spread: float, points: float, held_s: float, apart_s: float = 1.0) -> float:
    """Standard error of a mean of looks ``apart_s`` apart at what is held for ``held_s`` a time.

    Looks closer together than a use is long see the same use: they count as fewer.
    """
    return spread / math.sqrt(points / max(1.0, 2 * held_s / apart_s)) if points > 0 else math.inf
