"""The process behind the turns: its loop, collector, processor, memory and database pools."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import PLAIN, SHARE, Line, lines
from queries import gauge, quantile, rate, worst_gauge

_INSTANCE = "{{instance}}"
_POOL = "db_client_connection_pool_name"
_STATE = "db_client_connection_state"
_POOL_LEGEND = "{{db_client_connection_pool_name}}"


def panels() -> list[Panel]:
    """First what stops everything, then what a process can run out of."""
    return [*_process(), *_memory(), *_pools()]


def _process() -> list[Panel]:
    return [
        lines(
            c.LOOP_DELAY_MAX,
            "Event-loop delay, largest",
            Line(worst_gauge(c.LOOP_DELAY_MAX), _INSTANCE),
            levels=thresholds.LOOP_DELAY_S,
            read="A scrape sees one second of those since the last, so peaks may be missing; "
            "those it shows were real.",
            then="record a run: the analyzer names the function that blocked.",
        ),
        lines(
            c.GC_PAUSE,
            "Stopped by the garbage collector",
            Line(rate(c.GC_PAUSE, "sum", by=("instance",)), _INSTANCE),
            unit=SHARE,
            levels=thresholds.GC_SHARE,
            shows="share of time for which the garbage collector stopped the process",
            read="Every turn of the process stops with it.",
            then="freeze what was loaded at start (gc.freeze) and look for what allocates.",
        ),
        lines(
            c.CPU_TIME,
            "CPU",
            Line(rate(c.CPU_TIME, by=("instance",)), _INSTANCE),
            unit=SHARE,
            levels=thresholds.CPU_CORES,
            read="100 % is one core, about all that one process's Python code can use; threads in "
            "native code may go beyond.",
            then="near one core: more processes, or less work a turn.",
        ),
    ]


def _memory() -> list[Panel]:
    return [
        lines(
            c.MEMORY_USAGE,
            "Memory",
            Line(f"sum by (instance) ({gauge(c.MEMORY_USAGE)})", _INSTANCE),
            read="Compare with the container's limit.",
            then="a rise that does not end when sessions do is a leak.",
        ),
        lines(
            c.THREAD_COUNT,
            "Threads",
            Line(f"sum by (instance) ({gauge(c.THREAD_COUNT)})", _INSTANCE),
            read="A worker pool grows to its size and stays.",
            then="a steady climb: something starts threads and never ends them.",
        ),
        lines(
            c.FD_COUNT,
            "Open file descriptors",
            Line(f"sum by (instance) ({gauge(c.FD_COUNT)})", _INSTANCE),
            read="Sockets count: one for each caller, model connection and database connection.",
            then="near the limit (ulimit -n): connections that are never closed.",
        ),
    ]


def _pools() -> list[Panel]:
    used = gauge(c.DB_CONNECTION_COUNT, where={_STATE: "used"})
    limit = gauge(c.DB_CONNECTION_MAX)
    return [
        lines(
            c.DB_CONNECTION_COUNT,
            "Database pool in use",
            Line(f"max by ({_POOL}) ({used} / ignoring ({_STATE}) {limit})", _POOL_LEGEND),
            unit=SHARE,
            levels=thresholds.POOL_USE,
            span=6,
            shows="connections in use, as a share of those that the pool may open",
            read="The fullest instance.",
            then="at 100 % with waiters beside it, see how long connections are held.",
        ),
        lines(
            c.DB_PENDING_REQUESTS,
            "Waiting for a connection",
            Line(f"sum by ({_POOL}) ({gauge(c.DB_PENDING_REQUESTS)})", _POOL_LEGEND),
            unit=PLAIN,
            span=6,
            read="Calls that wait at the moment of the scrape.",
            then="above zero for long: the pool binds.",
        ),
        lines(
            c.DB_WAIT_TIME,
            "Wait for a connection, p95",
            Line(quantile(0.95, c.DB_WAIT_TIME, by=(_POOL,)), _POOL_LEGEND),
            span=6,
            read="Every acquisition counts, those that did not wait too; above "
            f"{c.DELAY_BUCKETS[-1]:g} s it reads that.",
            then="compare with the time held: if that is longer, shorten it before adding "
            "connections.",
        ),
        lines(
            c.DB_USE_TIME,
            "Connection held, p95",
            Line(quantile(0.95, c.DB_USE_TIME, by=(_POOL,)), _POOL_LEGEND),
            span=6,
            read=f"From acquisition to release; above {c.DELAY_BUCKETS[-1]:g} s it reads that.",
            then="longer than its queries: a connection is held across a model call. Release it "
            "first.",
        ),
    ]
