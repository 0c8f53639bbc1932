"""Trace and span ids."""

from __future__ import annotations

import random


class Ids:
    """Random ids as W3C Trace Context wants them: 128 and 64 bits, never zero.

    A generator of our own: a service that seeds the global one must not make our ids repeat, and
    ours must not move its numbers.
    """

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = random.Random().getrandbits

    def trace_id(self) -> int:
        """A new trace id; the low bit is set so that it is never zero."""
        return self._bits(128) | 1

    def span_id(self) -> int:
        """A new span id, never zero."""
        return self._bits(64) | 1
