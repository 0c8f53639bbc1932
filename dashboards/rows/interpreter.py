"""What stops the whole process: a blocked loop, the collector, threads that compete."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_RECORDER, SHARE, Line, lines
from queries import gauge, per_process, quantile, rate, worst_gauge

_INSTANCE = "{{instance}}"


def panels() -> list[Panel]:
    """The loop first, then the two other reasons for which nothing moves."""
    return [
        lines(
            c.LOOP_DELAY,
            "Event-loop delay",
            Line(quantile(0.99, c.LOOP_DELAY, by=("instance",)), f"p99 {_INSTANCE}"),
            Line(quantile(0.5, c.LOOP_DELAY, by=("instance",)), f"median {_INSTANCE}"),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            span=12,
            read="Sampled at even distances in time, so p99 is what the worst hundredth of the "
            "time looked like.",
            then="a high p99 with a low median is a blocking call: a recorded run names it; a high "
            "median is CPU.",
        ),
        lines(
            c.LOOP_DELAY_MAX,
            "Event-loop delay, largest",
            Line(worst_gauge(c.LOOP_DELAY_MAX), _INSTANCE),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            span=12,
            read="Its levels are those of p99 beside it, which the alert goes by. A scrape sees one second of those since the last, so peaks may be missing; "
            "those it shows were real.",
            then="record a run: the analyzer names the function that blocked.",
        ),
        lines(
            c.GC_PAUSE,
            "Stopped by the garbage collector",
            Line(per_process(rate(c.GC_PAUSE, "sum", by=("instance",))), _INSTANCE),
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.GC_SHARE,
            shows="share of time for which the garbage collector stopped the process",
            read="Every turn of the process stops with it.",
            then="freeze what was loaded at start (gc.freeze) and look for what allocates.",
        ),
        lines(
            c.GC_PAUSE,
            "Collector pause, p99",
            Line(quantile(0.99, c.GC_PAUSE, by=("generation",)), "generation {{generation}}"),
            empty="no collections",
            shows="how long the garbage collector stopped the process at a time",
            read="Generation 2 walks every object there is.",
            then="long and rare: gc.freeze after start; long and often: fewer cycles.",
        ),
        lines(
            c.INTERPRETER_LOCK_WAIT,
            "Wait for the interpreter lock",
            Line(f"max by (instance) ({gauge(c.INTERPRETER_LOCK_WAIT)})", _INSTANCE),
            empty="not measured",
            read="About 5 ms means that a thread computes without pause: others get the "
            "interpreter only when it is taken from it.",
            then="move that work to a process, or to code that releases the lock.",
        ),
    ]
