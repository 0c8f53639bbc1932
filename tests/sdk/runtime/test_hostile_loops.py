"""Loops, threads and collectors in the hands of services that do odd things with them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
import uvloop

import agentscope
from agentscope import conventions as c
from agentscope.recording.recorder import Recorder
from agentscope.runtime.event_loop import LoopMonitor
from agentscope.runtime.gc_pauses import GcMonitor
from agentscope.testing import Recorded, RecordedSpan

LOOPS: list[Any] = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder({}, threaded=False)


@pytest.fixture
def monitor(recorder: Recorder) -> Iterator[LoopMonitor]:
    monitor = LoopMonitor(recorder)
    yield monitor
    monitor.stop()


def blocks_s(recorder: Recorder) -> list[float]:
    return [
        (span.end_ns - span.start_ns) / 1e9
        for span in recorder._ended
        if span.name == "event_loop.blocked"
    ]


def waits(recorded: Recorded, kind: str) -> list[RecordedSpan]:
    return [span for span in recorded.spans if span.attributes.get(c.WAIT_KIND) == kind]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_loop_that_is_run_now_and_then_was_never_blocked(
    new_loop: NewLoop, recorder: Recorder, monitor: LoopMonitor
) -> None:
    """As a script does that calls ``run_until_complete`` for each of its questions."""
    loop = new_loop()

    async def ask() -> None:
        monitor.start()
        await asyncio.sleep(0.03)

    for _ in range(3):
        loop.run_until_complete(ask())
        time.sleep(0.4)
    loop.run_until_complete(ask())
    loop.close()
    assert [block_s for block_s in blocks_s(recorder) if block_s > 0.1] == []


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_thousand_loops_leave_no_thread_and_no_descriptor(
    new_loop: NewLoop, monitor: LoopMonitor
) -> None:
    """A loop for each job, watched and closed; a hundred of them show it."""
    import psutil

    process = psutil.Process()

    async def job() -> None:
        monitor.start()
        await asyncio.sleep(0)

    def run(times: int) -> None:
        for _ in range(times):
            loop = new_loop()
            loop.run_until_complete(job())
            monitor.stop(loop)
            loop.close()
        deadline = time.monotonic() + 10
        while any(thread.name == "agentscope-loop-watchdog" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        gc.collect()

    run(3)
    before = process.num_fds()
    run(100)
    assert process.num_fds() <= before + 2


def test_a_callback_of_the_collectors_that_raises(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's fails at every collection; ours times it all the same."""
    failures: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)

    def broken(phase: str, info: dict[str, Any]) -> None:
        raise ValueError(phase)

    monitor = GcMonitor(recorder)
    monitor.start()
    gc.callbacks.insert(0, broken)
    gc.callbacks.append(broken)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(broken)
        gc.callbacks.remove(broken)
    monitor.stop()
    recorder.work()
    [points] = [
        points for metric, points in recorder.instruments.snapshot() if metric is c.GC_PAUSE
    ]
    assert sum(point.count for point in points if point.labels == ("2",)) >= 1
    assert len(failures) >= 4


def test_an_executor_that_is_shut_down_with_work_in_its_queue(live: Recorded) -> None:
    """What is cancelled in the queue has waited, and what ran has run; the next pool is as new."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(1)
        running = loop.run_in_executor(executor, time.sleep, 0.06)
        with agentscope.turn("turn"):
            queued = [loop.run_in_executor(executor, int) for _ in range(3)]
            await asyncio.sleep(0.02)
            executor.shutdown(wait=False, cancel_futures=True)
            results = await asyncio.gather(*queued, return_exceptions=True)
        await running
        assert [type(result) for result in results] == [asyncio.CancelledError] * 3
        with ThreadPoolExecutor(1) as another, agentscope.turn("after"):
            assert await loop.run_in_executor(another, int) == 0

    asyncio.run(main())
    after = live.span("after")
    assert [wait for wait in waits(live, "threadpool") if wait.parent_id == after.span_id] == []
    assert not live.recorder.open


def test_what_a_worker_thread_raises_is_what_the_caller_gets(live: Recorded) -> None:
    """The same object, whatever it is, through every way into a thread."""
    faults = [ValueError("planted"), StopIteration("planted"), SystemExit("planted")]

    def fail(fault: BaseException) -> None:
        raise fault

    async def main() -> None:
        with agentscope.turn("turn"):
            with pytest.raises(ValueError, match="planted") as caught:
                await asyncio.to_thread(fail, faults[0])
            assert caught.value is faults[0]
            with pytest.raises(ValueError, match="planted") as caught:
                await anyio.to_thread.run_sync(fail, faults[0])
            assert caught.value is faults[0]
        with ThreadPoolExecutor(1) as executor, agentscope.turn("threads"):
            for fault in faults:
                assert executor.submit(fail, fault).exception() is fault

    asyncio.run(main())
    assert not live.recorder.open


def test_a_limiter_that_grows_while_somebody_waits(live: Recorded) -> None:
    """The wait ends when the token is there, not when the first thread is."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        started = threading.Event()

        def hold() -> None:
            started.set()
            time.sleep(0.3)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: anyio.to_thread.run_sync(hold, limiter=limiter))
            while not started.is_set():
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_later(0.05, setattr, limiter, "total_tokens", 2)
            with agentscope.turn("turn"):
                await anyio.to_thread.run_sync(int, limiter=limiter)

    asyncio.run(main())
    [wait] = waits(live, "threadpool")
    assert 0.04 < wait.duration_s < 0.25


def test_waits_that_are_cancelled_a_hundred_at_once(live: Recorded) -> None:
    """For a thread and for a lock: each is over, none is left, and what waited for stays usable."""

    async def main() -> None:
        lock, limiter = asyncio.Lock(), anyio.CapacityLimiter(1)
        await lock.acquire()
        await limiter.acquire()

        async def ask() -> None:
            with agentscope.turn("turn"):
                async with asyncio.timeout(0.03):
                    await asyncio.gather(
                        lock.acquire(), anyio.to_thread.run_sync(int, limiter=limiter)
                    )

        results = await asyncio.gather(*(ask() for _ in range(100)), return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError] * 100
        assert limiter.statistics().tasks_waiting == 0
        lock.release()
        limiter.release()
        async with lock:
            assert await anyio.to_thread.run_sync(int, limiter=limiter) == 0

    asyncio.run(main())
    assert len(waits(live, "lock")) == 100
    assert not live.recorder.open
