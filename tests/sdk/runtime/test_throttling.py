"""When the CPU quota was used up: from the kernel's total and the moments of our looks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentscope import conventions as c
from agentscope.runtime.cgroup import CpuGroup, Groups
from agentscope.runtime.throttling import Freeze, QuotaMonitor, freeze_between
from agentscope.testing import Recorded, recording

MS = 1_000_000


@pytest.mark.parametrize(
    ("due", "now", "throttled", "processors", "expected"),
    [
        # A look that was kept from coming: the freeze ended with it.
        (20, 75, 60, 1, Freeze(15 * MS, 75 * MS, 0)),
        # Two processors may have been frozen at the same time: the start is between 15 and 20.
        (20, 75, 60, 2, Freeze(15 * MS, 75 * MS, 5 * MS)),
        (20, 75, 50, 2, Freeze(25 * MS, 75 * MS, 0)),
        # In time: it lies between the looks, somewhere.
        (100, 100, 40, 1, Freeze(30 * MS, 70 * MS, 30 * MS)),
        # More than there was time for: several processors.
        (100, 100, 350, 4, Freeze(0, 100 * MS, 0)),
    ],
)
def test_where_a_freeze_is_put(
    due: int, now: int, throttled: int, processors: int, expected: Freeze
) -> None:
    """Looks at 0 and ``now`` (ms), due at ``due``."""
    assert freeze_between(0, due * MS, now * MS, throttled * MS, processors) == expected


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**10), st.integers(1, 64))
def test_a_freeze_lies_between_its_looks(
    wait_ns: int, late_ns: int, throttled_ns: int, processors: int
) -> None:
    """Never longer than the kernel says, never outside of the window."""
    freeze = freeze_between(0, wait_ns, wait_ns + late_ns, throttled_ns, processors)
    assert 0 <= freeze.start_ns <= freeze.end_ns <= wait_ns + late_ns
    assert freeze.end_ns - freeze.start_ns == min(throttled_ns, wait_ns + late_ns)
    assert 0 <= freeze.uncertainty_ns <= wait_ns + late_ns


def limited(folder: Path, throttled_us: int) -> Groups:
    (folder / "cpu.max").write_text("50000 100000\n")
    (folder / "next").write_text(f"throttled_usec {throttled_us}\n")
    (folder / "next").replace(folder / "cpu.stat")  # at once, as the kernel tells it
    return Groups((CpuGroup(folder, 2),), ())


def test_each_freeze_is_an_event(tmp_path: Path, recorded: Recorded) -> None:
    """Looks that come in time or late, with a clock moved by hand."""
    monitor = QuotaMonitor(recorded.recorder)
    start_ns = recorded.clock.monotonic_ns()
    monitor.begin(limited(tmp_path, 0))
    for wait_s, late_s, throttled_us in (
        (0.1, 0, 0), (0.1, 0, 40_000), (0.02, 0, 40_500), (0.02, 0.05, 100_500),
    ):  # fmt: skip
        recorded.clock.advance(wait_s)
        due_ns = recorded.clock.monotonic_ns()
        recorded.clock.advance(late_s)
        limited(tmp_path, throttled_us)
        monitor.look(due_ns)
    events = [
        (span.name, round(span.start_s, 3), round(span.duration_s, 3)) for span in recorded.spans
    ]
    assert start_ns == 1_000_000_000
    assert events == [("cpu.throttled", 0.13, 0.04), ("cpu.throttled", 0.23, 0.06)]
    assert recorded.spans[0].attributes == {
        c.RUNTIME_EVENT: "cpu_throttled",
        c.START_UNCERTAINTY: 0.03,
    }


def test_only_a_quota_is_watched_and_only_until_the_end(tmp_path: Path) -> None:
    """One thread of ours where there is a quota, none elsewhere, none after the last look."""

    def watching() -> bool:
        return any(thread.name == "agentscope-quota-watch" for thread in threading.enumerate())

    with recording(real_time=True) as recorded:
        instruments = recorded.recorder.instruments
        free = QuotaMonitor(recorded.recorder, lambda: Groups((CpuGroup(tmp_path, 2),), ()))
        free.sample(instruments)
        assert not watching()
        bound = QuotaMonitor(recorded.recorder, lambda: limited(tmp_path, 0))
        bound.sample(instruments)
        bound.sample(instruments)
        assert watching()
        limited(tmp_path, 30_000)
        until = time.monotonic() + 5
        while not recorded.spans and time.monotonic() < until:
            time.sleep(0.01)
        limited(tmp_path, 70_000)
        bound.stop()
        bound.stop()  # twice is once
        lengths_s = [span.duration_s for span in recorded.spans]
        assert sum(lengths_s) <= 0.0701
        assert len(lengths_s) == 2
        while watching() and time.monotonic() < until:
            time.sleep(0.01)
        assert not watching()
