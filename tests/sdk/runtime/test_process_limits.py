"""What a process may use is recorded beside what it uses."""

import os
import resource

import psutil

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.runtime.process import DESCRIPTORS_EVERY, ProcessSampler


def values(instruments: Instruments) -> dict[str, float]:
    return {
        metric.name: point.value for metric, points in instruments.snapshot() for point in points
    }


def test_limits_stand_beside_what_is_used() -> None:
    """Descriptors, processors and memory: the analyzer sets sessions against them."""
    instruments = Instruments()
    ProcessSampler().sample(instruments)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = values(instruments)
    assert found[c.FD_LIMIT.name] == soft
    assert 0 < found[c.FD_COUNT.name] < soft
    assert found[c.HOST_CPUS.name] == len(os.sched_getaffinity(0))
    assert found[c.HOST_MEMORY.name] == psutil.virtual_memory().total
    assert found[c.MEMORY_USAGE.name] < found[c.HOST_MEMORY.name]


def test_a_raised_limit_is_seen_with_the_next_count() -> None:
    """Descriptors and limits are looked at every tenth time."""
    instruments, sampler = Instruments(), ProcessSampler()
    sampler.sample(instruments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        for _ in range(DESCRIPTORS_EVERY - 1):
            sampler.sample(instruments)
        assert values(instruments)[c.FD_LIMIT.name] == soft
        sampler.sample(instruments)
        assert values(instruments)[c.FD_LIMIT.name] == soft - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
