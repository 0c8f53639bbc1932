"""What a stopped process cost a turn: blocks of the event loop, collector pauses, CPU freezes.

A process that stands still delays everything in it, and every instrumentation sees the delay as
slowness of whatever was being awaited. Evidence is the runtime's own record of when it stood still
(``event_loop.blocked``, ``gc.pause``, ``cpu.throttled``), and it holds within one ``service.instance.id`` only.

Own code that overlaps a stop stood still for as long as it overlapped: that is certain, also where
the turn's own synchronous call was the stop. But where the loop was free for most of the time that a
tool or context loading took, that was not running there: it awaited something that nobody records (a
program, a queue, a worker thread). Then only the blocks that it began or ended with held it up; those
in the middle were others', and count in its upper bound alone.

Only a stop that an await's end fell into, or came just after, can have delayed it, with the rounds of
the loop that led there (``rounds``): one that took the news in, and the one in which they came. What
was awaited was ready at some moment in between. Awaits of the same kind tell at which, most likely
(``readiness``); where there are too few of them all moments are as likely, so it is half. A streamed
answer that ended in the same stop as it began may have been there as a whole.

A collector pause within a block is the collector's, a freeze within either is the CPU quota's: the
container had used it up, and the kernel ran none of its threads. Where a freeze may have been a little
earlier or later than told, only its middle is certain.

How near the estimate comes to the truth says ``readiness``; the upper bound was 1.0 to 2.4 times the
truth. A single await can be far off: quote sums. What was delayed has bounds as well, as much wider
than what is left of it as the stops' are.

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
    FIRST_TOKEN,
    GC,
    GENERATION,
    NOTHING,
    OWN_CODE,
    RATE_LIMIT,
    RETRY,
    THROTTLED,
    Piece,
)
from agentscope_analyzer.attribution.readiness import OURS, Readiness
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.stops import Delay, Stop, Stops

__all__ = ["STOPS", "Bound", "settle", "starve"]

_AT_ONCE_NS: Final = round(MIN_LOOP_BLOCK_S * 1e9)
"""Own code that goes on for longer on the loop is a block: beyond this it had awaited something."""

UNKNOWN_PART: Final = 0.5
"""All moments as likely."""

_OURS: Final = frozenset(f"wait.{wait}" for wait in OURS)

_AT_THE_END: Final = (THROTTLED, GC, EVENT_LOOP)
"""Causes of an await's lateness in the order in which they are put at its end."""


@dataclass(slots=True)
class Bound:
    """Nanoseconds of one cause in one turn: what is certain, and what is possible at most."""

    low: int = 0
    high: int = 0


STOPS: Final = frozenset({EVENT_LOOP, GC, THROTTLED})


def settle(pieces: list[Piece], bounds: dict[int, Bound]) -> None:
    """Complete what ``starve`` added: the bounds of what was delayed, from how long it took in all."""
    for code, bound in bounds.items():
        if code not in STOPS:
            took_ns = sum(b - a for a, b, _, cause in pieces if cause == code)
            bound.low += took_ns
            bound.high += took_ns


def starve(
    pieces: list[Piece], spans: Spans, stops: dict[str, Stops], bounds: dict[int, Bound]
) -> list[Piece]:
    """Give what the stops explain to them; adds to ``bounds`` by code of the cause.

    Those of the stops are whole; those of what they delayed say by how much less and more it may
    have been than what is left of it.
    """
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
        if stopped is None or start == end:
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
            held_ns = sum(stop.end_ns - stop.start_ns for stop in inside)
            bounds.setdefault(code, Bound()).high += held_ns
            continue
        if end < turn_end and (end == spans.raw_end[row] or code in (RATE_LIMIT, RETRY)):
            answer = _answer(out, piece) if code == GENERATION else [piece]
            ours = spans.role[row] in _OURS
            late = stopped.delay(answer[0][0] - shift, end - shift, ours=ours)
            if late is not None:
                part = _part(piece, spans, late, stopped.readiness, shift)
                del out[len(out) - len(answer) + 1 :]
                _cut_end(out, answer, late, part, bounds)
                continue
        out.append(piece)
    return out


def _answer(out: list[Piece], last: Piece) -> list[Piece]:
    """The pieces of a streamed answer that ``last`` ends: it may have been there at its first chunk."""
    start, _, row, _ = last
    if out and out[-1][1:] == (start, row, FIRST_TOKEN):
        return [out[-1], last]
    return [last]


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
    _, end, row, _ = piece
    if end != spans.raw_end[row]:  # a sleep between two attempts
        return UNKNOWN_PART
    start = spans.raw_start[row] - shift
    least_ns, most_ns = late.since_ns - start, late.sure_ns - start
    took_ns = readiness.expected_ns(spans.await_kind(row), least_ns, most_ns)
    return late.part(took_ns - least_ns)


def _cut_end(
    out: list[Piece], pieces: list[Piece], late: Delay, part: float, bounds: dict[int, Bound]
) -> None:
    likely = {}
    _, end, row, _ = pieces[-1]
    for cause, (least_ns, most_ns) in late.bounds().items():
        bound = bounds.setdefault(cause, Bound())
        bound.low += least_ns
        bound.high += most_ns
        likely[cause] = least_ns + int(part * (most_ns - least_ns))
    at = end - sum(likely.values())
    _doubt(pieces, at, sum(likely.values()), late, bounds)
    out += [(a, min(b, at), row, code) for a, b, _, code in pieces if a < at]
    for cause in _AT_THE_END:
        length = likely.get(cause, 0)
        if length:
            out.append((at, at + length, row, cause))
            at += length


def _doubt(
    pieces: list[Piece], at: int, taken_ns: int, late: Delay, bounds: dict[int, Bound]
) -> None:
    """Note what is left of the pieces until ``at`` and may be lateness too, and the other way round."""
    bounds.setdefault(pieces[-1][3], Bound()).high += taken_ns - (late.until_ns - late.sure_ns)
    less_ns = late.until_ns - late.since_ns - taken_ns
    for start, end, _, code in reversed(pieces):
        part_ns = min(less_ns, max(0, min(end, at) - start))
        if part_ns > 0:
            bounds.setdefault(code, Bound()).low -= part_ns
            less_ns -= part_ns
