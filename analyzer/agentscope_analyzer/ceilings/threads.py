"""The ceiling of a pool of worker threads, by Little's law.

A pool is looked at once a second, and calls are mostly shorter than that: a look sees few of them, so
the mean of some hundred looks is off by a tenth easily. What tools did is known all the time. Where
threads in use go with tools at work, the looks are corrected by how much less, or more, tools were at
work when somebody looked than they were on average (the regression estimator of survey sampling,
Cochran, Sampling Techniques, 1977, chapter 7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agentscope_analyzer.ceilings.pools import FAR
from agentscope_analyzer.document import Ceiling, Rows

MIN_POINTS: Final = 5
"""Fewer looks at a pool than this do not make a mean."""
MIN_WINDOWS: Final = 20
"""In fewer windows it cannot be told whether threads go with tools."""
MIN_USED: Final = 0.05
"""Threads in use on average: less than this is chance."""
Z_95: Final = 1.96


@dataclass(frozen=True)
class Used:
    """Threads in use on average, over all processes, and the standard error of that."""

    mean: float
    error: float
    by_tools: bool = False
    """The looks were corrected by what tools did."""


def thread_ceiling(
    caps: Sequence[Mapping[str, Any]],
    *,
    live_mean: float,
    waited_share: float,
    with_tools: Rows | None = None,
) -> Ceiling | str | None:
    """Sessions at which a pool's threads are busy all the time; None where no pool is in use.

    ``caps`` are rows of ``runtime/caps``, ``with_tools`` those of ``ceilings/threads``. Of several
    pools the fullest one counts. Threads in use on average grow with sessions (Little); where sessions
    spent ``waited_share`` of their life queued, they would have used that much more.
    """
    pools: dict[str, list[Mapping[str, Any]]] = {}
    for row in caps:
        pools.setdefault(row["resource"], []).append(row)
    used = [rows for rows in pools.values() if _mean(rows) >= MIN_USED]
    if not used or live_mean <= 0:
        return None
    rows = max(used, key=lambda rows: _mean(rows) / sum(row["size"] for row in rows))
    name, size = rows[0]["resource"], sum(row["size"] for row in rows)
    points = min(row["points"] for row in rows)
    if points < MIN_POINTS:
        return f"threadpool: not enough data ({points} looks at pool {name!r})"
    threads = _used(rows, [row for row in with_tools or () if row["resource"] == name])
    demand = threads.mean / live_mean / max(1e-9, 1.0 - waited_share)
    error = Z_95 * threads.error / threads.mean
    sessions = int(size / demand + 1e-9)
    full = any(row["times_full"] for row in rows)
    at = f"{threads.mean:.3g} at {live_mean:.3g} live sessions"
    basis = [f"Little's law on threads of {name!r} in use: {at}", f"{points} looks, one a second"]
    if threads.by_tools:
        basis.append("corrected by how many tools were at work in between")
    if len(rows) > 1:
        basis.append(f"{len(rows)} processes with a pool each, evenly loaded")
    if waited_share > 0:
        basis.append("corrected for waiting")
    if sessions > FAR * live_mean:
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    return Ceiling(
        resource="threadpool",
        dimension="instant",
        limit=float(size),
        unit="threads",
        demand_per_session=demand,
        sessions=float(sessions),
        low=float(int(sessions / (1 + error))),
        high=float(int(sessions / (1 - error))) if error < 1 else None,
        reached=waited_share > 0 and full and sessions <= FAR * live_mean,
        binding=False,
        basis="; ".join(basis),
        relief="more threads or more processes help",
    )


def _used(caps: Sequence[Mapping[str, Any]], with_tools: Rows) -> Used:
    """From the looks of all processes; each of them has a level of its own, the slope is common."""
    # What is looked at once a second is nearly independent where calls are shorter than that.
    variance = sum((row["spread"] or 0.0) ** 2 / row["points"] for row in caps)
    plain = Used(_mean(caps), math.sqrt(variance))
    if len(with_tools) < MIN_WINDOWS:
        return plain
    by_process: dict[str, Rows] = {}
    for row in with_tools:
        by_process.setdefault(row["instance"], []).append(row)
    tables = [_table(rows) for rows in by_process.values()]
    centred = np.concatenate([table - table.mean(axis=0) for table in tables])
    used, tools = centred[:, 0], centred[:, 1]
    spread = float((tools * tools).sum())
    free = len(centred) - len(tables) - 1
    if spread <= 0 or free < 1:
        return plain
    slope = float((used * tools).sum()) / spread
    rest = float(((used - slope * tools) ** 2).sum()) / free
    mean = plain.mean + sum(slope * float((t[:, 2] - t[:, 1]).mean()) for t in tables)
    # Of looks only what tools do not explain is chance; that tools were at work more in this run than
    # they would be in another is seen in how their windows differ.
    doubt = sum((rest + slope**2 * float(t[:, 2].var())) / len(t) for t in tables)
    if mean <= 0 or doubt >= variance:
        return plain
    return Used(mean, math.sqrt(doubt), by_tools=True)


def _table(rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Window by window: threads in use and tools at work as looked at, and tools throughout."""
    return np.array([[row["used"], row["tools"], row["busy"]] for row in rows], dtype=np.float64)


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(row["mean"] for row in rows))
