"""The processes at this moment: what one of them may run out of."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_RECORDER, SHARE, figure
from queries import gauge, per_process, rate, total, worst_gauge

_LIMIT = f"({gauge(c.CGROUP_MEMORY_LIMIT)} or {gauge(c.HOST_MEMORY)})"
MEMORY_SHARE = f"{gauge(c.MEMORY_USAGE)} / {_LIMIT}"
"""Of the container's memory, or the host's where there is no limit, by instance."""

DESCRIPTOR_SHARE = f"{gauge(c.FD_COUNT)} / {gauge(c.FD_LIMIT)}"


def panels() -> list[Panel]:
    """Six figures, each of the worst instance."""
    return [
        figure(
            c.LOOP_DELAY_MAX,
            "Loop delay",
            worst_gauge(c.LOOP_DELAY_MAX, by=()),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            shows="how late the event loop ran a timer, the most of any instance",
            read="Every turn of that process paid it.",
            then="record a run: the analyzer names the function and the line that blocked.",
        ),
        figure(
            c.CPU_TIME,
            "CPU, busiest",
            f"max ({per_process(rate(c.CPU_TIME, by=('instance',)))})",
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.CPU_CORES,
            shows="CPU seconds a second of one process, of the busiest instance",
            read="100 % is one core, about all that one process's Python code can use.",
            then="near one core: more processes, or less work a turn.",
        ),
        figure(
            c.MEMORY_USAGE,
            "Memory, fullest",
            f"max ({MEMORY_SHARE})",
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.MEMORY_SHARE,
            shows="resident memory of what the container may use, or the host has",
            read="Beyond 100 % the kernel ends the process.",
            then="compare with active sessions: `agentscope analyze` tells growth from a leak.",
        ),
        figure(
            c.CGROUP_THROTTLED_TIME,
            "Throttled",
            f"max ({rate(c.CGROUP_THROTTLED_TIME, by=('instance',))} or 0 * {rate(c.CPU_TIME)})",
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.THROTTLED_SHARE,
            shows="processor seconds a second that the container's quota refused",
            read="The process stands still with all its turns; zero where there is no quota.",
            then="raise the CPU limit before anything else.",
        ),
        figure(
            c.THREADPOOL_WAITING,
            "Thread queue",
            total(c.THREADPOOL_WAITING),
            empty="no thread pool",
            levels=thresholds.WAITING_CALLS,
            shows="calls that wait for a worker thread, all instances",
            read="Synchronous endpoints and tools share 40 threads a process by default.",
            then="the row on threads and pools: who holds them.",
        ),
        figure(
            c.FD_COUNT,
            "Descriptors",
            f"max ({DESCRIPTOR_SHARE})",
            empty="no limit",
            unit=SHARE,
            levels=thresholds.DESCRIPTOR_SHARE,
            shows="open file descriptors of those that the process may have",
            read="Sockets count: one a caller, a model connection, a database connection.",
            then="raise ulimit -n, and look for clients that are made for each request.",
        ),
    ]
