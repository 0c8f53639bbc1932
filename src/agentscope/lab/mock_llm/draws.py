"""Random draws that are a pure function of what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")

_STANDARD = NormalDist()


class Draws:
    """Named draws from a key: the same key and name always give the same value.

    A generator with a state would make an answer depend on what was asked before it; a hash does
    not, so conversations may arrive in any order, and at several servers, without a difference.
    """

    __slots__ = ("_key",)

    def __init__(self, *parts: str | int) -> None:
        digest = blake2b(digest_size=32)
        for part in parts:
            encoded = str(part).encode("utf-8", "surrogatepass")
            # The length keeps ("ab", "c") apart from ("a", "bc").
            digest.update(b"%d:" % len(encoded) + encoded)
        self._key = digest.digest()

    def below(self, *parts: str | int) -> Draws:
        """Draws of something inside this: the third round of this turn, say."""
        return Draws(self._key.hex(), *parts)

    def hex(self, name: str, length: int) -> str:
        """``length`` hexadecimal digits, 64 at most."""
        return blake2b(name.encode(), key=self._key, digest_size=32).hexdigest()[:length]

    def uniform(self, name: str) -> float:
        """A number strictly between 0 and 1."""
        digest = blake2b(name.encode(), key=self._key, digest_size=8).digest()
        # 52 bits: with one more, the largest would round up to 1.
        return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52

    def normal(self, name: str) -> float:
        """A number of the standard normal distribution."""
        return _STANDARD.inv_cdf(self.uniform(name))

    def below_count(self, name: str, count: int) -> int:
        """An integer from 0 to ``count - 1``."""
        return int(self.uniform(name) * count)

    def choose(self, name: str, weighted: Sequence[tuple[T, float]]) -> T:
        """One of the values, each as often as its weight says; weights need not add up to 1."""
        left = self.uniform(name) * sum(weight for _, weight in weighted)
        for value, weight in weighted:
            left -= weight
            if left < 0:
                return value
        return weighted[-1][0]
