"""What the server did, and how late it was doing it."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any, get_args

from agentscope.lab.mock_llm.quota import Dimension

_REFUSALS = (*get_args(Dimension), "too_large")

_LEAST_S = 1e-5
_GROWTH = math.log(1.05)
_BINS = 400
"""5 % wide from 10 µs on: the last begins beyond an hour."""


class LagHistogram:
    """Lateness of writes, planned against written, in bins 5 % wide."""

    __slots__ = ("_bins", "count", "max_s")

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.max_s = 0.0

    def add(self, lag_s: float) -> None:
        """Count one write that was ``lag_s`` late; early counts as on time."""
        self.count += 1
        if lag_s <= _LEAST_S:
            self._bins[0] += 1
            return
        self._bins[min(_BINS - 1, 1 + int(math.log(lag_s / _LEAST_S) / _GROWTH))] += 1
        self.max_s = max(self.max_s, lag_s)

    def quantile_s(self, share: float) -> float:
        """The lag that a share of all writes did not exceed, at most 5 % too large."""
        rank, seen = math.ceil(share * self.count), 0
        for index, count in enumerate(self._bins):
            seen += count
            if count and seen >= rank:
                return min(self.max_s, _LEAST_S * math.exp(index * _GROWTH))
        return 0.0


class Counters:
    """Sums since the start.

    received = admitted + refused + rejected + in the middle of being read, and
    admitted = completed + faults + abandoned + failed + in flight.
    """

    def __init__(self) -> None:
        self.received = 0
        self.admitted = 0
        self.completed = 0
        self.abandoned = 0
        self.failed = 0
        self.in_flight = 0
        self.tokens_charged = 0
        self.tokens_corrected = 0
        """What corrections added to that; below 0 for what was given back."""
        self.events_written = 0
        self.writes = 0
        self.refused: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.lag = LagHistogram()
        self._started_s = time.monotonic()
        self._started_cpu_s = time.process_time()

    def as_json(self) -> dict[str, Any]:
        """The body of ``GET /stats``."""
        return {
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            "cpu_s": round(time.process_time() - self._started_cpu_s, 3),
            "requests": {
                "received": self.received,
                "admitted": self.admitted,
                "completed": self.completed,
                "abandoned": self.abandoned,
                "failed": self.failed,
                "in_flight": self.in_flight,
                "refused": {reason: self.refused[reason] for reason in _REFUSALS},
                "rejected": dict(self.rejected),
                "faults": dict(self.faults),
            },
            "tokens_charged": self.tokens_charged,
            "tokens_corrected": self.tokens_corrected,
            "stream": {"events": self.events_written, "writes": self.writes},
            "lag": {
                "writes": self.lag.count,
                "p50_s": self.lag.quantile_s(0.50),
                "p99_s": self.lag.quantile_s(0.99),
                "max_s": self.lag.max_s,
            },
        }
