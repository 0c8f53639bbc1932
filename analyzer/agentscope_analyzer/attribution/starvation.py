"""What a stopped process cost a turn: blocks of the event loop, collector pauses, CPU freezes.

A process that stands still delays everything in it, and every instrumentation sees the delay as
slowness of whatever was being awaited. Evidence is the runtime's own record of when it stood still
(``event_loop.blocked``, ``gc.pause``, ``cpu.throttled``), and it holds within one ``service.instance.id`` only.

Own code that overlaps a stop stood still for as long as it overlapped: that is certain, also where
the turn's own synchronous call was the stop. But where the loop was free for most of the time that a
tool or context loading took, that was not running there: it awaited something that nobody records (a
program, a queue, a worker thread). Then only the blocks that it began or ended with held it up; those
in the middle were others', and count in its upper bound alone.

Only a stop that an await's end fell into, or came just after, can have delayed it. So for an await
that ended at e: the last stop that began by e counts unless it was over 15 ms earlier, and with it
the one before if the gap between the two is at most 15 ms. Not more: each round of a loop runs all
that was ready when it began, so what the rounds before these delayed had gone on by then. For the
same reason a round that had begun by e and went on (with the steps of others, or with the own step
that was resumed at e) delayed the await by all that it had run by e: that part is certain. What was
awaited was ready at some moment of what comes before that. Awaits of the same kind tell at which,
most likely (``readiness``); where there are too few of them all moments are as likely, so it is half.

A collector pause within a block is the collector's, a freeze within either is the CPU quota's: the
container had used it up, and the kernel ran none of its threads. Where a freeze may have been a little
earlier or later than told, only its middle is certain.

How near the estimate comes to the truth says ``readiness``; the upper bound was above it every time,
1.0 to 2.1 times. A single await can be far off: quote sums.

A call that began and ended within one block was no await: the loop did not run in between, so the
call was made synchronously, and all of it is the loop's. (A call made in a worker thread can look
the same, which is why its lower bound is 0.)

Lateness within a stream is not counted, only at its end; nor is it where nothing follows the await
in the turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentscope.conventions import MIN_LOOP_BLOCK_S
from agentscope_analyzer.attribution.causes import (
    EVENT_LOOP,
    GC,
    NOTHING,
    OWN_CODE,
    RATE_LIMIT,
    RETRY,
    THROTTLED,
    Piece,
)
from agentscope_analyzer.attribution.readiness import Readiness
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.stops import Delay, Stop, Stops

__all__ = ["Bound", "starve"]

_AT_ONCE_NS: Final = round(MIN_LOOP_BLOCK_S * 1e9)
"""Own code that goes on for longer on the loop is a block: beyond this it had awaited something."""

UNKNOWN_PART: Final = 0.5
"""All moments as likely."""

_AT_THE_END: Final = (THROTTLED, GC, EVENT_LOOP)
"""Causes of an await's lateness in the order in which they are put at its end."""


@dataclass(slots=True)
class Bound:
    """Nanoseconds of one cause in one turn: what is certain, and what is possible at most."""

    low: int = 0
    high: int = 0


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
            inside = stopped.within(start - shift, end - shift)
            if code != NOTHING:
                inside = _held_up(inside, start - shift, end - shift, bounds)
            _cut_out(out, piece, inside, shift, bounds)
            continue
        if stopped.hold(spans.raw_start[row] - shift, spans.raw_end[row] - shift):
            inside = stopped.within(start - shift, end - shift)
            _cut_out(out, piece, inside, shift, bounds, certain=False)
            continue
        if end < turn_end and (end == spans.raw_end[row] or code in (RATE_LIMIT, RETRY)):
            late = stopped.delay(start - shift, end - shift)
            if late is not None:
                part = _part(piece, spans, late, stopped.readiness, shift)
                _cut_end(out, piece, late, part, bounds)
                continue
        out.append(piece)
    return out


def _held_up(
    inside: list[Stop], start_ns: int, end_ns: int, bounds: dict[int, Bound]
) -> list[Stop]:
    """The stops of a stretch of own code but for the blocks that others had in the middle of it."""
    if 2 * sum(stop.end_ns - stop.start_ns for stop in inside) >= end_ns - start_ns:
        return inside
    first, at = 0, start_ns
    while first < len(inside) and inside[first].start_ns - at < _AT_ONCE_NS:
        at = inside[first].end_ns
        first += 1
    last, at = len(inside), end_ns
    while last > first and at - inside[last - 1].end_ns < _AT_ONCE_NS:
        last -= 1
        at = inside[last].start_ns
    kept = []
    for i, stop in enumerate(inside):
        if first <= i < last and stop.code == EVENT_LOOP:
            bounds.setdefault(EVENT_LOOP, Bound()).high += stop.end_ns - stop.start_ns
        else:
            kept.append(stop)
    return kept


def _cut_out(
    out: list[Piece],
    piece: Piece,
    stopped: list[Stop],
    shift: int,
    bounds: dict[int, Bound],
    *,
    certain: bool = True,
) -> None:
    start, end, row, code = piece
    for a, b, cause, sure in stopped:
        if a + shift > start:
            out.append((start, a + shift, row, code))
        out.append((a + shift, b + shift, row, cause))
        bound = bounds.setdefault(cause, Bound())
        bound.low += b - a if certain and sure else 0
        bound.high += b - a
        start = b + shift
    if end > start:
        out.append((start, end, row, code))


def _part(piece: Piece, spans: Spans, late: Delay, readiness: Readiness, shift: int) -> float:
    """The part of what may have been lateness that was, most likely."""
    start, _, row, _ = piece
    if start != spans.raw_start[row]:  # something came first: how long the rest takes is open
        return UNKNOWN_PART
    least_ns, most_ns = late.since_ns - (start - shift), late.sure_ns - (start - shift)
    took_ns = readiness.expected_ns(spans.await_kind(row), least_ns, most_ns)
    return late.part(took_ns - least_ns)


def _cut_end(
    out: list[Piece], piece: Piece, late: Delay, part: float, bounds: dict[int, Bound]
) -> None:
    start, end, row, code = piece
    likely = {}
    for cause, (least_ns, most_ns) in late.bounds().items():
        bound = bounds.setdefault(cause, Bound())
        bound.low += least_ns
        bound.high += most_ns
        likely[cause] = least_ns + int(part * (most_ns - least_ns))
    at = end - sum(likely.values())
    if at > start:
        out.append((start, at, row, code))
    for cause in _AT_THE_END:
        length = likely.get(cause, 0)
        if length:
            out.append((at, at + length, row, cause))
            at += length
