"""From figures to places on a picture, and the round figures that an axis names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from agentscope_analyzer.wording import number


@dataclass(frozen=True)
class Linear:
    """Values of [low, high] spread evenly over [start, end] of the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value; those beyond the ends stand at the end."""
        if self.high <= self.low:
            return self.start
        part = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, part))

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values within the scale, 1, 2 or 5 times a power of ten apart."""
        step = _step((self.high - self.low) / max(1, wanted))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Log:
    """Values above 0 of [low, high], each factor of ten as wide as every other."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value; those beyond the ends stand at the end."""
        if value <= self.low or self.high <= self.low:
            return self.start
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * min(1.0, part)

    def ticks(self, wanted: int = 8) -> list[float]:
        """Powers of ten, with 2 and 5 times these, or every so many of them, as there is room."""
        first = math.floor(math.log10(self.low))
        last = math.ceil(math.log10(self.high))
        for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [
                factor * 10.0**power
                for power in range(first, last + 1)
                for factor in factors
                if self.low * 0.999 <= factor * 10.0**power <= self.high * 1.001
            ]
            if len(found) <= wanted:
                return found
        return found[:: math.ceil(len(found) / wanted)]


def headroom(most: float) -> float:
    """The end of an axis from 0 that holds ``most`` and does not touch it."""
    return most * 1.05 if most > 0 else 1.0


_SECONDS: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
    900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
)  # fmt: skip


def moments(length_s: float, wanted: int = 8) -> list[float]:
    """Round moments of a stretch of time, in seconds from its start."""
    step = next((step for step in _SECONDS if length_s / step <= wanted), None)
    if step is None:
        step = 86_400 * _step(length_s / 86_400 / wanted)
    return [i * step for i in range(int(length_s / step + 1e-9) + 1)]


def elapsed(at_s: float, length_s: float) -> str:
    """A moment of a stretch, in the unit that suits the stretch: ``40 s``, ``12 min``, ``3 h``."""
    if length_s < 180:
        return f"{number(at_s)} s"
    if length_s < 3 * 3600:
        return f"{number(at_s / 60)} min"
    if length_s < 3 * 86_400:
        return f"{number(at_s / 3600)} h"
    return f"{number(at_s / 86_400)} d"


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below ``rough``."""
    if not 0 < rough < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
