"""When a process stood still: blocks of its event loop, pauses of its collector, CPU freezes.

Where two of them overlap the one that explains the other counts: nothing at all ran in a freeze, the
collector included, and nothing but the collector runs in a pause.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agentscope.conventions import START_UNCERTAINTY, RuntimeEvent
from agentscope_analyzer.attribution.causes import EVENT_LOOP, GC, THROTTLED
from agentscope_analyzer.attribution.readiness import Readiness, learn_readiness
from agentscope_analyzer.attribution.rounds import ADJACENT_NS, Flags, Ints, Rounds, Window
from agentscope_analyzer.engine import Engine

__all__ = ["Delay", "Stop", "Stops", "load_stops"]

Interval = tuple[int, int]
_Floats = npt.NDArray[np.float64]

Freeze = tuple[int, int, int]
"""Start, end, and by how many nanoseconds it may have been earlier or later."""

_STOPS: Final = (
    RuntimeEvent.LOOP_BLOCKED.value,
    RuntimeEvent.GC_PAUSE.value,
    RuntimeEvent.CPU_THROTTLED.value,
)


class Stop(NamedTuple):
    """A stretch in which a process stood still, the code of its cause, and whether that is sure."""

    start_ns: int
    end_ns: int
    code: int
    sure: bool = True


@dataclass(slots=True)
class Delay:
    """An await that ended late: ready between ``since_ns`` and ``sure_ns``, late until ``until_ns``."""

    since_ns: int
    sure_ns: int
    until_ns: int
    stops: Stops

    def bounds(self) -> dict[int, tuple[int, int]]:
        """By how many nanoseconds it was late for certain and at most, by code of the cause."""
        least = self.stops.still(self.sure_ns, self.until_ns)
        most = self.stops.still(self.since_ns, self.until_ns)
        return {code: (least.get(code, 0), most_ns) for code, most_ns in most.items()}

    def part(self, after_ns: float) -> float:
        """The part of what is not certain that was lateness, if it was ready so long after the first
        moment at which it may have been."""
        open_ns = self.sure_ns - self.since_ns
        return min(1.0, max(0.0, 1.0 - after_ns / open_ns)) if open_ns else 0.0


@dataclass(slots=True)
class Stops:
    """When one process stood still; all lists are sorted and free of overlaps."""

    blocks: list[Interval]
    pauses: list[Interval]
    freezes: list[Freeze] = field(default_factory=list)
    readiness: Readiness = field(default_factory=Readiness)
    """How long awaits take by nature, in this process and its like."""
    timeline: list[Stop] = field(default_factory=list)
    """Freezes, pauses without the freezes in them, and blocks without either."""
    rounds: Rounds = field(init=False)
    _still: list[Interval] = field(default_factory=list)
    _still_starts: list[int] = field(default_factory=list)
    _timeline_ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Index the intervals."""
        self.blocks, self.pauses = _apart(self.blocks), _apart(self.pauses)
        freezes = _apart([(a, b) for a, b, _ in self.freezes])
        doubtful = _apart([part for freeze in self.freezes for part in _doubtful(freeze)])
        pauses = _without(self.pauses, freezes)
        self._still = sorted([*freezes, *pauses])
        self.timeline = sorted(
            [Stop(a, b, EVENT_LOOP) for a, b in _without(self.blocks, self._still)]
            + [Stop(a, b, GC) for a, b in pauses]
            + [Stop(a, b, THROTTLED) for a, b in _without(freezes, doubtful)]
            + [Stop(a, b, THROTTLED, sure=False) for a, b in doubtful]
        )
        self.rounds = Rounds(self.blocks)
        self._still_starts = [a for a, _ in self._still]
        self._timeline_ends = [stop.end_ns for stop in self.timeline]

    def still(self, start_ns: int, end_ns: int) -> dict[int, int]:
        """What a stretch in which nothing went on for an await was spent on, by code of the cause."""
        found: dict[int, int] = {}
        for a, b, code, _ in self.within(start_ns, end_ns):
            found[code] = found.get(code, 0) + b - a
        # Between two blocks the loop was backed up as well.
        between_ns = end_ns - start_ns - sum(found.values())
        if between_ns > 0:
            found[EVENT_LOOP] = found.get(EVENT_LOOP, 0) + between_ns
        return found

    def hold(self, start_ns: int, end_ns: int) -> bool:
        """Whether a call lay wholly within one block, so that it was made synchronously."""
        return self.rounds.hold(start_ns, end_ns)

    def touch(self, start_ns: int, end_ns: int) -> bool:
        """Whether there is any stop in a window."""
        i = bisect_right(self._timeline_ends, start_ns)
        return i < len(self.timeline) and self.timeline[i].start_ns < end_ns

    def within(self, start_ns: int, end_ns: int) -> list[Stop]:
        """The stops in a window, cut to it."""
        found = []
        for i in range(bisect_right(self._timeline_ends, start_ns), len(self.timeline)):
            a, b, code, sure = self.timeline[i]
            if a >= end_ns:
                break
            found.append(Stop(max(a, start_ns), min(b, end_ns), code, sure))
        return found

    def delay(self, start_ns: int, end_ns: int, *, ours: bool = False) -> Delay | None:
        """By how much an await may have ended late; None where no stop delayed it.

        ``ours``: it was the process's own code that gave what was awaited.
        """
        window = self.rounds.window(start_ns, end_ns, ours=ours)
        if window is None:
            i = bisect_right(self._still_starts, end_ns) - 1
            if i < 0 or end_ns - self._still[i][1] >= ADJACENT_NS:
                return None
            since, until = max(self._still[i][0], start_ns), min(self._still[i][1], end_ns)
            if until <= since:
                return None
            window = Window(since, until, until)
        return Delay(*window, self)

    def between(self, start: Ints, end: Ints, ours: Flags) -> tuple[_Floats, _Floats, Flags]:
        """Of many awaits: how long each took by nature, at least and at most, and if it was one.

        What began and ended within one block was a synchronous call and is no await.
        """
        low = (end - start).astype(np.float64)
        high = low.copy()
        if self._still:
            still = np.array(self._still, dtype=np.int64)
            i = np.searchsorted(still[:, 0], end, "right") - 1
            since, until = np.maximum(still[i, 0], start), np.minimum(still[i, 1], end)
            hit = (i >= 0) & (end - still[i, 1] < ADJACENT_NS) & (until > since)
            low = np.where(hit, since - start, low)
            high = np.where(hit, until - start, high)
        if not self.blocks:
            return low, high, np.ones(len(low), dtype=np.bool_)
        windows = self.rounds.windows(start, end, ours)
        low = np.where(windows.late, windows.since_ns - start, low)
        high = np.where(windows.late, windows.sure_ns - start, high)
        return low, high, ~self.rounds.synchronous(start, end)


def load_stops(engine: Engine) -> dict[str, Stops]:
    """When each process stood still, by ``service.instance.id``."""
    found: dict[str, dict[str, list[Freeze]]] = defaultdict(lambda: defaultdict(list))
    for instance, event, start_ns, end_ns, doubt_s in engine.rows(
        "SELECT instance, runtime_event, start_ns, end_ns, TRY_CAST(attrs[$doubt] AS DOUBLE) "
        "FROM spans WHERE list_contains($events, runtime_event) AND end_ns > start_ns",
        doubt=START_UNCERTAINTY,
        events=[*_STOPS],
    ):
        doubt_ns = round(doubt_s * 1e9) if doubt_s is not None and 0 < doubt_s < 1e6 else 0
        found[instance][event].append((start_ns, end_ns, doubt_ns))
    stops = {
        instance: Stops(
            [(a, b) for a, b, _ in events[RuntimeEvent.LOOP_BLOCKED]],
            [(a, b) for a, b, _ in events[RuntimeEvent.GC_PAUSE]],
            events[RuntimeEvent.CPU_THROTTLED],
        )
        for instance, events in found.items()
    }
    readiness = learn_readiness(engine, stops)
    for one in stops.values():
        one.readiness = readiness
    return stops


def _doubtful(freeze: Freeze) -> list[Interval]:
    """What is not certain of a freeze: all but the middle, where it may have been elsewhere."""
    start, end, doubt = freeze
    if not doubt:
        return []
    sure_from, sure_to = start + doubt, end - doubt
    return [(start, sure_from), (sure_to, end)] if sure_from < sure_to else [(start, end)]


def _apart(intervals: list[Interval]) -> list[Interval]:
    # Sorted, without overlaps; intervals that touch stay two, as two callbacks of a loop are.
    apart: list[Interval] = []
    for a, b in sorted(intervals):
        start = max(a, apart[-1][1]) if apart else a
        if b > start:
            apart.append((start, b))
    return apart


def _without(intervals: list[Interval], holes: list[Interval]) -> list[Interval]:
    ends = [b for _, b in holes]
    left: list[Interval] = []
    for start, end in intervals:
        for i in range(bisect_right(ends, start), len(holes)):
            a, b = holes[i]
            if a >= end:
                break
            if a > start:
                left.append((start, a))
            start = b
        if end > start:
            left.append((start, end))
    return left
