"""Processor time, memory and descriptors in live sessions, against services whose truth is known."""

import heapq
import math
import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from agentscope_analyzer.attribution.tables import create_tables
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.ceilings.descriptors import descriptor_ceiling
from agentscope_analyzer.ceilings.memory import memory_of
from agentscope_analyzer.ceilings.processor import Cost, processor_ceilings
from agentscope_analyzer.ceilings.resampling import Interval
from agentscope_analyzer.ceilings.slopes import Fit, fit_of
from agentscope_analyzer.ceilings.windows import Gauge, Windows, windows_of
from agentscope_analyzer.document import Ceiling
from agentscope_analyzer.engine import Engine
from agentscope_analyzer.ingest import insert_metrics
from agentscope_analyzer.sql import Asker

T0_NS = 1_790_000_000_000_000_000
T0_S = T0_NS / 1e9
MIB = float(1 << 20)
GIB = float(1 << 30)
KIB = 1024.0


@dataclass
class Service:
    """What is true of a service; users take turns of 1 to 3 s and think for 1 to 4 s in between."""

    users: int = 20
    seconds: float = 300.0
    ramp_s: float = 100.0
    turns_a_session: tuple[int, int] = (1, 4)
    processes: int = 1
    turn_cpu_s: float = 0.05
    idle: float = 0.01
    base: float = 100 * MIB
    live: float = 2 * MIB
    ended: float = 0.0
    turn: float = 0.0
    """What each turn of a live session adds until the session ends."""
    turn_left: float = 0.0
    """What each turn leaves behind for ever."""
    noise: float = 0.1 * MIB
    warm: float = 0.0
    """Bytes that are taken in the first minutes, whoever comes."""
    recycled_s: float | None = None
    """When the only worker is replaced by another one."""
    limits: dict[str, float] = field(default_factory=dict)

    def turns(self, seed: int) -> list[tuple[int, int, float, float]]:
        """Session, process, from, to."""
        draw = random.Random(seed)
        waiting = [
            (self.ramp_s * user / self.users + draw.random(), user, self._length(draw))
            for user in range(self.users)
        ]
        heapq.heapify(waiting)
        found: list[tuple[int, int, float, float]] = []
        sessions = self.users
        while waiting[0][0] < self.seconds:
            at_s, session, left = heapq.heappop(waiting)
            end_s = at_s + draw.uniform(1, 3)
            if end_s < self.seconds:
                found.append((session, self._process(session, at_s), at_s, end_s))
            next_s = end_s + draw.uniform(1, 4)
            if left > 1:
                heapq.heappush(waiting, (next_s, session, left - 1))
            else:
                heapq.heappush(waiting, (next_s, sessions, self._length(draw)))
                sessions += 1
        return found

    def _process(self, session: int, at_s: float) -> int:
        if self.recycled_s is not None:
            return int(at_s >= self.recycled_s)
        return session % self.processes

    def _length(self, draw: random.Random) -> int:
        return draw.randint(*self.turns_a_session)

    def turns_a_second(self) -> float:
        """Of one session while it is live, over a long time."""
        turns = Service(users=200, seconds=2000.0, ramp_s=1.0, turns_a_session=self.turns_a_session)
        told = turns.turns(1)
        lives = lives_of(told)
        return len(told) / sum(end_s - start_s for start_s, end_s in lives.values())

    def windows(self, seed: int) -> Windows:
        """What the analyzer sees of it."""
        turns = self.turns(seed)
        with Engine.in_memory(threads=1) as engine:
            create_tables(engine)
            columns: dict[str, list[Any]] = {
                "turn_id": [f"{i:016x}" for i in range(len(turns))],
                "trace_id": [f"{i:032x}" for i in range(len(turns))],
                "session": [f"s{turn[0]}" for turn in turns],
                "instance": [f"p{turn[1]}" for turn in turns],
                "start_ns": [ns(turn[2]) for turn in turns],
                "end_ns": [ns(turn[3]) for turn in turns],
                "duration_s": [turn[3] - turn[2] for turn in turns],
            }
            engine.insert("turns", columns)
            noise = np.random.default_rng(seed)
            for process in sorted({turn[1] for turn in turns}):
                mine = [turn for turn in turns if turn[1] == process]
                insert_metrics(engine, self._metrics(f"p{process}", mine, noise))
            asker = Asker(engine)
            live = LiveSessions.of_rows(asker.ask("ceilings/sessions"))
            found = windows_of(
                asker,
                live,
                {},
                steady_s=(T0_S + self.ramp_s, T0_S + self.seconds),
                known_until_s=live.last_s - 4.0,
            )
        assert found is not None
        return found

    def _metrics(self, instance: str, turns: list[Any], noise: Any) -> list[dict[str, Any]]:
        work = noise.gamma(2, self.turn_cpu_s / 2, len(turns))
        moments = [turn[2] + 0.05 for turn in turns] + [turn[3] - 0.05 for turn in turns]
        order = np.argsort(moments)
        at_s, cpu_s = np.array(moments)[order], np.cumsum(np.tile(work / 2, 2)[order])
        lives_at = lives_of(turns)
        lives = np.array(list(lives_at.values()))
        rows = [
            {"name": name, "value": value, "time_ns": ns(0.3), "instance": instance}
            for name, value in self.limits.items()
        ]
        from_s, to_s = 0.0, self.seconds
        if self.recycled_s is not None:
            from_s, to_s = min(turn[2] for turn in turns) - 1, max(turn[3] for turn in turns) + 1
        for second in range(int(self.seconds)):
            t = second + 0.3
            if not from_s <= t <= to_s:
                continue
            done = np.searchsorted(at_s, t)
            live = int(((lives[:, 0] <= t) & (lives[:, 1] > t)).sum())
            ended = int((lives[:, 1] <= t).sum())
            memory = self.base + self.live * live + self.ended * ended
            had = [turn[0] for turn in turns if turn[3] <= t]
            memory += self.turn_left * len(had)
            memory += self.turn * sum(lives_at[session, turns[0][1]][1] > t for session in had)
            memory += self.warm * (1 - np.exp(-t / 60)) + noise.normal(0, self.noise)
            gauges = {
                "process.memory.usage": float(memory // 4096 * 4096),
                "process.unix.file_descriptor.count": 20.0 + 2 * live,
            }
            point = {"time_ns": ns(t), "instance": instance}
            rows += [{"name": name, "value": value, **point} for name, value in gauges.items()]
            spent = self.idle * t + (float(cpu_s[done - 1]) if done else 0.0)
            for mode, share in (("user", 0.9), ("system", 0.1)):
                rows.append(
                    {
                        "name": "process.cpu.time",
                        "kind": "sum",
                        "temporality": "cumulative",
                        "start_ns": T0_NS,
                        "value": round(spent * share, 2),
                        "attrs": {"cpu.mode": mode},
                        **point,
                    }
                )
        return rows


def ns(at_s: float) -> int:
    return T0_NS + round(at_s * 1e9)


def lives_of(turns: list[Any]) -> dict[tuple[int, int], tuple[float, float]]:
    """From first turn to last of each session, on each process."""
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for session, process, start_s, end_s in turns:
        known = found.get((session, process), (start_s, end_s))
        found[session, process] = (min(known[0], start_s), max(known[1], end_s))
    return found


def judged(ceilings: list[Ceiling], truth: float) -> tuple[float, int, int]:
    """The largest error, and how many of the intervals hold the truth (to a session)."""
    errors = [abs((one.sessions or 0.0) / truth - 1) for one in ceilings]
    holds = sum((one.low or 0.0) - 1 <= truth <= (one.high or 0.0) + 1 for one in ceilings)
    return max(errors), holds, len(ceilings)


@pytest.mark.parametrize(
    ("service", "cores", "dimension"),
    [
        (Service(turns_a_session=(3, 9)), 8.0, "process"),
        (Service(turns_a_session=(3, 9), ramp_s=5.0), 8.0, "process"),
        (Service(turns_a_session=(3, 9), users=60, processes=2), 2.0, "host"),
        (Service(turns_a_session=(3, 9), idle=0.3), 8.0, "process"),
    ],
    ids=["a ramp", "steady load", "two processes", "busy when idle"],
)
def test_cpu_is_within_a_tenth_at_a_third_of_the_limit(
    service: Service, cores: float, dimension: str
) -> None:
    """Idle time apart from what turns cost: sessions at which the cores are busy all the time."""
    service.limits = {"system.cpu.logical.count": cores}
    truth = service.processes * (1 - service.idle) / (service.turn_cpu_s * service.turns_a_second())
    found = []
    for seed in range(8):
        first = next(iter(processor_ceilings(service.windows(seed))))
        assert isinstance(first, Ceiling)
        assert first.dimension == dimension
        found.append(first)
    error, holds, told = judged(found, truth)
    assert error <= 0.10
    assert holds >= 0.9 * told


def test_a_worker_that_was_recycled_is_one_worker() -> None:
    """Two processes one after the other: their costs are one, and so is the core they may use."""
    limits = {"system.cpu.logical.count": 8.0, "agentscope.cgroup.memory.limit": 1 * GIB}
    service = Service(turns_a_session=(3, 9), recycled_s=200.0, limits=limits)
    windows = service.windows(0)
    first = next(iter(processor_ceilings(windows)))
    assert isinstance(first, Ceiling)
    truth = (1 - service.idle) / (service.turn_cpu_s * service.turns_a_second())
    assert (first.limit, first.sessions) == (1.0, pytest.approx(truth, rel=0.1))
    figures = memory_of(windows).figures
    assert figures.base_bytes == pytest.approx(100 * MIB, rel=0.02)
    assert figures.bytes_per_live_session == pytest.approx(2 * MIB, rel=0.05)
    assert figures.leak is not True


def test_one_process_uses_one_core_and_more_processes_help() -> None:
    """Eight cores do not help a process that may use one of them."""
    service = Service(limits={"system.cpu.logical.count": 8.0})
    process, host = processor_ceilings(service.windows(0))
    assert isinstance(process, Ceiling)
    assert isinstance(host, Ceiling)
    assert (process.limit, host.limit) == (1.0, 8.0)
    assert process.relief == "more processes help, up to 8 cores of the host"
    assert host.sessions == pytest.approx(8 * (process.sessions or 0), rel=0.03)


def test_a_containers_quota_comes_before_the_hosts_processors() -> None:
    """Half a core is used up before the interpreter's lock matters."""
    limits = {"system.cpu.logical.count": 8.0, "agentscope.cgroup.cpu.limit": 0.5}
    (only,) = processor_ceilings(Service(limits=limits).windows(0))
    assert isinstance(only, Ceiling)
    assert (only.dimension, only.limit) == ("container", 0.5)
    assert only.relief == "a larger quota or more pods help"


def test_work_that_idling_may_be_all_of_has_no_upper_end() -> None:
    """Turns take all of the processor time, or what idling leaves of it: rounding, and no number."""
    all_of_it, none_of_it = (0.05, 0.0, 0.2), (1e-17, 0.01, 0.2)
    drawn, with_idle = np.tile(all_of_it, (400, 1)), np.tile(none_of_it, (400, 1))
    cost = Cost(*all_of_it[:2], False, all_of_it[2], drawn, blocks=20, with_idle=with_idle)
    assert cost.interval(1.0, 1) == Interval(pytest.approx(100.0), math.inf)


def test_few_turns_have_no_price() -> None:
    """A run of seconds does not tell what a turn costs."""
    (only,) = processor_ceilings(Service(users=2, seconds=15.0, ramp_s=1.0).windows(0))
    assert only == "cpu: not enough data (2 windows, 1 turn in the steady part)"


def test_processor_time_that_turns_do_not_take_has_no_ceiling() -> None:
    """A background thread keeps two fifths of a core busy; more sessions add nothing that shows."""
    (only,) = processor_ceilings(Service(idle=0.4, turn_cpu_s=0.0001).windows(0))
    assert only == (
        "cpu: does not grow with turns, as far as this run tells; a process takes 39 % of a core "
        "whether it has turns or not"
    )


@pytest.mark.parametrize(
    ("service", "leaks"),
    [
        (Service(), False),
        (Service(live=0.0), False),
        (Service(noise=1 * MIB), False),
        (Service(ended=48 * 1024), True),
        (Service(ended=48 * 1024, ramp_s=5.0), True),
        (Service(ended=20 * 1024, noise=0.3 * MIB), True),
        (Service(ended=48 * 1024, processes=2), True),
    ],
    ids=["healthy", "flat", "noisy", "leak", "steady load", "noisy leak", "two processes"],
)
def test_a_leak_is_told_from_none(service: Service, leaks: bool) -> None:
    """What ended sessions leave behind, whatever live ones take."""
    service.limits = {"agentscope.cgroup.memory.limit": 1 * GIB}
    found = [memory_of(service.windows(seed)).figures for seed in range(3)]
    assert sum(one.leak is leaks for one in found) >= 2
    assert not any(one.leak is (not leaks) for one in found)
    for figures in found:
        assert figures.bytes_per_ended_session == pytest.approx(service.ended, abs=3 * 1024)
        assert (figures.time_to_limit_s is not None) is leaks


@pytest.mark.parametrize("ramp_s", [5.0, 100.0])
def test_memory_that_warms_up_is_no_leak(ramp_s: float) -> None:
    """Forty mebibytes that fill in the first minutes go with ended sessions, too, at first."""
    for seed in range(4):
        figures = memory_of(Service(warm=40 * MIB, ramp_s=ramp_s).windows(seed)).figures
        assert figures.leak is not True


def test_memory_is_within_a_tenth_at_a_third_of_the_limit() -> None:
    """Sessions whose memory fills the container; the interval holds the truth."""
    service = Service(limits={"agentscope.cgroup.memory.limit": 220 * MIB})
    found = [memory_of(service.windows(seed)) for seed in range(10)]
    error, holds, told = judged([one.ceiling for one in found if one.ceiling], 60.0)
    assert told == 10
    assert error <= 0.02
    assert holds >= 9
    figures = found[0].figures
    assert figures.base_bytes == pytest.approx(100 * MIB, rel=0.01)
    assert figures.bytes_per_live_session == pytest.approx(2 * MIB, rel=0.02)


def test_a_leak_says_when_memory_is_full() -> None:
    """At the run's rate of ended sessions."""
    service = Service(ended=0.25 * MIB, limits={"agentscope.cgroup.memory.limit": 1 * GIB})
    ended = len(lives_of(service.turns(0)))
    figures = memory_of(service.windows(0)).figures
    rate = ended / service.seconds
    free = 1 * GIB - (100 * MIB + 20 * 2 * MIB + ended * 0.25 * MIB)
    assert figures.time_to_limit_s == pytest.approx(free / (rate * 0.25 * MIB), rel=0.15)


LONG = Service(turns_a_session=(10, 30), seconds=600.0, turn_cpu_s=0.0)
ENDLESS = Service(turns_a_session=(200, 300), turn_cpu_s=0.0)


@pytest.mark.parametrize(
    ("service", "per_turn", "freed", "leak"),
    [
        (replace(LONG, turn=100 * KIB), 100 * KIB, True, False),
        (replace(LONG, turn_left=100 * KIB), 100 * KIB, False, True),
        (replace(LONG, ended=2 * MIB), None, None, True),
        (LONG, None, None, False),
        (replace(ENDLESS, turn=100 * KIB), 100 * KIB, None, None),
        (replace(ENDLESS, turn_left=100 * KIB), 100 * KIB, None, None),
        (ENDLESS, None, None, None),
        (replace(ENDLESS, warm=40 * MIB), None, None, None),
        (Service(turn=100 * KIB), None, None, False),
    ],
    ids=[
        "contexts that go",
        "a leak by the turn",
        "a leak by the session",
        "neither",
        "contexts of sessions that do not end",
        "or a leak: the same to see",
        "sessions that do not end",
        "warming up",
        "short sessions",
    ],
)
def test_what_a_turn_adds_is_told_from_what_a_session_leaves(
    service: Service, per_turn: float | None, freed: bool | None, leak: bool | None
) -> None:
    """Long sessions grow by the turn; whether that stays shows only once they end."""
    figures = memory_of(service.windows(0)).figures
    assert (figures.turns_freed, figures.leak) == (freed, leak)
    if per_turn is None:
        assert figures.bytes_per_turn is None
        return
    assert figures.bytes_per_turn == pytest.approx(per_turn, rel=0.02)
    assert (figures.turn_low or 0) <= per_turn * 1.002
    assert (figures.turn_high or 0) >= per_turn * 0.998


def test_a_live_session_is_counted_with_the_turns_that_it_has_had() -> None:
    """Two mebibytes and 39 turns of 100 KiB: the ceiling is that of sessions of that age."""
    limits = {"agentscope.cgroup.memory.limit": 1 * GIB}
    memory = memory_of(replace(ENDLESS, turn=100 * KIB, limits=limits).windows(0))
    assert memory.figures.bytes_per_live_session == pytest.approx(
        2 * MIB + 38.7 * 100 * KIB, rel=0.01
    )
    assert memory.ceiling is not None
    assert "a live session with the 38.7 turns that it has had" in memory.ceiling.basis
    assert memory.figures.basis is not None
    assert "if it stays, memory is full in " in memory.figures.basis


def test_memory_of_a_short_run_is_not_guessed() -> None:
    """What the run cannot tell is said, and left open."""
    figures = memory_of(Service(seconds=20.0, ramp_s=5.0).windows(0)).figures
    assert (figures.leak, figures.bytes_per_live_session) == (None, None)
    assert figures.basis is not None
    assert figures.basis.startswith("not enough data: too short: 7 windows of 15")


def test_live_and_ended_sessions_that_grow_together_are_not_told_apart() -> None:
    """Two slopes need two things that vary; one that does not vary has none."""
    t = np.arange(40.0)[np.newaxis]
    inside = np.full(t.shape, True)
    assert fit_of(Gauge(100 + 3 * t, t, 2 * t), inside) == (
        "live and ended sessions grew together, so they cannot be told apart"
    )
    assert fit_of(Gauge(100 + t, 0 * t + 5, 0 * t), inside) == (
        "the number of sessions hardly varied"
    )
    fit = fit_of(Gauge(100 + 3 * t, 0 * t + 5, 2 * t), inside)
    assert isinstance(fit, Fit)
    assert fit.live is None
    assert fit.ended is not None
    assert fit.ended.value == pytest.approx(1.5)


def test_flat_memory_has_no_ceiling() -> None:
    """Memory that does not go with sessions limits none of them."""
    limits = {"agentscope.cgroup.memory.limit": 1 * GIB}
    memory = memory_of(Service(live=0.0, noise=0.02 * MIB, limits=limits).windows(1))
    assert memory.ceiling is None
    assert memory.missing is not None
    assert memory.missing.startswith("memory: what a live session takes is not told from nothing")


def test_descriptors_run_out_where_they_grow_with_sessions() -> None:
    """Twenty without sessions, two a session, 1 024 a process: 502 sessions."""
    limits = {"agentscope.process.file_descriptor.limit": 1024.0}
    ceiling = descriptor_ceiling(Service(limits=limits).windows(0))
    assert isinstance(ceiling, Ceiling)
    assert ceiling.sessions == pytest.approx(502, rel=0.02)
    assert (ceiling.dimension, ceiling.unit) == ("process", "descriptors")


def test_what_may_be_used_must_be_known() -> None:
    """Older runs do not record how many descriptors, processors or bytes there may be."""
    windows = Service().windows(0)
    assert descriptor_ceiling(windows) == (
        "file_descriptors: how many a process may open was not recorded"
    )
    first, second = processor_ceilings(windows)
    assert isinstance(first, Ceiling)
    assert second == "cpu: how many processors the service may use was not recorded"
    assert memory_of(windows).missing == "memory: how much the service may use was not recorded"
