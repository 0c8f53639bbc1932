"""Long work in slices, so that the event loop's thread gets the interpreter in between.

A thread that computes gives the interpreter up when another one has asked for it in vain for 5 ms
(``sys.getswitchinterval``). Each time that the loop wakes up during a scrape its turns would wait
that long: so the scrape's thread steps aside by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from prometheus_client.samples import Sample

SLICE_S = 0.0005

PAUSE_S = 0.00005
"""Not 0: who only offers the interpreter takes it back before the other thread has woken up."""

Item = TypeVar("Item")


class Pace:
    """The slices of one piece of work."""

    def __init__(self) -> None:
        self._until_s = time.perf_counter() + SLICE_S

    def breathe(self) -> None:
        """Step aside if the slice is used up."""
        if time.perf_counter() >= self._until_s:
            time.sleep(PAUSE_S)
            self._until_s = time.perf_counter() + SLICE_S

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with a breath before each."""
        for item in items:
            self.breathe()
            yield item


class PacedSamples(list[Sample]):
    """Samples for prometheus_client's encoders, which know nothing of pauses."""

    def __init__(self, samples: Iterable[Sample], pace: Pace) -> None:
        super().__init__(samples)
        self._pace = pace

    def __iter__(self) -> Iterator[Sample]:
        """One after the other, with a breath before each."""
        return self._pace.over(super().__iter__())
