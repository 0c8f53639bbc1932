"""Fixtures of the runtime's tests: recording in real time, with the waits hooked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentscope.runtime import threadpool
from agentscope.runtime.wait_hooks import WaitMonitor
from agentscope.testing import Recorded, recording


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Record into memory, in real time, waits for threads and locks included.

    Pools of earlier tests, which a cycle may keep alive for a while, take no names.
    """
    monkeypatch.setattr(threadpool, "_pools", {})
    with recording(real_time=True) as recorded:
        monitor = WaitMonitor(recorded.recorder)
        monitor.start()
        yield recorded
        monitor.stop()
