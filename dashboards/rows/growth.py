"""What grows with the load: the wait that grows is the one that binds."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from frame import Panel
from links import LLM, RUNTIME
from panels import NO_POOL, NO_QUOTA, NO_RECORDER, NO_WAITS, PLAIN, SHARE, Line, lines
from queries import headroom, per, per_process, quantile, rate, total
from rows.knee import TURNS


def panels() -> list[Panel]:
    """Waits per turn, sleepers, queues, quota, loop and processor: side by side in time."""
    pool = "db_client_connection_pool_name"
    return [
        lines(
            c.WAIT_DURATION,
            "Waiting per turn, by kind",
            Line(per(rate(c.WAIT_DURATION, "sum", by=("kind",)), TURNS), "{{kind}}"),
            empty=NO_WAITS,
            colours=colours.WAITS,
            stacked=True,
            shows="seconds that a turn spends waiting, all routes together",
            read="Counted when a wait ends. What grows from stage to stage is what binds.",
            then="rate_limit is quota, db.pool pool size or slow queries, http.pool the client's "
            "limit, threadpool blocking code.",
        ),
        lines(
            c.LLM_BACKOFF,
            "Callers asleep",
            Line(rate(c.LLM_BACKOFF, by=("reason",)), "{{reason}}"),
            empty="no sleeps",
            colours=colours.WAITS,
            unit=PLAIN,
            levels=thresholds.CALLERS_ASLEEP,
            stacked=True,
            shows="calls of models that sleep between two attempts, at a time",
            read="Client libraries do this out of sight.",
            then="as many as the users that a stage added: the provider's quota is the limit.",
            more=LLM,
        ),
        lines(
            c.RATELIMIT_REMAINING,
            "Quota left",
            Line(f"min by (model, dimension) ({headroom()})", "{{model}} {{dimension}}"),
            empty=NO_QUOTA,
            unit=SHARE,
            levels=thresholds.QUOTA_HEADROOM,
            shows="what is left of the provider's quota, as a share of it",
            read="As of the last answer, the lowest of any instance.",
            then="on the floor at some stage: that is how many users the quota carries.",
            more=LLM,
        ),
        lines(
            c.DB_PENDING_REQUESTS,
            "Queues",
            Line(total(c.DB_PENDING_REQUESTS, by=(pool,)), f"database {{{{{pool}}}}}"),
            Line(total(c.HTTP_POOL_WAITING, by=("pool",)), "http {{pool}}"),
            Line(total(c.THREADPOOL_WAITING, by=("limiter",)), "threads {{limiter}}"),
            empty=NO_POOL,
            levels=thresholds.WAITING_CALLS,
            shows="calls that wait for a database connection, an HTTP connection or a thread",
            read="At the moment of the scrape, all instances.",
            then="the queue that appears first belongs to what is used up first.",
            more=RUNTIME,
        ),
        lines(
            c.LOOP_DELAY,
            "Event-loop delay, p99",
            Line(quantile(0.99, c.LOOP_DELAY, by=("instance",)), "{{instance}}"),
            empty=NO_RECORDER,
            levels=thresholds.LOOP_DELAY_S,
            read="Every turn of the process waits this long whenever it resumes.",
            then="grows with users: code that blocks the loop, or a processor that is full.",
            more=RUNTIME,
        ),
        lines(
            c.CPU_TIME,
            "CPU",
            Line(per_process(rate(c.CPU_TIME, by=("instance",))), "{{instance}}"),
            empty=NO_RECORDER,
            unit=SHARE,
            levels=thresholds.CPU_CORES,
            shows="CPU seconds a second of one process",
            read="100 % is one core, about all that one process's Python code can use. Workers "
            "that share one /metrics are shown as their mean.",
            then="near one core at the knee: more processes, or less work a turn.",
            more=RUNTIME,
        ),
    ]
