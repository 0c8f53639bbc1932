"""From recorded spans to a tree in which every span lies within its parent's window.

The order of the steps is that of the critical-path literature (Jaeger's UI, Uber's CRISP): cut
what would never end, drop what nobody waits for, move what a wrong clock misplaced, clamp the rest.
Everything that is cut, dropped, moved or clamped is counted.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agentscope_analyzer.attribution.overlay import overlay
from agentscope_analyzer.attribution.spans import Spans

__all__ = ["Forest", "adopt", "link", "prepare"]

_SKEW_TOLERANCE: Final = 1.01
"""A SERVER span this much longer than its CLIENT parent is still the same call."""


@dataclass(slots=True)
class Forest:
    """Which spans lie below which: rows of one portion."""

    spans: Spans
    rows: Sequence[int] = ()
    """Rows of the current trace, each span once."""
    children: dict[int, list[int]] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    """Spans of the current trace whose parent is not in it, or was cut off to break a cycle."""
    anomalies: Counter[str] = field(default_factory=Counter)
    latest: int = 0
    """Latest end of a span below the turn that was prepared last."""


def link(forest: Forest, first: int, last: int) -> None:
    """Find the parents within one trace: rows ``first`` to ``last``, exclusive.

    A span that came twice counts once: the copy that lasted longest, as the rows are sorted.
    """
    spans, parent = forest.spans, forest.spans.parent
    children: dict[int, list[int]] = {}
    rows: Sequence[int] = range(first, last)
    index = dict(zip(spans.span_id[first:last], rows, strict=True))
    if len(index) < last - first:
        for row in reversed(rows):
            index[spans.span_id[row]] = row
        rows = sorted(index.values())
        forest.anomalies["duplicate_spans"] += last - first - len(rows)
    lost: list[int] = []
    suspect = False
    kind, parent_id = spans.kind, spans.parent_id
    for row in rows:
        name = parent_id[row]
        if not name:
            continue
        up = index.get(name, -1)
        if up < 0:
            lost.append(row)
            continue
        if up >= row:
            suspect = True  # a cycle needs a link that goes forward
        if kind[row] == "CONSUMER" and kind[up] == "PRODUCER":
            forest.anomalies["consumers_not_awaited"] += 1
            continue
        parent[row] = up
        below = children.get(up)
        if below is None:
            children[up] = [row]
        else:
            below.append(row)
    forest.rows, forest.children, forest.lost = rows, children, lost
    if suspect:
        _cut_cycles(forest, rows)


def _cut_cycles(forest: Forest, rows: Sequence[int]) -> None:
    # A turn loses its parent first, else the first row does: the choice is always the same.
    parent, is_turn = forest.spans.parent, forest.spans.is_turn
    settled: set[int] = set()
    for first in rows:
        row = first
        trail: dict[int, int] = {}
        while row >= 0 and row not in settled and row not in trail:
            trail[row] = len(trail)
            row = parent[row]
        if row in trail:
            cycle = list(trail)[trail[row] :]
            cut = min(cycle, key=lambda member: (not is_turn[member], member))
            forest.children[parent[cut]].remove(cut)
            parent[cut] = -1
            forest.lost.append(cut)
            forest.anomalies["cycles_cut"] += 1
        settled.update(trail)


def adopt(forest: Forest, turns: list[int]) -> None:
    """Hang spans whose parent was lost directly below the turn of their trace, if it is the only.

    Their trace says what they were done for; only the span in between is unknown. Without this,
    one lost span would turn everything below it into unexplained time.
    """
    spans, parent = forest.spans, forest.spans.parent
    known = set(turns)
    for (
        top
    ) in turns:  # a turn's own parent is often the caller's span, recorded elsewhere or nowhere
        while parent[top] >= 0:
            top = parent[top]
        known.add(top)
    orphans = [row for row in forest.lost if row not in known]
    if not orphans:
        return
    found: list[int] = []
    if len(turns) == 1:
        low, high = spans.start[turns[0]], spans.end[turns[0]]
        found = [row for row in orphans if low <= spans.start[row] < high]
        for row in found:
            parent[row] = turns[0]
        below = [*forest.children.get(turns[0], ()), *found]
        forest.children[turns[0]] = sorted(below, key=spans.start.__getitem__)
    forest.anomalies["orphans_adopted"] += len(found)
    forest.anomalies["orphans_unused"] += len(orphans) - len(found)


def prepare(forest: Forest, turn: int) -> list[int]:
    """Fit everything below a turn into its window; returns the rows, parents before children."""
    spans, children, anomalies = forest.spans, forest.children, forest.anomalies
    start, end, kind, shift = spans.start, spans.end, spans.kind, spans.shift
    spans.parent[turn] = -1
    if spans.ours or spans.twins:
        overlay(spans, children, turn, anomalies)
    forest.latest = end[turn]
    goes_on_as: dict[int, int] = {}
    order = [turn]
    for parent in order:  # grows as it is walked
        kids = children.get(parent)
        if kids is None:
            continue
        if kind[parent] == "CLIENT" or parent in shift:
            _correct_clock(spans, parent, kids, anomalies)
        low, high = start[parent], end[parent]
        for kid in kids:
            if start[kid] < low or end[kid] > high or start[kid] >= high:
                break
        else:
            order += kids
            continue
        kept: list[int] = []
        parts: list[int] = []
        for kid in kids:
            if end[kid] > high:
                if parent in goes_on_as:
                    if not _divide(forest, kid, goes_on_as[parent], high, goes_on_as):
                        continue
                elif parent != turn and spans.role[kid] == "inference" and spans.streams[kid]:
                    parts += _hand_on(forest, kid, parent, goes_on_as)
                else:
                    forest.latest = max(forest.latest, end[kid])
                    if start[kid] >= high:
                        anomalies["started_after_parent"] += 1
                        continue
                    anomalies["clamped"] += 1
                end[kid] = high
                start[kid] = min(start[kid], high)
            if start[kid] < low:
                anomalies["clamped"] += 1
                start[kid] = low
                end[kid] = max(end[kid], low)
            kept.append(kid)
        children[parent] = kept
        order += kept
        order += parts
    return order


def _divide(forest: Forest, kid: int, rest: int, at_ns: int, goes_on_as: dict[int, int]) -> bool:
    # The parent goes on as `rest`, so what lies below it does too; False if wholly below `rest`.
    spans, below = forest.spans, forest.children.setdefault(rest, [])
    if spans.start[kid] >= at_ns:
        spans.parent[kid] = rest
        below.append(kid)
        return False
    part = spans.part(kid, rest, at_ns, spans.end[kid])
    goes_on_as[kid] = part
    below.append(part)
    return True


def _hand_on(forest: Forest, kid: int, parent: int, goes_on_as: dict[int, int]) -> list[int]:
    # A stream is handed on: the phase that opened it has returned, whoever reads it waits for the
    # rest. Clamped to its opener, a streamed answer would lose nearly all of its generation.
    spans = forest.spans
    parts = []
    piece, at_ns, end_ns = kid, max(spans.start[kid], spans.end[parent]), spans.end[kid]
    up = spans.parent[parent]
    while up >= 0 and at_ns < end_ns:
        until_ns = min(end_ns, spans.end[up])
        if until_ns > at_ns:
            part = spans.part(kid, up, at_ns, until_ns)
            insort(forest.children[up], part, key=spans.start.__getitem__)
            goes_on_as[piece] = part
            parts.append(part)
            piece, at_ns = part, until_ns
        up = spans.parent[up]
    if at_ns < end_ns:
        forest.latest = max(forest.latest, end_ns)
        forest.anomalies["clamped"] += 1
    forest.anomalies["streams_handed_on"] += bool(parts)
    return parts


def _correct_clock(spans: Spans, parent: int, kids: list[int], anomalies: Counter[str]) -> None:
    """Move what another host's clock misplaced, as Jaeger's adjuster does.

    A call that has exactly one SERVER span below it, in another process, must contain it: one that
    sticks out is centred. Everything below it in that process moves with it. Within one process
    there is one clock, and nothing is moved; nor is what only outlived a caller that gave up.
    """
    instance = spans.instance
    inherited = spans.shift.get(parent)
    if inherited is not None:
        for kid in kids:
            if instance[kid] == instance[parent]:
                _move(spans, kid, inherited)
    if spans.kind[parent] == "CLIENT":
        servers = [kid for kid in kids if spans.kind[kid] == "SERVER"]
        if len(servers) == 1 and (instance[servers[0]] != instance[parent] or not instance[parent]):
            (server,) = servers
            low, room = spans.raw_start[parent], spans.raw_end[parent] - spans.raw_start[parent]
            start, length = spans.start[server], spans.end[server] - spans.start[server]
            outside = start < low or start + length > low + room
            outlived = low <= start < low + room and _gave_up(spans, parent)
            if outside and not outlived and length <= _SKEW_TOLERANCE * room:
                _move(spans, server, low + max(0, room - length) // 2 - start)
                anomalies["clocks_corrected"] += 1
    kids.sort(key=spans.start.__getitem__)


def _gave_up(spans: Spans, call: int) -> bool:
    """The caller went away before there was an answer: a time-out, a cancellation."""
    row = spans.origin.get(call, call)
    return spans.failure[call] is not None and not spans.table["http_status"][row].is_valid


def _move(spans: Spans, row: int, by_ns: int) -> None:
    spans.start[row] += by_ns
    spans.end[row] += by_ns
    spans.raw_start[row] += by_ns
    spans.raw_end[row] += by_ns
    chunk = spans.first_chunk[row]
    if chunk is not None:
        spans.first_chunk[row] = chunk + by_ns
    spans.shift[row] = spans.shift.get(row, 0) + by_ns
