"""Incidents for each alert, and days on which nothing is wrong: series in promtool's notation."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentscope import conventions as c

MODEL = 'job="<job>",instance="a:1",provider="openai",model="m"'
QUOTA = f'{MODEL},dimension="requests"'
ONE = 'job="<job>",instance="a:1"'
POOL = f'{ONE},db_client_connection_pool_name="orders"'
SINK = f'{ONE},signal="spans",sink="otlp"'

Inputs = dict[str, str]
"""Series, each with its values minute by minute, in promtool's notation.

``<job>`` stands for a job of the case's own, so that one run of promtool takes all of them.
"""


def steady(value: float) -> str:
    """The same gauge for an hour."""
    return f"{value:g}x60"


def growing(per_second: float) -> str:
    """A counter that has gone up every minute for an hour."""
    return f"0+{60 * per_second:g}x60"


def gauge(metric: c.Metric, value: float, labels: str = ONE) -> Inputs:
    return {f"{metric.prometheus_name}{{{labels}}}": steady(value)}


def counter(metric: c.Metric, per_second: float, labels: str = ONE, part: str = "") -> Inputs:
    return {f"{metric.prometheus_name}{part}{{{labels}}}": growing(per_second)}


def turns(slower_than_25_6: float, per_second: float = 1.0) -> Inputs:
    """That share of the turns takes from 25.6 to 51.2 s, the others less than 0.1."""
    labels = f'{ONE},route="/r",status="200"'
    quick = (1 - slower_than_25_6) * per_second
    return counter(c.TURN_DURATION, per_second, labels, "_count") | {
        f'{c.TURN_DURATION.prometheus_name}_bucket{{{labels},le="{bound}"}}': growing(rate)
        for bound, rate in (
            ("0.1", quick), ("25.6", quick), ("51.2", per_second), ("+Inf", per_second),
        )
    }  # fmt: skip


def failing(share: float, per_second: float = 1.0) -> Inputs:
    labels = f'{ONE},route="/r",status="200"'
    failed = counter(c.ERRORS, share * per_second, f'{ONE},error_type="ValueError"')
    return counter(c.TURN_DURATION, per_second, labels, "_count") | failed


def calls(attempts_per_call: float, per_second: float = 2.0) -> Inputs:
    model = f'{ONE},gen_ai_request_model="m"'
    attempts = counter(
        c.LLM_ATTEMPTS, per_second * attempts_per_call, f'{MODEL},status_class="2xx"'
    )
    return counter(c.OPERATION_DURATION, per_second, model, "_count") | attempts


def quota(remaining: str, attempts: str = growing(1)) -> Inputs:
    return {
        f"{c.RATELIMIT_REMAINING.prometheus_name}{{{QUOTA}}}": remaining,
        f"{c.RATELIMIT_LIMIT.prometheus_name}{{{QUOTA}}}": steady(100_000),
        f"{c.LLM_ATTEMPTS.prometheus_name}{{{MODEL}}}": attempts,
    }


def failing_calls(share: float, per_second: float = 2.0) -> Inputs:
    """Under the newer name, as a service that records that one alone."""
    name = f'{c.INFERENCE_DURATION.prometheus_name}_count{{{ONE},gen_ai_request_model="m"'
    return {
        f'{name},error_type=""}}': growing((1 - share) * per_second),
        f'{name},error_type="APIError"}}': growing(share * per_second),
    }


def pool(used: str) -> Inputs:
    state = f'{POOL},db_client_connection_state="used"'
    used_ones = {f"{c.DB_CONNECTION_COUNT.prometheus_name}{{{state}}}": used}
    return used_ones | gauge(c.DB_CONNECTION_MAX, 10, POOL)


def again_and_again(*values: int) -> str:
    """Minute by minute, for an hour."""
    return " ".join(str(values[minute % len(values)]) for minute in range(60))


def flying(turns: str, ended: str) -> Inputs:
    labels = f'{ONE},route="/r",status="200"'
    return {
        f"{c.TURNS_ACTIVE.prometheus_name}{{{ONE}}}": turns,
        f"{c.TURN_DURATION.prometheus_name}_count{{{labels}}}": ended,
    }


def waiting_for(metric: c.Metric, values: str, label: str) -> Inputs:
    return {f'{metric.prometheus_name}{{{ONE},{label}="db:5432"}}': values}


def delays(late: float) -> Inputs:
    """Timers of the loop: that share of them from 0.25 to 0.5 s late."""
    name = f"{c.LOOP_DELAY.prometheus_name}_bucket{{{ONE}"
    return {
        f'{name},le="0.001"}}': growing(20 * (1 - late)),
        f'{name},le="0.25"}}': growing(20 * (1 - late)),
        f'{name},le="0.5"}}': growing(20),
        f'{name},le="+Inf"}}': growing(20),
    }


def workers(number: int) -> Inputs:
    return gauge(c.PROCESSES, number)


def scraped(up: str, there: str, instance: str = "a:1") -> Inputs:
    """What Prometheus says of an instance, and what the instance says."""
    labels = f'job="<job>",instance="{instance}"'
    told = {f"up{{{labels}}}": up, f"{c.TURNS_ACTIVE.prometheus_name}{{{labels}}}": there}
    return {series: values for series, values in told.items() if values}


DIES = "1x10 0x50", "0x10 _x50"
"""Up, then not; its figures end with it."""


@dataclass
class Case:
    """An alert: what makes it critical, and what it then says; days on which all keep silent."""

    bad: Inputs
    labels: dict[str, str]
    summary: str
    good: dict[str, Inputs] = field(default_factory=dict)
    also: dict[str, str] = field(default_factory=dict)
    """Alerts with the same labels that such a day sets off besides, and what they say."""


INSTANCE = {"job": "<job>", "instance": "a:1"}
OF_MODEL = {"job": "<job>", "provider": "openai", "model": "m"}

CASES = {
    "AgentUnreachable": Case(
        scraped(*DIES), {"job": "<job>"}, "<job>: 100% of its instances do not answer",
        {
            "all answer": scraped("1x60", "0x60") | scraped("1x60", "0x60", "a:2"),
            "one of two was taken away": scraped("1x60", "0x60")
            | scraped("1x10 _x50", "0x10 _x50", "a:2"),
            "somebody else's job is down": scraped("0x60", "") | scraped("1x60", "0x60", "a:2"),
            "pushed, not scraped": scraped("", "0x60"),
        },
    ),
    "AgentTurnsSlow": Case(
        turns(0.10), {"job": "<job>"}, "<job>: one turn in twenty takes more than 38.4s",
        {"quick": turns(0.0), "a slow turn at night": turns(1.0, 0.01)},
    ),
    "AgentTurnsFail": Case(
        failing(0.06), {"job": "<job>"}, "<job>: 6% of turns fail",
        {"few": failing(0.005), "one turn at night": failing(1.0, 0.01)},
    ),
    "AgentTurnsStuck": Case(
        flying(steady(8), "0+60x3 180x57"), {"job": "<job>"},
        "<job>: 8 turns in flight, and none ends",
        {
            "long ones, now and then": flying(steady(8), "0x5 1x5 2x50"),
            "none in flight": flying(steady(0), steady(100)),
            "a single long one": flying(steady(1), steady(100)),
            "just started, the first takes six minutes": flying("_x8 8x50", "_x14 1+1x50"),
        },
    ),
    "ModelCallsFail": Case(
        failing_calls(0.06), {"job": "<job>"}, "<job>: 6% of model calls fail",
        {"few": failing_calls(0.005), "one call at night": failing_calls(1.0, 0.01)},
    ),
    "ModelQuotaNearlyUsedUp": Case(
        quota(steady(5_000)), OF_MODEL | {"dimension": "requests"}, "openai m: 5% of requests left",
        {
            "half of it left": quota(steady(50_000)),
            "nobody has called since": quota(steady(5_000), attempts=steady(100)),
            "a dip": quota("50000x10 5000 50000x40"),
        },
    ),
    "ModelQuotaExhaustsSoon": Case(
        quota("98000x8 49000 0x40"),
        OF_MODEL | {"dimension": "requests"}, "openai m: requests used up in 0s",
        {
            "slowly": quota("50000-10x60"),
            "a burst into a full one": quota("100000x14 95000 85000x40"),
            "it begins anew each minute": quota(again_and_again(99_000, 30_000)),
            "nobody has called since": quota("40000-2000x10 20000x40", "0+60x10 600x40"),
        },
        also={"ModelQuotaNearlyUsedUp": "openai m: 0% of requests left"},
    ),
    "ModelCallsRetried": Case(
        calls(1.5), {"job": "<job>"}, "<job>: 50% more attempts than calls",
        {"few": calls(1.01), "one call at night": calls(2.0, 0.01)},
    ),
    "ModelCallersAsleep": Case(
        counter(c.LLM_BACKOFF, 4.5, f'{MODEL},reason="rate_limit"')
        | counter(c.LLM_BACKOFF, 3, f'{ONE},provider="openai",model="n",reason="rate_limit"'),
        {"job": "<job>"}, "<job>: 7.5 calls sleep between attempts",
        {"less than one": counter(c.LLM_BACKOFF, 0.5, f'{MODEL},reason="rate_limit"')},
    ),
    "EventLoopLate": Case(
        delays(0.10), INSTANCE, "<job> a:1: the event loop is 475ms late (p99)",
        {"a blip": delays(0.001)},
    ),
    "CollectorStopsProcess": Case(
        counter(c.GC_PAUSE, 0.4, f'{ONE},generation="2"', "_sum") | workers(2), INSTANCE,
        "<job> a:1: stopped 20% of the time to collect garbage",
        {"each of many a little":
            counter(c.GC_PAUSE, 0.08, f'{ONE},generation="2"', "_sum") | workers(8)},
    ),
    "ProcessorBusy": Case(
        counter(c.CPU_TIME, 1.9, f'{ONE},cpu_mode="user"') | workers(2), INSTANCE,
        "<job> a:1: 0.95 cores a process, of the one that Python can use",
        {"each of many a little": counter(c.CPU_TIME, 1.2, f'{ONE},cpu_mode="user"') | workers(4)},
    ),
    "ContainerThrottled": Case(
        counter(c.CGROUP_THROTTLED_TIME, 0.25), INSTANCE,
        "<job> a:1: 25% of a processor refused by the quota",
        {"hardly": counter(c.CGROUP_THROTTLED_TIME, 0.001)},
    ),
    "MemoryNearlyFull": Case(
        gauge(c.MEMORY_USAGE, 950) | gauge(c.CGROUP_MEMORY_LIMIT, 1000) | gauge(c.HOST_MEMORY, 9e9),
        INSTANCE, "<job> a:1: 95% of its memory is used",
        {"no limit but the host's": gauge(c.MEMORY_USAGE, 950) | gauge(c.HOST_MEMORY, 9e9)},
    ),
    "DescriptorsNearlyUsedUp": Case(
        gauge(c.FD_COUNT, 1000) | gauge(c.FD_LIMIT, 1024), INSTANCE,
        "<job> a:1: 97.66% of its file descriptors are open",
        {
            "few": gauge(c.FD_COUNT, 100) | gauge(c.FD_LIMIT, 1024),
            "no limit": gauge(c.FD_COUNT, 1e6),
        },
    ),
    "DatabasePoolFull": Case(
        pool(again_and_again(10, 10, 9)), INSTANCE | {"db_client_connection_pool_name": "orders"},
        "<job> a:1: 100% of orders in use",
        {"some free": pool(steady(7)), "full for a moment": pool(again_and_again(3, 10, 4))},
    ),
    "CallsWaitForThreads": Case(
        {f'{c.THREADPOOL_WAITING.prometheus_name}{{{ONE},limiter="anyio"}}':
            again_and_again(30, 0, 12)},
        {"job": "<job>", "limiter": "anyio"}, "<job>: 14.0 calls wait for a worker thread",
        {
            "one": gauge(c.THREADPOOL_WAITING, 1, f'{ONE},limiter="anyio"'),
            "a moment's queue": {f'{c.THREADPOOL_WAITING.prometheus_name}{{{ONE},limiter="anyio"}}':
                "0x10 4 0x40"},
        },
    ),
    "CallsWaitForConnections": Case(
        waiting_for(c.DB_PENDING_REQUESTS, again_and_again(25, 0), "db_client_connection_pool_name"),
        {"job": "<job>", "pool": "db:5432"},
        "<job>: 12.5 calls wait for a connection to db:5432",
        {"of an HTTP client, one": waiting_for(c.HTTP_POOL_WAITING, steady(1), "pool")},
    ),
    "RecordsGivenUp": Case(
        counter(c.SDK_CREATED, 10, SINK) | counter(c.SDK_DROPPED, 1, f'{SINK},reason="queue_full"'),
        {"job": "<job>", "signal": "spans", "sink": "otlp"},
        "<job>: 10% of spans for otlp are lost",
        {"sampled out": counter(c.SDK_CREATED, 10, SINK)
            | counter(c.SDK_DROPPED, 9, f'{SINK},reason="not_sampled"')},
    ),
}  # fmt: skip
"""Every alert, by name."""
