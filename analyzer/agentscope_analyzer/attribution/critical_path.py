"""The critical path as a partition: every instant of a window is one span's own time.

The walk goes backwards from the end of the window: the child that ended last is what the parent
waited for; before that child started, it is the turn of the child that had ended by then. What no
child covers is the parent's own time. The rule is that of Jaeger's UI and of Uber's CRISP (Zhang et
al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022),
cut so that the sections of a window always add up to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

__all__ = ["ALLOWED_OVERLAP", "Section", "critical_path"]

Section = tuple[int, int, int]
"""Start, end, row of the span whose own time it is."""

ALLOWED_OVERLAP: Final = 0.01
"""Share of the parent's window by which a child may overlap its successor and still precede it.

Clocks are read a little late: the next call may seem to have started before the last one ended.
"""


def critical_path(
    root: int,
    children: dict[int, list[int]],
    start: list[int],
    end: list[int],
    allow: float = ALLOWED_OVERLAP,
) -> list[Section]:
    """The sections of the root's window in order of time; their sum is the window, exactly.

    Children of one parent come sorted by start, each within its parent's window (see ``prepare``).
    Near-linear in the number of spans, however deep or broad the tree is.
    """
    out: list[Section] = []
    todo = [(root, start[root], end[root])]  # a stack of our own: deep traces are normal
    while todo:
        span, low, high = todo.pop()
        kids = children.get(span)
        if not kids:
            if high > low:
                out.append((low, high, span))
            continue
        cut = low > start[span] or high < end[span]
        if len(kids) > 1:
            kids = _latest_first(kids, start, end, high if cut else None)
        edges: list[int] | None = None
        following = -1
        upto = high
        for kid in kids:
            a, b = start[kid], end[kid]
            if cut:
                a, b = max(a, low), min(b, high)
            if b <= a:
                continue
            if b > upto:  # it overlaps the sibling that was taken
                if (
                    following < 0
                    or a >= upto
                    or b - upto >= allow * (high - low)
                    or start[kid] >= start[following]
                    or end[kid] >= end[following]
                ):
                    continue
                if edges is None:
                    edges = sorted([start[k] for k in kids] + [end[k] for k in kids])
                if bisect_right(edges, b) - bisect_left(edges, upto) != 2:
                    continue  # others start or end in the overlap: this is parallel work
                b = upto
            if upto > b:
                out.append((b, upto, span))
            todo.append((kid, a, b))
            upto = a
            following = kid
        if upto > low:
            out.append((low, upto, span))
    out.sort()
    return out


def _latest_first(kids: list[int], start: list[int], end: list[int], high: int | None) -> list[int]:
    if high is None:  # the sort is stable: of those that end together, the earliest stays first
        return sorted(kids, key=end.__getitem__, reverse=True)
    return sorted(kids, key=lambda kid: (-min(end[kid], high), start[kid]))
