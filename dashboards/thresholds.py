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

    @property
    def low_is_bad(self) -> bool:
        """Whether a figure is watched for falling, not for rising."""
        return self.warning > self.critical


INSTANCES_AWAY: Final = Levels(0.0, 0.5)
"""Share of a service's instances that do not answer: one at all, and more than half."""

TURN_P95_S: Final = Levels(10.0, 30.0)
"""People leave a chat that takes longer; red is where common proxies give up at 30 or 60 s."""

ERROR_SHARE: Final = Levels(0.01, 0.05)
"""Failed turns among all turns."""

TURNS_STUCK: Final = Levels(1.0, 5.0)
"""Turns in flight while none ends, for minutes: a single one may be a long piece of work."""

QUOTA_HEADROOM: Final = Levels(0.25, 0.10)
"""What is left of a provider's quota: below a tenth, one burst brings the first 429."""

LOOP_DELAY_S: Final = Levels(0.05, 0.25)
"""Every turn of the process pays this each time it comes back from waiting."""

GC_SHARE: Final = Levels(0.02, 0.10)
"""Share of time for which the collector stops the process."""

CPU_CORES: Final = Levels(0.7, 0.9)
"""Cores used by a process whose Python code runs on one."""

RETRY_SHARE: Final = Levels(0.02, 0.10)
"""Attempts beyond the first, per call: above a few in a hundred somebody refuses on purpose."""

CALLERS_ASLEEP: Final = Levels(1.0, 5.0)
"""Calls that sleep between two attempts at a time: each of them is a user who waits for nothing."""

EXHAUSTION_S: Final = Levels(300.0, 60.0)
"""Until a quota that shrinks as now is used up: a minute is less than a person needs to react."""

THROTTLED_SHARE: Final = Levels(0.02, 0.10)
"""Processor seconds refused by the container's quota, a second."""

MEMORY_SHARE: Final = Levels(0.80, 0.92)
"""Memory among what the container may use; beyond it the kernel kills the process."""

DESCRIPTOR_SHARE: Final = Levels(0.7, 0.9)
"""Open descriptors among those that the process may have; at 1 no connection is accepted."""

WAITING_CALLS: Final = Levels(1.0, 10.0)
"""Calls that wait for a thread or a connection at the moment of a scrape."""

RECORDS_GIVEN_UP: Final = Levels(0.001, 0.01)
"""Records given up among those made, sampling aside: what is lost can be missed by the analysis."""

POOL_USE: Final = Levels(0.8, 1.0)
"""Connections in use among those that the pool may open; at 1 the next call waits."""

SPEED_KEPT: Final = Levels(0.75, 0.5)
"""How fast turns end, and end well, against the best of a load run: at a half, they take twice as
long. Who makes the run looks at it: there is nobody to alert."""
