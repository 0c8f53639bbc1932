"""Sleeps that nobody recorded: a retry loop of the user's own around calls of a model.

A client that retries by itself leaves a span for its sleep, or an inference around it. A loop in
the user's code (tenacity, backoff, a ``for``) leaves calls that failed, the next one, and nothing
between them. Where a call was refused for its rate, or failed in a way that a second try may mend,
and the next call of a model asks the same model of the same provider, the time between them that
is the own code of the nearest span around both was spent because of the failure.

Work that has a span of its own between the two (a query, a tool, a function that the user named)
keeps its cause. A span around the failed call alone must have failed as well: if it went well,
somebody dealt with the failure there, and what follows is no retry of it.

This is inferred: code may have computed there, or the next call may be another question. So these
stretches count in the upper bound of their cause alone, and they stay the process's own code as far
as stops of the process and waits for the caller explain them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agentscope_analyzer.attribution.causes import OWN_CODE, RATE_LIMIT, RETRY, Piece
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.starvation import Bound

__all__ = ["BackOff", "BackOffs", "back_off", "bound_back_offs"]

_FAILED: Final = {"llm.rate_limit": RATE_LIMIT, "llm.retry": RETRY}
_LET_THROUGH: Final = frozenset({"own", "llm_call", "agent"})
"""Roles of spans around a call that may be what is tried again as a whole."""


class BackOff(NamedTuple):
    """A stretch between a failed call and the next, in own code of the span ``row``."""

    start_ns: int
    end_ns: int
    row: int
    code: int


@dataclass(slots=True)
class BackOffs:
    """Finds the back-offs in the turns of one portion."""

    spans: Spans
    _asked: list[str | None] = field(init=False)
    _in_vain: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = self.spans.table["asked"].to_pylist()
        self._in_vain = self.spans.table["in_vain"].to_pylist()

    def find(self, order: list[int]) -> list[BackOff]:
        """The back-offs of the turn whose rows are ``order``, in order of time."""
        spans = self.spans
        roles, start, end, origin = spans.role, spans.start, spans.end, spans.origin
        calls = [row for row in order if roles[row] == "inference" and row not in origin]
        if len(calls) < 2 or not any(spans.failure[row] in _FAILED for row in calls):
            return []
        found = []
        before: list[int] = []
        for row in sorted(calls, key=start.__getitem__):
            around = self._around(row)
            if roles[around[-1]] == "inference" and len(around) > 1:
                continue  # part of another call
            if before and start[row] >= end[before[0]]:
                found += self._between(before, around)
            if not before or end[row] >= end[before[0]]:
                before = around
        return found

    def _around(self, row: int) -> list[int]:
        """The call and the spans around it, up to the first that is tried by nobody else."""
        roles, parents = self.spans.role, self.spans.parent
        around, up = [row], parents[row]
        while up >= 0:
            around.append(up)
            up = parents[up] if roles[up] in _LET_THROUGH else -1
        return around

    def _between(self, failed: list[int], following: list[int]) -> list[BackOff]:
        spans, call = self.spans, failed[0]
        code = _FAILED.get(spans.failure[call] or "")
        asked = self._asked[call]
        if code is None or asked is None or asked != self._asked[following[0]]:
            return []
        common = next((row for row in following if row in failed), None)
        if common is None or self._in_vain[call]:
            return []
        tried, again = failed[: failed.index(common)], following[following.index(common) - 1]
        if any(spans.failure[row] is None for row in tried):
            return []
        start_ns, end_ns = spans.end[tried[-1]], spans.start[again]
        return [BackOff(start_ns, end_ns, common, code)] if start_ns < end_ns else []


def back_off(pieces: list[Piece], spans: Spans, found: list[BackOff]) -> list[Piece]:
    """Give own code of the spans around failed calls to the failures that it followed from."""
    out: list[Piece] = []
    i = 0
    for piece in pieces:
        start, end, row, code = piece
        while i < len(found) and found[i].end_ns <= start:
            i += 1
        at = i
        if code >= OWN_CODE:
            recorded = spans.origin.get(row, row)
            while at < len(found) and found[at].start_ns < end:
                a, b = max(start, found[at].start_ns), min(end, found[at].end_ns)
                if found[at].row == recorded:
                    if a > start:
                        out.append((start, a, row, code))
                    out.append((a, b, row, found[at].code + OWN_CODE))
                    start = b
                at += 1
        if end > start:
            out.append((start, end, row, code))
    return out


def bound_back_offs(pieces: list[Piece], bounds: dict[int, Bound]) -> None:
    """Say how much of the waiting for a quota or another try is certain; adds to ``bounds``."""
    for code in (RATE_LIMIT, RETRY):
        certain_ns = sum(b - a for a, b, _, cause in pieces if cause == code)
        inferred_ns = sum(b - a for a, b, _, cause in pieces if cause == code + OWN_CODE)
        if inferred_ns:
            bound = bounds.setdefault(code, Bound(certain_ns, certain_ns))
            bound.high += inferred_ns
