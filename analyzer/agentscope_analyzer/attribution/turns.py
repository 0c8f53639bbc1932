"""Which spans are the turns of a run.

A recorder that knows turns marks them, and then nothing else is one: health checks and the creation
of a session are SERVER spans too. Only what bears a turn's name is one without the mark: a recorder
learns in each process which routes serve turns, so one that fails early in a fresh process is not
yet known to it (``_prepared_spans.sql`` marks it by service and name). In traces of other instrumentations a turn is what stands at the
top of a model's work: the topmost SERVER span that has an inference or an agent below it; where no
SERVER span is above that work, the topmost agent; failing both, the topmost span that is not itself
a call of something else. A request of the same service and route that failed before a model was asked
is a turn too: its user waited for an answer as the others did.

A turn within a turn (a marked block within a marked request, an agent service that asks another one)
is part of the outer one: its time would be counted twice.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from agentscope_analyzer.attribution.tree import Forest

__all__ = ["find_turns"]


class _Top(NamedTuple):
    """The topmost span of each sort at or above a span; -1 where there is none."""

    server: int = -1
    agent: int = -1
    other: int = -1


def find_turns(forest: Forest, *, marked: bool, inferred: Counter[str]) -> list[int]:
    """The turns of one linked trace, by row. Adds to ``inferred`` what stood for unmarked turns."""
    if marked:
        found = [row for row in forest.rows if forest.spans.is_turn[row]]
        if len(found) < 2:
            return found
        outermost = _outermost(forest, found)
        forest.anomalies["nested_turns"] += len(found) - len(outermost)
        return outermost
    sort_of = _stand_ins(forest)
    outermost = _outermost(forest, list(sort_of))
    inferred.update(sort_of[row] for row in outermost)
    return outermost


def _stand_ins(forest: Forest) -> dict[int, str]:
    spans = forest.spans
    tops: dict[int, _Top] = {}
    found: dict[int, str] = {}
    for row in forest.rows:
        if spans.is_turn[row]:
            found[row] = "failed server"
        if spans.role[row] in ("inference", "agent"):
            top = _top(forest, row, tops)
            if top.server >= 0:
                found[top.server] = "server"
            elif top.agent >= 0:
                found[top.agent] = "agent"
            else:
                found[top.other] = "root"
    return found


def _top(forest: Forest, row: int, tops: dict[int, _Top]) -> _Top:
    spans = forest.spans
    trail = []
    while row >= 0 and row not in tops:
        trail.append(row)
        row = spans.parent[row]
    top = tops.get(row, _Top())
    for row in reversed(trail):
        server, agent, other = top
        if server < 0 and spans.kind[row] == "SERVER":
            server = row
        if agent < 0 and spans.role[row] == "agent":
            agent = row
        if other < 0 and (
            spans.kind[row] in ("INTERNAL", "CONSUMER") or spans.role[row] == "inference"
        ):
            other = row
        top = tops[row] = _Top(server, agent, other)
    return top


def _outermost(forest: Forest, rows: list[int]) -> list[int]:
    parent = forest.spans.parent
    candidates = set(rows)
    free: set[int] = set()  # spans with no candidate above them
    outermost = []
    for row in sorted(rows):
        trail = []
        up = parent[row]
        while up >= 0 and up not in free and up not in candidates:
            trail.append(up)
            up = parent[up]
        if up < 0 or up in free:
            free.update(trail)
            outermost.append(row)
    return outermost
