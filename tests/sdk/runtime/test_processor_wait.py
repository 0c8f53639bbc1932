"""What the kernel tells of a thread that waits for a processor."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from agentscope.runtime.processor import ProcessorWait


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="Linux only")
def test_a_thread_without_a_processor_waits_for_one() -> None:
    """Two threads that would both compute, held to one processor, wait for each other."""
    waited_s: list[float] = []
    stop = threading.Event()

    def compute() -> None:
        # Hashing large blocks releases the interpreter lock: what is short is the processor.
        block = bytes(1 << 20)
        while not stop.is_set():
            hashlib.sha256(block)

    def measured() -> None:
        os.sched_setaffinity(0, {processor})
        wait = ProcessorWait()
        other = threading.Thread(target=compute)
        other.start()  # inherits the processor
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            hashlib.sha256(bytes(1 << 20))
        waited_s.append(wait.read_ns() / 1e9)
        wait.close()
        stop.set()
        other.join()

    processor = min(os.sched_getaffinity(0))
    thread = threading.Thread(target=measured)
    thread.start()
    thread.join()
    assert 0.1 < waited_s[0] < 0.6


def test_closed_it_reads_nothing() -> None:
    """As on a system that does not tell."""
    wait = ProcessorWait()
    wait.close()
    wait.close()
    assert wait.read_ns() == 0
