"""Alarms: set by one thread, waited for by another."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from typing import Any

import pytest

from agentscope.runtime import alarm
from agentscope.runtime.alarm import Alarm, LockAlarm, TimerAlarm, new_alarm

MS = 1_000_000


def test_it_rings_when_it_is_set_for() -> None:
    """Not before, and once."""
    waking = TimerAlarm()
    began = time.perf_counter()
    waking.set(20 * MS)
    assert waking.wait(2000)
    assert time.perf_counter() - began >= 0.02
    assert not waking.wait(0)


def test_moving_it_wakes_nobody() -> None:
    """Whoever is watched puts it off a hundred times; the watchdog sleeps all the while."""
    waking, rang = TimerAlarm(), []
    watchdog = threading.Thread(target=lambda: rang.append(waking.wait(150)))
    watchdog.start()
    for _ in range(100):
        waking.set(1000 * MS)
        time.sleep(0.001)
    watchdog.join()
    assert rang == [False]


def test_nothing_set_is_no_alarm() -> None:
    """Nought takes it back."""
    waking = TimerAlarm()
    waking.set(1 * MS)
    waking.set(0)
    assert not waking.wait(20)


@pytest.mark.parametrize("kind", [TimerAlarm, LockAlarm])
def test_who_waits_already_can_be_called(kind: type[Alarm]) -> None:
    """From another thread, at once; twice is once."""
    waking, rang = kind(), []
    watchdog = threading.Thread(target=lambda: rang.append(waking.wait(5000)))
    watchdog.start()
    waking.call(1)
    watchdog.join(2)
    waking.call(1)
    waking.call(1)
    assert waking.wait(1000)
    assert (rang, waking.wait(0)) == ([True], False)


@pytest.mark.parametrize("missing", ["no such call", "no descriptor left"])
def test_without_the_kernels_timer_there_is_another(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says that it cannot be set for later."""

    class Library:
        if missing == "no descriptor left":
            timerfd_settime = timerfd_create = staticmethod(lambda *_: -1)

    def load(name: Any) -> type[Library]:
        return Library

    monkeypatch.setattr(ctypes, "PyDLL", load)
    assert not new_alarm().settable


def test_the_descriptor_goes_with_the_alarm() -> None:
    """And not before: a thread that still sets it must not set what has its number by then."""
    waking = TimerAlarm()
    descriptor = waking._descriptor
    os.fstat(descriptor)
    del waking
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_few_different_times_are_kept() -> None:
    """Whatever it is set for."""
    waking = TimerAlarm()
    for after_ms in range(2 * alarm.MAX_KEPT):
        waking.set(after_ms * MS + 100_000 * MS)
    assert len(waking._times) == alarm.MAX_KEPT
