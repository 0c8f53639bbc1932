"""What watching costs an idle loop, and that what ends the idleness is seen all the same."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from agentscope import conventions as c
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Span
from agentscope.runtime import loop_watch, rhythm
from agentscope.runtime.alarm import LockAlarm, TimerAlarm
from agentscope.runtime.event_loop import LoopMonitor

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return {"asyncio": asyncio.run, "uvloop": uvloop.run}[request.param]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    # A machine that is busy otherwise makes every loop look busy for a while.
    monkeypatch.setattr(rhythm, "QUIET_NS", 100_000_000)
    monkeypatch.setattr(loop_watch, "QUIET_WORK_NS", 4_000_000)
    return Recorder({}, threaded=False)


@pytest.fixture
def monitor(recorder: Recorder) -> Iterator[LoopMonitor]:
    monitor = LoopMonitor(recorder)
    yield monitor
    monitor.stop()


async def until_idle(monitor: LoopMonitor) -> None:
    [watch] = monitor._watches.values()
    deadline = time.monotonic() + 20
    while not watch._rhythm.idle:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def rank_articles(seconds: float) -> None:
    time.sleep(seconds)


def blocks(recorder: Recorder, planted: list[int]) -> list[Span]:
    return [
        span
        for span in recorder._ended
        if span.name == "event_loop.blocked"
        and span.start_ns < planted[1] - 50e6
        and span.end_ns > planted[0] + 50e6
    ]


@pytest.mark.parametrize("alarm", [TimerAlarm, LockAlarm])
def test_a_block_out_of_idleness_is_told_and_named(
    run: Run,
    alarm: type[TimerAlarm | LockAlarm],
    recorder: Recorder,
    monitor: LoopMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A timer of the service's own, with no request far and wide: 0.25 s, to 10 %."""
    monkeypatch.setattr(loop_watch, "new_alarm", alarm)
    planted: list[int] = []

    async def main() -> None:
        monitor.start()
        await until_idle(monitor)
        planted.append(time.perf_counter_ns())
        rank_articles(0.25)
        planted.append(time.perf_counter_ns())
        await asyncio.sleep(0.15)

    run(main())
    [block] = blocks(recorder, planted)
    assert str(block.attributes[c.CODE_FUNCTION]).endswith(".rank_articles")
    # A crowded machine may keep the loop from going on at once.
    crowded = block.attributes.get(c.PROCESSOR_WAIT, 0.0)
    assert isinstance(crowded, float)
    assert abs(block.start_ns - planted[0]) <= 25e6 + crowded * 1e9
    assert -5e6 <= block.end_ns - planted[1] <= 25e6 + crowded * 1e9


def test_the_watchdog_of_an_idle_loop_sleeps(
    run: Run, monitor: LoopMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the loop comes round in time ten times, nobody looks at it."""
    looks: Counter[str] = Counter()
    wait = TimerAlarm.wait

    def counted(self: TimerAlarm, timeout_ms: int) -> bool:
        looks["begun"] += 1
        return wait(self, timeout_ms)

    monkeypatch.setattr(TimerAlarm, "wait", counted)
    least: list[int] = []

    async def main() -> None:
        monitor.start()
        for _ in range(5):  # one of them without somebody else's taking the processor away
            await until_idle(monitor)
            await asyncio.sleep(0.05)  # the look that was under way
            before = looks["begun"]
            for _ in range(10):
                await asyncio.sleep(0.02)
            least.append(looks["begun"] - before)

    run(main())
    assert min(least) <= 1


def test_the_delays_of_an_idle_loop_weigh_their_time(
    recorder: Recorder, monitor: LoopMonitor
) -> None:
    """Its next beat is far off, but a block is in the histogram at once: one a slot, all counted."""

    async def main() -> None:
        monitor.start()
        await until_idle(monitor)
        recorder.work()
        rank_articles(0.25)
        await asyncio.sleep(0.02)

    asyncio.run(main())
    recorder.work()
    [point] = [
        point
        for metric, points in recorder.instruments.snapshot()
        if metric is c.LOOP_DELAY
        for point in points
    ]
    assert (
        0.5 <= point.value <= 1.5
    )  # at least 0.25 + 0.20 + 0.15 + 0.10 + 0.05, from the first slot on
