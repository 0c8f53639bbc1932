"""Processor time: used, allowed, refused."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_RECORDER, NO_TURNS, PLAIN, SHARE, Line, lines
from queries import gauge, per, per_process, rate, total

_INSTANCE = "{{instance}}"


def panels() -> list[Panel]:
    """What processes use, what the container may, and what a turn costs."""
    turns = rate(c.TURN_DURATION, "count", any_route=True)
    return [
        lines(
            c.CPU_TIME,
            "CPU",
            Line(per_process(rate(c.CPU_TIME, by=("instance",))), _INSTANCE),
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.CPU_CORES,
            shows="CPU seconds a second of one process",
            read="100 % is one core, about all that one process's Python code can use; threads in "
            "native code may go beyond. Workers that share one /metrics are shown as their mean.",
            then="near one core: more processes, or less work a turn.",
        ),
        lines(
            c.CGROUP_THROTTLED_TIME,
            "CPU refused by the quota",
            Line(rate(c.CGROUP_THROTTLED_TIME, by=("instance",)), _INSTANCE),
            empty="no container",
            unit=SHARE,
            levels=thresholds.THROTTLED_SHARE,
            shows="processor seconds a second that the container's quota refused",
            read="All turns of the process stand still meanwhile, though its CPU looks idle.",
            then="raise the CPU limit, or have fewer threads run at a time.",
        ),
        lines(
            c.CPU_TIME,
            "CPU seconds per turn",
            Line(per(rate(c.CPU_TIME), turns), "CPU"),
            empty=NO_TURNS,
            unit="s",
            shows="processor seconds of all processes, per turn that ended",
            read="What the processes use while idle is in it, so it falls with load at first.",
            then="rises with load: something is done per session that is there, not per turn.",
        ),
        lines(
            c.CGROUP_CPU_LIMIT,
            "Processors and processes",
            Line(f"max by (instance) ({gauge(c.CGROUP_CPU_LIMIT)})", f"quota {_INSTANCE}"),
            Line(f"max by (instance) ({gauge(c.HOST_CPUS)})", f"there {_INSTANCE}"),
            Line(total(c.PROCESSES, by=("instance",)), f"processes {_INSTANCE}"),
            empty=NO_RECORDER,
            unit=PLAIN,
            shows="processors that the container may use, processors that the process can be "
            "scheduled on, and processes that share them",
            read="No line for the quota: there is none.",
            then="more processes than processors: they take turns, and each is slower than alone. Run "
            "fewer, or give them more.",
            span=12,
        ),
        lines(
            c.THREAD_COUNT,
            "Threads",
            Line(f"sum by (instance) ({gauge(c.THREAD_COUNT)})", _INSTANCE),
            empty=NO_RECORDER,
            read="A worker pool grows to its size and stays.",
            then="a steady climb: something starts threads and never ends them.",
            span=12,
        ),
    ]
