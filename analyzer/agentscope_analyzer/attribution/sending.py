"""How much of a turn was spent on a caller that reads slowly."""

from __future__ import annotations

from typing import Final

from agentscope_analyzer.attribution.causes import (
    CLIENT_SEND,
    EVENT_LOOP,
    OWN_CODE,
    Piece,
)
from agentscope_analyzer.attribution.starvation import Bound

__all__ = ["send"]

_NS: Final = 1_000_000_000


def send(
    pieces: list[Piece], turn: int, first_byte_s: float, wait_s: float, bounds: dict[int, Bound]
) -> list[Piece]:
    """Give the time that the turn awaited ``send()`` to the caller, as far as it was the turn's own.

    The recorder sums up the waits, it does not say when they were. So they are placed in the turn's
    own time from the first byte on, in order of time and never beyond what there is. Waits during
    other sections are those sections' (while the model generates, sending is generation): all of
    them may have been, which gives the lower bound.

    Waits beyond the turn's own time fell into times in which the loop was blocked by others, for who
    awaits blocks nobody. The caller may have been reading meanwhile, or have been done and the loop
    late to see it. They stay the loop's, but neither's part of them is certain.
    """
    if not pieces or not 0 <= first_byte_s < 1e9 or not 0 < wait_s < 1e9:
        return pieces
    end_ns = pieces[-1][1]
    from_ns = pieces[0][0] + round(first_byte_s * _NS)
    wait_ns = round(wait_s * _NS)
    own_ns = _after(pieces, turn, from_ns, own=True)
    blocked_ns = _after(pieces, turn, from_ns, own=False)
    taken_ns = left_ns = min(wait_ns, own_ns)
    both_ns = min(wait_ns - taken_ns, blocked_ns)
    out: list[Piece] = []
    for piece in pieces:
        start, end, row, code = piece
        if row != turn or code < OWN_CODE or end <= from_ns:
            out.append(piece)
            continue
        sent_from = max(start, from_ns)
        sent_to = min(end, sent_from + left_ns)
        left_ns -= sent_to - sent_from
        for a, b, cause in (
            (start, sent_from, code),
            (sent_from, sent_to, CLIENT_SEND),
            (sent_to, end, code),
        ):
            if b > a:
                out.append((a, b, row, cause))
    if taken_ns or both_ns:
        hidden_ns = max(0, end_ns - from_ns - own_ns)
        low_ns = min(taken_ns, max(0, wait_ns - hidden_ns))
        bounds[CLIENT_SEND] = Bound(low_ns, taken_ns + both_ns)
    if both_ns:
        bounds[EVENT_LOOP].low = max(0, bounds[EVENT_LOOP].low - both_ns)
    return out


def _after(pieces: list[Piece], turn: int, from_ns: int, *, own: bool) -> int:
    """How long after a moment the turn's own time was its own, or the blocked loop's."""
    return sum(
        end - max(start, from_ns)
        for start, end, row, code in pieces
        if row == turn and end > from_ns and (code >= OWN_CODE if own else code == EVENT_LOOP)
    )
