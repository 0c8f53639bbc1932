"""One tree out of two: what another instrumentation recorded of a turn that agentscope recorded, too.

Two instrumentations of one process share a trace, but not always their parents: ours knows its own
spans only, so what ran within a span of another's stands beside it. The critical path would choose
one of the two and lose the other. Ours are the skeleton, for they know attempts and waits:

- a call of a model that both recorded is ours, if ours has attempts; else one of the two spans holds
  the other;
- a span that says nothing of its own (a middleware, a chain, an agent) is seen through where it
  stands beside one of ours, or in one of ours that has a cause: what lies below it lies below its
  parent;
- a tool, a query or another call holds those of ours that lie within it;
- spans of others ran in the process of their parent, unless they serve a request: the runtime's
  evidence applies to them.

Spans that are seen through stay with the turn, but take none of its time. What one instrumentation
alone recorded is left as it is.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from agentscope_analyzer.attribution.spans import Spans

__all__ = ["overlay"]

_SAYS_NOTHING: Final = frozenset({"own", "agent"})
_HOLDS_ALL: Final = frozenset({"tool", "context_load"})
_HOLDS_ITS_LIKE: Final = frozenset({"http", "database"})
_CALLS: Final = frozenset({"inference", "llm_call"})
_OTHER_PROCESS: Final = frozenset({"SERVER", "CONSUMER"})


def overlay(
    spans: Spans, children: dict[int, list[int]], turn: int, anomalies: Counter[str]
) -> None:
    """Make one tree of the spans below a turn; nothing changes where one instrumentation wrote all."""
    tree = _Tree(spans, children)
    rows = tree.walk(turn)
    twins = _twins(spans, turn, rows)
    ours = spans.ours
    mixed = bool(ours) and any(ours[row] != ours[turn] for row in rows)
    if mixed:
        _share_process(spans, rows)
        twins |= _within_ours(spans, rows)
    for row, call in twins.items():
        if mixed and _is_opened_up(tree, call):
            heir = spans.parent[row] if tree.is_below(call, row) else call
            tree.see_through([row], spans.parent[row], heir)
            anomalies["calls_recorded_twice"] += 1
        elif not tree.is_below(call, row):
            tree.move([row], spans.parent[row], call)
    if mixed:
        order, plain = [turn], {turn}
        for parent in order:  # grows as it is walked
            _sort_out(tree, parent, parent in plain, anomalies)
            kids = children.get(parent, ())
            order += kids
            if parent in plain:
                plain.update(kid for kid in kids if spans.role[kid] in _SAYS_NOTHING)
    if tree.seen_through:
        tree.put_at_the_start(turn)


@dataclass(frozen=True, slots=True)
class _Tree:
    """The tree of one trace while it is changed."""

    spans: Spans
    children: dict[int, list[int]]
    seen_through: list[int] = field(default_factory=list)

    def walk(self, top: int) -> list[int]:
        """All rows at or below one, parents before children."""
        order = [top]
        for row in order:
            order += self.children.get(row, ())
        return order

    def is_below(self, row: int, top: int) -> bool:
        """Whether the one lies at or below the other."""
        while row >= 0 and row != top:
            row = self.spans.parent[row]
        return row >= 0

    def move(self, rows: list[int], parent: int, below: int) -> None:
        """Take spans from their parent and hang them below another."""
        self._take(rows, parent)
        self._hang(rows, below)

    def see_through(self, rows: list[int], parent: int, heir: int) -> None:
        """Take spans from their parent, and hang what lies below them below another."""
        self._take(rows, parent)
        for row in rows:
            self._hang(self.children.pop(row, []), heir)
        self.seen_through.extend(rows)

    def put_at_the_start(self, turn: int) -> None:
        """Keep the spans that were seen through, which may name the session, but not their time."""
        spans = self.spans
        for row in self.seen_through:
            spans.role[row], spans.parent[row] = "own", turn
            spans.start[row] = spans.end[row] = spans.start[turn]
        self.children[turn] = [*self.seen_through, *self.children.get(turn, ())]

    def _take(self, rows: list[int], parent: int) -> None:
        gone = set(rows)
        self.children[parent] = [row for row in self.children[parent] if row not in gone]

    def _hang(self, rows: list[int], parent: int) -> None:
        for row in rows:
            self.spans.parent[row] = parent
            insort(self.children.setdefault(parent, []), row, key=self.spans.start.__getitem__)


def _twins(spans: Spans, turn: int, rows: list[int]) -> dict[int, int]:
    named = spans.twins.get(spans.table["trace_id"][turn].as_py())
    if not named:
        return {}
    row_of = {spans.span_id[row]: row for row in rows}
    return {
        row_of[span]: row_of[call]
        for span, call in named.items()
        if {span, call} <= row_of.keys() and row_of[span] != turn
    }


def _is_opened_up(tree: _Tree, call: int) -> bool:
    ours, role = tree.spans.ours, tree.spans.role
    kids = tree.children.get(call, ())
    return ours[call] and any(ours[kid] and role[kid] == "http" for kid in kids)


def _within_ours(spans: Spans, rows: list[int]) -> dict[int, int]:
    # Calls that another instrumentation nests in ours: recorded by both, and in the right place.
    ours, role, parent = spans.ours, spans.role, spans.parent
    return {
        row: parent[row]
        for row in rows[1:]
        if role[row] == "inference" == role[parent[row]] and ours[parent[row]] and not ours[row]
    }


def _share_process(spans: Spans, rows: list[int]) -> None:
    for row in rows[1:]:
        if not spans.ours[row] and spans.kind[row] not in _OTHER_PROCESS:
            spans.instance[row] = spans.instance[spans.parent[row]]


def _sort_out(tree: _Tree, parent: int, plain: bool, anomalies: Counter[str]) -> None:
    kids = tree.children.get(parent)
    if not kids:
        return
    spans, ours = tree.spans, tree.spans.ours
    if all(ours[kid] for kid in kids):
        return
    also: tuple[str, ...] = ()  # in spans of ours that have a cause, whatever they stand beside
    if ours[parent] and not plain:
        also = ("own",) if spans.role[parent] in _CALLS else ("own", "agent")
    while silent := _hiding(spans, tree.children[parent], also):
        tree.see_through(silent, parent, parent)
        anomalies["wrappers_seen_through"] += len(silent)
    if spans.role[parent] in _CALLS:
        _join_attempts(tree, parent, anomalies)
    for holder, held in _held(spans, tree.children[parent]).items():
        tree.move(held, parent, holder)


def _hiding(spans: Spans, kids: list[int], also: tuple[str, ...]) -> list[int]:
    """Spans of others that say nothing and stand beside ours, or have one of these roles."""
    start, end = spans.start, spans.end
    mine = [kid for kid in kids if spans.ours[kid] and end[kid] > start[kid]]
    starts = [start[kid] for kid in mine]
    latest = list(accumulate((end[kid] for kid in mine), max))
    found = []
    for kid in kids:
        role = spans.role[kid]
        if (
            role not in _SAYS_NOTHING
            or spans.ours[kid]
            or spans.kind[kid] != "INTERNAL"
            or spans.is_turn[kid]
        ):
            continue
        before_end = bisect_left(starts, end[kid])
        beside = before_end > 0 and latest[before_end - 1] > start[kid]
        if beside or role in also:
            found.append(kid)
    return found


def _join_attempts(tree: _Tree, call: int, anomalies: Counter[str]) -> None:
    # One attempt that two instrumentations of HTTP recorded would be two, of which one was repeated.
    spans = tree.spans
    attempts = [kid for kid in tree.children[call] if spans.role[kid] == "http"]
    mine = [kid for kid in attempts if spans.ours[kid]]
    for kid in attempts:
        if mine and not spans.ours[kid]:
            shared_ns, same = max((_shared(spans, kid, other), other) for other in mine)
            if shared_ns > 0:
                tree.see_through([kid], call, same)
                anomalies["calls_recorded_twice"] += 1


def _shared(spans: Spans, one: int, other: int) -> int:
    return min(spans.end[one], spans.end[other]) - max(spans.start[one], spans.start[other])


def _held(spans: Spans, kids: list[int]) -> dict[int, list[int]]:
    """Spans of others with those of ours that lie within them, each in the shortest that holds it."""
    start, end = spans.start, spans.end
    held: dict[int, list[int]] = {}
    open_now: list[int] = []
    for kid in sorted(kids, key=lambda kid: (start[kid], spans.ours[kid])):
        role = spans.role[kid]
        if not spans.ours[kid]:
            if role in _HOLDS_ALL or role in _HOLDS_ITS_LIKE:
                open_now.append(kid)
            continue
        open_now = [other for other in open_now if end[other] > start[kid]]
        holders = [
            other
            for other in open_now
            if end[other] >= end[kid]
            and (
                spans.role[other] in _HOLDS_ALL
                or spans.role[other] == role
                or role.startswith("wait.")
            )
        ]
        if holders:
            shortest = min(holders, key=lambda other: (end[other] - start[other], other))
            held.setdefault(shortest, []).append(kid)
    return held
