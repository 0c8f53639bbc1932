"""Where a blocked loop's thread was seen, and which function that makes to blame."""

from __future__ import annotations

from collections.abc import Sequence

from agentscope import conventions as c
from agentscope.recording.span import AttributeValue
from agentscope.runtime.frames import Place

Sample = tuple[Place, int]
"""Where the loop's thread was, and the nanoseconds for which that stands."""


class Samples:
    """The samples of one block, the one that began last."""

    def __init__(self) -> None:
        self._taken: list[Sample] = []
        self._since_ns = 0

    def add(self, since_ns: int, where: Place, weight_ns: int) -> None:
        """The loop, blocked since ``since_ns``, was there."""
        if self._since_ns != since_ns:
            self._taken = []
            self._since_ns = since_ns
        self._taken.append((where, weight_ns))

    def attributes(self, since_ns: int) -> dict[str, AttributeValue]:
        """The place of the block since ``since_ns``; empty where it was not sampled."""
        return place_of(list(self._taken)) if self._since_ns == since_ns else {}


def place_of(samples: Sequence[Sample]) -> dict[str, AttributeValue]:
    """The function in which the block spent most of its sampled time, and where in it."""
    if not samples:
        return {}
    by_function: dict[tuple[str, str], int] = {}
    by_place: dict[Place, int] = {}
    for where, weight_ns in samples:
        key = (where.function, where.file)
        by_function[key] = by_function.get(key, 0) + weight_ns
        by_place[where] = by_place.get(where, 0) + weight_ns
    top = max(by_function, key=by_function.__getitem__)
    where = max(
        (one for one in by_place if (one.function, one.file) == top), key=by_place.__getitem__
    )
    attributes: dict[str, AttributeValue] = {
        c.CODE_FUNCTION: where.function,
        c.CODE_FILE: where.file,
        c.CODE_LINE: where.line,
        c.CODE_SHARE: round(by_function[top] / sum(by_function.values()), 3),
    }
    if where.callee:
        attributes[c.CODE_CALLEE] = where.callee
    return attributes
