"""The process behind the turns: its loop, collector, processor, memory and database pools."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from links import RUNTIME
from panels import NO_POOL, NO_RECORDER, PLAIN, SHARE, Line, lines
from queries import gauge, per_process, rate, total, worst_gauge

_INSTANCE = "{{instance}}"
_POOL = "db_client_connection_pool_name"
_STATE = "db_client_connection_state"
_POOL_LEGEND = "{{db_client_connection_pool_name}}"


def panels() -> list[Panel]:
    """First what stops everything, then what a process can run out of."""
    return [*_process(), *_resources()]


def _process() -> list[Panel]:
    return [
        lines(
            c.LOOP_DELAY_MAX,
            "Event-loop delay, largest",
            Line(worst_gauge(c.LOOP_DELAY_MAX), _INSTANCE),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            read="A scrape sees one second of those since the last, so peaks may be missing; "
            "those it shows were real.",
            then="record a run: the analyzer names the function that blocked.",
            more=RUNTIME,
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
            more=RUNTIME,
        ),
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
            more=RUNTIME,
        ),
    ]


def _resources() -> list[Panel]:
    used = gauge(c.DB_CONNECTION_COUNT, where={_STATE: "used"})
    limit = gauge(c.DB_CONNECTION_MAX)
    return [
        lines(
            c.MEMORY_USAGE,
            "Memory",
            Line(total(c.MEMORY_USAGE, by=("instance",)), _INSTANCE),
            empty=NO_RECORDER,
            read="Compare with the container's limit.",
            then="a rise that does not end when sessions do is a leak.",
            more=RUNTIME,
        ),
        lines(
            c.DB_CONNECTION_COUNT,
            "Database pool in use",
            Line(f"max by ({_POOL}) ({used} / ignoring ({_STATE}) {limit})", _POOL_LEGEND),
            empty=NO_POOL,
            unit=SHARE,
            levels=thresholds.POOL_USE,
            shows="connections in use, as a share of those that the pool may open",
            read="The fullest instance.",
            then="at 100 % with waiters beside it, see how long connections are held.",
            more=RUNTIME,
        ),
        lines(
            c.DB_PENDING_REQUESTS,
            "Waiting for a database connection",
            Line(total(c.DB_PENDING_REQUESTS, by=(_POOL,)), _POOL_LEGEND),
            empty=NO_POOL,
            unit=PLAIN,
            levels=thresholds.WAITING_CALLS,
            read="Calls that wait at the moment of the scrape.",
            then="above zero for long: the pool binds.",
            more=RUNTIME,
        ),
    ]
