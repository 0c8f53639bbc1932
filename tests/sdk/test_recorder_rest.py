"""The recorder's thread while nothing happens, and the first span after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentscope.export.run_directory import RunDirectory
from agentscope.recording import recorder as recorders
from agentscope.recording.guard import forget_internal_errors
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Role
from agentscope.recording.worker import Worker
from agentscope.testing import ManualClock


def test_the_first_span_after_a_rest_waits_as_short_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not until the next point of the gauges, which is an hour off here."""
    monkeypatch.setattr(recorders, "TICK_S", 3600.0)
    recorder = Recorder({}, [RunDirectory(tmp_path, "1", {}, "0")])
    try:
        for name in ("first", "second"):
            recorder.end(recorder.start(name, Role.OTHER, {}))
            deadline = time.monotonic() + 10
            while recorder.accounts()[0].delivered < ("first", "second").index(name) + 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.3)  # it rests again
    finally:
        recorder.shutdown(5)


def test_nothing_to_do_is_done_once_a_tick() -> None:
    """No look at an empty queue in between; whoever wakes the thread is served."""
    worked: list[float] = []
    worker = Worker(lambda: worked.append(time.monotonic()), lambda: False, lambda: 0.5, 0.01)
    worker.rouse(lambda: None)
    began = time.monotonic()
    while len(worked) < 3:
        assert time.monotonic() < began + 10
        time.sleep(0.01)
    worker.stop()
    assert worked[2] - worked[1] >= 0.45


def test_what_fails_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that never gets to set its next time is tried again no faster than it polls."""
    monkeypatch.delenv("AGENTSCOPE_TESTING_RAISE", raising=False)
    tried: list[None] = []

    def fail() -> None:
        tried.append(None)
        raise ValueError("planted")

    worker = Worker(fail, lambda: False, lambda: -5.0, 0.1)
    worker.rouse(lambda: None)
    time.sleep(0.55)
    worker.stop()
    assert worker._thread is not None
    worker._thread.join(5)
    forget_internal_errors()
    assert 1 <= len(tried) <= 7


def manifests(folder: Path) -> Callable[[], dict[str, Any]]:
    def read() -> dict[str, Any]:
        [file] = folder.glob("manifest-*.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    return read


def test_where_nothing_happens_the_manifest_is_written_now_and_then(tmp_path: Path) -> None:
    """Every fifth second, and at once when a span has ended, or one is open."""
    clock = ManualClock()
    recorder = Recorder({}, [RunDirectory(tmp_path, "1", {}, "0")], clock=clock, threaded=False)
    manifest, written = manifests(tmp_path), []
    for second in range(12):
        if second == 7:
            recorder.end(recorder.start("work", Role.OTHER, {}))
        recorder.work()
        written.append((manifest()["updated_ns"], manifest()["ledger"][0]["created"]))
        clock.advance(1.0)
    recorder.shutdown(5)
    changes = [
        second
        for second, (now, before) in enumerate(zip(written, [(0, 0), *written], strict=False))
        if now != before
    ]
    assert changes == [0, 5, 7]
    assert written[7][1] == 1
    assert manifest()["ended_ns"] is not None
