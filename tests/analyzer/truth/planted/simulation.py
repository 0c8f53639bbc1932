"""A load run against the simulated service: users, gauges once a second, files, and the truth."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from planted.agent import Agent
from planted.clockwork import World
from planted.design import Design, Load
from planted.process import Process, Stretch
from planted.seen import T0_NS, Seen, ns
from planted.service import Service
from planted.turns import ROUTE

from agentscope import conventions as c

SETTLE_S = 400.0
"""After the load turns in hand get so long to end; nobody is cut off."""


WAKE_UPS = 20
"""Of the recorder's own thread in a second."""


@dataclass
class Run:
    """A load run that has been made."""

    service: Service
    load: Load
    lines: list[dict[str, Any]]
    started_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    """Truth: seconds of all turns by cause."""

    @property
    def wall_s(self) -> float:
        """Seconds of all turns."""
        return sum(turn.end_s - turn.start_s for turn in self.service.turns)

    def share(self, cause: str) -> float:
        """Truth: a cause's share of the wall time of all turns."""
        return self.seconds.get(cause, 0.0) / self.wall_s

    def group_shares(self) -> dict[str, float]:
        """Truth: the same for groups of causes."""
        shares: dict[str, float] = defaultdict(float)
        for cause in self.seconds:
            shares[c.CAUSES[cause].group] += self.share(cause)
        return dict(shares)

    def save(self, folder: Path) -> Path:
        """Write what was seen; returns the run directory."""
        folder.mkdir(parents=True, exist_ok=True)
        for seen in self.service.recorders:
            seen.save(folder)
        with (folder / "load-users.jsonl").open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in self.lines)
        if not self.service.design.foreign:
            (folder / "manifest.json").write_text(json.dumps(self._manifest()))
        return folder

    def _manifest(self) -> dict[str, Any]:
        load = self.load
        edges = [("ramp", 0.0, load.ramp_s), ("steady", load.ramp_s, load.run_s)]
        return {
            "schema": c.RUN_SCHEMA,
            "run_id": "planted",
            "started_ns": ns(0),
            "ended_ns": ns(load.run_s),
            "load": {
                "stages": [
                    {"name": name, "start_ns": ns(a), "end_ns": ns(b), "users": load.users}
                    for name, a, b in edges
                    if b > a
                ],
                "users": load.users,
                "spawn_rate": load.users / load.ramp_s if load.ramp_s else load.users,
                "think_time_s": list(load.think_s),
                "generator": "planted",
            },
        }


def run_of(design: Design, load: Load, seed: int, *, recorded: bool = True) -> Run:
    """Simulate a run; the same seed gives the same run."""
    world, draw = World(), random.Random(seed)
    service = Service(world, draw, design)
    run = Run(service, load, [])
    for number in range(load.users):
        at_s = load.ramp_s * number / load.users
        world.call_at(at_s, partial(world.begin, _user(run, draw, number)))
    if recorded:
        for agent in service.agents:
            world.begin(_gauges(service, agent, load))
    world.run(load.run_s)
    world.run(load.run_s + SETTLE_S)
    for seen in service.recorders:
        seen.events()
    if recorded:
        _last_figures(run)
    run.seconds = _seconds(run)
    return run


async def _user(run: Run, draw: random.Random, number: int) -> None:
    """One session after the other until the load ends; thinks before each turn."""
    service, load, world = run.service, run.load, run.service.world
    await world.after(draw.uniform(0, load.think_s[1] - load.think_s[0]))
    due_s = world.now_s
    while world.now_s < load.run_s:
        session = f"{draw.getrandbits(64):016x}"
        service.user_of[session] = number
        service.open_sessions += 1
        for turn in range(draw.randint(*load.turns)):
            if load.every_s is not None:
                await world.after(max(0.0, due_s - world.now_s))
                due_s = world.now_s + draw.uniform(*load.every_s)
            elif turn:
                await world.after(draw.uniform(*load.think_s))
            if world.now_s >= load.run_s:
                break
            start_s, trace_id = world.now_s, f"{draw.getrandbits(128) | 1:032x}"
            network_s = draw.uniform(0.0002, 0.002)
            await world.after(network_s)
            ok = await service.request(session, turn, number, trace_id)
            await world.after(network_s)
            run.lines.append(
                {
                    "t_intended": T0_NS / 1e9 + start_s,
                    "t_start": T0_NS / 1e9 + start_s,
                    "duration_s": world.now_s - start_s,
                    "ttfb_s": None,
                    "name": f"POST {ROUTE}",
                    "session": session,
                    "turn": turn,
                    "status": 200 if ok else 502,
                    "error": None,
                    "bytes": 2000,
                    "trace_id": trace_id,
                    "user": str(number),
                    "stage": "ramp" if start_s < load.ramp_s else "steady",
                }
            )
        service.open_sessions -= 1
        service.ended_sessions += 1
        if load.every_s is None:
            await world.after(draw.uniform(*load.think_s))


async def _gauges(service: Service, agent: Agent, load: Load) -> None:
    """What a recorder samples once a second."""
    world, design, process, seen = service.world, service.design, agent.process, agent.seen
    if not seen.detailed:
        return
    n = len(service.agents)
    at_round = 0
    while world.now_s < load.run_s or service.open_sessions:
        # Wake-ups of a thread that sleeps tell how long a ready thread waits for the interpreter.
        lateness = [await _wake_up(process, 1.0 / WAKE_UPS) for _ in range(WAKE_UPS)]
        rounds = process.rounds_s[at_round:]
        at_round = len(process.rounds_s)
        interpreter = process.interpreter
        seen.gauge(c.LOOP_DELAY_MAX, max((length for _, length in rounds), default=0.0))
        seen.gauge(c.INTERPRETER_LOCK_WAIT, sum(lateness) / len(lateness))
        seen.gauge(c.CPU_TIME, interpreter.cpu_s, **{"cpu.mode": "user"})
        seen.gauge(c.DB_CONNECTION_MAX, agent.db_pool.size, **{c.DB_POOL_NAME: "main"})
        for state, used in (("used", agent.db_pool.used), ("idle", 0)):
            seen.gauge(
                c.DB_CONNECTION_COUNT, used,
                **{c.DB_POOL_NAME: "main", "db.client.connection.state": state},
            )  # fmt: skip
        seen.gauge(c.DB_PENDING_REQUESTS, agent.db_pool.waiting, **{c.DB_POOL_NAME: "main"})
        seen.gauge(c.HTTP_POOL_LIMIT, agent.http_pool.size, pool="api.model.example")
        seen.gauge(c.HTTP_POOL_IN_USE, agent.http_pool.used, pool="api.model.example")
        seen.gauge(c.HTTP_POOL_WAITING, agent.http_pool.waiting, pool="api.model.example")
        seen.gauge(c.THREADPOOL_LIMIT, process.threads.size, limiter="anyio")
        seen.gauge(c.THREADPOOL_BORROWED, process.threads.used, limiter="anyio")
        seen.gauge(c.THREADPOOL_WAITING, process.threads.waiting, limiter="anyio")
        if design.cores is not None:
            seen.gauge(c.CGROUP_CPU_LIMIT, design.cores)
            frozen_s = sum(b - a for a, b in interpreter.freezes)
            seen.gauge(c.CGROUP_THROTTLED_TIME, frozen_s)
        resident = (
            design.base_bytes
            + design.live_bytes * service.open_sessions / n
            + design.ended_bytes * service.ended_sessions / n
        )
        seen.gauge(c.MEMORY_USAGE, resident * service.draw.uniform(0.995, 1.005))
        if design.memory_limit is not None:
            seen.gauge(c.CGROUP_MEMORY_LIMIT, design.memory_limit)
        seen.gauge(c.SESSIONS_ACTIVE, service.open_sessions / n)
        for name, bucket in service.provider.buckets.items():
            labels = {"provider": "openai", "model": design.model.name, "dimension": name}
            seen.gauge(c.RATELIMIT_LIMIT, bucket.limit, **labels)
            seen.gauge(c.RATELIMIT_REMAINING, max(0.0, bucket.level(world.now_s)), **labels)
            seen.gauge(c.RATELIMIT_WINDOW, 60.0, **labels)


async def _wake_up(process: Process, sleep_s: float) -> float:
    """How late a thread runs that slept for so long: each thread before it has its turn first."""
    world = process.world
    await world.after(sleep_s)
    due_s = world.now_s
    if process.interpreter.wanted_by:
        await process.interpreter.reach()
    return world.now_s - due_s + 5e-5


def _last_figures(run: Run) -> None:
    """Histograms, as they stand at the end."""
    service = run.service
    for agent in service.agents:
        seen, process = agent.seen, agent.process
        if seen.detailed:
            pauses = [b - a for a, b in process.interpreter.pauses]
            _histogram(seen, c.GC_PAUSE, len(pauses), sum(pauses), generation="2")
            _histogram(
                seen, c.DB_USE_TIME, agent.db_uses, agent.db_held_s, **{c.DB_POOL_NAME: "main"}
            )
    if service.design.counts_refusals and service.refusals_s:
        seen = service.agents[0].seen
        metric = c.Metric("http.client.request.duration", "histogram", "s", "HTTP requests")
        labels = {c.HTTP_STATUS_CODE: "429", c.SERVER_ADDRESS: "api.model.example"}
        _histogram(seen, metric, len(service.refusals_s), sum(service.refusals_s), **labels)


def _histogram(seen: Seen, metric: c.Metric, count: int, total: float, **labels: str) -> None:
    figures = {
        "count": str(count),
        "sum": total,
        "explicitBounds": [],
        "bucketCounts": [str(count)],
    }
    seen.metrics.append((metric, seen.process.world.now_s, labels, figures))


def _seconds(run: Run) -> dict[str, float]:
    """Seconds of all turns by their true cause.

    A stretch in which the process stood still for its quota or its collector is that one's, whatever
    was to be done meanwhile; what own code took beyond its computing it waited for other threads.
    """
    seconds: dict[str, float] = defaultdict(float)
    for turn in run.service.turns:
        for stretch in turn.truth:
            _divide(stretch, seconds)
    return {cause: s for cause, s in seconds.items() if s > 0}


def _divide(stretch: Stretch, seconds: dict[str, float]) -> None:
    process, cause, start_s, end_s, needed_s = stretch
    left_s = end_s - start_s
    if cause == "runtime.event_loop" or needed_s < left_s:
        interpreter = process.interpreter
        frozen_s = _within(interpreter.freezes, start_s, end_s)
        paused_s = _within(interpreter.pauses, start_s, end_s)
        seconds["runtime.throttled"] += frozen_s
        seconds["runtime.gc"] += paused_s
        left_s = max(0.0, left_s - frozen_s - paused_s)
    if needed_s < left_s:
        if cause == "runtime.event_loop":
            needed_s = left_s
        seconds["runtime.cpu"] += left_s - needed_s
        left_s = needed_s
    seconds[cause] += left_s


def _within(intervals: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    found = 0.0
    low = _first_after(intervals, start_s)
    for a, b in intervals[low:]:
        if a >= end_s:
            break
        found += max(0.0, min(b, end_s) - max(a, start_s))
    return found


def _first_after(intervals: list[tuple[float, float]], at_s: float) -> int:
    low, high = 0, len(intervals)
    while low < high:
        middle = (low + high) // 2
        if intervals[middle][1] <= at_s:
            low = middle + 1
        else:
            high = middle
    return low
