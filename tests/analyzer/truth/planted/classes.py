"""The classes of planted causes: for each a design and a load, drawn at random.

Ranges are wide, and nothing in them was chosen by what the analyzer says. What was planted must
really have happened: a draw in which the planted cause took too little to be called one, or in which
a healthy service was not, is drawn again (``Planted.took_hold``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from planted.design import Design, Load, Tool
from planted.provider import Model
from planted.simulation import Run, run_of

from agentscope.conventions import CAUSES

MIN_SHARE = 0.15
"""A cause that lost turns less than this is not called planted."""
MIN_WORK_SHARE = 0.45
"""Nor is inherent work that took less than this."""
MAX_HEALTHY_SHARE = 0.02
"""In a healthy run nothing is lost to any one contention beyond this."""
LATE_S = 9.0
"""The default target for p95 is 8 s: slow work is well above it, a healthy service well below."""
HEALTHY_P95_S, HEALTHY_P50_S = 7.0, 2.7
LEAD = 0.08
"""Of two causes one leads if its share is larger by this."""

MODEL = frozenset({"llm.first_token", "llm.generation"})


@dataclass
class Planted:
    """A service and a load, and what is true of them."""

    design: Design
    load: Load
    causes: frozenset[str] = frozenset()
    """What binds: any of these is the right verdict. Empty: nothing binds."""
    also: frozenset[str] = frozenset()
    """Of these each must be found to bind."""
    hidden: bool = False
    """What was recorded cannot tell the cause from the model's own time: certainty is wrong."""
    ceiling: str | None = None
    """The resource of which the run came to a third."""
    leaks: bool | None = None

    def took_hold(self, run: Run) -> bool:
        """Whether the run really is what was planned."""
        if not run.service.turns:
            return False
        lengths = sorted(turn.end_s - turn.start_s for turn in run.service.turns)
        p50_s, p95_s = lengths[len(lengths) // 2], lengths[int(0.95 * len(lengths))]
        if not self.causes:
            contended = max(run.share(c) for c, one in CAUSES.items() if not one.inherent)
            calm = contended < MAX_HEALTHY_SHARE and run.share("runtime.cpu") < MAX_HEALTHY_SHARE
            return calm and p95_s < HEALTHY_P95_S and p50_s < HEALTHY_P50_S
        if self.hidden:
            return run.share("llm.rate_limit") >= MIN_SHARE
        if self.also:
            return all(run.share(cause) >= MIN_SHARE for cause in self.also)
        if self.causes == {"runtime.cpu"}:  # computing alone is work, competing for it is not
            return run.service.competed_s >= MIN_SHARE * run.wall_s
        share = sum(run.share(cause) for cause in self.causes)
        inherent = all(CAUSES[cause].inherent for cause in self.causes)
        if inherent:
            others = max(run.share(c) for c in CAUSES if c not in self.causes)
            return share >= MIN_WORK_SHARE and share >= others + LEAD and p95_s > LATE_S
        return share >= MIN_SHARE


def _typical(draw: random.Random) -> Planted:
    """A healthy service under moderate load."""
    kinds = {
        "database": lambda: draw.uniform(0.002, 0.01),
        "http": lambda: draw.uniform(0.02, 0.1),
        "opaque": lambda: draw.uniform(0.005, 0.05),
        "thread": lambda: draw.uniform(0.01, 0.05),
    }
    tools = []
    for i in range(draw.randint(1, 3)):
        kind = draw.choice(list(kinds))
        tools.append(Tool(f"tool_{i}", kind, kinds[kind](), draw.uniform(0.1, 0.5)))
    model = Model(
        first_s=draw.uniform(0.2, 0.6),
        spread=draw.uniform(0.1, 0.4),
        tokens_per_s=draw.uniform(70, 150),
    )
    design = Design(
        model=model,
        calls=(1, draw.randint(1, 3)),
        input_tokens=(draw.randint(100, 500), draw.randint(500, 3000)),
        grows_by=draw.randint(0, 200),
        output_tokens=(draw.randint(10, 25), draw.randint(30, 70)),
        streamed=draw.random() < 0.7,
        tools=tools,
        tools_a_round=(1, draw.randint(1, 3)),
        parallel=draw.random() < 0.3,
        query_s=draw.uniform(0.001, 0.005),
        own_s=draw.uniform(0.0003, 0.001),
        step_cost_s=draw.uniform(0.00008, 0.0003),
        instances=draw.randint(1, 2),
    )
    load = Load(
        users=draw.randint(10, 30),
        run_s=draw.uniform(80, 140),
        ramp_s=draw.uniform(2, 12),
        think_s=(draw.uniform(0.5, 2), draw.uniform(3, 7)),
        turns=(draw.randint(2, 4), draw.randint(4, 10)),
    )
    return Planted(design, load)


def healthy_low(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.load.users = draw.randint(3, 8)
    return planted


def healthy_high(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.load.users = draw.randint(50, 90)
    planted.design.instances = draw.randint(2, 4)
    return planted


def llm_inherent(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.model = replace(
        planted.design.model, first_s=draw.uniform(1, 5), tokens_per_s=draw.uniform(15, 40)
    )
    planted.design.output_tokens = (draw.randint(40, 100), draw.randint(150, 400))
    planted.causes = MODEL
    return planted


def _asked_a_minute(planted: Planted, dimension: str, seed: int) -> float:
    """What a run of this design asks of its provider, measured on one without a quota."""
    run = run_of(planted.design, planted.load, seed, recorded=False)
    asked = sum(one.amount(dimension) for one in run.service.provider.asked)
    return asked / planted.load.run_s * 60


def _with_quota(draw: random.Random, planted: Planted, pressure: tuple[float, float]) -> None:
    dimension = draw.choice(["requests", "requests", "tokens", "input_tokens", "output_tokens"])
    demand = _asked_a_minute(planted, dimension, draw.getrandbits(32))
    limit = max(1.0, round(demand / draw.uniform(*pressure)))
    model = planted.design.model
    model.quotas = {dimension: limit}
    if draw.random() < 0.3 and dimension != "requests":
        model.quotas["requests"] = round(20 * _asked_a_minute(planted, "requests", 1))
    model.says_when = draw.random() < 0.5
    model.by_the_minute = draw.random() < 0.5
    planted.ceiling = f"llm.{dimension}"


def quota_reached(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.load.run_s = draw.uniform(120, 240)
    planted.design.retries = draw.randint(2, 6)
    _with_quota(draw, planted, (1.25, 2.0))
    planted.ceiling = None
    planted.design.model.starts_at = draw.uniform(0, 0.4)
    planted.causes = frozenset({"llm.rate_limit"})
    return planted


def quota_ahead(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.load.run_s = draw.uniform(180, 360)
    _with_quota(draw, planted, (0.3, 0.37))
    return planted


def hidden_retries(draw: random.Random) -> Planted:
    planted = quota_reached(draw)
    planted.design.retries = draw.randint(4, 8)
    planted.design.foreign = draw.choice(
        ["opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.openai"]
    )
    planted.design.counts_refusals = draw.random() < 0.5
    planted.hidden = True
    return planted


def db_slow(draw: random.Random) -> Planted:
    planted = _typical(draw)
    if draw.random() < 0.5:  # slow for everybody
        planted.design.query_s = draw.uniform(2.5, 6)
        planted.design.db_pool = 200
    else:  # a queue inside the database
        planted.design.database_workers = draw.randint(1, 3)
        planted.design.query_s = draw.uniform(0.15, 0.5)
        planted.design.db_pool = 200
        planted.load.users = draw.randint(20, 40)
    planted.causes = frozenset({"db.query"})
    return planted


def db_pool(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.db_pool = draw.randint(1, 4)
    planted.design.held_s = draw.uniform(0.1, 1.0)
    planted.causes = frozenset({"db.pool"})
    return planted


def db_pool_ahead(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.held_s = draw.uniform(0.02, 0.1)
    planted.load.run_s = draw.uniform(120, 240)
    run = run_of(planted.design, planted.load, draw.getrandbits(32), recorded=False)
    used = sum(agent.db_held_s for agent in run.service.agents) / planted.load.run_s
    planted.design.db_pool = max(2, round(3 * used / planted.design.instances))
    planted.ceiling = "db.pool:main"
    return planted


def http_pool(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.http_pool = draw.randint(1, 5)
    planted.causes = frozenset({"llm.connection"})
    return planted


def loop_blocked(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.blocking = draw.uniform(0.2, 1.0)
    planted.design.blocking_s = draw.uniform(0.05, 0.8)
    planted.causes = frozenset({"runtime.event_loop"})
    return planted


def cpu_bound(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.tools = [Tool("render_report", "thread_cpu", draw.uniform(0.1, 0.8), 0.4)]
    planted.design.calls = (2, 3)
    planted.causes = frozenset({"runtime.cpu"})
    return planted


def threadpool_full(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.tools = [Tool("fetch_file", "thread", draw.uniform(0.2, 1.5), 0.4)]
    planted.design.threads = draw.randint(1, 4)
    planted.design.calls = (2, 3)
    planted.causes = frozenset({"runtime.threadpool"})
    return planted


def threads_ahead(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.tools = [Tool("fetch_file", "thread", draw.uniform(0.05, 0.2), 0.4)]
    planted.design.calls = (2, 3)
    planted.load.run_s = draw.uniform(120, 240)
    run = run_of(planted.design, planted.load, draw.getrandbits(32), recorded=False)
    used = sum(agent.process.threads.busy_s() for agent in run.service.agents) / planted.load.run_s
    planted.design.threads = max(1, round(3 * used / planted.design.instances))
    planted.ceiling = "threadpool"
    return planted


def gc_pauses(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.collector_every_s = draw.uniform(0.01, 0.06)
    planted.design.collector_pause_s = draw.uniform(0.1, 0.6)
    planted.causes = frozenset({"runtime.gc"})
    return planted


def throttled(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.own_s = draw.uniform(0.002, 0.004)
    planted.design.step_cost_s = draw.uniform(0.0005, 0.002)
    planted.design.cores = draw.uniform(0.05, 0.2)
    planted.causes = frozenset({"runtime.throttled"})
    return planted


def memory_leak(draw: random.Random) -> Planted:
    planted = memory_flat(draw)
    planted.design.ended_bytes = draw.uniform(5e5, 5e6)
    planted.leaks = True
    return planted


def memory_flat(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.instances = 1
    planted.design.live_bytes = draw.uniform(3e5, 3e6)
    planted.load.turns = (1, 3)
    planted.load.think_s = (0.3, draw.uniform(1, 3))
    planted.load.run_s = draw.uniform(150, 240)
    planted.load.ramp_s = draw.uniform(20, 60)
    planted.leaks = False
    return planted


def lock(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.lock_s = draw.uniform(0.05, 0.6)
    planted.causes = frozenset({"wait.lock"})
    return planted


def slow_reader(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.answer_bytes = draw.randint(300_000, 4_000_000)
    planted.design.reads_bytes_per_s = draw.uniform(1e5, 1e6)
    planted.design.slow_readers = draw.uniform(0.4, 1)
    planted.causes = frozenset({"client.send"})
    return planted


def slow_upstream(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.tools = [Tool("search", "http", draw.uniform(3, 10), draw.uniform(0.1, 0.6))]
    planted.design.calls = (2, 3)
    planted.causes = frozenset({"http.upstream"})
    return planted


def slow_tool(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.tools = [Tool("browse", "opaque", draw.uniform(3, 10), draw.uniform(0.1, 0.6))]
    planted.design.calls = (2, 3)
    planted.causes = frozenset({"tool.execution"})
    return planted


def slow_context(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.context_s = draw.uniform(4, 10)
    planted.causes = frozenset({"context.load"})
    return planted


def parallel_tools(draw: random.Random) -> Planted:
    """Tools of two kinds side by side: those that end last are what users wait for."""
    planted = _typical(draw)
    slow_s, fast = draw.uniform(5, 12), draw.uniform(0.3, 0.6)
    slow, quick = draw.sample(["opaque", "http", "thread"], 2)
    planted.design.tools = [
        Tool("slow", slow, slow_s, 0.2),
        Tool("quick", quick, slow_s * fast, 0.2),
    ]
    planted.design.calls = (2, 3)
    planted.design.tools_a_round = (3, 5)
    planted.design.parallel = True
    planted.causes = frozenset({"http.upstream" if slow == "http" else "tool.execution"})
    return planted


def provider_errors(draw: random.Random) -> Planted:
    planted = _typical(draw)
    planted.design.model.fails = draw.uniform(0.1, 0.4)
    planted.design.model.fails_after_s = draw.uniform(0.5, 6)
    planted.design.retries = draw.randint(2, 5)
    planted.causes = frozenset({"llm.retry"})
    return planted


def skewed_clocks(draw: random.Random) -> Planted:
    planted = draw.choice([db_slow, db_pool, lock, llm_inherent, provider_errors])(draw)
    planted.design.hop = True
    planted.design.clock_ahead_s = draw.choice([-1, 1]) * 10 ** draw.uniform(-2, 1.5)
    return planted


def mixture(draw: random.Random) -> Planted:
    """Two contentions in one run: both bind, and the larger one is the verdict."""
    ways = {
        "db.pool": lambda d: replace(d, db_pool=draw.randint(1, 3), held_s=draw.uniform(0.2, 0.8)),
        "wait.lock": lambda d: replace(d, lock_s=draw.uniform(0.1, 0.5)),
        "runtime.event_loop": lambda d: replace(
            d, blocking=draw.uniform(0.3, 1), blocking_s=draw.uniform(0.1, 0.5)
        ),
        "client.send": lambda d: replace(
            d,
            answer_bytes=draw.randint(500_000, 3_000_000),
            reads_bytes_per_s=draw.uniform(2e5, 1e6),
        ),
        "llm.retry": lambda d: replace(
            d,
            model=replace(d.model, fails=draw.uniform(0.1, 0.4), fails_after_s=draw.uniform(1, 5)),
        ),
        "llm.connection": lambda d: replace(d, http_pool=draw.randint(2, 6)),
    }
    planted = _typical(draw)
    picked = draw.sample(sorted(ways), 2)
    for cause in picked:
        planted.design = ways[cause](planted.design)
    planted.causes = planted.also = frozenset(picked)
    return planted


CLASSES: dict[str, Callable[[random.Random], Planted]] = {
    plan.__name__: plan
    for plan in (
        healthy_low, healthy_high, llm_inherent, quota_reached, quota_ahead, hidden_retries,
        db_slow, db_pool, db_pool_ahead, http_pool, loop_blocked, cpu_bound, threadpool_full,
        threads_ahead, gc_pauses, throttled, memory_leak, memory_flat, lock, slow_reader,
        slow_upstream, slow_tool, slow_context, parallel_tools, provider_errors, skewed_clocks,
        mixture,
    )
}  # fmt: skip
"""Every class by its name."""
