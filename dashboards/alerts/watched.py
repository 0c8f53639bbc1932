"""What is watched: one alert for every red level of the boards, by the same constant."""

from __future__ import annotations

from typing import Final

import thresholds
from agentscope import conventions as c
from agentscope.conventions import Metric
from alerts import recorded
from alerts.alert import Alert
from alerts.recorded import WINDOW, WINDOW_S, per_process, quantile, rate, share

_INSTANCE = "{{ $labels.job }} {{ $labels.instance }}"
_MODEL = "{{ $labels.provider }} {{ $labels.model }}"

_ENOUGH: Final = 10
"""Fewer turns, or calls, in a window make no share and no percentile that is worth waking up for."""

_SEVERAL: Final = 2
"""Turns in flight, on average: at night there is one now and then."""

_BUSY = f"{recorded.TURN_RATE} * {WINDOW_S} >= {_ENOUGH}"
_CALLING = f"{recorded.CALLS} * {WINDOW_S} >= {_ENOUGH}"


def _away() -> str:
    """Share of a job's instances that do not answer; all of them where the job is gone.

    Instances that were taken away on purpose are no longer scraped, so they count for neither.
    """
    was_here = f"present_over_time({c.TURNS_ACTIVE.prometheus_name}[{{}}])"
    scraped = f"up and on (job, instance) {was_here.format('1d')}"
    gone = (
        f"max by (job) ({was_here.format('1h')}) "
        f"unless on (job) max by (job) ({c.TURNS_ACTIVE.prometheus_name})"
    )
    return f"((1 - avg by (job) ({scraped})) or ({gone}))"


def _by_instance(series: str) -> str:
    return f"max by (job, instance) ({series})"


def _memory_limit() -> str:
    return f"({c.CGROUP_MEMORY_LIMIT.prometheus_name} or {c.HOST_MEMORY.prometheus_name})"


def _pool_use() -> str:
    """The median of the window: a pool that is full for most of it now and then has one free."""
    used = f'{c.DB_CONNECTION_COUNT.prometheus_name}{{db_client_connection_state="used"}}'
    most = c.DB_CONNECTION_MAX.prometheus_name
    return (
        "max by (job, instance, db_client_connection_pool_name) "
        f"(quantile_over_time(0.5, {used}[{WINDOW}])"
        f" / ignoring (db_client_connection_state) {most})"
    )


def _at_a_time(metric: Metric) -> str:
    """A queue's mean length in the window: at a single scrape it may be empty by chance."""
    return f"avg_over_time({metric.prometheus_name}[{WINDOW}])"


def _stuck() -> str:
    """Turns in flight while none ends."""
    flying = f"sum by (job) ({_at_a_time(c.TURNS_ACTIVE)})"
    return f"({flying} unless on (job) ({recorded.TURN_RATE} > 0))"


def _busy_or_queued() -> str:
    """Few turns end where all of them take minutes: then there are several in flight."""
    return f"{_BUSY} or sum by (job) ({_at_a_time(c.TURNS_ACTIVE)}) >= {_SEVERAL}"


def _connections() -> str:
    """Calls that wait for a connection, of HTTP clients and databases."""
    pool = "db_client_connection_pool_name"
    database = f'label_replace({_at_a_time(c.DB_PENDING_REQUESTS)}, "pool", "$1", "{pool}", "(.*)")'
    return " or ".join(
        f"sum by (job, pool) ({waiting})" for waiting in (_at_a_time(c.HTTP_POOL_WAITING), database)
    )


ALERTS: Final = (
    Alert(
        name="AgentUnreachable",
        expr=_away(),
        levels=thresholds.INSTANCES_AWAY,
        lasting="2m",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of its instances do not answer",
        description="Prometheus cannot scrape them, so no other alert of theirs can fire. Users of "
        "these instances get no answer either, unless only the way to /metrics is cut.",
    ),
    Alert(
        name="AgentTurnsSlow",
        expr=recorded.TURN_P95,
        only_where=_busy_or_queued(),
        levels=thresholds.TURN_P95_S,
        lasting="5m",
        summary="{{ $labels.job }}: one turn in twenty takes more than {{ $value | humanizeDuration }}",
        description="Users wait that long for an answer. See on the board Agent overview which "
        "route it is and what its turns wait for.",
    ),
    Alert(
        name="AgentTurnsFail",
        expr=recorded.ERROR_SHARE,
        only_where=_BUSY,
        levels=thresholds.ERROR_SHARE,
        lasting="5m",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of turns fail",
        description="Failed turns by error type, on the board Agent overview, name the exception.",
    ),
    Alert(
        name="AgentTurnsStuck",
        expr=_stuck(),
        levels=thresholds.TURNS_STUCK,
        lasting="7m",  # after a start, the longest turns that are told apart may still run
        summary='{{ $labels.job }}: {{ $value | printf "%.0f" }} turns in flight, and none ends',
        description="Nobody gets an answer, and no turn counts as slow or failed before it ends. "
        "Something that all of them wait for never answers.",
    ),
    Alert(
        name="ModelCallsFail",
        expr=recorded.CALL_ERROR_SHARE,
        only_where=_CALLING,
        levels=thresholds.ERROR_SHARE,
        lasting="5m",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of model calls fail",
        description="After all their retries. Turns fail with them, unless the service's own code "
        "falls back on something.",
    ),
    Alert(
        name="ModelQuotaNearlyUsedUp",
        expr=recorded.QUOTA_HEADROOM,
        levels=thresholds.QUOTA_HEADROOM,
        lasting="2m",
        summary=_MODEL + ": {{ $value | humanizePercentage }} of {{ $labels.dimension }} left",
        description="The next burst is answered with 429, and client libraries then sleep out of "
        "sight. More workers make it worse: ask for quota, or send less.",
    ),
    Alert(
        name="ModelQuotaExhaustsSoon",
        expr=recorded.QUOTA_TIME_LEFT,
        levels=thresholds.EXHAUSTION_S,
        lasting="0s",  # the slope is one of minutes already, and a minute more is too late
        summary=_MODEL + ": {{ $labels.dimension }} used up in {{ $value | humanizeDuration }}",
        description="If it shrinks on as it does now; 0 s is used up already. Admit fewer sessions "
        "before the provider refuses them.",
    ),
    Alert(
        name="ModelCallsRetried",
        expr=recorded.RETRY_SHARE,
        only_where=_CALLING,
        levels=thresholds.RETRY_SHARE,
        lasting="5m",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} more attempts than calls",
        description="Calls still succeed, only later. On the board LLM and rate limits: 4xx is the "
        "quota, 5xx and none the provider or the way to it.",
    ),
    Alert(
        name="ModelCallersAsleep",
        expr=recorded.CALLERS_ASLEEP,
        levels=thresholds.CALLERS_ASLEEP,
        lasting="5m",
        summary='{{ $labels.job }}: {{ $value | printf "%.1f" }} calls sleep between attempts',
        description="That many users wait for nothing at any time. The board LLM and rate limits "
        "says for which model, and whether its quota is the reason.",
    ),
    Alert(
        name="EventLoopLate",
        expr=quantile(0.99, c.LOOP_DELAY, "instance"),
        levels=thresholds.LOOP_DELAY_S,
        lasting="5m",
        summary=_INSTANCE + ": the event loop is {{ $value | humanizeDuration }} late (p99)",
        description="Every turn of the process pays it at each await. Record a run: the analyzer "
        "names the function and the line that blocked.",
    ),
    Alert(
        name="CollectorStopsProcess",
        expr=per_process(rate(c.GC_PAUSE, "instance", part="sum")),
        levels=thresholds.GC_SHARE,
        lasting="10m",
        summary=_INSTANCE
        + ": stopped {{ $value | humanizePercentage }} of the time to collect garbage",
        description="Call gc.freeze() after start-up, and look for what allocates in cycles.",
    ),
    Alert(
        name="ProcessorBusy",
        expr=per_process(rate(c.CPU_TIME, "instance")),
        levels=thresholds.CPU_CORES,
        lasting="10m",
        summary=_INSTANCE
        + ': {{ $value | printf "%.2f" }} cores a process, of the one that Python can use',
        description="Turns wait for each other's code. More processes, or less work a turn.",
    ),
    Alert(
        name="ContainerThrottled",
        expr=rate(c.CGROUP_THROTTLED_TIME, "instance"),
        levels=thresholds.THROTTLED_SHARE,
        lasting="5m",
        summary=_INSTANCE
        + ": {{ $value | humanizePercentage }} of a processor refused by the quota",
        description="The process stands still with all its turns. Raise the CPU limit.",
    ),
    Alert(
        name="MemoryNearlyFull",
        expr=_by_instance(f"{c.MEMORY_USAGE.prometheus_name} / {_memory_limit()}"),
        levels=thresholds.MEMORY_SHARE,
        lasting="5m",
        summary=_INSTANCE + ": {{ $value | humanizePercentage }} of its memory is used",
        description="At 100 % the kernel ends the process and its sessions. The board Runtime and "
        "resources sets memory against sessions.",
    ),
    Alert(
        name="DescriptorsNearlyUsedUp",
        expr=_by_instance(f"{c.FD_COUNT.prometheus_name} / {c.FD_LIMIT.prometheus_name}"),
        levels=thresholds.DESCRIPTOR_SHARE,
        lasting="5m",
        summary=_INSTANCE + ": {{ $value | humanizePercentage }} of its file descriptors are open",
        description="At 100 % no caller is accepted any more. Raise ulimit -n, and look for "
        "connections that are never closed.",
    ),
    Alert(
        name="DatabasePoolFull",
        expr=_pool_use(),
        levels=thresholds.POOL_USE,
        lasting="2m",
        summary=_INSTANCE
        + ": {{ $value | humanizePercentage }} of {{ $labels.db_client_connection_pool_name }} in use",
        description="The next query waits. See for how long connections are held: across a model "
        "call is the usual reason.",
    ),
    Alert(
        name="CallsWaitForThreads",
        expr=f"sum by (job, limiter) ({_at_a_time(c.THREADPOOL_WAITING)})",
        levels=thresholds.WAITING_CALLS,
        lasting="2m",
        summary='{{ $labels.job }}: {{ $value | printf "%.1f" }} calls wait for a worker thread',
        description="Synchronous endpoints and tools share 40 threads a process by default.",
    ),
    Alert(
        name="CallsWaitForConnections",
        expr=f"({_connections()})",
        levels=thresholds.WAITING_CALLS,
        lasting="2m",
        summary='{{ $labels.job }}: {{ $value | printf "%.1f" }} calls wait for a connection to '
        "{{ $labels.pool }}",
        description="The pool of the HTTP client or of the database binds, not the server behind it.",
    ),
    Alert(
        name="RecordsGivenUp",
        expr=share(
            "sum by (job, signal, sink) "
            f'(rate({c.SDK_DROPPED.prometheus_name}{{reason!="not_sampled"}}[{WINDOW}]))',
            f"(sum by (job, signal, sink) (rate({c.SDK_CREATED.prometheus_name}[{WINDOW}])) > 0)",
        ),
        levels=thresholds.RECORDS_GIVEN_UP,
        lasting="5m",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of {{ $labels.signal }} for "
        "{{ $labels.sink }} are lost",
        description="Traces of this time are incomplete. The disk or the receiver behind the sink "
        "is too slow or away.",
    ),
)
"""Every alert, what users feel first."""
