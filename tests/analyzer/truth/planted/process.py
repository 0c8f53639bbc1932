"""A process of the simulated service: one interpreter, one event loop, worker threads.

The event loop works in rounds: it runs, one after the other, everything that was ready when the
round began. News from outside (an answer, a timer) is taken in by one round and wakes the task that
waits for it in the next, as asyncio does it. What a task computes keeps the loop, and everything computed in the process needs the
interpreter's lock, which a thread gives up after 5 ms when others want it. A CPU quota freezes the
process for the rest of a period in which it has used up its part; the collector stops it in the
middle of whatever allocates.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from planted.clockwork import Event, Places, World

SWITCH_S = 0.005
"""For so long a thread keeps the interpreter's lock when others want it."""
PERIOD_S = 0.1
"""The kernel gives a CPU quota anew so often."""
NEWS_COST_S = 2e-5
"""What the loop itself does about a socket that is ready or a timer that is due."""
MIN_BLOCK_S = 0.005
"""A recorder takes down rounds of the loop that lasted so long."""

ALL = float("inf")

Interval = tuple[float, float]


class Stretch(NamedTuple):
    """What a stretch of a turn went into. Of own code ``needed_s`` was computing; what it took
    beyond that, it waited for the interpreter."""

    process: Process
    cause: str
    start_s: float
    end_s: float
    needed_s: float = ALL


class Busy:
    """Awaited by a task: it computes for so long and keeps the event loop meanwhile."""

    __slots__ = ("cost_s",)

    def __init__(self, cost_s: float) -> None:
        self.cost_s = cost_s

    def __await__(self) -> Generator[Busy, None, None]:
        yield self


@dataclass
class Collector:
    """How often the garbage collector stops the process, and for how long."""

    every_s: float
    """Seconds computed between two collections, on average."""
    pause_s: float
    next_s: float = 0.0


@dataclass
class _Burst:
    left_s: float
    done: Callable[[], None]
    is_gc: bool = False
    began_s: float = -1.0


class Interpreter:
    """What runs in a process, one thread at a time."""

    def __init__(
        self,
        world: World,
        draw: random.Random,
        cores: float | None = None,
        collector: Collector | None = None,
    ) -> None:
        self._world = world
        self._draw = draw
        self._budget_s = None if cores is None else cores * PERIOD_S
        self._collector = collector
        self._queue: deque[_Burst] = deque()
        self._running: _Burst | None = None
        self._since_s = 0.0
        self._slice = 0
        self._frozen = False
        self._period = -1
        self._used_s = 0.0
        self.cpu_s = 0.0
        self.freezes: list[Interval] = []
        self.pauses: list[Interval] = []

    def compute(self, cost_s: float, done: Callable[[], None]) -> None:
        """Run for so long, then call; waits its turn."""
        collector = self._collector
        if collector is not None:
            collector.next_s -= cost_s
            if collector.next_s <= 0:
                collector.next_s = self._draw.expovariate(1 / collector.every_s)
                pause_s = collector.pause_s * self._draw.uniform(0.7, 1.3)
                self._queue.append(_Burst(pause_s, lambda: None, is_gc=True))
        self._queue.append(_Burst(cost_s, done))
        if self._running is None:
            self._next()
        elif not self._running.is_gc and not self._frozen:
            self._end_slice_by(self._world.now_s + SWITCH_S)

    def reach(self) -> Event:
        """Happens when the thread that asks now, and computes nothing, has had the lock."""
        event = Event()
        self.compute(1e-6, lambda: event.happen(self._world.now_s))
        return event

    @property
    def wanted_by(self) -> int:
        """Threads that run or want to."""
        return len(self._queue) + (self._running is not None)

    def _next(self) -> None:
        if not self._queue:
            self._running = None
            return
        burst = self._running = self._queue.popleft()
        if burst.began_s < 0:
            burst.began_s = self._world.now_s
        self._run_slice()

    def _run_slice(self) -> None:
        burst, now_s = self._running, self._world.now_s
        assert burst is not None
        self._frozen = False
        length_s = burst.left_s
        if self._queue and not burst.is_gc:
            length_s = min(SWITCH_S, length_s)
        if self._budget_s is not None:
            period = int(now_s / PERIOD_S + 1e-9)
            if period != self._period:
                self._period, self._used_s = period, 0.0
            ends_s, left_s = (period + 1) * PERIOD_S, self._budget_s - self._used_s
            if left_s <= 1e-9:
                self.freezes.append((now_s, ends_s))
                self._frozen = True
                self._world.call_at(ends_s, self._run_slice)
                return
            length_s = min(length_s, left_s, ends_s - now_s)
        self._since_s = now_s
        self._slice += 1
        number = self._slice
        self._world.call_at(now_s + length_s, lambda: self._slice_over(number))

    def _end_slice_by(self, at_s: float) -> None:
        number = self._slice
        self._world.call_at(at_s, lambda: self._slice_over(number))

    def _slice_over(self, number: int) -> None:
        burst = self._running
        if number != self._slice or burst is None:
            return  # it ended earlier
        self._slice += 1
        ran_s = self._world.now_s - self._since_s
        burst.left_s -= ran_s
        self.cpu_s += ran_s
        self._used_s += ran_s
        if burst.left_s > 1e-9:
            if burst.is_gc:
                self._run_slice()
            else:
                self._queue.append(burst)
                self._next()
            return
        if burst.is_gc:
            self.pauses.append((burst.began_s, self._world.now_s))
        self._next_after(burst)

    def _next_after(self, burst: _Burst) -> None:
        # What runs on in the same thread goes on at once if nobody else wants the interpreter.
        self._running = None
        burst.done()
        if self._running is None:
            self._next()


class Task:
    """A coroutine on the event loop."""

    __slots__ = ("coroutine", "end", "resumed_s")

    def __init__(self, coroutine: Coroutine[Any, None, Any]) -> None:
        self.coroutine = coroutine
        self.end = Event()
        self.resumed_s = 0.0
        """When the loop turned to it last."""


@dataclass
class _News:
    """Something from outside that a task waits for."""

    task: Task


class Process:
    """One process: ``begin`` runs a coroutine on its event loop."""

    def __init__(
        self,
        world: World,
        draw: random.Random,
        *,
        name: str = "process",
        step_cost_s: float = 1e-4,
        threads: int = 40,
        cores: float | None = None,
        collector: Collector | None = None,
        clock_ahead_s: float = 0.0,
    ) -> None:
        self.world = world
        self.name = name
        self.interpreter = Interpreter(world, draw, cores, collector)
        self.threads = Places(world, threads)
        self.clock_ahead_s = clock_ahead_s
        self.blocks: list[Interval] = []
        self.rounds_s: list[tuple[float, float]] = []
        """When a round ended, and how long it took."""
        self.task: Task | None = None
        """The one that runs."""
        self.heard_s = 0.0
        """News from outside up to then has been taken in; what came since, no task knows of."""
        self.step_cost_s = step_cost_s
        self._ready: deque[Task | _News] = deque()
        self._batch: deque[Task | _News] = deque()
        self._in_round = False
        self._round_s = 0.0

    def begin(self, coroutine: Coroutine[Any, None, Any]) -> Event:
        """Hand a coroutine to the event loop; the event is its end."""
        task = Task(coroutine)
        self._hear(task)
        return task.end

    def _hear(self, task: Task) -> None:
        # What a task of this process brought about needs nobody to take it in.
        self._wake(task if self.task is not None else _News(task))

    def _wake(self, ready: Task | _News) -> None:
        self._ready.append(ready)
        if not self._in_round:
            self._in_round = True
            self.world.call_at(self.world.now_s, self._round)

    def _round(self) -> None:
        self.heard_s, self._round_s = self._round_s, self.world.now_s
        self._batch, self._ready = self._ready, deque()
        self._turn_to_next()

    def _turn_to_next(self) -> None:
        if not self._batch:
            self._end_round()
            return
        task = self._batch.popleft()
        if isinstance(task, _News):
            woken = task.task
            self.interpreter.compute(NEWS_COST_S, lambda: self._taken_in(woken))
            return
        task.resumed_s = self.world.now_s
        self.interpreter.compute(self.step_cost_s, lambda: self._step(task))

    def _taken_in(self, task: Task) -> None:
        self._ready.append(task)
        self._turn_to_next()

    def _step(self, task: Task) -> None:
        self.task = task
        try:
            awaited = task.coroutine.send(None)
        except StopIteration as stop:
            self.task = None
            task.end.happen(self.world.now_s, stop.value)
            self._turn_to_next()
            return
        self.task = None
        if isinstance(awaited, Busy):
            self.interpreter.compute(awaited.cost_s, lambda: self._step(task))
        else:
            awaited.then(lambda: self._hear(task))
            self._turn_to_next()

    def _end_round(self) -> None:
        now_s = self.world.now_s
        self.rounds_s.append((now_s, now_s - self._round_s))
        if now_s - self._round_s >= MIN_BLOCK_S:
            self.blocks.append((self._round_s, now_s))
        if self._ready:
            self._round()
        else:
            self._in_round = False


@dataclass
class Strand:
    """A turn's code as it runs: where it is, what it is for, and what its time truly went into."""

    process: Process
    trace_id: str
    span_id: str
    own: str = "unattributed"
    """The cause of its own code."""
    truth: list[Stretch] = field(default_factory=list)
    """Without gaps, in order of time."""

    @property
    def now_s(self) -> float:
        """What the clock says."""
        return self.process.world.now_s

    def below(self, span_id: str, own: str | None = None) -> Strand:
        """The same strand within a span of its own."""
        return Strand(self.process, self.trace_id, span_id, own or self.own, self.truth)

    def beside(self, span_id: str) -> Strand:
        """Another strand, that runs beside this one until both are joined."""
        return Strand(self.process, self.trace_id, span_id, self.own, [])

    async def work(self, cost_s: float, cause: str | None = None) -> None:
        """Compute on the event loop."""
        began_s = self.now_s
        await Busy(cost_s)
        self.truth.append(Stretch(self.process, cause or self.own, began_s, self.now_s, cost_s))

    async def wait(self, event: Event, cause: str) -> Any:
        """Await an event, for which the turn waits because of ``cause``."""
        began_s = self.now_s
        if event.happened:
            return event.value
        task = self.process.task
        assert task is not None
        value = await event
        process, resumed_s = self.process, task.resumed_s
        self.truth.append(Stretch(process, cause, began_s, event.at_s))
        self.truth.append(Stretch(process, "runtime.event_loop", event.at_s, resumed_s))
        self.truth.append(Stretch(process, self.own, resumed_s, self.now_s, process.step_cost_s))
        return value
