"""What every query of every panel has to show of ``history``, reckoned without PromQL.

Only from what the history was made of: so much a second, such a level, such a spread of durations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from history import (
    BOTH_NAMES,
    CALM_S,
    CHAT,
    INSTANCES,
    MODEL,
    NEWER_NAMES,
    SUMMARY,
    amount_per_second,
    in_trouble,
    per_second,
    quantile,
    value,
)
from prometheus_server import Labels

from agentscope import conventions as c

Shown = dict[Labels, float]
Reckoned = Callable[[float], Shown]
Amount = Callable[[float], float]


def one(amount: Amount) -> Reckoned:
    """A single series without labels."""
    return lambda at: {(): amount(at)}


def by(label: str, values: Iterable[str], amount: Callable[[str, float], float]) -> Reckoned:
    """A series for each value of a label."""
    return lambda at: {((label, value),): amount(value, at) for value in values}


def by_instance(amount: Callable[[str, float], float]) -> Reckoned:
    return by("instance", INSTANCES, amount)


def labelled(labels: dict[str, str], amount: Amount) -> Reckoned:
    """A single series with these labels."""
    return lambda at: {tuple(sorted(labels.items())): amount(at)}


def merged(*parts: Reckoned) -> Reckoned:
    return lambda at: {labels: value for part in parts for labels, value in part(at).items()}


def rate(metric: c.Metric, **labels: str) -> Amount:
    return lambda at: per_second(metric, at, **labels)


def level(metric: c.Metric, **labels: str) -> Amount:
    return lambda at: value(metric, at, **labels)


def of_instance(metric: c.Metric, **labels: str) -> Amount:
    """A gauge that both instances say the same of."""
    return level(metric, instance=BOTH_NAMES, **labels)


def p(share: float, metric: c.Metric, **labels: str) -> Amount:
    return lambda at: quantile(share, metric, at, **labels)


def over(part: Amount, whole: Amount) -> Amount:
    return lambda at: part(at) / whole(at)


def mean(metric: c.Metric) -> Amount:
    return lambda at: amount_per_second(metric, at) / per_second(metric, at)


TURNS: Final = rate(c.TURN_DURATION)
ERRORS: Final = rate(c.ERRORS)
CALLS: Final = rate(c.INFERENCE_DURATION)
"""Of the instance with both names, the older; they say the same."""

KINDS: Final = ("rate_limit", "db.pool", "http.pool", "http.connect", "threadpool")
KINDS_AND_RESOURCES: Final = dict(
    zip(
        KINDS,
        ("openai", "orders", "api.openai.com:443", "api.openai.com:443", "anyio"),
        strict=True,
    )
)
QUOTAS: Final = ("requests", "tokens", "input_tokens", "output_tokens")
ROUTES: Final = (CHAT, SUMMARY)
REASONS: Final = ("rate_limit", "retry_backoff")
ORDERS: Final = {"db_client_connection_pool_name": "orders"}
ANY_POOL: Final = {"db_client_connection_pool_name": "any"}
API: Final = {"pool": "api.openai.com:443"}
THREADS: Final = {"limiter": "anyio"}
OF_MODEL: Final = {"gen_ai_request_model": MODEL}
SPANS: Final = {"signal": "spans", "sink": "run_directory"}
ANYTHING: Final = {"signal": "any", "sink": "any"}
MESSAGE: Final = {"name": "message"}


def good(at: float) -> float:
    """Turns a second that ended well: answered, and no stream that broke off."""
    answered = per_second(c.TURN_DURATION, at, status="200")
    return min(answered, TURNS(at) - ERRORS(at))


def speed(at: float) -> float:
    answered_s = amount_per_second(c.TURN_DURATION, at, status="200")
    answered = per_second(c.TURN_DURATION, at, status="200")
    return good(at) / TURNS(at) * answered / answered_s


def speed_kept(at: float) -> float:
    return speed(at) / speed(CALM_S)  # most of the time it is calm, and then it is at its best


def each_quota(amount: Callable[[str, float], float], *labels: str) -> Reckoned:
    told = {"provider": "openai", "model": MODEL}
    shown = {name: told[name] for name in labels or told}
    return lambda at: {
        tuple(sorted({**shown, "dimension": name}.items())): amount(name, at) for name in QUOTAS
    }


def left(dimension: str, at: float) -> float:
    part, whole = (
        of_instance(metric, dimension=dimension)(at)
        for metric in (c.RATELIMIT_REMAINING, c.RATELIMIT_LIMIT)
    )
    return part / whole


def asked(amount: Amount, of_it: float) -> Reckoned:
    """A minute's worth, as a share of the quota."""
    return labelled({"model": MODEL}, lambda at: 60 * amount(at) / of_it)


def tokens(at: float) -> float:
    return sum(per_second(one, at) for one in (c.INFERENCE_INPUT_TOKENS, c.INFERENCE_OUTPUT_TOKENS))


def attempts(status_class: str, at: float) -> float:
    return per_second(c.LLM_ATTEMPTS, at, status_class=status_class)


def retries(at: float) -> float:
    return per_second(c.LLM_ATTEMPTS, at) / CALLS(at) - 1


WAITING_PER_TURN: Final = by(
    "kind",
    KINDS,
    lambda kind, at: amount_per_second(c.WAIT_DURATION, at, kind=kind) / TURNS(at),
)
WAIT_P95: Final = by("kind", KINDS, lambda kind, at: quantile(0.95, c.WAIT_DURATION, at, kind=kind))
ASLEEP: Final = by(
    "reason", REASONS, lambda reason, at: per_second(c.LLM_BACKOFF, at, reason=reason)
)
BY_ERROR: Final = labelled({"error_type": "TimeoutError"}, ERRORS)
QUOTA_LEFT: Final = each_quota(left)
FULL_AGAIN: Final = each_quota(lambda name, at: of_instance(c.RATELIMIT_RESET, dimension=name)(at))
SCARCEST: Final = one(lambda at: min(left(name, at) for name in QUOTAS))
LOOP_P99: Final = by_instance(
    lambda instance, at: quantile(0.99, c.LOOP_DELAY, at, instance=instance)
)
LOOP_P50: Final = by_instance(
    lambda instance, at: quantile(0.5, c.LOOP_DELAY, at, instance=instance)
)
LOOP_MAX: Final = by_instance(lambda instance, at: value(c.LOOP_DELAY_MAX, at, instance=instance))
CPU: Final = by_instance(lambda instance, at: per_second(c.CPU_TIME, at, instance=instance))
GC: Final = by_instance(lambda instance, at: amount_per_second(c.GC_PAUSE, at, instance=instance))
MEMORY: Final = by_instance(lambda instance, at: value(c.MEMORY_USAGE, at, instance=instance))
SESSIONS: Final = by_instance(lambda instance, at: value(c.SESSIONS_ACTIVE, at, instance=instance))
POOL_USE: Final = labelled(
    ORDERS,
    over(
        level(c.DB_CONNECTION_COUNT, db_client_connection_state="used"), level(c.DB_CONNECTION_MAX)
    ),
)
PENDING: Final = labelled(ORDERS, level(c.DB_PENDING_REQUESTS))
INPUT: Final = labelled(OF_MODEL, rate(c.INFERENCE_INPUT_TOKENS))
OUTPUT: Final = labelled(OF_MODEL, rate(c.INFERENCE_OUTPUT_TOKENS))
TOOL: Final = "lookup_order"

OVERVIEW: Final[dict[str, Reckoned]] = {
    "Golden signals | Turns a second | A": one(TURNS),
    "Golden signals | Turn time, p95 | A": one(p(0.95, c.TURN_DURATION)),
    "Golden signals | Failed turns | A": one(over(ERRORS, TURNS)),
    "Golden signals | Active sessions | A": one(level(c.SESSIONS_ACTIVE)),
    "Golden signals | Turns in flight | A": one(level(c.TURNS_ACTIVE)),
    "Golden signals | Scarcest quota | A": SCARCEST,
    "Turns by route | Turns per second | A": by(
        "route", ROUTES, lambda route, at: per_second(c.TURN_DURATION, at, route=route)
    ),
    "Turns by route | Turns answered 5xx | A": lambda at: {
        (("route", CHAT),): per_second(c.TURN_DURATION, at, status="500")
        / per_second(c.TURN_DURATION, at, route=CHAT),
        (("route", SUMMARY),): 0.0,
    },
    "Turns by route | Turn duration, p95 | A": by(
        "route", ROUTES, lambda route, at: quantile(0.95, c.TURN_DURATION, at, route=route)
    ),
    "Turns by route | Turn duration, median | A": by(
        "route", ROUTES, lambda route, at: quantile(0.5, c.TURN_DURATION, at, route=route)
    ),
    "Turns by route | Failed turns by error type | A": BY_ERROR,
    "Turns by route | HTTP requests by status | A": lambda at: {
        (("http_response_status_code", status), ("http_route", CHAT)): per_second(
            c.HTTP_SERVER_DURATION, at, http_response_status_code=status
        )
        for status in ("200", "500")
    },
    "Where wall time waits | Waiting per turn, by kind | A": WAITING_PER_TURN,
    "Where wall time waits | Time per turn, by phase | A": by(
        "phase",
        ("llm_call", "context_load"),
        lambda phase, at: amount_per_second(c.PHASE_DURATION, at, phase=phase) / TURNS(at),
    ),
    "Where wall time waits | Waiters at a time | A": lambda at: {
        (("kind", kind), ("resource", resource)): amount_per_second(c.WAIT_DURATION, at, kind=kind)
        for kind, resource in KINDS_AND_RESOURCES.items()
    },
    "Where wall time waits | Wait duration, p95 | A": WAIT_P95,
    "Where wall time waits | Model back-off | A": ASLEEP,
    "Where wall time waits | Event-loop delay | A": LOOP_P99,
    "Where wall time waits | Event-loop delay | B": LOOP_P50,
    "Model calls and tools | Tokens per second | A": INPUT,
    "Model calls and tools | Tokens per second | B": OUTPUT,
    "Model calls and tools | First chunk, p95 | A": labelled(
        OF_MODEL, p(0.95, c.INFERENCE_FIRST_CHUNK)
    ),
    "Model calls and tools | Call duration, p95 | A": labelled(
        OF_MODEL, p(0.95, c.INFERENCE_DURATION)
    ),
    "Model calls and tools | Quota left | A": QUOTA_LEFT,
    "Model calls and tools | Quota full again in | A": FULL_AGAIN,
    "Model calls and tools | Attempts by status | A": by("status_class", ("2xx", "4xx"), attempts),
    "Model calls and tools | Tool calls | A": lambda at: {
        (("status", status), ("tool", TOOL)): per_second(c.TOOL_CALLS, at, status=status)
        for status in ("ok", "error")
    },
    "Model calls and tools | Tool duration, p95 | A": labelled(
        {"gen_ai_tool_name": TOOL}, p(0.95, c.EXECUTE_TOOL_DURATION)
    ),
    "Runtime | Event-loop delay, largest | A": LOOP_MAX,
    "Runtime | Stopped by the garbage collector | A": GC,
    "Runtime | CPU | A": CPU,
    "Runtime | Memory | A": MEMORY,
    "Runtime | Database pool in use | A": POOL_USE,
    "Runtime | Waiting for a database connection | A": PENDING,
    "The recorder itself | Records made, delivered | A": labelled(SPANS, rate(c.SDK_CREATED)),
    "The recorder itself | Records made, delivered | B": labelled(SPANS, rate(c.SDK_DELIVERED)),
    "The recorder itself | Records given up | A": merged(
        *(
            labelled({**SPANS, "reason": reason}, rate(c.SDK_DROPPED, reason=reason))
            for reason in ("queue_full", "not_sampled")
        )
    ),
    "The recorder itself | Records on their way | A": labelled(ANYTHING, level(c.SDK_PENDING)),
    "The recorder itself | Recorder's own faults | A": labelled(
        {"where": "any"}, rate(c.SDK_INTERNAL_ERRORS)
    ),
}

LLM: Final[dict[str, Reckoned]] = {
    "Calls of models now | Calls a second | A": one(CALLS),
    "Calls of models now | Call time, p95 | A": one(p(0.95, c.INFERENCE_DURATION)),
    "Calls of models now | First chunk p95 | A": one(p(0.95, c.INFERENCE_FIRST_CHUNK)),
    "Calls of models now | Retries a call | A": one(retries),
    "Calls of models now | Callers asleep | A": one(rate(c.LLM_BACKOFF)),
    "Calls of models now | Scarcest quota | A": SCARCEST,
    "Attempts and hidden retries | Attempts by status | A": lambda at: {
        (("model", MODEL), ("status_class", status)): attempts(status, at)
        for status in ("2xx", "4xx")
    },
    "Attempts and hidden retries | Retries per call, by model | A": labelled(
        {"model": MODEL}, retries
    ),
    "Attempts and hidden retries | Callers asleep, by reason | A": lambda at: {
        (("model", MODEL), ("provider", "openai"), ("reason", reason)): per_second(
            c.LLM_BACKOFF, at, reason=reason
        )
        for reason in REASONS
    },
    "Attempts and hidden retries | Calls that fail after all | A": one(
        over(rate(c.INFERENCE_DURATION, error_type="openai.RateLimitError"), CALLS)
    ),
    "Attempts and hidden retries | HTTP connections in use | A": labelled(
        API, level(c.HTTP_POOL_IN_USE)
    ),
    "Attempts and hidden retries | HTTP connections in use | B": labelled(
        API, level(c.HTTP_POOL_LIMIT)
    ),
    "Attempts and hidden retries | Waiting for a connection | A": labelled(
        API, level(c.HTTP_POOL_WAITING)
    ),
    "Attempts and hidden retries | Connection wait, p95 | A": by(
        "kind",
        ("http.pool", "http.connect"),
        lambda kind, at: quantile(0.95, c.WAIT_DURATION, at, kind=kind),
    ),
    "Rate limits | Quota left | A": QUOTA_LEFT,
    # In the middle of the trouble nothing is left: it sinks to 1/e every 100 s.
    "Rate limits | Time to exhaustion | A": lambda at: (
        each_quota(lambda name, at: 0.0)(at) if in_trouble(at) else {}
    ),
    "Rate limits | Asked of each quota | A": asked(rate(c.LLM_ATTEMPTS), 1_000),
    "Rate limits | Asked of each quota | B": asked(tokens, 200_000),
    "Rate limits | Asked of each quota | C": asked(rate(c.INFERENCE_INPUT_TOKENS), 160_000),
    "Rate limits | Asked of each quota | D": asked(rate(c.INFERENCE_OUTPUT_TOKENS), 40_000),
    "Rate limits | Quotas | A": each_quota(
        lambda name, at: of_instance(c.RATELIMIT_LIMIT, dimension=name)(at)
    ),
    "Rate limits | Quota full again in | A": FULL_AGAIN,
    "Latency | First chunk | A": labelled(OF_MODEL, p(0.95, c.INFERENCE_FIRST_CHUNK)),
    "Latency | First chunk | B": labelled(OF_MODEL, p(0.5, c.INFERENCE_FIRST_CHUNK)),
    "Latency | Between chunks, p95 | A": labelled(OF_MODEL, p(0.95, c.INFERENCE_CHUNK_GAP)),
    "Latency | Whole call | A": labelled(OF_MODEL, p(0.95, c.INFERENCE_DURATION)),
    "Latency | Whole call | B": labelled(OF_MODEL, p(0.5, c.INFERENCE_DURATION)),
    "Tokens and cost | Tokens per second | A": INPUT,
    "Tokens and cost | Tokens per second | B": OUTPUT,
    "Tokens and cost | Tokens per call | A": labelled(
        OF_MODEL, over(rate(c.INFERENCE_INPUT_TOKENS), CALLS)
    ),
    "Tokens and cost | Tokens per call | B": labelled(
        OF_MODEL, over(rate(c.INFERENCE_OUTPUT_TOKENS), CALLS)
    ),
    "Tokens and cost | Cached and reasoning shares | A": labelled(
        OF_MODEL, over(rate(c.INFERENCE_CACHE_READ_TOKENS), rate(c.INFERENCE_INPUT_TOKENS))
    ),
    "Tokens and cost | Cached and reasoning shares | B": labelled(
        OF_MODEL, over(rate(c.INFERENCE_REASONING_TOKENS), rate(c.INFERENCE_OUTPUT_TOKENS))
    ),
    "Tokens and cost | Cost per hour | A": labelled(
        {"model": MODEL}, lambda at: 3600 * per_second(c.COST, at)
    ),
    "Tokens and cost | Cost per 1,000 turns | A": labelled(
        {"model": MODEL}, lambda at: 1000 * per_second(c.COST, at) / TURNS(at)
    ),
    "Tokens and cost | Calls without a price | A": labelled(
        {"model": MODEL, "reason": "unknown_model"}, rate(c.COST_UNPRICED)
    ),
}

RUNTIME: Final[dict[str, Reckoned]] = {
    "The worst instance now | Loop delay | A": one(of_instance(c.LOOP_DELAY_MAX)),
    "The worst instance now | CPU, busiest | A": one(rate(c.CPU_TIME, instance=NEWER_NAMES)),
    "The worst instance now | Memory, fullest | A": one(
        over(of_instance(c.MEMORY_USAGE), of_instance(c.CGROUP_MEMORY_LIMIT))
    ),
    "The worst instance now | Throttled | A": one(
        rate(c.CGROUP_THROTTLED_TIME, instance=NEWER_NAMES)
    ),
    "The worst instance now | Thread queue | A": one(level(c.THREADPOOL_WAITING)),
    "The worst instance now | Descriptors | A": one(
        over(of_instance(c.FD_COUNT), of_instance(c.FD_LIMIT))
    ),
    "Event loop and interpreter | Event-loop delay | A": LOOP_P99,
    "Event loop and interpreter | Event-loop delay | B": LOOP_P50,
    "Event loop and interpreter | Event-loop delay, largest | A": LOOP_MAX,
    "Event loop and interpreter | Stopped by the garbage collector | A": GC,
    "Event loop and interpreter | Collector pause, p99 | A": labelled(
        {"generation": "2"}, p(0.99, c.GC_PAUSE)
    ),
    "Event loop and interpreter | Wait for the interpreter lock | A": by_instance(
        lambda instance, at: value(c.INTERPRETER_LOCK_WAIT, at, instance=instance)
    ),
    "Threads and pools | Worker threads in use | A": labelled(
        THREADS, over(level(c.THREADPOOL_BORROWED), level(c.THREADPOOL_LIMIT))
    ),
    "Threads and pools | Waiting for a thread | A": labelled(THREADS, level(c.THREADPOOL_WAITING)),
    "Threads and pools | Wait for a thread, p95 | A": labelled(
        {"resource": "anyio"}, p(0.95, c.WAIT_DURATION, kind="threadpool")
    ),
    "Threads and pools | HTTP connections in use | A": labelled(
        API, over(level(c.HTTP_POOL_IN_USE), level(c.HTTP_POOL_LIMIT))
    ),
    "Threads and pools | Waiting for an HTTP connection | A": labelled(
        API, level(c.HTTP_POOL_WAITING)
    ),
    "Threads and pools | Database pool in use | A": POOL_USE,
    "Threads and pools | Waiting for a connection | A": PENDING,
    "Threads and pools | Time held, waited for | A": labelled(ANY_POOL, p(0.95, c.DB_USE_TIME)),
    "Threads and pools | Time held, waited for | B": labelled(ANY_POOL, p(0.95, c.DB_WAIT_TIME)),
    "Threads and pools | Time-outs of the pool | A": labelled(ANY_POOL, rate(c.DB_TIMEOUTS)),
    "Processor and container | CPU | A": CPU,
    "Processor and container | CPU refused by the quota | A": by_instance(
        lambda instance, at: per_second(c.CGROUP_THROTTLED_TIME, at, instance=instance)
    ),
    "Processor and container | CPU seconds per turn | A": one(over(rate(c.CPU_TIME), TURNS)),
    "Processor and container | Processors and processes | A": by_instance(lambda *_: 2),
    "Processor and container | Processors and processes | B": by_instance(lambda *_: 4),
    "Processor and container | Processors and processes | C": by_instance(lambda *_: 1),
    "Processor and container | Threads | A": by_instance(
        lambda instance, at: value(c.THREAD_COUNT, at, instance=instance)
    ),
    "Memory, sessions, descriptors | Memory | A": MEMORY,
    "Memory, sessions, descriptors | Memory | B": by_instance(lambda *_: 1e9),
    "Memory, sessions, descriptors | Memory, share of the limit | A": by_instance(
        lambda instance, at: value(c.MEMORY_USAGE, at, instance=instance) / 1e9
    ),
    "Memory, sessions, descriptors | Memory per active session | A": by_instance(
        lambda instance, at: (
            value(c.MEMORY_USAGE, at, instance=instance)
            / value(c.SESSIONS_ACTIVE, at, instance=instance)
        )
    ),
    "Memory, sessions, descriptors | Active sessions | A": SESSIONS,
    "Memory, sessions, descriptors | Turns of a session | A": one(mean(c.SESSION_TURNS)),
    "Memory, sessions, descriptors | Sessions forgotten early | A": by_instance(
        lambda instance, at: per_second(c.SESSIONS_FORGOTTEN, at, instance=instance)
    ),
    "Memory, sessions, descriptors | Open file descriptors | A": by_instance(
        lambda instance, at: value(c.FD_COUNT, at, instance=instance) / 1000
    ),
    "PostgreSQL | Database sessions | A": labelled(
        {"state": "any"}, of_instance(c.POSTGRES_BACKENDS)
    ),
    "PostgreSQL | Database sessions that wait | A": labelled(
        {"wait_event_type": "any", "wait_event": "any"}, of_instance(c.POSTGRES_BACKENDS)
    ),
    "PostgreSQL | Oldest transaction | A": labelled(
        {"state": "any"}, of_instance(c.POSTGRES_TRANSACTION_AGE)
    ),
}

LOAD_RUN: Final[dict[str, Reckoned]] = {
    "The run now | Users | A": one(level(c.LOAD_USERS)),
    "The run now | Turns in flight | A": one(level(c.TURNS_ACTIVE)),
    "The run now | Good turns / s | A": one(good),
    "The run now | Speed kept | A": one(speed_kept),
    "The run now | Turn time, p95 | A": one(p(0.95, c.TURN_DURATION)),
    "The run now | Failed turns | A": one(over(ERRORS, TURNS)),
    "Throughput against concurrency | Users and turns in flight | A": one(level(c.LOAD_USERS)),
    "Throughput against concurrency | Users and turns in flight | B": one(level(c.SESSIONS_ACTIVE)),
    "Throughput against concurrency | Users and turns in flight | C": one(level(c.TURNS_ACTIVE)),
    "Throughput against concurrency | Turns per second | A": one(TURNS),
    "Throughput against concurrency | Turns per second | B": one(good),
    "Throughput against concurrency | Throughput against turns in flight | A": one(
        level(c.TURNS_ACTIVE)
    ),
    "Throughput against concurrency | Throughput against turns in flight | B": one(good),
    "Throughput against concurrency | The knee: speed kept | A": one(speed_kept),
    "Throughput against concurrency | What one user gets | A": one(over(good, level(c.LOAD_USERS))),
    **{
        f"Percentiles | Turn duration, as the service sees it | {letter}": one(
            p(share, c.TURN_DURATION)
        )
        for letter, share in zip("ABCD", (0.5, 0.9, 0.95, 0.99), strict=True)
    },
    "Percentiles | Turn duration, as the service sees it | E": one(mean(c.TURN_DURATION)),
    "Percentiles | Request duration, as users see it | A": labelled(
        MESSAGE, p(0.5, c.LOAD_REQUEST_DURATION)
    ),
    "Percentiles | Request duration, as users see it | B": labelled(
        MESSAGE, p(0.95, c.LOAD_REQUEST_DURATION)
    ),
    "Errors | Failed turns by type | A": BY_ERROR,
    "Errors | Answers that are errors, by status | A": labelled(
        {"http_response_status_code": "500", "http_route": CHAT},
        rate(c.HTTP_SERVER_DURATION, http_response_status_code="500"),
    ),
    "Errors | Users' requests by outcome | A": by(
        "outcome",
        ("ok", "no_answer"),
        lambda outcome, at: per_second(c.LOAD_REQUESTS, at, outcome=outcome),
    ),
    "What grows | Waiting per turn, by kind | A": WAITING_PER_TURN,
    "What grows | Callers asleep | A": ASLEEP,
    "What grows | Quota left | A": each_quota(left, "model"),
    "What grows | Queues | A": PENDING,
    "What grows | Queues | B": labelled(API, level(c.HTTP_POOL_WAITING)),
    "What grows | Queues | C": labelled(THREADS, level(c.THREADPOOL_WAITING)),
    "What grows | Event-loop delay, p99 | A": LOOP_P99,
    "What grows | CPU | A": CPU,
}

SHOWN: Final[dict[tuple[str, str], Reckoned]] = {
    (f"agentscope-{board}", place): reckoned
    for board, places in (
        ("overview", OVERVIEW), ("llm", LLM), ("runtime", RUNTIME), ("load-run", LOAD_RUN),
    )
    for place, reckoned in places.items()
}  # fmt: skip
"""By board, and by row, panel and query: the series at a moment."""
