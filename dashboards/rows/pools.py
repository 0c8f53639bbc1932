"""What turns share: worker threads, HTTP connections, database connections."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from frame import Panel
from panels import NO_POOL, NO_WAITS, PER_SECOND, PLAIN, SHARE, Line, lines
from queries import gauge, quantile, rate, total

_POOL = "db_client_connection_pool_name"
_STATE = "db_client_connection_state"
_DATABASE = "{{db_client_connection_pool_name}}"


def panels() -> list[Panel]:
    """For each kind: how full, who waits, for how long."""
    return [*_threads(), *_http(), *_database()]


def _threads() -> list[Panel]:
    use = f"{gauge(c.THREADPOOL_BORROWED)} / {gauge(c.THREADPOOL_LIMIT)}"
    return [
        lines(
            c.THREADPOOL_BORROWED,
            "Worker threads in use",
            Line(f"max by (limiter) ({use})", "{{limiter}}"),
            empty=NO_POOL,
            unit=SHARE,
            levels=thresholds.POOL_USE,
            shows="worker threads that are busy, of those that there may be",
            read="The fullest instance.",
            then="at 100 %: make the endpoint async, or find the slow call in it.",
        ),
        lines(
            c.THREADPOOL_WAITING,
            "Waiting for a thread",
            Line(total(c.THREADPOOL_WAITING, by=("limiter",)), "{{limiter}}"),
            empty=NO_POOL,
            levels=thresholds.WAITING_CALLS,
            read="At the moment of the scrape, all instances.",
            then="above zero for long: the pool binds, whatever the CPU says.",
        ),
        lines(
            c.WAIT_DURATION,
            "Wait for a thread, p95",
            Line(
                quantile(0.95, c.WAIT_DURATION, by=("resource",), where={"kind": "threadpool"}),
                "{{resource}}",
            ),
            empty=NO_WAITS,
            shows="how long calls waited for a worker thread",
            read=f"Above {c.DELAY_BUCKETS[-1]:g} s it reads that.",
            then="long: `agentscope analyze` names what holds the threads; make that async, or allow "
            "more threads.",
        ),
    ]


def _http() -> list[Panel]:
    use = f"{gauge(c.HTTP_POOL_IN_USE)} / {gauge(c.HTTP_POOL_LIMIT)}"
    return [
        lines(
            c.HTTP_POOL_IN_USE,
            "HTTP connections in use",
            Line(f"max by (pool) ({use})", "{{pool}}"),
            empty=NO_POOL,
            unit=SHARE,
            levels=thresholds.POOL_USE,
            span=12,
            shows="connections of a client's pool that are busy, of those that it may have",
            read="The fullest instance; a pool without a limit has no line.",
            then="at 100 % with waiters beside it: raise the limit of that client.",
        ),
        lines(
            c.HTTP_POOL_WAITING,
            "Waiting for an HTTP connection",
            Line(total(c.HTTP_POOL_WAITING, by=("pool",)), "{{pool}}"),
            empty=NO_POOL,
            levels=thresholds.WAITING_CALLS,
            span=12,
            read="At the moment of the scrape, all instances.",
            then="above zero for long: the client's pool binds, not the server it calls.",
        ),
    ]


def _database() -> list[Panel]:
    used = gauge(c.DB_CONNECTION_COUNT, where={_STATE: "used"})
    limit = gauge(c.DB_CONNECTION_MAX)
    held = quantile(0.95, c.DB_USE_TIME, by=(_POOL,))
    return [
        lines(
            c.DB_CONNECTION_COUNT,
            "Database pool in use",
            Line(f"max by ({_POOL}) ({used} / ignoring ({_STATE}) {limit})", _DATABASE),
            empty=NO_POOL,
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
            Line(total(c.DB_PENDING_REQUESTS, by=(_POOL,)), _DATABASE),
            empty=NO_POOL,
            unit=PLAIN,
            levels=thresholds.WAITING_CALLS,
            span=6,
            read="At the moment of the scrape, all instances.",
            then="above zero for long: the pool binds.",
        ),
        lines(
            c.DB_USE_TIME,
            "Time held, waited for",
            Line(held, f"held {_DATABASE}"),
            Line(quantile(0.95, c.DB_WAIT_TIME, by=(_POOL,)), f"waited for {_DATABASE}"),
            empty=NO_POOL,
            span=6,
            shows="p95 of how long a connection is held, and of how long it is waited for",
            read=f"Above {c.DELAY_BUCKETS[-1]:g} s it reads that.",
            then="held longer than its queries: it is held across a model call. Release it first.",
        ),
        lines(
            c.DB_TIMEOUTS,
            "Time-outs of the pool",
            Line(rate(c.DB_TIMEOUTS, by=(_POOL,)), _DATABASE),
            empty="none",
            unit=PER_SECOND,
            span=6,
            read="Each of them is a failed turn.",
            then="shorten what holds connections before adding any.",
        ),
    ]
