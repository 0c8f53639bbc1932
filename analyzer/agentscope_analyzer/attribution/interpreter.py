"""Own code of several threads that compete for one interpreter: a second look at a turn's own time.

A span does not say whether its own code ran, waited to run, or awaited what nobody records. But the
recorder measures how long a thread that is ready waits for the interpreter lock. Python gives the lock
up after 5 ms (``sys.getswitchinterval``), so each further thread that computes in Python makes that
wait 5 ms longer; a busy event loop alone makes it 5 ms at most. Where it is more than the loop explains,
and worker threads were in use, threads compete: from there on own code is the interpreter's
(``runtime.cpu``), also where the event loop stood still meanwhile: it waited for the same lock.

Own code that computes whenever it alone is open (``computing``) computes here too, or waits for the
lock. Of the rest the wait tells. It is a mean of some wake-ups a second, so it is smoothed over five
points. With wait w, w / 5 ms threads were computing or waiting for the lock on average; as far as that
is more than those known to compute, it is of the own code that was open beside them, the rest of which
awaited something. Bounds: what is certain to compute, and the CPU time that the process really used;
and all of it, with what own code that computes took where nothing shows that threads compete.
Seconds in which the collector ran for more than a tenth explain the wait otherwise, and are left out.
An extension that keeps the lock for longer than 5 ms while threads are in use looks the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agentscope.conventions import CPU_TIME, INTERPRETER_LOCK_WAIT, THREADPOOL_BORROWED, Wait
from agentscope_analyzer.attribution.causes import EVENT_LOOP, GC
from agentscope_analyzer.attribution.computing import Computing, Own, computing
from agentscope_analyzer.attribution.stops import Stops
from agentscope_analyzer.engine import Engine

__all__ = ["Stretch", "pressed_stretches", "share_interpreter"]

CPU: Final = "runtime.cpu"
LOOP: Final = "runtime.event_loop"
SWITCH_S: Final = 0.005
"""For so long a thread keeps the interpreter lock when others want it."""
MIN_EXCESS_S: Final = 0.0025
"""Half of a thread: a wait that is longer by this than the loop explains shows that threads compete."""
MAX_PAUSED_SHARE: Final = 0.1
SMOOTHED: Final = 2
"""Points on either side over which the wait is averaged."""
MAX_POINT_NS: Final = 5_000_000_000
"""A point says nothing of more than this before it."""

_OWN = """
SELECT s.rowid, s.turn_id, s.trace_id, s.span_id, s.cause, s.start_ns, s.end_ns, o.instance, o.name
FROM sections AS s
JOIN (
  SELECT trace_id, span_id, MIN(instance) AS instance, MIN(name) AS name FROM spans
  WHERE kind <> 'CLIENT' AND wait_kind IS NULL AND runtime_event IS NULL
    AND COALESCE(phase, '') <> 'llm_call' AND list_contains($instances, instance)
  GROUP BY trace_id, span_id
) AS o ON o.trace_id = s.trace_id AND o.span_id = s.span_id
WHERE s.cause IN ('tool.execution', 'context.load', 'unattributed', 'runtime.event_loop')
  AND s.end_ns > s.start_ns
ORDER BY s.turn_id, s.start_ns
"""

_THREADS_USED = """
SELECT instance, time_ns AS from_ns, time_ns AS to_ns FROM metrics WHERE name = $borrowed AND value > 0
UNION ALL
SELECT instance, start_ns, end_ns FROM spans WHERE wait_kind = $wait
"""

_CPU_USED = """
SELECT instance, time_ns, SUM(value) FROM metrics
WHERE name = $name AND value IS NOT NULL GROUP BY instance, time_ns ORDER BY instance, time_ns
"""

_ENDS = "SELECT end_ns FROM spans WHERE instance = $instance AND runtime_event IS NULL"


@dataclass(slots=True)
class Stretch:
    """A stretch of time in which threads of one process competed for its interpreter."""

    start_ns: int
    end_ns: int
    wait_s: float
    cpu_s: float
    own_ns: int = 0
    """Own code of all turns in it."""
    known_ns: int = 0
    """The part of that which is known to compute."""
    computed_ns: float = 0.0
    """How much of it did, or waited for the lock, most likely."""

    @property
    def share(self) -> float:
        """The part of the rest that computed, or waited for the lock."""
        rest_ns = self.own_ns - self.known_ns
        wanted_ns = self.wait_s / SWITCH_S * (self.end_ns - self.start_ns) - self.computed_ns
        return min(1.0, max(0.0, wanted_ns / rest_ns)) if rest_ns else 0.0

    @property
    def sure(self) -> float:
        """The part of own code for which the process can have used its CPU time."""
        return min(1.0, self.cpu_s * 1e9 / self.own_ns) if self.own_ns else 0.0


@dataclass(slots=True)
class _Moved:
    """What went to the interpreter in one turn, in nanoseconds."""

    taken: int = 0
    sure: float = 0.0
    most: int = 0
    loop: int = 0
    """What may be the loop's or the interpreter's."""


@dataclass(slots=True)
class _Rows:
    """Sections to take out, and those that take their place."""

    gone: list[int] = field(default_factory=list)
    new: dict[str, list[object]] = field(
        default_factory=lambda: {
            name: [] for name in ("turn_id", "trace_id", "span_id", "cause", "start_ns", "end_ns")
        }
    )


def share_interpreter(engine: Engine, stops: Mapping[str, Stops]) -> None:
    """Give own code of competing threads to ``runtime.cpu``, in ``sections`` and ``bounds``."""
    pressed = pressed_stretches(engine, stops)
    if not pressed:
        return
    sections = engine.rows(_OWN, instances=[*pressed])
    known = _known(engine, sections)
    parts = []
    for *_, start, end, instance, name in sections:
        found = _parts(pressed[instance], start, end)
        computes = known[instance].get(name)
        for stretch, a, b in found:
            stretch.own_ns += b - a
            if computes is not None:
                stretch.known_ns += b - a
                stretch.computed_ns += (b - a) * computes.likely
        parts.append(found)
    rows, moved = _Rows(), defaultdict[str, _Moved](_Moved)
    for section, found in zip(sections, parts, strict=True):
        computes = known[section[7]].get(section[8])
        if found or computes is not None:
            _divide(section, found, computes, rows, moved[section[1]])
    engine.execute("DELETE FROM sections WHERE rowid IN (SELECT unnest($gone))", gone=rows.gone)
    engine.insert("sections", rows.new)
    _write_bounds(engine, moved)


def pressed_stretches(engine: Engine, stops: Mapping[str, Stops]) -> dict[str, list[Stretch]]:
    """When the threads of each process competed for its interpreter, in order of time."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for instance, time_ns, value in engine.rows(
        "SELECT instance, time_ns, value FROM metrics WHERE name = $name AND value BETWEEN 0 AND 1e6 "
        "ORDER BY instance, time_ns",
        name=INTERPRETER_LOCK_WAIT.name,
    ):
        points[instance].append((time_ns, value))
    if not any(value >= MIN_EXCESS_S for series in points.values() for _, value in series):
        return {}
    used: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for instance, a, b in engine.rows(
        _THREADS_USED, borrowed=THREADPOOL_BORROWED.name, wait=Wait.THREADPOOL.value
    ):
        used[instance].append((a, b))
    cpu = _cpu_used(engine)
    found = {
        instance: _stretches(series, stops.get(instance), used[instance], cpu[instance])
        for instance, series in points.items()
        if used[instance]
    }
    return {instance: stretches for instance, stretches in found.items() if stretches}


def _known(engine: Engine, sections: list[tuple[Any, ...]]) -> dict[str, dict[str, Computing]]:
    """By process, the own code that is known to compute, by the name of its span."""
    own: dict[str, list[Own]] = defaultdict(list)
    for *_, start, end, instance, name in sections:
        own[instance].append(Own(name, start, end))
    known: dict[str, dict[str, Computing]] = defaultdict(dict)
    readings = _cpu_used(engine)
    for instance, stretches in own.items():
        ends = engine.arrow(_ENDS, instance=instance)["end_ns"].to_numpy()
        read_ns = np.array([*readings[instance]], dtype=np.int64)
        cpu_s = np.array([*readings[instance].values()], dtype=np.float64)
        known[instance] = computing(stretches, ends, read_ns, cpu_s)
    return known


def _cpu_used(engine: Engine) -> dict[str, dict[int, float]]:
    """By process, CPU seconds used by the moment at which they were read."""
    cpu: dict[str, dict[int, float]] = defaultdict(dict)
    for instance, time_ns, value in engine.rows(_CPU_USED, name=CPU_TIME.name):
        cpu[instance][time_ns] = value
    return cpu


def _stretches(
    series: list[tuple[int, float]],
    stops: Stops | None,
    used: list[tuple[int, int]],
    cpu: Mapping[int, float],
) -> list[Stretch]:
    found = []
    for i in range(1, len(series)):
        near = series[max(1, i - SMOOTHED) : i + SMOOTHED + 1]
        wait_s = sum(value for _, value in near) / len(near)
        end = series[i][0]
        start = max(series[i - 1][0], end - MAX_POINT_NS)
        if end <= start or wait_s < MIN_EXCESS_S:
            continue
        if not any(a <= near[-1][0] and b >= near[0][0] for a, b in used):
            continue
        blocked_ns = paused_ns = 0
        for stop in stops.within(start, end) if stops is not None else ():
            blocked_ns += stop.end_ns - stop.start_ns if stop.code == EVENT_LOOP else 0
            paused_ns += stop.end_ns - stop.start_ns if stop.code == GC else 0
        by_loop_s = SWITCH_S * blocked_ns / (end - start)
        if wait_s >= by_loop_s + MIN_EXCESS_S and paused_ns < MAX_PAUSED_SHARE * (end - start):
            cpu_s = cpu.get(end, 0.0) - cpu.get(series[i - 1][0], 0.0)
            found.append(Stretch(start, end, wait_s, max(0.0, cpu_s)))
    return found


def _parts(stretches: list[Stretch], start: int, end: int) -> list[tuple[Stretch, int, int]]:
    found = []
    i = max(0, bisect_right(stretches, start, key=lambda stretch: stretch.start_ns) - 1)
    while i < len(stretches) and stretches[i].start_ns < end:
        a, b = max(start, stretches[i].start_ns), min(end, stretches[i].end_ns)
        if b > a:
            found.append((stretches[i], a, b))
        i += 1
    return found


def _divide(
    section: tuple[Any, ...],
    found: list[tuple[Stretch, int, int]],
    computes: Computing | None,
    rows: _Rows,
    moved: _Moved,
) -> None:
    rowid, turn_id, trace_id, span_id, cause, start, end, *_ = section
    rows.gone.append(rowid)
    pieces: list[tuple[object, int, int]] = []
    at = start
    for stretch, a, b in found:
        share = stretch.share if computes is None else computes.likely
        sure = min(share, max(stretch.sure, 0.0 if computes is None else computes.sure))
        until = a + round((b - a) * share)
        pieces += [(cause, at, a), (CPU, a, until)]
        at = until
        moved.taken += until - a
        moved.sure += (b - a) * sure if cause != LOOP else 0.0
    # What computes may have done so, or waited for the lock, where nothing shows that threads compete.
    most_ns = end - start if computes is not None else sum(b - a for _, a, b in found)
    moved.most += most_ns
    moved.loop += most_ns if cause == LOOP else 0
    pieces.append((cause, at, end))
    for name, a, b in pieces:
        if b > a:
            row = (turn_id, trace_id, span_id, name, a, b)
            for column, value in zip(rows.new.values(), row, strict=True):
                column.append(value)


def _write_bounds(engine: Engine, moved: Mapping[str, _Moved]) -> None:
    """Bounds of the interpreter's part, and what is still certain of the loop's."""
    bounds: dict[str, list[object]] = {name: [] for name in ("turn_id", "cause", "low_s", "high_s")}
    known = engine.rows(
        "SELECT turn_id, low_s, high_s FROM bounds WHERE cause = $cause", cause=LOOP
    )
    for turn_id, low_s, high_s in known:
        lost_s = moved[turn_id].loop / 1e9 if turn_id in moved else 0.0
        for column, value in zip(
            bounds.values(), (turn_id, LOOP, max(0.0, low_s - lost_s), high_s), strict=True
        ):
            column.append(value)
    for turn_id, one in moved.items():
        low_s = min(one.sure, one.taken) / 1e9
        for column, value in zip(
            bounds.values(), (turn_id, CPU, low_s, one.most / 1e9), strict=True
        ):
            column.append(value)
    engine.execute("DELETE FROM bounds WHERE cause = $cause", cause=LOOP)
    engine.insert("bounds", bounds)
