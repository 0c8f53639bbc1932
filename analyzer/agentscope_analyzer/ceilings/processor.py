"""The ceilings of processor time: one core a process, and all cores of a container or a host."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.resampling import (
    SHORT,
    Interval,
    interval_of,
    multiplicities,
)
from agentscope_analyzer.ceilings.windows import Process, Windows
from agentscope_analyzer.document import Ceiling
from agentscope_analyzer.wording import amount, number, percent, seconds

Floats = npt.NDArray[np.float64]

MIN_WINDOWS: Final = 10
MIN_CPU_S: Final = 0.5
"""Processor time is counted in hundredths of a second: less than this in all is too coarse."""
MIN_TURNS: Final = 20
TURNS_A_WINDOW: Final = 3.0
"""A window must be so many times as long as a turn for its turns and their work to fall together."""
MIN_LOAD_RATIO: Final = 2.0
"""Where load differs by less, an idle process's share cannot be told from the turns'."""
MIN_SHARE: Final = 0.05
"""Turns that take less of the processor time than this have no cost that can be told."""
FULL: Final = 0.90
"""A core that is busy for this part of a window is taken to be used up."""
MOST_TIMES: Final = 100.0
"""An interval whose ends are so many times apart has no upper end that means anything."""
MANY_CORES: Final = 1.15
"""A process that keeps more than this busy is not held to one core by the interpreter's lock."""


@dataclass(frozen=True)
class Cost:
    """Processor time of the service: what a turn takes, and what a process takes without turns.

    ``drawn`` has the same figures of every draw of the bootstrap, one row a draw.
    """

    turn_s: float
    idle: float
    """Processors that a process keeps busy without turns."""
    idle_known: bool
    turns_per_session: float
    """Turns a second of one live session."""
    drawn: Floats
    blocks: int
    with_idle: Floats | None = None
    """Where the idle share is not known: the draws with as much of it as there may be."""

    def sessions(self, cores: float, processes: int) -> float:
        """Live sessions at which so many processes keep so many cores busy."""
        return max(0.0, cores - self.idle * processes) / (self.turn_s * self.turns_per_session)

    def interval(self, cores: float, processes: int) -> Interval | None:
        """The 95 % interval of ``sessions``."""
        found = interval_of(_sessions(self.drawn, cores, processes), self.blocks)
        if found is None or self.with_idle is None:
            return found
        other = interval_of(_sessions(self.with_idle, cores, processes), self.blocks)
        if other is None:
            return None
        # Draws in which the idle share takes all of it leave next to nothing for a turn: no upper end.
        high = max(found.high, other.high)
        return Interval(found.low, high if high <= MOST_TIMES * found.low else math.inf)


def _sessions(drawn: Floats, cores: float, processes: int) -> Floats:
    turn_s, idle, rate = drawn.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.maximum(0.0, cores - idle * processes) / (turn_s * rate)
    return found


def cost_of(windows: Windows) -> Cost | str | None:
    """What turns cost, or in words why the run cannot tell; None where nothing was recorded.

    Where load varied, the processor time of a window is regressed on the turns worked on in it, by
    least squares, because they keep the sum; the windows are then longer than turns are. Where it
    did not, all of it counts as the turns': the ceiling is on the careful side.
    """
    recorded = windows.here & np.isfinite(windows.cpu)
    if not np.isfinite(windows.cpu).any():
        return None
    steady = windows.steady & recorded.any(axis=0)
    lived = float(windows.sessions[steady].sum())
    turns = float((windows.turns_per_s * recorded)[:, steady].sum() * windows.window_s)
    spent_s = float(np.where(recorded, windows.cpu, 0.0)[:, steady].sum() * windows.window_s)
    if steady.sum() < MIN_WINDOWS or turns < MIN_TURNS or lived <= 0:
        seen = f"{amount(steady.sum(), 'window')}, {amount(round(turns), 'turn')}"
        return f"cpu: not enough data ({seen} in the steady part)"
    if spent_s < MIN_CPU_S:
        return f"cpu: hardly any was used ({seconds(spent_s)} in all)"
    cost = _by_regression(windows, recorded) or _by_ratio(windows, recorded, steady)
    if cost.turn_s * turns < MIN_SHARE * spent_s:
        return (
            "cpu: does not grow with turns, as far as this run tells; a process takes "
            f"{percent(cost.idle)} of a core whether it has turns or not"
        )
    return cost


def _by_regression(windows: Windows, recorded: npt.NDArray[np.bool_]) -> Cost | None:
    """None where load did not vary enough."""
    ended = windows.ended_turns.sum()
    turn_length_s = windows.ended_turns_s.sum() / ended if ended else 0.0
    merged = max(1, math.ceil(TURNS_A_WINDOW * turn_length_s / windows.window_s))
    count = windows.count // merged
    if count < MIN_WINDOWS:
        return None

    def mean(table: Floats) -> Floats:
        shape = (*table.shape[:-1], count, merged)
        found: Floats = table[..., : count * merged].reshape(shape).mean(axis=-1)
        return found

    whole = mean(recorded.astype(np.float64)) > 0.999
    steady = mean(windows.steady.astype(np.float64)) > 0.999
    x = np.where(whole, mean(np.where(recorded, windows.turns_per_s, 0.0)), 0.0)
    y = np.where(whole, mean(np.where(recorded, windows.cpu, 0.0)), 0.0)
    loads = np.sort(x[whole])
    if loads.size < MIN_WINDOWS or not steady.any():
        return None
    lowest, highest = float(loads[loads.size // 10]), float(loads[-1 - loads.size // 10])
    if highest < MIN_LOAD_RATIO * lowest or highest <= 0:
        return None
    # One row a window: sums over its processes, then those of the steady part.
    sums = np.stack(
        [
            whole.sum(axis=0),
            x.sum(axis=0),
            y.sum(axis=0),
            (x * x).sum(axis=0),
            (x * y).sum(axis=0),
            mean(windows.turns_per_s.sum(axis=0)) * steady,
            mean(windows.sessions) * steady,
        ],
        axis=1,
    ).astype(np.float64)
    return _cost(sums, float(y[whole].mean()), idle_known=True)


def _by_ratio(
    windows: Windows, recorded: npt.NDArray[np.bool_], steady: npt.NDArray[np.bool_]
) -> Cost:
    """All of the processor time counts as the turns'.

    The interval reaches to where the ceiling would lie with the idle share that a regression on so
    little variation gives: mostly too large a share, so the true one is within.
    """
    x = np.where(recorded, windows.turns_per_s, 0.0)[:, steady]
    y = np.where(recorded, windows.cpu, 0.0)[:, steady]
    sums = np.stack(
        [
            recorded[:, steady].sum(axis=0),
            x.sum(axis=0),
            y.sum(axis=0),
            (x * x).sum(axis=0),
            (x * y).sum(axis=0),
            windows.turns_per_s[:, steady].sum(axis=0),
            windows.sessions[steady],
        ],
        axis=1,
    ).astype(np.float64)
    least = float(np.quantile(y[recorded[:, steady]], 0.1))
    return replace(
        _cost(sums, 0.0, idle_known=False), with_idle=_cost(sums, least, idle_known=False).drawn
    )


def _cost(sums: Floats, most: float, *, idle_known: bool) -> Cost:
    """Solve the sums of all windows, and those of every draw."""
    turn_s, idle, rate = _solved(sums.sum(axis=0, keepdims=True), most)[0]
    drawn = _solved(multiplicities(sums.shape[0], length=SHORT) @ sums, most)
    blocks = sums.shape[0] // SHORT
    return Cost(float(turn_s), float(idle), idle_known, float(rate), drawn, blocks)


def _solved(sums: Floats, most: float) -> Floats:
    """Seconds a turn, idle processors of a process, turns a second of a session: one row each.

    An idle process takes nothing at least, and ``most`` at most.
    """
    n, x, y, xx, xy, turns, sessions = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (n * xy - x * y) / (n * xx - x * x)
        idle = np.nan_to_num((y - slope * x) / n) if most else np.zeros_like(n)
        idle = np.clip(idle, 0.0, most)
        return np.stack([np.maximum(0.0, y - n * idle) / x, idle, turns / sessions], axis=1)


def processor_ceilings(windows: Windows) -> Iterator[Ceiling | str]:
    """One core a process; then the container's quota or the host's processors."""
    cost = cost_of(windows)
    if cost is None:
        return
    if isinstance(cost, str):
        yield cost
        return
    processes = max(1, windows.process_count)
    cores, where = cores_of(windows.processes)
    busy = _busiest(windows)
    if busy > MANY_CORES:
        yield (
            f"cpu: a process kept {number(busy)} cores busy at a time, so the interpreter's lock does "
            "not hold it to one"
        )
    elif cores is None or processes < cores:
        yield _ceiling(
            cost,
            float(processes),
            processes,
            dimension="process",
            reached=busy >= FULL,
            where="one core a process, all that Python's interpreter lock lets it use",
            relief="more processes help"
            + (f", up to {amount(cores, 'core')} of the {where}" if cores is not None else ""),
        )
    if cores is None:
        yield "cpu: how many processors the service may use was not recorded"
        return
    used = np.where(windows.here, np.nan_to_num(windows.cpu), 0.0).sum(axis=0)
    yield _ceiling(
        cost,
        cores,
        processes,
        dimension=where,
        reached=float(np.quantile(used, 0.9)) >= FULL * cores,
        where="the container's quota" if where == "container" else "processors of the host",
        relief="a larger quota or more pods help" if where == "container" else "more hosts help",
    )


def cores_of(processes: tuple[Process, ...]) -> tuple[float | None, str]:
    """Cores that the service may use, over all its hosts, and what sets them."""
    by_host: dict[str, tuple[float, str]] = {}
    for process in processes:
        told = [
            (cores, where)
            for cores, where in (
                (process.container_cpus, "container"),
                (process.host_cpus, "host"),
            )
            if cores is not None
        ]
        if told:
            by_host[process.host] = min(
                [min(told), *([by_host[process.host]] if process.host in by_host else [])]
            )
    if not by_host:
        return None, ""
    return sum(cores for cores, _ in by_host.values()), max(by_host.values())[1]


def _busiest(windows: Windows) -> float:
    """Cores that the busiest process kept busy in its busiest windows."""
    per_process = [
        float(np.quantile(row[here & np.isfinite(row)], 0.9))
        for row, here in zip(windows.cpu, windows.here, strict=True)
        if (here & np.isfinite(row)).sum() >= MIN_WINDOWS
    ]
    return max(per_process, default=0.0)


def _ceiling(
    cost: Cost,
    cores: float,
    processes: int,
    *,
    dimension: str,
    reached: bool,
    where: str,
    relief: str,
) -> Ceiling:
    sessions = cost.sessions(cores, processes)
    interval = cost.interval(cores, processes)
    basis = [f"limit: {where}", f"{seconds(cost.turn_s)} of processor time a turn"]
    if cost.idle_known:
        basis.append(f"an idle process takes {percent(cost.idle)} of a core")
    else:
        basis.append(
            "too few loads to tell what an idle process takes, so that counts as the turns'"
        )
    if processes > 1:
        basis.append(f"{processes} processes, evenly loaded")
    if dimension == "host":
        basis.append("of this service alone: what else runs on the host comes on top")
    basis.append("turns slow down well before all of it is used")
    return Ceiling(
        resource="cpu",
        dimension=dimension,
        limit=cores,
        unit="cores",
        demand_per_session=cost.turn_s * cost.turns_per_session,
        sessions=float(math.floor(sessions + 1e-9)),
        low=float(math.floor(interval.low + 1e-9)) if interval else None,
        high=float(math.floor(interval.high + 1e-9))
        if interval and math.isfinite(interval.high)
        else None,
        reached=reached,
        binding=False,
        basis="; ".join(basis),
        relief=relief,
    )
