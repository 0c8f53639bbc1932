"""An hour of a service that never was, for the pictures: a load run past its knee and back.

A closed system by hand: so many users, each of whom thinks and then waits for a turn. The provider
allows ten requests a second, which five turns a second use up; beyond that turns queue, clients
sleep between attempts, and the longer turns take the more memory and connections they hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist
from typing import Final

from agentscope import conventions as c
from agentscope.conventions import Metric

START_S: Final = 1_790_000_000
STEP_S: Final = 15
STAGE_S: Final = 720
STAGES: Final = (20, 45, 80, 110, 30)
"""Users of each stage, twelve minutes each."""

END_S: Final = START_S + STAGE_S * len(STAGES)
JOB: Final = "support-agent"
INSTANCES: Final = {"10.0.0.1:8000": 0.53, "10.0.0.2:8000": 0.47}
"""What each of them gets of the load."""

GENERATOR: Final = {"job": "load", "instance": "10.0.0.9:9646"}
PROVIDER, MODEL, SMALL_MODEL = "openai", "gpt-4o", "gpt-4o-mini"
CHAT, SUMMARY = "/api/sessions/{session_id}/messages", "/api/sessions/{session_id}/summary"

_THINK_S, _ALONE_S, _CALLS, _CALLS_PER_S = 6.0, 4.6, 2.0, 10.0
_RAMP_S = 120.0

Labels = dict[str, str]
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Moment:
    """How the whole service is at one point in time."""

    stage: int
    users: float
    turns: float
    """That end, a second."""
    duration_s: float
    """Of a turn, on average."""
    asleep: float
    """Calls that sleep between two attempts."""
    noise: Random

    @property
    def excess(self) -> float:
        """0 while nobody queues, about 1 at the end of the longest stage."""
        return min(1.5, (self.duration_s - _ALONE_S) / 12.0)

    def about(self, value: float, by: float = 0.05) -> float:
        """``value`` as it comes out in one scrape interval."""
        return max(0.0, value * (1 + self.noise.gauss(0, by)))


def moments() -> Iterator[Moment]:
    """One for each scrape."""
    noise, duration_s = Random(7), _ALONE_S
    for at_s in range(0, END_S - START_S + 1, STEP_S):
        stage = min(at_s // STAGE_S, len(STAGES) - 1)
        before = STAGES[stage - 1] if stage else 0
        ramped = min(1.0, (at_s - stage * STAGE_S) / _RAMP_S)
        users = before + (STAGES[stage] - before) * ramped
        most = _CALLS_PER_S / _CALLS
        wanted_s = max(_ALONE_S * (1 + users / 900), users / most - _THINK_S)
        duration_s += (wanted_s - duration_s) * 0.3  # a queue takes time to build up
        turns = users / (_THINK_S + duration_s) * (1 + noise.gauss(0, 0.03))
        asleep = max(0.0, turns * (duration_s - _ALONE_S * 1.15)) * 0.8
        yield Moment(stage, users, turns, duration_s, asleep, noise)


@dataclass
class Recording:
    """What Prometheus would have scraped: a value for each step, by name and labels."""

    series: dict[Key, list[float]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)
    """Of whom the next values are."""

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        """A reading."""
        self._add(metric, metric.prometheus_name, labels, value)

    def count(self, metric: Metric, per_s: float, **labels: str) -> None:
        """A counter went up by so much a second."""
        self._grow(metric, metric.prometheus_name, labels, per_s * STEP_S)

    def observe(
        self, metric: Metric, per_s: float, typical: float, spread: float = 0.4, **labels: str
    ) -> None:
        """So many observations a second around a typical value, log-normally spread."""
        name, number = metric.prometheus_name, per_s * STEP_S
        lies = NormalDist(math.log(typical), spread)
        for bound in metric.buckets:
            below = number * lies.cdf(math.log(bound))
            self._grow(metric, f"{name}_bucket", {**labels, "le": str(float(bound))}, below)
        self._grow(metric, f"{name}_bucket", {**labels, "le": "+Inf"}, number)
        self._grow(metric, f"{name}_count", labels, number)
        self._grow(metric, f"{name}_sum", labels, number * typical * math.exp(spread**2 / 2))

    def openmetrics(self) -> Iterator[str]:
        """All of it, line by line, as ``promtool tsdb create-blocks-from`` reads it."""
        for family, kind in self.kinds.items():
            yield f"# TYPE {family} {kind}\n"
            suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
            names = {family + suffix for suffix in suffixes.get(kind, ("",))}
            for (name, labels), values in self.series.items():
                if name in names:
                    written = ",".join(f'{label}="{value}"' for label, value in labels)
                    for step, value in enumerate(values):
                        yield f"{name}{{{written}}} {value:.9g} {START_S + step * STEP_S}\n"
        yield "# EOF\n"

    def _grow(self, metric: Metric, name: str, labels: Labels, by: float) -> None:
        values = self._values(metric, name, labels)
        values.append((values[-1] if values else 0.0) + by)

    def _add(self, metric: Metric, name: str, labels: Labels, value: float) -> None:
        self._values(metric, name, labels).append(value)

    def _values(self, metric: Metric, name: str, labels: Labels) -> list[float]:
        self.kinds.setdefault(metric.prometheus_name.removesuffix("_total"), metric.instrument)
        key = name, tuple(sorted({**self.labels, **labels}.items()))
        return self.series.setdefault(key, [])


def record() -> Recording:
    """The hour, scraped."""
    recording = Recording()
    for moment in moments():
        recording.labels = GENERATOR
        _generator(recording, moment)
        for number, (instance, share) in enumerate(INSTANCES.items()):
            recording.labels = {"job": JOB, "instance": instance}
            for part in (_turns, _calls, _waits, _pools, _process, _recorder):
                part(recording, moment, share)
            _database(recording, moment, number)
    return recording


def _generator(to: Recording, now: Moment) -> None:
    to.gauge(c.LOAD_USERS, round(now.users))
    for number, users in enumerate(STAGES):
        # Really a stage that is over has no series; what is back-filled cannot end a series at once.
        to.gauge(c.LOAD_STAGE, float(number == now.stage), stage=f"{number + 1}: {users} users")
    failed = now.turns * 0.05 * now.excess
    message = "POST " + CHAT.replace("{session_id}", "[id]")
    for outcome, per_s in (("ok", now.turns - failed), ("5xx", failed), ("no_answer", failed / 9)):
        to.count(c.LOAD_REQUESTS, per_s, name=message, outcome=outcome)
    to.observe(c.LOAD_REQUEST_DURATION, now.turns, now.duration_s * 0.95 + 0.1, name=message)


def _turns(to: Recording, now: Moment, share: float) -> None:
    turns = now.turns * share
    failed = turns * 0.05 * now.excess
    for route, of_it, typical_s in ((CHAT, 0.85, now.duration_s), (SUMMARY, 0.15, 2.4)):
        spread = 0.35 + 0.15 * now.excess
        for status, per_s in (("200", (turns - failed) * of_it), ("504", failed * of_it)):
            to.observe(c.TURN_DURATION, per_s, typical_s, spread, route=route, status=status)
            to.observe(
                c.HTTP_SERVER_DURATION, per_s, typical_s, spread, http_route=route,
                http_request_method="POST", http_response_status_code=status,
            )  # fmt: skip
    to.count(c.ERRORS, failed * 0.8, error_type="openai.RateLimitError")
    to.count(c.ERRORS, failed * 0.2 + turns * 0.001, error_type="TimeoutError")
    to.gauge(c.TURNS_ACTIVE, round(now.about(turns * now.duration_s)))
    to.gauge(c.SESSIONS_ACTIVE, round(now.users * share))
    to.observe(c.SESSION_TURNS, turns / 6, 6, 0.5)
    to.count(c.SESSIONS_FORGOTTEN, 0)
    for phase, typical_s in (
        ("context_load", 0.08 + 0.3 * now.excess),
        ("llm_call", (now.duration_s - 0.8) / _CALLS),
        ("tool_execution", 0.35 + 0.2 * now.excess),
    ):
        to.observe(c.PHASE_DURATION, turns * 1.7, typical_s, phase=phase)


def _calls(to: Recording, now: Moment, share: float) -> None:
    calls = now.turns * share * _CALLS
    refused = now.asleep * share / 3.5
    call_s = (now.duration_s - 0.8) / _CALLS
    for model, of_it, tokens in ((MODEL, 0.7, (2100, 160)), (SMALL_MODEL, 0.3, (700, 60))):
        slow = call_s if model == MODEL else 0.9
        named = {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": PROVIDER,
            "gen_ai_request_model": model,
        }
        failed = 0.04 * now.excess * calls * of_it if model == MODEL else 0
        for error, per_s in (("", calls * of_it - failed), ("openai.RateLimitError", failed)):
            to.observe(c.OPERATION_DURATION, per_s, slow, 0.4, error_type=error, **named)
        to.observe(c.OPERATION_FIRST_CHUNK, calls * of_it, slow * 0.35, 0.5, **named)
        to.observe(
            c.OPERATION_CHUNK_GAP, calls * of_it * 40, 0.018 + 0.02 * now.excess, 0.5, **named
        )
        for kind, amount in zip(("input", "output"), tokens, strict=True):
            grown = amount * (1 + 0.05 * now.stage)
            to.observe(c.TOKEN_USAGE, calls * of_it, grown, 0.5, **named, gen_ai_token_type=kind)
        text = {**named, "gen_ai_token_modality": c.MODALITY_UNKNOWN}
        to.count(c.INFERENCE_CACHE_READ_TOKENS, calls * of_it * tokens[0] * 0.42, **text)
        to.count(c.INFERENCE_REASONING_TOKENS, calls * of_it * tokens[1] * 0.15, **text)
        ours = {"provider": PROVIDER, "model": model}
        dollars = tokens[0] * 2.5e-6 + tokens[1] * 1e-5 if model == MODEL else 1.4e-4
        to.count(c.COST, calls * of_it * dollars, **ours)
        to.count(c.COST_UNPRICED, 0, **ours, reason="no_usage")
        again = refused if model == MODEL else 0.0
        to.count(c.LLM_ATTEMPTS, calls * of_it, **ours, status_class="2xx", outcome="ok")
        to.count(c.LLM_ATTEMPTS, again, **ours, status_class="4xx", outcome="error")
        to.count(c.LLM_ATTEMPTS, calls * 0.002, **ours, status_class="5xx", outcome="error")
        asleep = now.asleep * share if model == MODEL else 0.0
        to.count(c.LLM_BACKOFF, now.about(asleep), **ours, reason="rate_limit")
        to.count(c.LLM_BACKOFF, now.about(calls * 0.004), **ours, reason="retry_backoff")
        _quotas(to, now, ours, model == MODEL)
    to.count(c.TOOL_CALLS, now.turns * share, tool="lookup_order", status="ok")
    to.count(c.TOOL_CALLS, now.turns * share * 0.01, tool="lookup_order", status="error")
    for tool, typical_s in (("lookup_order", 0.25 + 0.3 * now.excess), ("search_faq", 0.12)):
        to.observe(
            c.EXECUTE_TOOL_DURATION, now.turns * share / 2, typical_s, gen_ai_tool_name=tool,
            error_type="",
        )  # fmt: skip


def _quotas(to: Recording, now: Moment, ours: Labels, binds: bool) -> None:
    used = min(1.0, now.turns / 5.05) if binds else min(1.0, now.turns / 30)
    for dimension, limit, of_it in (("requests", 420, 1.0), ("tokens", 1_500_000, 0.62)):
        left = 0.02 if used > 0.97 and of_it == 1 else 1 - used * of_it
        quota = {**ours, "dimension": dimension}
        to.gauge(c.RATELIMIT_LIMIT, limit, **quota)
        to.gauge(c.RATELIMIT_REMAINING, round(limit * min(1.0, now.about(left, 0.004))), **quota)
        to.gauge(c.RATELIMIT_RESET, round(60 * (1 - left)), **quota)
        to.gauge(c.RATELIMIT_WINDOW, 60, **quota)


def _waits(to: Recording, now: Moment, share: float) -> None:
    turns = now.turns * share
    for kind, resource, per_s, typical_s in (
        ("rate_limit", PROVIDER, now.asleep * share / 3.5, 3.2),
        ("db.pool", "postgres", turns * min(1.0, 0.05 + now.excess), 0.02 + 0.5 * now.excess),
        ("http.pool", "api.openai.com:443", turns * min(1.0, now.excess), 0.01 + 0.1 * now.excess),
        ("http.connect", "api.openai.com:443", 0.05, 0.03),
        ("threadpool", "anyio", turns * 0.1, 0.004 + 0.03 * now.excess),
    ):
        to.observe(c.WAIT_DURATION, per_s, typical_s, 0.5, kind=kind, resource=resource)


def _pools(to: Recording, now: Moment, share: float) -> None:
    pool = {"db_client_connection_pool_name": "postgres"}
    wanted = now.about(now.turns * share * (0.9 + 4.4 * now.excess), 0.1)
    used, waiting = round(min(10, wanted)), round(max(0, wanted - 10))
    for state, number in (("used", used), ("idle", 10 - used)):
        to.gauge(c.DB_CONNECTION_COUNT, number, **pool, db_client_connection_state=state)
    to.gauge(c.DB_CONNECTION_MAX, 10, **pool)
    to.gauge(c.DB_PENDING_REQUESTS, waiting, **pool)
    turns = now.turns * share
    to.observe(c.DB_WAIT_TIME, turns * 4, 0.0015 + 0.25 * now.excess, 0.8, **pool)
    to.observe(c.DB_USE_TIME, turns * 4, 0.05 + 0.3 * now.excess, 0.6, **pool)
    to.count(c.DB_TIMEOUTS, 0.02 * max(0.0, now.excess - 0.6), **pool)
    busy = now.turns * share * now.duration_s * 0.55
    to.gauge(c.HTTP_POOL_LIMIT, 50, pool="api.openai.com:443")
    to.gauge(c.HTTP_POOL_IN_USE, min(50, round(now.about(busy))), pool="api.openai.com:443")
    to.gauge(c.HTTP_POOL_WAITING, 0, pool="api.openai.com:443")
    threads = min(40, round(now.about(2 + now.turns * share * 1.5, 0.2)))
    to.gauge(c.THREADPOOL_LIMIT, 40, limiter="anyio")
    to.gauge(c.THREADPOOL_BORROWED, threads, limiter="anyio")
    to.gauge(c.THREADPOOL_WAITING, 0, limiter="anyio")


def _process(to: Recording, now: Moment, share: float) -> None:
    turns = now.turns * share
    busy = 0.04 + turns * 0.14 + 0.15 * now.excess
    late_s = 0.0012 + 0.02 * max(0.0, busy - 0.3) + 0.012 * now.excess
    to.observe(c.LOOP_DELAY, 20, late_s, 0.9)
    to.gauge(c.LOOP_DELAY_MAX, now.about(late_s * 9, 0.3))
    to.gauge(c.INTERPRETER_LOCK_WAIT, now.about(0.0002 + 0.002 * busy, 0.2))
    for generation, per_s, pause_s in (("0", turns, 0.0006), ("2", turns / 20, 0.02 + 0.06 * busy)):
        to.observe(c.GC_PAUSE, per_s, pause_s, 0.4, generation=generation)
    to.count(c.CPU_TIME, now.about(busy * 0.88), cpu_mode="user")
    to.count(c.CPU_TIME, now.about(busy * 0.12), cpu_mode="system")
    to.gauge(c.PROCESSES, 1)
    to.gauge(c.HOST_CPUS, 4)
    to.gauge(c.CGROUP_CPU_LIMIT, 1)
    to.count(c.CGROUP_THROTTLED_TIME, max(0.0, busy - 0.42) * 0.2)
    sessions = now.users * share
    to.gauge(c.MEMORY_USAGE, now.about(2.1e8 + sessions * 6.5e6 + now.stage * 1.2e7, 0.01))
    to.gauge(c.CGROUP_MEMORY_LIMIT, 768 * 2**20)
    to.gauge(c.HOST_MEMORY, 16 * 2**30)
    to.gauge(c.THREAD_COUNT, 14 + round(turns * 3))
    to.gauge(c.FD_COUNT, round(60 + sessions * 2.2))
    to.gauge(c.FD_LIMIT, 1024)


def _database(to: Recording, now: Moment, number: int) -> None:
    for state, typical in (("active", 2.0), ("idle", 12.0), ("idle in transaction", 1.0)):
        many = round(now.about(typical * (1 + 3 * now.excess * (state != "idle")), 0.15)) + number
        waits = {"wait_event_type": "Client", "wait_event": "ClientRead"}
        if state == "active":
            waits = {"wait_event_type": "IO", "wait_event": "DataFileRead"}
        to.gauge(c.POSTGRES_BACKENDS, many, state=state, **waits)
        age_s = now.about(0.1 + 4 * now.excess * (state == "idle in transaction"), 0.3)
        to.gauge(c.POSTGRES_TRANSACTION_AGE, age_s, state=state)


def _recorder(to: Recording, now: Moment, share: float) -> None:
    sink = {"signal": "spans", "sink": "run_directory"}
    spans = now.turns * share * 14
    to.count(c.SDK_CREATED, spans, **sink)
    to.count(c.SDK_DELIVERED, spans, **sink)
    to.count(c.SDK_DROPPED, 0, **sink, reason="queue_full")
    to.gauge(c.SDK_PENDING, round(spans / 2), **sink)
    to.count(c.SDK_INTERNAL_ERRORS, 0, where="none")
