"""Three hours of a service that never was: calm, half an hour of trouble, calm again.

Every metric of the vocabulary has at least one series. What each one does is said once, in
``STORY``: Prometheus gets it as OpenMetrics text, tests reckon from the same numbers what a panel
has to show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from agentscope import conventions as c

START_S: Final = 1_790_000_040
"""A whole minute, long ago: nothing depends on when the test runs."""

STEP_S: Final = 60
LENGTH_S: Final = 3 * 3600
END_S: Final = START_S + LENGTH_S

EVERY_MINUTE: Final = range(START_S, END_S + 1, STEP_S)

TROUBLE_FROM_S, TROUBLE_UNTIL_S = START_S + 4800, START_S + 6600
RESTART_S: Final = START_S + 9900
"""When the second instance begins anew, its counters at zero."""

CALM_S: Final = START_S + 3600
TROUBLE_S: Final = START_S + 6000
AFTER_S: Final = START_S + 9000
"""Moments to look at: windows of ten minutes before them are all of one kind."""

JOB: Final = "support-agent"
BOTH_NAMES, NEWER_NAMES = "10.0.0.1:8000", "10.0.0.2:8000"
"""The instances: one records the GenAI metrics by both names, one by the newer ones alone."""

INSTANCES: Final = (BOTH_NAMES, NEWER_NAMES)
LOAD_JOB, LOAD_INSTANCE = "locust", "10.0.0.9:9646"


@dataclass(frozen=True, slots=True)
class Flow:
    """A counter: so much a second."""

    calm: float
    trouble: float

    def now(self, at_s: float) -> float:
        """How much a second, at a moment."""
        return self.trouble if in_trouble(at_s) else self.calm


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge."""

    calm: float
    trouble: float
    sinks_within_s: float = 0.0
    """In trouble it is not another level but falls to 1/e in each such time."""

    def now(self, at_s: float) -> float:
        """Its value at a moment."""
        if not in_trouble(at_s):
            return self.calm
        if self.sinks_within_s:
            return self.calm * math.exp((TROUBLE_FROM_S - at_s) / self.sinks_within_s)
        return self.trouble


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram: observations a second, by the value observed."""

    calm: Mapping[float, float]
    trouble: Mapping[float, float]

    def now(self, at_s: float) -> Mapping[float, float]:
        """Observations a second, at a moment."""
        return self.trouble if in_trouble(at_s) else self.calm


Shape = Flow | Level | Spread
Told = list[tuple[Mapping[str, str], Shape]]
"""Series of one metric: the labels of each, and what it does."""


def in_trouble(at_s: float) -> bool:
    return TROUBLE_FROM_S < at_s <= TROUBLE_UNTIL_S


MODEL: Final = "gpt-4o-mini"
_PROVIDER = {"provider": "openai", "model": MODEL}
_GENAI = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": MODEL,
}
_OK, _FAILED = {"error_type": ""}, {"error_type": "openai.RateLimitError"}
_TEXT = {"gen_ai_token_modality": c.MODALITY_UNKNOWN}
_POOL = {"db_client_connection_pool_name": "orders"}
_API = {"pool": "api.openai.com:443"}
_THREADS = {"limiter": "anyio"}
_SPANS = {"signal": "spans", "sink": "run_directory"}
CHAT, SUMMARY = "/api/sessions/{session_id}/messages", "/api/sessions/{session_id}/summary"

_CALLS: Told = [
    (_GENAI | _OK, Spread({1.5: 3.98}, {5.0: 3.4})),
    (_GENAI | _FAILED, Spread({0.5: 0.02}, {2.5: 0.6})),
]
_FIRST_CHUNKS: Told = [(_GENAI, Spread({0.5: 1.0}, {1.5: 1.0}))]
_GAPS: Told = [(_GENAI, Spread({0.015: 50.0}, {0.045: 50.0}))]
_QUOTA = {"requests": 1_000.0, "tokens": 200_000.0, "input_tokens": 1.6e5, "output_tokens": 4e4}

STORY: Final[dict[c.Metric, Told]] = {
    c.TURN_DURATION: [
        ({"route": CHAT, "status": "200"}, Spread({4.0: 1.8, 9.0: 0.2}, {12.0: 1.4, 27.0: 0.2})),
        ({"route": CHAT, "status": "500"}, Spread({1.0: 0.002}, {1.0: 0.2})),
        ({"route": SUMMARY, "status": "200"}, Spread({2.0: 0.5}, {6.0: 0.4})),
    ],
    c.ERRORS: [({"error_type": "TimeoutError"}, Flow(0.002, 0.3))],
    c.HTTP_SERVER_DURATION: [
        (
            {
                "http_request_method": "POST",
                "http_route": CHAT,
                "http_response_status_code": status,
            },
            shape,
        )
        for status, shape in (
            ("200", Spread({4.0: 2.0}, {12.0: 1.6})),
            ("500", Spread({1.0: 0.002}, {1.0: 0.2})),
        )
    ],
    c.SESSIONS_ACTIVE: [({}, Level(20, 30))],
    c.TURNS_ACTIVE: [({}, Level(10, 28))],
    c.PHASE_DURATION: [
        ({"phase": "llm_call"}, Spread({3.0: 2.5}, {9.0: 2.2})),
        ({"phase": "context_load"}, Spread({0.1: 2.5}, {0.3: 2.2})),
    ],
    c.WAIT_DURATION: [
        ({"kind": kind, "resource": resource}, shape)
        for kind, resource, shape in (
            ("rate_limit", "openai", Spread({0.4: 0.01}, {4.0: 1.5})),
            ("db.pool", "orders", Spread({0.002: 0.5}, {0.75: 2.0})),
            ("http.pool", "api.openai.com:443", Spread({0.002: 0.1}, {0.4: 2.0})),
            ("http.connect", "api.openai.com:443", Spread({0.02: 0.1}, {0.06: 0.1})),
            ("threadpool", "anyio", Spread({0.002: 0.1}, {0.2: 1.0})),
        )
    ],
    c.OPERATION_DURATION: _CALLS,
    c.INFERENCE_DURATION: _CALLS,
    c.OPERATION_FIRST_CHUNK: _FIRST_CHUNKS,
    c.INFERENCE_FIRST_CHUNK: _FIRST_CHUNKS,
    c.OPERATION_CHUNK_GAP: _GAPS,
    c.INFERENCE_CHUNK_GAP: _GAPS,
    c.TOKEN_USAGE: [
        (_GENAI | {"gen_ai_token_type": "input"}, Spread({500.0: 4.0}, {1500.0: 4.0})),
        (_GENAI | {"gen_ai_token_type": "output"}, Spread({100.0: 4.0}, {100.0: 4.0})),
    ],
    c.INFERENCE_INPUT_TOKENS: [(_GENAI | _TEXT, Flow(2000.0, 6000.0))],
    c.INFERENCE_OUTPUT_TOKENS: [(_GENAI | _TEXT, Flow(400.0, 400.0))],
    c.INFERENCE_CACHE_READ_TOKENS: [(_GENAI | _TEXT, Flow(500.0, 600.0))],
    c.INFERENCE_CACHE_WRITE_TOKENS: [(_GENAI | _TEXT, Flow(50.0, 60.0))],
    c.INFERENCE_REASONING_TOKENS: [(_GENAI | _TEXT, Flow(100.0, 40.0))],
    c.COST: [(_PROVIDER, Flow(0.0006, 0.0012))],
    c.COST_UNPRICED: [(_PROVIDER | {"reason": "unknown_model"}, Flow(0.01, 0.01))],
    c.LLM_ATTEMPTS: [
        (_PROVIDER | {"status_class": "2xx", "outcome": "ok"}, Flow(4.0, 4.0)),
        (_PROVIDER | {"status_class": "4xx", "outcome": "error"}, Flow(0.02, 2.0)),
    ],
    c.LLM_BACKOFF: [
        (_PROVIDER | {"reason": "rate_limit"}, Flow(0.01, 6.0)),
        (_PROVIDER | {"reason": "retry_backoff"}, Flow(0.01, 0.5)),
    ],
    c.RATELIMIT_LIMIT: [
        (_PROVIDER | {"dimension": name}, Level(most, most)) for name, most in _QUOTA.items()
    ],
    c.RATELIMIT_REMAINING: [
        (_PROVIDER | {"dimension": name}, Level(0.7 * most, 0, sinks_within_s=100))
        for name, most in _QUOTA.items()
    ],
    c.RATELIMIT_RESET: [(_PROVIDER | {"dimension": name}, Level(18, 60)) for name in _QUOTA],
    c.RATELIMIT_WINDOW: [(_PROVIDER | {"dimension": name}, Level(60, 60)) for name in _QUOTA],
    c.EXECUTE_TOOL_DURATION: [
        ({"gen_ai_tool_name": "lookup_order"} | _OK, Spread({0.1: 1.0}, {0.3: 1.0})),
    ],
    c.TOOL_CALLS: [
        ({"tool": "lookup_order", "status": "ok"}, Flow(1.0, 0.9)),
        ({"tool": "lookup_order", "status": "error"}, Flow(0.01, 0.1)),
    ],
    c.LOOP_DELAY: [({}, Spread({0.0008: 20.0}, {0.0008: 15.0, 0.4: 5.0}))],
    c.LOOP_DELAY_MAX: [({}, Level(0.01, 0.6))],
    c.GC_PAUSE: [({"generation": "2"}, Spread({0.005: 0.2}, {0.3: 0.5}))],
    c.CPU_TIME: [
        ({"cpu_mode": "user"}, Flow(0.25, 0.85)),
        ({"cpu_mode": "system"}, Flow(0.05, 0.10)),
    ],
    c.PROCESSES: [({}, Level(1, 1))],
    c.HOST_CPUS: [({}, Level(4, 4))],
    c.CGROUP_CPU_LIMIT: [({}, Level(2, 2))],
    c.CGROUP_THROTTLED_TIME: [({}, Flow(0.0, 0.2))],
    c.MEMORY_USAGE: [({}, Level(300e6, 950e6))],
    c.CGROUP_MEMORY_LIMIT: [({}, Level(1e9, 1e9))],
    c.HOST_MEMORY: [({}, Level(16e9, 16e9))],
    c.FD_COUNT: [({}, Level(100, 950))],
    c.FD_LIMIT: [({}, Level(1000, 1000))],
    c.DB_CONNECTION_COUNT: [
        (_POOL | {"db_client_connection_state": "used"}, Level(2, 10)),
        (_POOL | {"db_client_connection_state": "idle"}, Level(8, 0)),
    ],
    c.DB_CONNECTION_MAX: [(_POOL, Level(10, 10))],
    c.DB_PENDING_REQUESTS: [(_POOL, Level(0, 6))],
    c.HTTP_POOL_LIMIT: [(_API, Level(100, 100))],
    c.HTTP_POOL_IN_USE: [(_API, Level(10, 100))],
    c.HTTP_POOL_WAITING: [(_API, Level(0, 9))],
    c.THREADPOOL_LIMIT: [(_THREADS, Level(40, 40))],
    c.THREADPOOL_BORROWED: [(_THREADS, Level(4, 40))],
    c.THREADPOOL_WAITING: [(_THREADS, Level(0, 8))],
    c.SDK_CREATED: [(_SPANS, Flow(100.0, 100.0))],
    c.SDK_DELIVERED: [(_SPANS, Flow(100.0, 95.0))],
    c.SDK_DROPPED: [
        (_SPANS | {"reason": "queue_full"}, Flow(0.0, 5.0)),
        (_SPANS | {"reason": "not_sampled"}, Flow(10.0, 10.0)),
    ],
    c.LOAD_USERS: [({}, Level(40, 60))],
    c.LOAD_STAGE: [({"stage": "40 users"}, Level(1, 0)), ({"stage": "60 users"}, Level(0, 1))],
    c.LOAD_REQUESTS: [
        ({"name": "message", "outcome": "ok"}, Flow(5.0, 4.0)),
        ({"name": "message", "outcome": "no_answer"}, Flow(0.0, 0.5)),
    ],
    c.LOAD_REQUEST_DURATION: [({"name": "message"}, Spread({4.5: 5.0}, {15.0: 4.5}))],
}
"""What each metric does, by instance: its series, each with its labels."""

_ORDINARY: Final[dict[str, Shape]] = {
    "counter": Flow(0.1, 0.3),
    "gauge": Level(3, 9),
    "histogram": Spread({3.0: 0.5}, {9.0: 0.5}),
}

OLDER_NAMES: Final = frozenset(
    {c.OPERATION_DURATION, c.OPERATION_FIRST_CHUNK, c.OPERATION_CHUNK_GAP, c.TOKEN_USAGE}
)


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the history: whose, and what it does."""

    metric: c.Metric
    labels: Mapping[str, str]
    """With job and instance."""
    shape: Shape


def history() -> Iterator[Series]:
    """Every series, those of one metric together."""
    for metric in (*c.METRICS.values(), *c.LOAD_METRICS.values()):
        # What plays no part in the story has a series with each label named after itself.
        plain: Told = [
            (dict.fromkeys(metric.prometheus_labels, "any"), _ORDINARY[metric.instrument])
        ]
        for instance in _instances(metric):
            job = LOAD_JOB if instance == LOAD_INSTANCE else JOB
            for labels, shape in STORY.get(metric, plain):
                yield Series(metric, {"job": job, "instance": instance, **labels}, shape)


def _instances(metric: c.Metric) -> tuple[str, ...]:
    if metric.name in c.LOAD_METRICS:
        return (LOAD_INSTANCE,)
    return (BOTH_NAMES,) if metric in OLDER_NAMES else INSTANCES


Sample = tuple[str, Mapping[str, str], list[float]]
"""A name, labels, and a value for each point in time."""


def samples(series: Series, times: range = EVERY_MINUTE) -> Iterator[Sample]:
    """What Prometheus would have scraped of it: a histogram's buckets each by itself."""
    name, labels, shape = series.metric.prometheus_name, series.labels, series.shape
    if isinstance(shape, Level):
        yield name, labels, [shape.now(at_s) for at_s in times]
        return
    calm_s, trouble_s = zip(*(_lived(labels["instance"], at_s) for at_s in times), strict=True)

    def counted(calm: float, trouble: float) -> list[float]:
        pairs = zip(calm_s, trouble_s, strict=True)
        return [calm * before + trouble * within for before, within in pairs]

    if isinstance(shape, Flow):
        yield name, labels, counted(shape.calm, shape.trouble)
        return
    for bound in (*series.metric.buckets, math.inf):
        le = {"le": "+Inf" if bound == math.inf else str(float(bound))}
        calm, trouble = (_up_to(spread, bound) for spread in (shape.calm, shape.trouble))
        yield f"{name}_bucket", {**labels, **le}, counted(calm, trouble)
    every = _up_to(shape.calm, math.inf), _up_to(shape.trouble, math.inf)
    yield f"{name}_count", labels, counted(*every)
    yield f"{name}_sum", labels, counted(_total(shape.calm), _total(shape.trouble))


def openmetrics(
    whole: Iterable[Series] | None = None, times: range = EVERY_MINUTE
) -> Iterator[str]:
    """The history, line by line, as ``promtool tsdb create-blocks-from`` reads it.

    ``whole`` is another one, the series of one metric together.
    """
    told: c.Metric | None = None
    for series in history() if whole is None else whole:
        if series.metric is not told:
            told = series.metric
            family = told.prometheus_name.removesuffix("_total")
            yield f"# TYPE {family} {told.instrument}\n"
        for name, labels, values in samples(series, times):
            written = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
            head = f"{name}{{{written}}}"
            for at_s, value in zip(times, values, strict=True):
                yield f"{head} {value:.9g} {at_s}\n"
    yield "# EOF\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _lived(instance: str, at_s: int) -> tuple[float, float]:
    """Seconds of calm and of trouble since the instance was last started."""
    since_s = RESTART_S if instance == NEWER_NAMES and at_s >= RESTART_S else START_S
    trouble_s = max(0, min(at_s, TROUBLE_UNTIL_S) - max(since_s, TROUBLE_FROM_S))
    return at_s - since_s - trouble_s, trouble_s


def _up_to(spread: Mapping[float, float], bound: float) -> float:
    return sum(per_s for value, per_s in spread.items() if value <= bound)


def _total(spread: Mapping[float, float]) -> float:
    return sum(value * per_s for value, per_s in spread.items())


def per_second(metric: c.Metric, at_s: float, **labels: str) -> float:
    """What a counter counts a second, or observations of a histogram, of all that has ``labels``."""
    found = [one.shape for one in _chosen(metric, labels)]
    return sum(
        shape.now(at_s) if isinstance(shape, Flow) else _up_to(shape.now(at_s), math.inf)
        for shape in found
        if not isinstance(shape, Level)
    )


def amount_per_second(metric: c.Metric, at_s: float, **labels: str) -> float:
    """What is observed by a histogram, added up, a second."""
    found = [one.shape for one in _chosen(metric, labels)]
    return sum(_total(shape.now(at_s)) for shape in found if isinstance(shape, Spread))


def value(metric: c.Metric, at_s: float, **labels: str) -> float:
    """The sum of gauges."""
    found = [one.shape for one in _chosen(metric, labels)]
    return sum(shape.now(at_s) for shape in found if isinstance(shape, Level))


def quantile(share: float, metric: c.Metric, at_s: float, **labels: str) -> float:
    """Where Prometheus puts it: between the bounds of its bucket, as if values lay evenly there."""
    spread: dict[float, float] = {}
    for one in _chosen(metric, labels):
        assert isinstance(one.shape, Spread)
        for observed, per_s in one.shape.now(at_s).items():
            spread[observed] = spread.get(observed, 0.0) + per_s
    rank = share * sum(spread.values())
    lower = 0.0
    for bound in metric.buckets:
        below = _up_to(spread, bound)
        if below >= rank:
            before = _up_to(spread, lower) if lower else 0.0
            return lower + (bound - lower) * (rank - before) / (below - before)
        lower = bound
    return lower


def _chosen(metric: c.Metric, labels: Mapping[str, str]) -> list[Series]:
    chosen = [
        one for one in history() if one.metric is metric and labels.items() <= one.labels.items()
    ]
    assert chosen, f"the history has no {metric.name} with {labels}"
    return chosen
