"""What a stopped process cost a turn: blocks of the event loop and collector pauses.

A process that stands still delays everything in it, and every instrumentation sees the delay as
slowness of whatever was being awaited. Evidence is the runtime's own record of when it stood still
(``event_loop.blocked``, ``gc.pause``), and it holds within one ``service.instance.id`` only.

Own code that overlaps a stop stood still for as long as it overlapped: that is certain, also where
the turn's own synchronous call was the stop.

What was awaited may have been ready at any moment of a stop, and only a stop that the await's end
fell into, or came just after, can have delayed it. So for an await that ended at e: the last stop
that began by e counts unless it was over 15 ms earlier, and with it the one before if the gap
between the two is at most 15 ms. Not more: each round of a loop runs all that was ready when it
began, so what the rounds before these delayed had gone on by then.
The part u of these that lies within the await is the most that it can have been delayed; the moment
of readiness is taken as uniform in it, so u/2 is the estimate, put at the await's end, between
bounds 0 and u. A collector pause within a block is the collector's.

The block may still go on at e: a round runs many steps, and the one that was resumed at e may have
gone on to block the loop with its own code. What lies before e delayed it all the same.

Measured against known truth (asyncio, 5 to 40 connections to a server in another process that says
when it answered; steps that block for 10 to 250 ms; loop busy 18 to 92 % of the time; ten settings):
sums of u/2 were 0.77 to 1.5 times the true delay, 0.52 times where nearly all of short awaits was
delay, and u was above the truth every time. Counting only blocks that were over by e gave 0 to 0.7
times the truth, counting all adjacent blocks up to 2.4 times. A single await can be far off: quote
sums.

A call that began and ended within one block was no await: the loop did not run in between, so the
call was made synchronously, and all of it is the loop's. (A call made in a worker thread can look
the same, which is why its lower bound is 0.)

Lateness within a stream is not counted, only at its end; nor is it where nothing follows the await
in the turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from agentscope.conventions import RuntimeEvent
from agentscope_analyzer.attribution.causes import (
    EVENT_LOOP,
    GC,
    OWN_CODE,
    RATE_LIMIT,
    RETRY,
    Piece,
)
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.engine import Engine

__all__ = ["Bound", "Stops", "load_stops", "starve"]

Interval = tuple[int, int]

_ADJACENT_NS: Final = 15_000_000
"""Longest gap between a stop and what it delayed: a few callbacks of the backed-up loop."""


@dataclass(slots=True)
class Bound:
    """Nanoseconds of one cause in one turn: what is certain, and what is possible at most."""

    low: int = 0
    high: int = 0


@dataclass(slots=True)
class Stops:
    """When one process stood still; all lists are sorted and free of overlaps."""

    blocks: list[Interval]
    pauses: list[Interval]
    timeline: list[tuple[int, int, int]] = field(default_factory=list)
    """Blocks without the pauses in them, and pauses: start, end, code of the cause."""
    _block_starts: list[int] = field(default_factory=list)
    _pause_starts: list[int] = field(default_factory=list)
    _busy_since: list[int] = field(default_factory=list)
    _timeline_ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Index the intervals."""
        self.blocks, self.pauses = _apart(self.blocks), _apart(self.pauses)
        self.timeline = sorted(
            [(a, b, EVENT_LOOP) for a, b in _without(self.blocks, self.pauses)]
            + [(a, b, GC) for a, b in self.pauses]
        )
        self._block_starts = [a for a, _ in self.blocks]
        self._pause_starts = [a for a, _ in self.pauses]
        self._timeline_ends = [b for _, b, _ in self.timeline]
        for i, (a, _) in enumerate(self.blocks):
            joined = i > 0 and a - self.blocks[i - 1][1] <= _ADJACENT_NS
            self._busy_since.append(self.blocks[i - 1][0] if joined else a)

    def hold(self, start_ns: int, end_ns: int) -> bool:
        """Whether a call lay wholly within one block, so that it was made synchronously."""
        i = bisect_right(self._block_starts, start_ns) - 1
        return i >= 0 and end_ns <= self.blocks[i][1]

    def touch(self, start_ns: int, end_ns: int) -> bool:
        """Whether there is any stop in a window."""
        i = bisect_right(self._timeline_ends, start_ns)
        return i < len(self.timeline) and self.timeline[i][0] < end_ns

    def within(self, start_ns: int, end_ns: int) -> list[tuple[int, int, int]]:
        """The stops in a window, cut to it: start, end, code of the cause."""
        found = []
        for i in range(bisect_right(self._timeline_ends, start_ns), len(self.timeline)):
            a, b, code = self.timeline[i]
            if a >= end_ns:
                break
            found.append((max(a, start_ns), min(b, end_ns), code))
        return found

    def delay(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """By how much an await can have ended late: because of the loop, because of a pause."""
        i = bisect_right(self._block_starts, end_ns) - 1
        if i >= 0 and end_ns - self.blocks[i][1] < _ADJACENT_NS:
            since, until = max(self._busy_since[i], start_ns), min(self.blocks[i][1], end_ns)
            if until > since:
                paused = sum(b - a for a, b, code in self.within(since, until) if code == GC)
                return until - since - paused, paused
        i = bisect_right(self._pause_starts, end_ns) - 1
        if i >= 0 and end_ns - self.pauses[i][1] < _ADJACENT_NS:
            since, until = max(self.pauses[i][0], start_ns), min(self.pauses[i][1], end_ns)
            return 0, max(0, until - since)
        return 0, 0


def load_stops(engine: Engine) -> dict[str, Stops]:
    """When each process stood still, by ``service.instance.id``."""
    found: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for instance, event, start_ns, end_ns in engine.rows(
        "SELECT instance, runtime_event, start_ns, end_ns FROM spans "
        "WHERE runtime_event IS NOT NULL AND end_ns > start_ns"
    ):
        found[instance][event].append((start_ns, end_ns))
    return {
        instance: Stops(events[RuntimeEvent.LOOP_BLOCKED], events[RuntimeEvent.GC_PAUSE])
        for instance, events in found.items()
    }


def starve(
    pieces: list[Piece], spans: Spans, stops: dict[str, Stops], bounds: dict[int, Bound]
) -> list[Piece]:
    """Give what the stops explain to them; adds to ``bounds`` by code of the cause."""
    if not pieces:
        return pieces
    turn_start, turn_end = pieces[0][0], pieces[-1][1]
    if not spans.shift:  # most turns of most runs end here
        stops = {name: s for name, s in stops.items() if s.touch(turn_start, turn_end)}
        if not stops:
            return pieces
    out: list[Piece] = []
    for piece in pieces:
        start, end, row, code = piece
        stopped = stops.get(spans.instance[row])
        if stopped is None:
            out.append(piece)
            continue
        shift = spans.shift.get(row, 0)  # the stops are on the process's own clock
        if code >= OWN_CODE:
            _cut_out(out, piece, stopped.within(start - shift, end - shift), shift, bounds)
            continue
        if stopped.hold(spans.raw_start[row] - shift, spans.raw_end[row] - shift):
            inside = stopped.within(start - shift, end - shift)
            _cut_out(out, piece, inside, shift, bounds, certain=False)
            continue
        if end < turn_end and (end == spans.raw_end[row] or code in (RATE_LIMIT, RETRY)):
            loop_ns, paused_ns = stopped.delay(start - shift, end - shift)
            if loop_ns or paused_ns:
                _cut_end(out, piece, loop_ns, paused_ns, bounds)
                continue
        out.append(piece)
    return out


def _cut_out(
    out: list[Piece],
    piece: Piece,
    stopped: list[tuple[int, int, int]],
    shift: int,
    bounds: dict[int, Bound],
    *,
    certain: bool = True,
) -> None:
    start, end, row, code = piece
    for a, b, cause in stopped:
        if a + shift > start:
            out.append((start, a + shift, row, code))
        out.append((a + shift, b + shift, row, cause))
        bound = bounds.setdefault(cause, Bound())
        bound.low += b - a if certain else 0
        bound.high += b - a
        start = b + shift
    if end > start:
        out.append((start, end, row, code))


def _cut_end(
    out: list[Piece], piece: Piece, loop_ns: int, paused_ns: int, bounds: dict[int, Bound]
) -> None:
    start, end, row, code = piece
    for cause, most_ns in ((GC, paused_ns), (EVENT_LOOP, loop_ns)):
        if most_ns:
            bounds.setdefault(cause, Bound()).high += most_ns
    loop_from = end - loop_ns // 2
    pause_from = loop_from - paused_ns // 2
    for a, b, cause in (
        (start, pause_from, code),
        (pause_from, loop_from, GC),
        (loop_from, end, EVENT_LOOP),
    ):
        if b > a:
            out.append((a, b, row, cause))


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
