"""Pauses of the garbage collector: nothing else runs in the process while it collects."""

from __future__ import annotations

import gc
import os
from collections import deque
from typing import Any

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder

MIN_PAUSE_NS = 1_000_000
"""Shorter pauses are in the histogram only."""

MAX_PAUSES = 16_384
"""Pauses kept until the recorder's thread takes them, about 2 MB: more than a second's worth."""


class GcMonitor:
    """Times every collection of this process, for one recorder.

    Python calls ``_note`` inside whatever code happened to allocate, which may hold any lock of
    ours: so it takes none, and only puts a pause where the recorder's thread will find it.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._clock = recorder.clock.monotonic_ns
        self._pauses: deque[tuple[int, int, int]] = deque()
        self._dropped = 0
        self._began_ns = 0
        self._pid = 0
        self._sampled = False

    def start(self) -> None:
        """Begin; twice is once. In the child of a fork it takes the parent's place."""
        for callback in list(gc.callbacks):
            other = getattr(callback, "__self__", None)
            if isinstance(other, GcMonitor) and other._pid != os.getpid():
                gc.callbacks.remove(callback)
        if not self._sampled:
            self._sampled = True
            self._recorder.samplers.append(self.sample)
        if self._note not in gc.callbacks:
            self._pid = os.getpid()
            self._began_ns = 0
            gc.callbacks.append(self._note)

    def stop(self) -> None:
        """End, and give what is left to the recorder; before the recorder shuts down."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)
        pauses = self._pauses
        for _ in range(len(pauses)):
            generation, began_ns, ended_ns = pauses.popleft()
            seconds = (ended_ns - began_ns) / 1e9
            self._recorder.observe(c.GC_PAUSE, (str(generation),), seconds)
            self._event(generation, began_ns, ended_ns)

    def sample(self, instruments: Instruments) -> None:
        """Take the pauses since the last time: ``agentscope.gc.pause`` and the long ones' events."""
        pauses = self._pauses
        for _ in range(len(pauses)):
            generation, began_ns, ended_ns = pauses.popleft()
            instruments.observe(c.GC_PAUSE, (str(generation),), (ended_ns - began_ns) / 1e9)
            self._event(generation, began_ns, ended_ns)
        if self._dropped:
            instruments.set(c.SDK_DROPPED, ("gc_pauses", "metrics", "queue_full"), self._dropped)

    def _event(self, generation: int, began_ns: int, ended_ns: int) -> None:
        if ended_ns - began_ns >= MIN_PAUSE_NS:
            self._recorder.runtime_event(
                c.RuntimeEvent.GC_PAUSE, began_ns, ended_ns, {c.GC_GENERATION: generation}
            )

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        # One collection runs at a time, whatever the threads do, so one number is enough.
        if phase == "start":
            self._began_ns = self._clock()
        elif self._began_ns:  # 0 where we began to listen in the middle of a collection
            if len(self._pauses) < MAX_PAUSES:
                self._pauses.append((info["generation"], self._began_ns, self._clock()))
            else:
                self._dropped += 1
            self._began_ns = 0
