"""The process's own figures, by the psutil calls that cost microseconds."""

from __future__ import annotations

import os
import sys

import psutil  # not in the recorder's thread: a child forked in the middle would never have it

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments

if sys.platform != "win32":
    import resource

DESCRIPTORS_EVERY = 10
"""Counting descriptors takes 0.7 ms where a thousand are open: every tenth sample is enough."""


class ProcessSampler:
    """CPU seconds, memory, threads, itself as one; descriptors and all limits every tenth time.

    The process is looked up at the first sample: after a fork this object is a new one and must
    not report its parent.
    """

    def __init__(self) -> None:
        self._samples = 0

    def sample(self, instruments: Instruments) -> None:
        """Set the ``process.*`` metrics."""
        if not self._samples:
            self._process = psutil.Process(os.getpid())
        with self._process.oneshot():
            cpu = self._process.cpu_times()
            memory = self._process.memory_info()
            threads = self._process.num_threads()
        instruments.set(c.CPU_TIME, ("user",), cpu.user)
        instruments.set(c.CPU_TIME, ("system",), cpu.system)
        instruments.set(c.MEMORY_USAGE, (), memory.rss)
        instruments.set(c.THREAD_COUNT, (), threads)
        instruments.set(c.PROCESSES, (), 1)
        if self._samples % DESCRIPTORS_EVERY == 0:
            self._sample_limits(instruments)
        self._samples += 1

    def _sample_limits(self, instruments: Instruments) -> None:
        if sys.platform != "win32":
            instruments.set(c.FD_COUNT, (), self._process.num_fds())
            most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if most != resource.RLIM_INFINITY:
                instruments.set(c.FD_LIMIT, (), most)
        instruments.set(c.HOST_CPUS, (), usable_processors())
        instruments.set(c.HOST_MEMORY, (), psutil.virtual_memory().total)


def usable_processors() -> int:
    """Processors that this process may be scheduled on."""
    if sys.platform == "linux":  # elsewhere there is no affinity mask to ask for
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
