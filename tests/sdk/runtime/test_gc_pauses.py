"""Collections, timed from inside whatever code they interrupt."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from agentscope import conventions as c
from agentscope.recording import guard
from agentscope.recording.recorder import MAX_UNENCODED, Recorder
from agentscope.recording.span import Role
from agentscope.runtime.gc_pauses import MAX_PAUSES, GcMonitor
from agentscope.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder(clock: ManualClock) -> Recorder:
    return Recorder({}, clock=clock, threaded=False)


@pytest.fixture
def monitor(recorder: Recorder) -> Iterator[GcMonitor]:
    monitor = GcMonitor(recorder)
    yield monitor
    monitor.stop()


def pause(monitor: GcMonitor, clock: ManualClock, seconds: float, generation: int) -> None:
    monitor._note("start", {"generation": generation})
    clock.advance(seconds)
    monitor._note("stop", {"generation": generation, "collected": 0, "uncollectable": 0})


def pauses(recorder: Recorder) -> dict[str, tuple[int, float]]:
    return {
        point.labels[0]: (point.count, round(point.value, 6))
        for metric, points in recorder.instruments.snapshot()
        if metric is c.GC_PAUSE
        for point in points
    }


def test_pauses_are_observed_and_long_ones_are_events(
    monitor: GcMonitor, recorder: Recorder, clock: ManualClock
) -> None:
    """A millisecond or more is an event with its generation; all are in the histogram."""
    for seconds, generation in ((0.0002, 0), (0.0003, 0), (0.001, 1), (0.34, 2)):
        pause(monitor, clock, seconds, generation)
    monitor.sample(recorder.instruments)
    assert pauses(recorder) == {"0": (2, 0.0005), "1": (1, 0.001), "2": (1, 0.34)}
    assert [
        (span.name, (span.end_ns - span.start_ns) / 1e9, span.attributes)
        for span in recorder._ended
    ] == [
        ("gc.pause", 0.001, {c.GC_GENERATION: 1, c.RUNTIME_EVENT: "gc_pause"}),
        ("gc.pause", 0.34, {c.GC_GENERATION: 2, c.RUNTIME_EVENT: "gc_pause"}),
    ]


def test_a_collection_that_had_begun_before_us_is_left_out(
    monitor: GcMonitor, recorder: Recorder
) -> None:
    """Its start was not seen, so its length is not known."""
    monitor._note("stop", {"generation": 2})
    monitor.sample(recorder.instruments)
    assert pauses(recorder) == {}


def test_what_does_not_fit_is_counted(
    monitor: GcMonitor, recorder: Recorder, clock: ManualClock
) -> None:
    """Pauses wait in bounded memory for the recorder's thread."""
    for _ in range(MAX_PAUSES + 3):
        pause(monitor, clock, 0.0001, 0)
    monitor.sample(recorder.instruments)
    assert pauses(recorder)["0"][0] == MAX_PAUSES
    dropped = [
        (point.labels, point.value)
        for metric, points in recorder.instruments.snapshot()
        if metric is c.SDK_DROPPED
        for point in points
    ]
    assert dropped == [(("gc_pauses", "metrics", "queue_full"), 3)]


def test_stop_gives_the_recorder_what_is_left(
    monitor: GcMonitor, recorder: Recorder, clock: ManualClock
) -> None:
    """Also what no sampler will come for any more; and nothing is timed afterwards."""
    monitor.start()
    pause(monitor, clock, 0.02, 2)
    monitor.stop()
    gc.collect()
    recorder.work()
    seen = pauses(recorder)
    assert seen["2"][0] >= 1
    assert seen["2"][1] == 0.02
    assert monitor._note not in gc.callbacks


def test_a_real_collection_is_timed(recorder: Recorder) -> None:
    """Python's own callback: generation 2 is what ``gc.collect()`` collects."""
    real = Recorder({}, threaded=False)
    monitor = GcMonitor(real)
    monitor.start()
    monitor.start()  # twice is once
    try:
        assert gc.callbacks.count(monitor._note) == 1
        gc.collect()
    finally:
        monitor.stop()
    real.work()
    assert pauses(real)["2"][0] == 1


def within_5_s(work: Callable[[], Any]) -> None:
    """Fail instead of hanging where ``work`` waits for itself."""
    finished = threading.Event()

    def then_say_so() -> None:
        work()
        finished.set()

    threading.Thread(target=then_say_so, daemon=True).start()
    assert finished.wait(5), "deadlock"


def locks(recorder: Recorder) -> dict[str, AbstractContextManager[Any]]:
    return {
        "thread": recorder._worker._starting,
        "drop": recorder._drop_lock,
        "work": recorder._work_lock,
        "instruments": recorder.instruments.lock,
        "errors": guard._lock,
    }


@pytest.mark.parametrize("name", ["thread", "drop", "work", "instruments", "errors"])
def test_a_collection_while_we_hold_a_lock_does_not_wait_for_it(
    name: str, monitor: GcMonitor, recorder: Recorder, clock: ManualClock
) -> None:
    """The callback runs on the thread that holds the lock: to wait would be for ever."""
    monitor.start()

    def collect_inside() -> None:
        with locks(recorder)[name]:
            gc.collect()
            pause(monitor, clock, 0.5, 2)  # a long one, which is an event later

    within_5_s(collect_inside)
    monitor.sample(recorder.instruments)
    assert [span.name for span in recorder._ended] == ["gc.pause"]


def test_collections_at_every_allocation_of_a_full_recorder_do_not_hang_it() -> None:
    """Four threads fill the queue until it drops, with a collection at every few objects."""
    recorder = Recorder({})
    monitor = GcMonitor(recorder)
    threshold = gc.get_threshold()

    def hammer() -> None:
        for _ in range(MAX_UNENCODED // 4):
            recorder.end(recorder.start("work", Role.OTHER, {}))
            recorder.observe(c.LOOP_DELAY, (), 0.001)
            recorder.runtime_event(c.RuntimeEvent.GC_PAUSE, 1, 2, {})

    def all_of_them() -> None:
        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    monitor.start()
    gc.set_threshold(5, 50, 50)
    gc.enable()
    try:
        within_5_s(all_of_them)
    finally:
        gc.set_threshold(*threshold)
        monitor.stop()
        assert recorder.shutdown(5)
    assert pauses(recorder)["0"][0] > 100


def test_a_forked_child_takes_the_parents_place(recorder: Recorder) -> None:
    """The parent's monitor would go on in the child for nobody."""
    parents = GcMonitor(recorder)
    parents.start()
    parents._pid = os.getpid() + 1  # as it looks from a child
    childs = GcMonitor(Recorder({}, threaded=False))
    childs.start()
    try:
        assert parents._note not in gc.callbacks
        assert childs._note in gc.callbacks
    finally:
        childs.stop()
