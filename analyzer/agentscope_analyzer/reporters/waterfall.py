"""A turn's spans as bars of characters on one time axis: the lines of a waterfall.

A bar says who had the time: a cause's letter where the span's own time is on the critical path, a
dash where the path runs through what lies below it, a dot where nobody waited for it. Of thousands
of spans the lines show those with most of the path; the rest is summed up below the span they
belong to, so that no part of the path is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple

from agentscope.conventions import UNATTRIBUTED
from agentscope_analyzer.traced import Trace, TracedSpan
from agentscope_analyzer.wording import amount

__all__ = ["AFTER", "BELOW", "LETTERS", "MORE", "OFF_PATH", "STOOD_STILL", "Line", "waterfall"]

LETTERS: Final[dict[str, str]] = {
    "llm.first_token": "F",
    "llm.generation": "G",
    "llm.rate_limit": "R",
    "llm.retry": "Y",
    "llm.connection": "C",
    "db.query": "D",
    "db.pool": "P",
    "runtime.event_loop": "L",
    "runtime.cpu": "U",
    "runtime.threadpool": "W",
    "runtime.gc": "B",
    "runtime.throttled": "Z",
    "tool.execution": "T",
    "http.upstream": "H",
    "context.load": "X",
    "client.send": "S",
    "wait.lock": "K",
    UNATTRIBUTED: "?",
}
"""Every cause as one character of a bar."""

BELOW, OFF_PATH, STOOD_STILL, AFTER = "-", ".", "#", ">"
MORE: Final = "+"
"""How the label of a line begins that sums up others: their seconds are those on the path."""
MAX_EVENTS: Final = 8
MAX_NAMES: Final = 2


class Line(NamedTuple):
    """One line: what it is of, how deep below the turn, for how long, and its bar."""

    label: str
    depth: int
    ns: int
    bar: str
    failed: bool = False


def waterfall(trace: Trace, *, cells: int, most_spans: int = 40) -> list[Line]:
    """The critical path, the spans by start, and the runtime's events, each on ``cells`` cells."""
    axis = _Axis(trace.start_ns, max(1, trace.end_ns - trace.start_ns), cells)
    path = _Path(axis, len(trace.spans))
    index = {span.span_id: i for i, span in enumerate(trace.spans)}
    for section in trace.critical_path:
        path.add(index[section.span_id], section.cause, section.start_ns, section.end_ns)
    path.sort()
    whole = Line("critical path", 0, trace.end_ns - trace.start_ns, path.bar_of_all())
    return [whole, *_span_lines(trace.spans, path, most_spans), *_event_lines(trace, axis)]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The time axis: a turn's window, cut into cells."""

    start_ns: int
    length_ns: int
    cells: int

    def cut(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """The cells that a stretch touches, each with how much of it lies there."""
        start, end = (
            min(max(at - self.start_ns, 0), self.length_ns) * self.cells
            for at in (start_ns, end_ns)
        )
        first = min(start // self.length_ns, self.cells - 1)
        for cell in range(first, max(first + 1, -(-end // self.length_ns))):
            low, high = cell * self.length_ns, (cell + 1) * self.length_ns
            yield cell, min(end, high) - max(start, low)

    def mostly(self, start_ns: int, end_ns: int) -> list[int]:
        """The cells that a stretch fills by half or more; if it fills none, the one it is in."""
        touched = list(self.cut(start_ns, end_ns))
        filled = [cell for cell, part in touched if 2 * part >= self.length_ns]
        return filled or [max(touched, key=lambda one: one[1])[0]]

    def blank(self) -> list[str]:
        return [" "] * self.cells


@dataclass(slots=True)
class _Path:
    """How much of each cell the critical path spends in which span, by which cause."""

    axis: _Axis
    spans: int
    _own: dict[int, dict[int, Counter[str]]] = field(default_factory=dict)
    _total_ns: dict[int, int] = field(default_factory=dict)
    _rows: list[list[int]] = field(default_factory=list)
    _sums: list[list[int]] = field(default_factory=list)

    def add(self, row: int, cause: str, start_ns: int, end_ns: int) -> None:
        own = self._own.setdefault(row, {})
        self._total_ns[row] = self._total_ns.get(row, 0) + end_ns - start_ns
        for cell, part in self.axis.cut(start_ns, end_ns):
            own.setdefault(cell, Counter())[cause] += part

    def sort(self) -> None:
        """Make sums over ranges of spans a matter of two look-ups."""
        cells: list[list[tuple[int, int]]] = [[] for _ in range(self.axis.cells)]
        for row in sorted(self._own):
            for cell, causes in self._own[row].items():
                cells[cell].append((row, causes.total()))
        self._rows = [[row for row, _ in cell] for cell in cells]
        self._sums = [[0, *accumulate(part for _, part in cell)] for cell in cells]

    def own_ns(self, row: int) -> int:
        return self._total_ns.get(row, 0)

    def bar(self, span: TracedSpan, row: int, end_row: int) -> str:
        """The bar of a span, of whose subtree the rows end at ``end_row``."""
        bar = self.axis.blank()
        if span.start_ns >= self.axis.start_ns + self.axis.length_ns:
            bar[-1] = AFTER
            return "".join(bar)
        for cell in self.axis.mostly(span.start_ns, span.end_ns):
            bar[cell] = self._mark(cell, row, end_row)
        return "".join(bar)

    def bar_of(self, rows: list[int]) -> str:
        """The path's letters in these spans alone."""
        cells: dict[int, Counter[str]] = {}
        for row in rows:
            for cell, causes in self._own.get(row, {}).items():
                cells.setdefault(cell, Counter()).update(causes)
        bar = self.axis.blank()
        for cell, causes in cells.items():
            if causes.total():
                bar[cell] = LETTERS[causes.most_common(1)[0][0]]
        return "".join(bar)

    def bar_of_all(self) -> str:
        return self.bar_of(list(self._own))

    def _mark(self, cell: int, row: int, end_row: int) -> str:
        rows, sums = self._rows[cell], self._sums[cell]
        taken = sums[bisect_left(rows, end_row)] - sums[bisect_left(rows, row)]
        own = self._own.get(row, {}).get(cell, Counter())
        if taken == 0:
            return OFF_PATH
        return LETTERS[own.most_common(1)[0][0]] if 2 * own.total() >= taken else BELOW


def _span_lines(spans: list[TracedSpan], path: _Path, most: int) -> Iterator[Line]:
    shown = _shown(spans, path, most)
    end_rows = _end_rows(spans)
    above: list[int] = []
    hidden: dict[int, list[int]] = {}

    def leave(depth: int) -> Iterator[Line]:
        while above and spans[above[-1]].depth >= depth:
            rows = hidden.pop(above[-1], [])
            if rows:
                yield _summed_up(spans, rows, len(above), path)
            above.pop()

    for row, span in enumerate(spans):
        yield from leave(span.depth)
        if row in shown:
            bar = path.bar(span, row, end_rows[row])
            failed = span.status == "ERROR"
            ns = span.end_ns - span.start_ns
            yield Line(_label(span), len(above), ns, bar, failed)
            above.append(row)
        else:
            hidden.setdefault(above[-1], []).append(row)
    yield from leave(0)


def _shown(spans: list[TracedSpan], path: _Path, most: int) -> set[int]:
    """The turn and the spans with most of the path; of those beside it, failed and long ones.

    What lies above a span is shown with it, unless that would be too much.
    """
    ranked = sorted(
        range(1, len(spans)),
        key=lambda row: (
            -path.own_ns(row),
            spans[row].status != "ERROR",
            spans[row].start_ns - spans[row].end_ns,
        ),
    )
    parents = _parent_rows(spans)
    shown = {0}
    for row in ranked:
        trail = [row]
        while (up := parents[trail[-1]]) not in shown and len(shown) + len(trail) < most:
            trail.append(up)
        if parents[trail[-1]] not in shown:
            trail = [row]
        if len(shown) + len(trail) <= most:
            shown.update(trail)
        if len(shown) >= most:
            break
    return shown


def _parent_rows(spans: list[TracedSpan]) -> list[int]:
    """The row of each span's parent; the turn's is its own."""
    parents, above = [0] * len(spans), [0]
    for row, span in enumerate(spans[1:], start=1):
        del above[span.depth :]
        parents[row] = above[-1]
        above.append(row)
    return parents


def _end_rows(spans: list[TracedSpan]) -> list[int]:
    """For each span the row after the last one below it."""
    ends = [len(spans)] * len(spans)
    open_rows: list[int] = []
    for row, span in enumerate(spans):
        while open_rows and spans[open_rows[-1]].depth >= span.depth:
            ends[open_rows.pop()] = row
        open_rows.append(row)
    return ends


def _summed_up(spans: list[TracedSpan], rows: list[int], depth: int, path: _Path) -> Line:
    names = [name for name, _ in Counter(spans[row].name for row in rows).most_common()]
    more = ", …" if len(names) > MAX_NAMES else ""
    label = f"{MORE} {amount(len(rows), 'span')}: {', '.join(names[:MAX_NAMES])}{more}"
    return Line(label, depth, sum(path.own_ns(row) for row in rows), path.bar_of(rows))


def _label(span: TracedSpan) -> str:
    said = span.detail or ("failed" if span.status == "ERROR" else "")
    return f"{span.name} {said}".rstrip()


def _event_lines(trace: Trace, axis: _Axis) -> Iterator[Line]:
    longest = sorted(trace.events, key=lambda event: event.start_ns - event.end_ns)[:MAX_EVENTS]
    rest = [event for event in trace.events if event not in longest]
    for event in sorted(longest, key=lambda event: event.start_ns):
        bar = axis.blank()
        for cell in axis.mostly(event.start_ns, event.end_ns):
            bar[cell] = STOOD_STILL
        where = (event.where or "").rpartition("/")[2]  # of a path, the file's name and the line
        yield Line(f"{event.name} {where}".rstrip(), 0, event.end_ns - event.start_ns, "".join(bar))
    if rest:
        bar = axis.blank()
        for event in rest:
            for cell in axis.mostly(event.start_ns, event.end_ns):
                bar[cell] = STOOD_STILL
        ns = sum(event.end_ns - event.start_ns for event in rest)
        yield Line(f"{MORE} {amount(len(rest), 'shorter event')}", 0, ns, "".join(bar))
