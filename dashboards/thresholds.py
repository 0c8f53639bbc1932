"""Where a figure turns yellow and red: one constant each, for panels and alerts alike.

They are starting points for a chat agent that talks to a hosted model. A service with an
objective of its own puts its figures here and runs ``make dashboards``.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Levels(NamedTuple):
    """A yellow and a red level. Where ``warning`` is the higher one, low figures are the bad ones."""

    warning: float
    critical: float


TURN_P95_S: Final = Levels(10.0, 30.0)
"""People leave a chat that takes longer; red is where common proxies give up at 30 or 60 s."""

ERROR_SHARE: Final = Levels(0.01, 0.05)
"""Failed turns among all turns."""

QUOTA_HEADROOM: Final = Levels(0.25, 0.10)
"""What is left of a provider's quota: below a tenth, one burst brings the first 429."""

LOOP_DELAY_S: Final = Levels(0.05, 0.25)
"""Every turn of the process pays this each time it comes back from waiting."""

GC_SHARE: Final = Levels(0.02, 0.10)
"""Share of time for which the collector stops the process."""

CPU_CORES: Final = Levels(0.7, 0.9)
"""Cores used by a process whose Python code runs on one."""

POOL_USE: Final = Levels(0.8, 1.0)
"""Connections in use among those that the pool may open; at 1 the next call waits."""
