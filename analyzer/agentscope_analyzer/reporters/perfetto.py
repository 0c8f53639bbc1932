"""One turn as a trace that ui.perfetto.dev opens (chrome://tracing does, too).

Chrome's JSON trace format. The critical path is a track of its own, its slices named by cause, which
is what the viewer colours by; what stood still stands below it; then every process has its spans on
as many tracks as run beside each other. A slice's category is its cause. The format wants slices of
one track to lie within each other or apart, so a span is put within its parent's slice where there
is room, and on another track where a sibling still runs.

Times are whole microseconds: the viewer truncates fractions of them, which can make neighbours
overlap by a nanosecond. Rounded down, all starts and ends keep their order.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentscope_analyzer.reporters.files import write_text
from agentscope_analyzer.traced import Trace, TracedSpan

__all__ = ["dumps", "write"]

Event = dict[str, Any]

_TURN: Final = 1
"""The process id under which the critical path stands; recorded processes follow."""
_PATH: Final = 1
"""Its track."""
_OFF_PATH: Final = "off the critical path"
_EVENT: Final = "runtime event"


def dumps(trace: Trace) -> str:
    """The turn in Chrome's JSON trace format."""
    starts = [span.start_ns for span in trace.spans] + [event.start_ns for event in trace.events]
    origin_ns = min(trace.start_ns, *starts)
    document = {
        "traceEvents": [*_turn_events(trace, origin_ns), *_span_events(trace, origin_ns)],
        "displayTimeUnit": "ms",
        "otherData": {
            "trace_id": trace.trace_id,
            "turn_id": trace.turn_id,
            "origin_ns": str(origin_ns),
        },
    }
    return json.dumps(document, separators=(",", ":"))


def write(trace: Trace, path: str | Path) -> None:
    """Write the turn to a file, replacing it in one step; raises OSError."""
    write_text(path, dumps(trace) + "\n")


class _Slice(NamedTuple):
    """A slice to be put on a track: its ends in microseconds, and where it belongs."""

    start_us: int
    end_us: int
    id: Hashable
    parent: Hashable
    event: Event


def _turn_events(trace: Trace, origin_ns: int) -> Iterator[Event]:
    yield _named("process_name", _TURN, 0, f"turn {trace.trace_id}")
    yield _named("thread_name", _TURN, _PATH, "critical path")
    for section in trace.critical_path:
        args = {"span": section.name, "span_id": section.span_id}
        start_us, end_us = _us(section.start_ns, origin_ns), _us(section.end_ns, origin_ns)
        event = _complete(section.cause, section.cause, start_us, end_us, args)
        yield event | {"pid": _TURN, "tid": _PATH}
    slices = []
    for i, one in enumerate(trace.events):
        start_us, end_us = _us(one.start_ns, origin_ns), _us(one.end_ns, origin_ns)
        args = {"where": one.where} if one.where else {}
        event = _complete(one.name, _EVENT, start_us, end_us, args)
        slices.append(_Slice(start_us, end_us, i, None, event))
    yield from _on_tracks(slices, _TURN, first=_PATH + 1, name="stood still")


def _span_events(trace: Trace, origin_ns: int) -> Iterator[Event]:
    by_instance: dict[str, list[_Slice]] = {}
    for span in trace.spans:
        start_us, end_us = _us(span.start_ns, origin_ns), _us(span.end_ns, origin_ns)
        name = f"{span.name} {span.detail}".rstrip()
        event = _complete(name, span.cause or _OFF_PATH, start_us, end_us, _told(span))
        slices = by_instance.setdefault(span.instance, [])
        slices.append(_Slice(start_us, end_us, span.span_id, span.parent_id, event))
    for pid, (instance, slices) in enumerate(by_instance.items(), start=_TURN + 1):
        yield _named("process_name", pid, 0, instance or "a process without a name")
        yield from _on_tracks(slices, pid, first=1, name="spans")


def _on_tracks(slices: Iterable[_Slice], pid: int, *, first: int, name: str) -> Iterator[Event]:
    """The slices, each within its parent's where nothing else is, else on a track that is free."""
    open_on: dict[int, list[_Slice]] = {}
    track_of: dict[Hashable, int] = {}
    free_from: list[tuple[int, int]] = []
    for one in sorted(slices, key=lambda one: (one.start_us, -one.end_us)):
        track = track_of.get(one.parent, 0)
        if not (track and _fits_within_parent(open_on[track], one)):
            if free_from and free_from[0][0] <= one.start_us:
                track = heapq.heappop(free_from)[1]
            else:
                track = first + len(open_on)
                yield _named("thread_name", pid, track, name)
            open_on[track] = []
            heapq.heappush(free_from, (one.end_us, track))
        open_on[track].append(one)
        track_of[one.id] = track
        yield one.event | {"pid": pid, "tid": track}


def _fits_within_parent(open_slices: list[_Slice], one: _Slice) -> bool:
    while open_slices and open_slices[-1].end_us <= one.start_us:
        open_slices.pop()
    return (
        bool(open_slices)
        and open_slices[-1].id == one.parent
        and one.end_us <= open_slices[-1].end_us
    )


def _us(at_ns: int, origin_ns: int) -> int:
    return (at_ns - origin_ns) // 1000


def _named(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _complete(name: str, category: str, start_us: int, end_us: int, args: Event) -> Event:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": start_us,
        "dur": end_us - start_us,
        "args": args,
    }


def _told(span: TracedSpan) -> Event:
    told = {"span_id": span.span_id, "kind": span.kind, "status": span.status}
    return told | ({"cause": span.cause} if span.cause else {})
