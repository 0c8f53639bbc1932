"""Pieces of plain turns' paths as columns, and what stops of processes and slow callers do to them.

Where a stop touches a piece, the walk's own rule (``starvation``) decides about that piece; all
others stay as they are. The rule for slow callers (``sending``) is told in columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from agentscope_analyzer.attribution.causes import (
    CAUSE_NAMES,
    CLIENT_SEND,
    EVENT_LOOP,
    FIRST_TOKEN,
    NOTHING,
    OWN_CODE,
)
from agentscope_analyzer.attribution.plain_tree import Flags, Ints, PlainTree
from agentscope_analyzer.attribution.spans import Spans
from agentscope_analyzer.attribution.starvation import STOPS, Bound, starve
from agentscope_analyzer.attribution.stops import Stops

__all__ = ["Bounds", "Pieces", "send_plain", "starve_plain"]

_NS = 1e9
_CODES = 2 * OWN_CODE


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stretches of paths by turn and time; ``turn`` and ``row`` are rows of spans."""

    turn: Ints
    start: Ints
    end: Ints
    row: Ints
    code: Ints

    def __len__(self) -> int:
        return len(self.turn)

    def at(self, chosen: Flags | Ints) -> Pieces:
        """Some of them."""
        return Pieces(*(column[chosen] for column in self.columns))

    @property
    def columns(self) -> Sequence[Ints]:
        """All columns, in order."""
        return (self.turn, self.start, self.end, self.row, self.code)

    @classmethod
    def joined(cls, axis: Ints, *parts: Pieces) -> Pieces:
        """All of several that last for any time, in order; ``axis`` is ``PlainTree.axis()``."""
        columns = zip(*(part.columns for part in parts), strict=True)
        whole = cls(*(np.concatenate(column) for column in columns))
        lasting = np.flatnonzero(whole.end > whole.start)
        at = whole.start[lasting] + axis[whole.turn[lasting]]
        return whole.at(lasting[np.argsort(at)])


@dataclass(slots=True)
class Bounds:
    """Rows of the table ``bounds``, the turns by row."""

    turn: list[int] = field(default_factory=list)
    code: list[int] = field(default_factory=list)
    low_ns: list[int] = field(default_factory=list)
    high_ns: list[int] = field(default_factory=list)

    def add(self, turn: int, code: int, low_ns: int, high_ns: int) -> None:
        """Add a row."""
        self.turn.append(turn)
        self.code.append(code)
        self.low_ns.append(low_ns)
        self.high_ns.append(high_ns)

    def table(self, span_id: pa.ChunkedArray) -> pa.Table:
        """The rows; ``span_id`` names the turns."""
        codes = pa.array(self.code, pa.int64())
        return pa.table(
            {
                "turn_id": span_id.take(pa.array(self.turn, pa.int64())),
                "cause": pa.array(CAUSE_NAMES).take(codes),
                "low_s": pa.array(np.array(self.low_ns, dtype=np.int64) / _NS),
                "high_s": pa.array(np.array(self.high_ns, dtype=np.int64) / _NS),
            }
        )


def starve_plain(
    tree: PlainTree, pieces: Pieces, stops: dict[str, Stops], bounds: Bounds
) -> Pieces:
    """``starvation.starve`` for the pieces that a stop touches; adds to ``bounds``."""
    touched = _touched(tree, pieces, stops)
    if not touched.any():
        return pieces
    hit = pieces.at(touched)
    rows, place = np.unique(hit.row, return_inverse=True)
    spans = Spans.from_table(tree.table.take(pa.array(rows)))
    found: list[tuple[int, int, int, int]] = []
    turns: list[int] = []
    counts: list[int] = []
    delayed = Bounds()
    for first, last in _runs(hit.turn):
        turn = int(hit.turn[first])
        columns = (hit.start, hit.end, place, hit.code)
        some = list(zip(*(column[first:last].tolist() for column in columns), strict=True))
        # The rule asks where the turn ends: a piece of no length says it, and leaves nothing.
        end_ns = int(tree.end[turn])
        some.append((end_ns, end_ns, some[0][2], NOTHING))
        told: dict[int, Bound] = {}
        changed = starve(some, spans, stops, told)
        found += [piece for piece in changed if piece[1] > piece[0]]
        turns.append(turn)
        counts.append(len(found))
        for code, bound in told.items():
            (bounds if code in STOPS else delayed).add(turn, code, bound.low, bound.high)
    made = np.array(found, dtype=np.int64).reshape(-1, 4)
    turn_of = np.repeat(turns, np.diff([0, *counts]))
    new = Pieces(turn_of, made[:, 0], made[:, 1], rows[made[:, 2]], made[:, 3])
    pieces = Pieces.joined(tree.axis(), pieces.at(~touched), new)
    _settle(pieces, delayed, bounds)
    return pieces


def _settle(pieces: Pieces, delayed: Bounds, bounds: Bounds) -> None:
    """``starvation.settle`` for all turns at once."""
    wanted = np.array(delayed.turn, dtype=np.int64) * _CODES + delayed.code
    order = np.argsort(wanted)
    key = pieces.turn * _CODES + pieces.code
    place = np.searchsorted(wanted[order], key)
    hit = np.flatnonzero(place < len(wanted))
    hit = hit[wanted[order][place[hit]] == key[hit]]
    took_ns = np.zeros(len(wanted), dtype=np.int64)
    np.add.at(took_ns, order[place[hit]], (pieces.end - pieces.start)[hit])
    columns = (delayed.turn, delayed.code, delayed.low_ns, delayed.high_ns, took_ns.tolist())
    for turn, code, low, high, took in zip(*columns, strict=True):
        bounds.add(turn, code, took + low, took + high)


def _touched(tree: PlainTree, pieces: Pieces, stops: Mapping[str, Stops]) -> Flags:
    """The pieces that a stop of their process overlaps, or begins at the end of."""
    touched = np.zeros(len(pieces), dtype=np.bool_)
    if not stops:
        return touched
    encoded = tree.table["instance"].combine_chunks().dictionary_encode()
    instance = encoded.indices.to_numpy(zero_copy_only=False)[pieces.row]
    order = np.argsort(instance, kind="stable")
    for first, last in _runs(instance[order]):
        there = order[first:last]
        stopped = stops.get(encoded.dictionary[int(instance[there[0]])].as_py())
        if stopped is None or not stopped.timeline:
            continue
        starts = np.array([stop.start_ns for stop in stopped.timeline])
        ends = np.array([stop.end_ns for stop in stopped.timeline])
        following = np.searchsorted(ends, pieces.start[there], side="right")
        known = following < len(ends)
        there, following = there[known], following[known]
        touched[there[starts[following] <= pieces.end[there]]] = True
    # An answer's first part, which is not touched itself: the rule looks at both.
    along = (pieces.row[1:] == pieces.row[:-1]) & (pieces.start[1:] == pieces.end[:-1])
    touched[:-1] |= along & touched[1:] & (pieces.code[:-1] == FIRST_TOKEN)
    return touched


def _runs(values: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of each run of equal values."""
    edges = [*_firsts(values).tolist(), len(values)]
    yield from pairwise(edges)


def _firsts(values: npt.NDArray[np.int64]) -> Ints:
    new = np.ones(len(values), dtype=np.bool_)
    new[1:] = values[1:] != values[:-1]
    return np.flatnonzero(new)


def send_plain(tree: PlainTree, pieces: Pieces, bounds: Bounds) -> Pieces:
    """``sending.send`` for all turns at once; adds to ``bounds``."""
    wait_s, first_byte_s = _seconds(tree.table["send_wait_s"]), _seconds(tree.table["first_byte_s"])
    waited = (wait_s > 0) & (wait_s < 1e9) & (first_byte_s >= 0) & (first_byte_s < 1e9)
    turns = pieces.turn[_firsts(pieces.turn)]
    turns = turns[waited[turns]]
    n = len(tree.trace)
    from_ns, wait_ns = np.full(n, np.iinfo(np.int64).max), np.zeros(n, dtype=np.int64)
    from_ns[turns] = tree.start[turns] + np.rint(first_byte_s[turns] * _NS).astype(np.int64)
    wait_ns[turns] = np.rint(wait_s[turns] * _NS).astype(np.int64)
    late = (pieces.row == pieces.turn) & (pieces.end > from_ns[pieces.turn])
    is_own = late & (pieces.code >= OWN_CODE)
    own, blocked = pieces.at(is_own), pieces.at(late & (pieces.code == EVENT_LOOP))
    if not len(own) and not len(blocked):
        return pieces
    own_ns, room = _room(own, from_ns)
    both_ns = np.clip(wait_ns - own_ns, 0, _room(blocked, from_ns)[0])
    first = _firsts(own.turn)
    before = np.cumsum(room) - room
    before -= np.repeat(before[first], np.diff(first, append=len(own)))
    sent_from = np.maximum(own.start, from_ns[own.turn])
    sent_to = sent_from + np.clip(wait_ns[own.turn] - before, 0, room)
    _bound_sending(tree, turns, from_ns, wait_ns, own_ns, both_ns, bounds)
    sending = np.full(len(own), CLIENT_SEND, dtype=np.int64)
    return Pieces.joined(
        tree.axis(),
        pieces.at(~is_own),
        Pieces(own.turn, own.start, sent_from, own.row, own.code),
        Pieces(own.turn, sent_from, sent_to, own.row, sending),
        Pieces(own.turn, sent_to, own.end, own.row, own.code),
    )


def _room(some: Pieces, from_ns: Ints) -> tuple[Ints, Ints]:
    """How long pieces last after a moment of their turn: by turn, and each."""
    room = some.end - np.maximum(some.start, from_ns[some.turn])
    of_turns = np.zeros(len(from_ns), dtype=np.int64)
    np.add.at(of_turns, some.turn, room)
    return of_turns, room


def _bound_sending(
    tree: PlainTree, turns: Ints, from_ns: Ints, wait_ns: Ints, own_ns: Ints, both_ns: Ints,
    bounds: Bounds,
) -> None:  # fmt: skip
    """What is certain of sending, and what the blocked loop may have to leave to it."""
    taken_ns = np.minimum(wait_ns, own_ns)
    hidden_ns = np.maximum(0, tree.end[turns] - from_ns[turns] - own_ns[turns])
    low_ns = np.minimum(taken_ns[turns], np.maximum(0, wait_ns[turns] - hidden_ns))
    high_ns = taken_ns[turns] + both_ns[turns]
    doubtful = {turn: int(both_ns[turn]) for turn in np.flatnonzero(both_ns).tolist()}
    told = zip(bounds.turn, bounds.code, strict=True) if doubtful else ()
    for i, (turn, code) in enumerate(told):
        if code == EVENT_LOOP:
            bounds.low_ns[i] = max(0, bounds.low_ns[i] - doubtful.get(turn, 0))
    for turn, low, high in zip(turns.tolist(), low_ns.tolist(), high_ns.tolist(), strict=True):
        if high:
            bounds.add(turn, CLIENT_SEND, low, high)


def _seconds(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = pc.fill_null(column, -1.0).to_numpy()
    return found
