"""The run cut into windows of equal length: what each process did and used in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope import conventions as c
from agentscope_analyzer.ceilings.demand import LiveSessions
from agentscope_analyzer.document import Rows
from agentscope_analyzer.sql import Asker

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_WINDOWS: Final = 120
SHORTEST_S: Final = 2.0
"""Gauges come once a second: a window must hold more than one."""
IDLE_S: Final = 300.0
"""So much of what processes did before the first turn and after the last is looked at."""
STARTING_S: Final = 10.0
"""A process that began to report so long ago has finished its imports."""
NS: Final = 1e9


@dataclass(frozen=True)
class Process:
    """One process: when it reported, and what it may use; None where that is not recorded."""

    instance: str
    first_s: float
    last_s: float
    container_cpus: float | None = None
    host_cpus: float | None = None
    container_bytes: float | None = None
    host_bytes: float | None = None
    descriptors: float | None = None
    host: str = ""


@dataclass(frozen=True)
class Gauge:
    """What a gauge said, and the sessions that were live and ended whenever it was read.

    One row a process, one column a window, means over the moments of reading; NaN where it was not.
    """

    value: Floats
    live: Floats
    ended: Floats
    held: Floats | None = None
    """Turns that the live sessions had had."""
    served: Floats | None = None
    """Turns that all sessions had had."""

    @property
    def known(self) -> bool:
        """Whether it was recorded at all."""
        return bool(np.isfinite(self.value).any())


@dataclass(frozen=True)
class Windows:
    """One row a process, one column a window, unless said otherwise; NaN for what is not recorded."""

    start_s: float
    window_s: float
    processes: tuple[Process, ...]
    here: Flags
    """The process reported before the window and after it, and its imports were done."""
    cpu: Floats
    """Processors busy."""
    memory: Gauge
    """Resident bytes."""
    descriptors: Gauge
    """Open file descriptors."""
    turns_per_s: Floats
    ended_turns: Floats
    ended_turns_s: Floats
    """Durations of the turns that ended, added up."""
    sessions: Floats
    """Sessions live in the whole service, on average: one figure a window."""
    steady: Flags
    """The window lies in the steady part, where it is known which sessions are live: one a window."""
    known: Flags
    """It is known which sessions are live: one a window."""

    @property
    def count(self) -> int:
        """Number of windows."""
        return int(self.sessions.size)

    @property
    def length_s(self) -> float:
        """Length of all of them."""
        return self.count * self.window_s

    @property
    def serving(self) -> Flags:
        """The process is there and has had a turn."""
        served = np.cumsum(self.turns_per_s, axis=1) > 0
        found: Flags = self.here & served
        return found

    @property
    def process_count(self) -> int:
        """Processes that serve at a time, in the steady part."""
        counts = self.serving.sum(axis=0)
        inside = counts[self.steady & (counts > 0)]
        if not inside.size:
            inside = counts[counts > 0]
        return round(float(np.median(inside))) if inside.size else 0


def windows_of(
    asker: Asker,
    live: LiveSessions,
    hosts: dict[str, str],
    *,
    steady_s: tuple[float, float],
    known_until_s: float,
) -> Windows | None:
    """Read the windows of a run; None where it has no turns of known sessions.

    ``hosts`` are the processes' hosts; ``known_until_s`` is until when it is known who is live.
    """
    if not live.names:
        return None
    processes = _processes(asker.ask("runtime/limits"), hosts)
    first_s = min([live.first_s, *(p.first_s for p in processes)])
    last_s = max([live.last_s, *(p.last_s for p in processes)])
    start_s = max(first_s, live.first_s - IDLE_S)
    end_s = min(last_s, live.last_s + IDLE_S)
    if end_s <= start_s:
        return None
    window_s = max(SHORTEST_S, (end_s - start_s) / MOST_WINDOWS)
    count = max(1, int((end_s - start_s) / window_s))
    where = {"from_ns": round(start_s * NS), "window_ns": round(window_s * NS)}
    worked = asker.ask("ceilings/turns_by_window", **where)
    until = {"to_ns": round(end_s * NS), **where}
    used = asker.ask("runtime/processor_by_window", **until)
    known = {process.instance for process in processes}
    others = sorted({row["instance"] for row in worked} - known)
    processes += [Process(name, start_s, end_s, host=hosts.get(name, "")) for name in others]
    line = {process.instance: i for i, process in enumerate(processes)}

    def table(rows: Rows, column: str, fill: float) -> Floats:
        found = np.full((len(processes), count), fill)
        for row in rows:
            if 0 <= row["number"] < count and row[column] is not None and row["instance"] in line:
                found[line[row["instance"]], row["number"]] = row[column]
        return found

    def gauge(name: str) -> Gauge:
        rows = asker.ask("ceilings/gauges_by_window", gauge=name, **until)
        columns = ("value", "live", "ended", "held", "served")
        return Gauge(*(table(rows, column, np.nan) for column in columns))

    edges = start_s + window_s * np.arange(count + 1)
    first = np.array([[p.first_s] for p in processes])
    last = np.array([[p.last_s] for p in processes])
    turns = table(worked, "turns", 0.0)
    warm = (np.cumsum(turns, axis=1) > 0) | (edges[:-1] >= first + STARTING_S)
    cpu_s = table(used, "cpu_s", 0.0)
    counted = {row["instance"] for row in used}
    told = np.array([[process.instance in counted] for process in processes])
    known_windows = (edges[1:] <= known_until_s + 1e-6) & (edges[:-1] >= live.first_s - window_s)
    return Windows(
        start_s=start_s,
        window_s=window_s,
        processes=tuple(processes),
        here=(edges[:-1] >= first - window_s / 2) & (edges[1:] <= last + window_s / 2) & warm,
        cpu=np.where(told, cpu_s / window_s, np.nan),
        memory=gauge(c.MEMORY_USAGE.name),
        descriptors=gauge(c.FD_COUNT.name),
        turns_per_s=turns / window_s,
        ended_turns=table(worked, "ended", 0.0),
        ended_turns_s=table(worked, "ended_s", 0.0),
        sessions=np.array([live.mean(a, b) for a, b in pairwise(edges)]),
        steady=known_windows
        & (edges[:-1] >= steady_s[0] - 1e-6)
        & (edges[1:] <= steady_s[1] + 1e-6),
        known=known_windows,
    )


def _processes(rows: Rows, hosts: dict[str, str]) -> list[Process]:
    return [
        Process(
            row["instance"],
            row["first_ns"] / NS,
            row["last_ns"] / NS,
            row["container_cpus"],
            row["host_cpus"],
            row["container_bytes"],
            row["host_bytes"],
            row["descriptors"],
            hosts.get(row["instance"], ""),
        )
        for row in rows
    ]
