"""A discrete-event simulation in a few lines: a clock moved by hand, coroutines that wait for it.

Code of the simulated world is written as ``async def`` and awaits ``Event``s; the clock jumps from
one scheduled moment to the next, so an hour passes in the time that its events take to compute.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Event:
    """Something that happens once, at ``at_s``; awaiting it gives its value."""

    __slots__ = ("_waiting", "at_s", "happened", "value")

    def __init__(self) -> None:
        self.happened = False
        self.at_s = 0.0
        self.value: Any = None
        self._waiting: list[Callable[[], None]] = []

    def happen(self, at_s: float, value: Any = None) -> None:
        """Let it happen now, which is ``at_s``."""
        self.happened, self.at_s, self.value = True, at_s, value
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def then(self, call: Callable[[], None]) -> None:
        """Call when it happens, at once if it has."""
        if self.happened:
            call()
        else:
            self._waiting.append(call)

    def __await__(self) -> Generator[Event, None, Any]:
        if not self.happened:
            yield self
        return self.value


class World:
    """The clock, in seconds from 0, and what is to happen."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def call_at(self, at_s: float, call: Callable[[], object]) -> None:
        """Call at a moment; of calls at one moment the first ordered comes first."""
        self._count += 1
        heapq.heappush(self._due, (max(at_s, self.now_s), self._count, call))

    def after(self, delay_s: float) -> Event:
        """An event that happens in so many seconds."""
        event = Event()
        self.call_at(self.now_s + delay_s, lambda: event.happen(self.now_s))
        return event

    def begin(self, coroutine: Coroutine[Event, None, Any]) -> Event:
        """Run a coroutine of the world, whose own steps take no time; the event is its end."""
        end = Event()

        def step() -> None:
            try:
                awaited = coroutine.send(None)
            except StopIteration as stop:
                end.happen(self.now_s, stop.value)
            else:
                awaited.then(step)

        self.call_at(self.now_s, step)
        return end

    def run(self, until_s: float) -> None:
        """Let everything happen that is due before a moment."""
        due = self._due
        while due and due[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(due)
            call()
        self.now_s = until_s


class Places:
    """A resource with so many places, handed out in order of asking."""

    def __init__(self, world: World, size: int) -> None:
        self._world = world
        self.size = size
        self.used = 0
        self.used_s = 0.0
        """Places in use, added up over time, as of ``_counted_s``."""
        self._counted_s = 0.0
        self._asking: deque[Event] = deque()

    @property
    def waiting(self) -> int:
        """How many ask in vain at this moment."""
        return len(self._asking)

    def busy_s(self) -> float:
        """Place-seconds in use so far."""
        self._count()
        return self.used_s

    def take(self) -> Event:
        """Ask for a place; the event happens when it is ours."""
        event = Event()
        if self.used < self.size:
            self._count()
            self.used += 1
            event.happen(self._world.now_s)
        else:
            self._asking.append(event)
        return event

    def give(self) -> None:
        """Give a place back, to the next who waits for it."""
        if self._asking:
            self._asking.popleft().happen(self._world.now_s)
        else:
            self._count()
            self.used -= 1

    def _count(self) -> None:
        now_s = self._world.now_s
        self.used_s += self.used * (now_s - self._counted_s)
        self._counted_s = now_s
