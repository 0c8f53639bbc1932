"""The ceiling of a pool of worker threads, by Little's law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agentscope_analyzer.ceilings.pools import FAR
from agentscope_analyzer.document import Ceiling

MIN_POINTS = 5
"""Fewer looks at a pool than this do not make a mean."""
MIN_USED = 0.05
"""Threads in use on average: less than this is chance."""
Z_95 = 1.96


def thread_ceiling(
    caps: Sequence[Mapping[str, Any]], *, live_mean: float, waited_share: float
) -> Ceiling | str | None:
    """Sessions at which a pool's threads are busy all the time; None where no pool is in use.

    ``caps`` are rows of ``runtime/caps``. Of several pools the fullest one counts. Threads in use
    on average grow with sessions (Little); where sessions spent ``waited_share`` of their life
    queued, they would have used that much more. The interval is that of the mean of the looks.
    """
    pools: dict[str, list[Mapping[str, Any]]] = {}
    for row in caps:
        pools.setdefault(row["resource"], []).append(row)
    used = [rows for rows in pools.values() if _mean(rows) >= MIN_USED]
    if not used or live_mean <= 0:
        return None
    rows = max(used, key=lambda rows: _mean(rows) / sum(row["size"] for row in rows))
    name, size, mean = rows[0]["resource"], sum(row["size"] for row in rows), _mean(rows)
    points = min(row["points"] for row in rows)
    if points < MIN_POINTS:
        return f"threadpool: not enough data ({points} looks at pool {name!r})"
    demand = mean / live_mean / max(1e-9, 1.0 - waited_share)
    # What is looked at once a second is nearly independent where calls are shorter than that.
    error = (
        Z_95 * math.sqrt(sum((row["spread"] or 0.0) ** 2 / row["points"] for row in rows)) / mean
    )
    sessions = int(size / demand + 1e-9)
    full = any(row["times_full"] for row in rows)
    basis = [
        f"Little's law on threads of {name!r} in use: {mean:.3g} at {live_mean:.3g} live sessions"
    ]
    basis.append(f"{points} looks, one a second")
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


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(row["mean"] for row in rows))
