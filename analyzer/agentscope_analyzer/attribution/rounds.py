"""When an event loop that went round and round came to what was ready.

A loop works in rounds: each polls for news and runs, one after the other, what was ready when it
began. asyncio's own takes in news of a socket or a timer in one round, and that wakes the task that
awaits them in the next (``BaseEventLoop._run_once``; a future's callbacks go by ``call_soon``). So a
task that is resumed in a round was ready before the round before began, in the one before that at the
earliest. uvloop polls at the end of its rounds: what it finds then is woken in the next. Which of the
two a process has, nobody recorded, but its awaits tell: on asyncio's own loop none that waits for
something from outside begins in one round and ends in the next. A place in a pool and a lock come
from the process's own code, which wakes who waits for them in the next round on either.

Rounds of 5 ms and more are recorded, as blocks. Where two lie closely together there may have been
short ones between them, unless they touch.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agentscope.conventions import MIN_LOOP_BLOCK_S

__all__ = ["ADJACENT_NS", "Rounds", "Window", "Windows"]

Interval = tuple[int, int]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ADJACENT_NS: Final = round(MIN_LOOP_BLOCK_S * 1e9)
"""Longest gap between a stop and what it delayed: a round that is not recorded took less, and what comes
after the second one had not been delayed. Against a server that says when it answered: of awaits that
ended within 1 ms of a round 99 of 100 had been ready in it, 4 ms after it and later none."""
TOUCHING_NS: Final = 300_000
"""A gap so short has no room for a round: the loop polled, and found something ready."""

MIN_TOLD: Final = 20
"""From fewer awaits that began in one of the two rounds before the one they ended in nothing is told."""
FEW: Final = 0.02
"""No more than this part of them began in the last: the two touch."""
MANY: Final = 0.5
"""So many of them did: there is always a poll in between."""

_FAR_NS: Final = 2**62


class Window(NamedTuple):
    """An await that ended late was ready between the first two moments, and late until the third."""

    since_ns: int
    sure_ns: int
    until_ns: int


class Windows(NamedTuple):
    """The same of many awaits, and whether there is any."""

    since_ns: Ints
    sure_ns: Ints
    until_ns: Ints
    late: Flags


@dataclass(slots=True)
class Rounds:
    """The long rounds of one loop, in order of time and without overlaps."""

    blocks: list[Interval]
    _starts: Ints = field(init=False)
    _gaps: Ints = field(init=False)
    """By block: how long after the one before it began."""
    _before: list[int] = field(init=False)
    """By block: where the one before began, if there was little between the two."""
    _earliest: list[int] = field(init=False)
    """By block: when what is resumed in it can have been ready at the earliest."""
    _latest: list[int] = field(init=False)
    """By block: when what is resumed in it had been ready for certain."""

    def __post_init__(self) -> None:
        """Look at each block's neighbours."""
        blocks = np.array(self.blocks, dtype=np.int64).reshape(-1, 2)
        self._starts = blocks[:, 0]
        before = np.concatenate([self._starts[:1], self._starts[:-1]])
        ended = np.concatenate([self._starts[:1] - _FAR_NS, blocks[:-1, 1]])
        self._gaps = self._starts - ended
        self._before = np.where(self._gaps <= ADJACENT_NS, before, self._starts).tolist()
        self._settle(touching=self._gaps < 0, apart=self._gaps > TOUCHING_NS)

    def _settle(self, touching: Flags, apart: Flags) -> None:
        # Of the blocks that are neither we do not know whether there was a round before them.
        before = np.array(self._before, dtype=np.int64)
        second = np.concatenate([before[:1], before[:-1]])
        self._earliest = np.where(apart, before, second).tolist()
        self._latest = np.where(touching, before, self._starts).tolist()

    def learn(self, start: Ints, end: Ints) -> None:
        """Tell from awaits of something from outside which blocks had a round between them."""
        if len(self.blocks) < 2:
            return
        i = np.searchsorted(self._starts, end, "right") - 1
        inside = (end < np.array(self.blocks)[i, 1]) & (self._gaps[i] <= TOUCHING_NS) & (i > 0)
        i, start = i[inside], start[inside]
        before = np.array(self._before)
        in_last = (start >= before[i]) & (start < self._starts[i])
        told = in_last | ((start < before[i]) & (start >= before[i - 1]))
        parted = np.bincount(i[in_last], minlength=len(before)) > 0
        limit_ns = _room(self._gaps[i[told]], in_last[told])
        if limit_ns is not None:
            touching = (self._gaps <= limit_ns) & ~parted
            self._settle(touching, ~touching)
        elif np.count_nonzero(told) >= MIN_TOLD and np.mean(in_last[told]) >= MANY:
            self._settle(self._gaps < 0, self._gaps >= 0)
        else:
            self._settle(self._gaps < 0, parted | (self._gaps > TOUCHING_NS))

    def hold(self, start_ns: int, end_ns: int) -> bool:
        """Whether a call lay wholly within one block, so that it was made synchronously."""
        i = bisect_right(self.blocks, (start_ns, _FAR_NS)) - 1
        return i >= 0 and end_ns <= self.blocks[i][1]

    def window(self, start_ns: int, end_ns: int, *, ours: bool) -> Window | None:
        """When an await may have been ready that ended in a block or just after one, else None.

        ``ours``: it was the process's own code that gave what was awaited.
        """
        i = bisect_right(self.blocks, (end_ns, _FAR_NS)) - 1
        if i < 0 or end_ns - self.blocks[i][1] >= ADJACENT_NS:
            return None
        first, last = self.blocks[i]
        until = min(last, end_ns)
        if end_ns < last:
            since = self._before[i] if ours else self._earliest[i]
            sure = first if ours else self._latest[i]
        else:
            since, sure = first if ours else self._before[i], until
        since = max(since, start_ns)
        return Window(since, max(sure, since), until) if until > since else None

    def windows(self, start: Ints, end: Ints, ours: Flags) -> Windows:
        """``window`` of many awaits."""
        blocks = np.array(self.blocks, dtype=np.int64).reshape(-1, 2)
        i = np.searchsorted(self._starts, end, "right") - 1
        near = (i >= 0) & (end - blocks[i, 1] < ADJACENT_NS)
        first, last, before = blocks[i, 0], blocks[i, 1], np.array(self._before)[i]
        inside, until = end < last, np.minimum(last, end)
        earliest, latest = np.array(self._earliest)[i], np.array(self._latest)[i]
        since = np.where(inside, np.where(ours, before, earliest), np.where(ours, first, before))
        since = np.maximum(since, start)
        sure = np.maximum(np.where(inside, np.where(ours, first, latest), until), since)
        return Windows(since, sure, until, near & (until > since))

    def synchronous(self, start: Ints, end: Ints) -> Flags:
        """``hold`` of many calls."""
        blocks = np.array(self.blocks, dtype=np.int64).reshape(-1, 2)
        i = np.searchsorted(self._starts, start, "right") - 1
        found: Flags = (i >= 0) & (end <= blocks[i, 1])
        return found


def _room(gaps: Ints, in_last: Flags) -> int | None:
    """The longest gap that has no room for a round, told from awaits that might have used it."""
    order = np.argsort(gaps, kind="stable")
    gaps, used = gaps[order], np.cumsum(in_last[order])
    count = np.arange(1, len(gaps) + 1)
    none = (count >= MIN_TOLD) & (used <= FEW * count)
    none[:-1] &= gaps[1:] > gaps[:-1]  # all of one length, or none of them
    found = np.flatnonzero(none)
    return int(gaps[found[-1]]) if len(found) else None
