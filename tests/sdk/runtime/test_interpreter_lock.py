"""How long a ready thread waits for the interpreter lock: told from idling and from crowding."""

from __future__ import annotations

import asyncio
import threading
import time
import zlib
from collections.abc import Callable

import pytest

from agentscope import conventions as c
from agentscope.recording.recorder import Recorder
from agentscope.runtime.event_loop import LoopMonitor
from agentscope.runtime.interpreter import LockWait
from agentscope.runtime.processor import ProcessorWait

MS = 1_000_000


def compute(until: threading.Event) -> None:
    """Python, holding the lock for as long as it may."""
    number = 0
    while not until.is_set():
        for _ in range(1000):
            number += 1


def compress(until: threading.Event) -> None:
    """C, without the lock."""
    data = bytes(4_000_000)
    while not until.is_set():
        zlib.compress(data)


@pytest.mark.skipif(not ProcessorWait().known, reason="the kernel does not tell the run queue")
@pytest.mark.parametrize(
    ("work", "threads", "low_ms", "high_ms"),
    [(compute, 0, 0, 1.5), (compute, 1, 2, 9), (compute, 3, 8, 60), (compress, 1, 0, 1.5)],
    ids=["idle", "one computes", "three compute", "one compresses"],
)
def test_the_gauge_under_planted_load(
    work: Callable[[threading.Event], None], threads: int, low_ms: float, high_ms: float
) -> None:
    """A switch interval for each thread that computes in Python, next to nothing otherwise.

    On a crowded machine one reading in many is off: one of three must be right.
    """
    for _ in range(3):
        waited_ms = 1e3 * gauged(work, threads)
        if low_ms <= waited_ms <= high_ms:
            break
    assert low_ms <= waited_ms <= high_ms


def gauged(work: Callable[[threading.Event], None], threads: int) -> float:
    recorder = Recorder({}, threaded=False)
    monitor = LoopMonitor(recorder)
    until = threading.Event()

    async def main() -> None:
        monitor.start()
        workers = [threading.Thread(target=work, args=(until,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        await asyncio.sleep(0.05)
        monitor.sample(recorder.instruments)
        await asyncio.sleep(0.6)
        monitor.sample(recorder.instruments)
        until.set()
        monitor.stop()
        for worker in workers:
            worker.join()

    asyncio.run(main())
    [wait_s] = [
        point.value
        for metric, points in recorder.instruments.snapshot()
        if metric is c.INTERPRETER_LOCK_WAIT
        for point in points
    ]
    return wait_s


def test_what_the_processor_took_is_not_the_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms late, 7 of them on the run queue: 3 are left; and never less than nothing."""
    readings = iter([100 * MS, 100 * MS, 107 * MS, 112 * MS])
    monkeypatch.setattr(ProcessorWait, "read_ns", lambda self: next(readings))
    monkeypatch.setattr(ProcessorWait, "known", True)
    wait = LockWait()
    wait.woke(1000 * MS, 1010 * MS)
    assert wait.take() == (3 * MS, 1)
    wait.woke(2000 * MS, 2001 * MS)  # a run queue told late
    assert wait.take() == (0, 1)
    assert wait.take() == (0, 0)


def test_nothing_is_claimed_where_the_kernel_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the run queue's share a crowded machine would look like a crowded lock."""
    monkeypatch.setattr(ProcessorWait, "known", False)
    wait = LockWait()
    now_ns = time.perf_counter_ns()
    wait.woke(now_ns - 50 * MS, now_ns)
    assert wait.take() == (0, 0)
