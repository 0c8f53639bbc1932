"""The container's CPU quota: its limit as a gauge, and when it was used up as events.

The kernel gives a group its quota anew every period, 100 ms mostly, and runs none of the group's
threads from when it is used up until then. It tells only how long that was in total. So while there
is a quota a thread of ours looks at the total from time to time. A freeze that has just ended has
kept that thread from looking, so its end is seen; one between two looks is known to lie there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue
from agentscope.runtime.cgroup import Groups, find_groups

LIMITS_EVERY = 10
"""Samples between two readings of the limits, which somebody may change while we run."""

LOOK_NS = 100_000_000
"""Between two looks at the total."""

ALERT_LOOK_NS = 20_000_000
"""The same for ``ALERT_NS`` after a freeze: they come in company."""

ALERT_NS = 5_000_000_000

LATE_NS = 2_000_000
"""A look that comes this late was kept from coming."""

MIN_FREEZE_NS = 1_000_000
"""Shorter freezes are in the counter only."""


class Freeze(NamedTuple):
    """No thread of the container ran from ``start_ns`` to ``end_ns``."""

    start_ns: int
    end_ns: int
    uncertainty_ns: int
    """How far off the start may be."""


def freeze_between(
    before_ns: int, due_ns: int, now_ns: int, throttled_ns: int, processors: int
) -> Freeze:
    """The freeze of ``throttled_ns`` between the looks at ``before_ns`` and ``now_ns``.

    The second look was due at ``due_ns``. The kernel adds up over processors, so where there are
    several the total is the most that it can have been.
    """
    length_ns = min(throttled_ns, now_ns - before_ns)
    if now_ns - due_ns >= LATE_NS:
        start_ns = now_ns - length_ns
        return Freeze(start_ns, now_ns, max(due_ns - start_ns, 0) if processors > 1 else 0)
    margin_ns = (now_ns - before_ns - length_ns) // 2
    return Freeze(before_ns + margin_ns, before_ns + margin_ns + length_ns, margin_ns)


class QuotaMonitor:
    """Watches the container's CPU quota and tells its limits, for one recorder."""

    def __init__(self, recorder: Recorder, find: Callable[[], Groups] = find_groups) -> None:
        self._recorder = recorder
        self._clock = recorder.clock.monotonic_ns
        self._find = find
        self._groups = self._limited = Groups((), ())
        self._samples = 0
        self._throttled_before_ns = 0
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._look = threading.Lock()
        self._look.acquire()
        self._looking = threading.RLock()  # a signal handler may stop what it interrupts
        # Of the last look: when, the total, and until when looks come more often.
        self._looked_ns = self._throttled_ns = self._alert_until_ns = 0

    def start(self) -> None:
        """Begin with the recorder's next sample: a child of a fork may be in another group."""
        self._recorder.samplers.append(self.sample)

    def stop(self) -> None:
        """Take the last look; from any thread, and before the recorder shuts down."""
        if self._thread is not None and not self._stopped:
            self.look(self._clock())
        self._stopped = True
        with contextlib.suppress(RuntimeError):  # stopped already
            self._look.release()

    def sample(self, instruments: Instruments) -> None:
        """Set the ``agentscope.cgroup.*`` metrics; begin to watch where there is a quota."""
        if not self._samples:
            self._groups = self._find()
            self._throttled_before_ns = self._groups.throttled_ns()
        groups = self._groups
        if groups.cpu:
            throttled_ns = groups.throttled_ns() - self._throttled_before_ns
            instruments.set(c.CGROUP_THROTTLED_TIME, (), throttled_ns / 1e9)
        if self._samples % LIMITS_EVERY == 0:
            limit = groups.cpu_limit()
            _set(instruments, c.CGROUP_CPU_LIMIT, limit)
            _set(instruments, c.CGROUP_MEMORY_LIMIT, groups.memory_limit_bytes())
            if limit is not None and self._thread is None and not self._stopped:
                self.begin(groups.with_cpu_limit())
                self._thread = threading.Thread(
                    target=self._guard, name="agentscope-quota-watch", daemon=True
                )
                self._thread.start()
        self._samples += 1

    def _guard(self) -> None:
        while not self._stopped:
            wait_ns = ALERT_LOOK_NS if self._looked_ns < self._alert_until_ns else LOOK_NS
            if self._look.acquire(timeout=wait_ns / 1e9):
                return
            try:
                self.look(self._looked_ns + wait_ns)
            except Exception as error:
                note_error("quota watch", error)

    def begin(self, limited: Groups) -> None:
        """Take the first look at the groups that have a quota."""
        self._limited = limited
        self._looked_ns, self._throttled_ns = self._clock(), limited.throttled_ns()

    def look(self, due_ns: int) -> None:
        """Look at the total, as was due at ``due_ns``, and tell the freeze since the last look."""
        with self._looking:
            throttled_ns, now_ns = self._limited.throttled_ns(), self._clock()
            before_ns, self._looked_ns = self._looked_ns, now_ns
            more_ns, self._throttled_ns = throttled_ns - self._throttled_ns, throttled_ns
        if more_ns < MIN_FREEZE_NS:
            return
        self._alert_until_ns = now_ns + ALERT_NS
        processors = len(os.sched_getaffinity(0))
        freeze = freeze_between(before_ns, due_ns, now_ns, more_ns, processors)
        attributes: dict[str, AttributeValue] = {}
        if freeze.uncertainty_ns:
            attributes[c.START_UNCERTAINTY] = freeze.uncertainty_ns / 1e9
        self._recorder.runtime_event(
            c.RuntimeEvent.CPU_THROTTLED, freeze.start_ns, freeze.end_ns, attributes
        )


def _set(instruments: Instruments, metric: c.Metric, value: float | None) -> None:
    if value is None:
        instruments.forget(metric, ())
    else:
        instruments.set(metric, (), value)
