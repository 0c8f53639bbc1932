"""How often a loop's timer beats and its watchdog looks: what watching costs is decided here.

A wake-up costs up to 0.1 ms of a processor where nothing else runs. So both come rarely while the
loop does nothing, and often for a while after a block, for blocks come in company.
"""

from __future__ import annotations

import sys

from agentscope import conventions as c
from agentscope.runtime.heartbeat import SLOT_NS

MIN_BLOCK_NS = round(c.MIN_LOOP_BLOCK_S * 1e9)

BEAT_NS = SLOT_NS
"""Between two beats of a loop whose rounds are seen: they are for the delay alone."""

BLIND_BEAT_NS = 25_000_000
"""The same for a loop whose rounds are not seen, and that works. Every stop that is 5 ms longer is
noticed; of the shorter ones the first may be missed, but it puts us on the alert."""

ALERT_BEAT_NS = 5_000_000
"""The same for ``ALERT_NS`` after a block, or after so much work that it may hide one. Without an
idle clock half of this is how far off the start of one may be."""

BLIND_IDLE_BEAT_NS = 100_000_000
"""The same where rounds are not seen and the loop did next to nothing for ``QUIET_NS``: nobody tells
of its next work."""

IDLE_BEAT_NS = 1_000_000_000
"""The same where rounds are seen and nothing happened for ``QUIET_NS``: the next round that is
worth it ends it."""

LOOK_NS = 25_000_000
"""Between two looks of the watchdog while the loop is not late."""

ALERT_LOOK_NS = 12_000_000
"""The same for ``ALERT_NS`` after a block, so that the short ones are named too."""

IDLE_LOOK_NS = 1_000_000_000
"""The same while nothing happens: the watchdog is called when the loop is late."""

UNCALLED_LOOK_NS = 100_000_000
"""The same where it cannot be called."""

ALERT_NS = 5_000_000_000

QUIET_NS = 1_000_000_000

QUIET_WORK_NS = 1_000_000
"""A loop that worked longer than this between two beats is not quiet; nor is one that did in a
round and had more to do. A round of a timer's, alone, tells what it delayed by itself."""


class Rhythm:
    """The rhythm of one loop. ``rounds`` says whether its rounds are seen, ``quiet`` whether it is
    known when it does nothing, ``called`` whether its watchdog is called when it is late."""

    def __init__(self, now_ns: int, *, rounds: bool, quiet: bool, called: bool) -> None:
        self._rounds = rounds
        self._idle_look_ns = IDLE_LOOK_NS if called else UNCALLED_LOOK_NS
        self._quiet_from_ns = now_ns + QUIET_NS if quiet else sys.maxsize
        self._alert_until_ns = 0
        self.worked = False
        """Whether the loop had anything to do since the last beat."""
        self.idle = False
        """Whether it has had nothing to do for a while."""
        self.look_ns = LOOK_NS
        """Until the watchdog's next look."""

    def alert(self, now_ns: int) -> None:
        """There was a block, or there may have been."""
        self._alert_until_ns = now_ns + ALERT_NS

    def works(self) -> None:
        """The loop has something to do."""
        self.worked = True
        if self.idle:
            self.idle = False
            self.look_ns = LOOK_NS

    def period_ns(self, now_ns: int) -> int:
        """Until the next beat."""
        alert = now_ns < self._alert_until_ns
        if self.worked:
            self.worked = False
            self._quiet_from_ns = now_ns + QUIET_NS
        self.idle = not alert and now_ns >= self._quiet_from_ns
        self.look_ns = self._idle_look_ns if self.idle else ALERT_LOOK_NS if alert else LOOK_NS
        if self._rounds:
            return IDLE_BEAT_NS if self.idle else BEAT_NS
        if alert:
            return ALERT_BEAT_NS
        return BLIND_IDLE_BEAT_NS if self.idle else BLIND_BEAT_NS
