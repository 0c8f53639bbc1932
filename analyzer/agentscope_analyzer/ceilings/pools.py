"""The ceilings of database connection pools, by Little's law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from agentscope_analyzer.ceilings.little import Little, looking_error
from agentscope_analyzer.ceilings.resampling import Interval, ratio_interval
from agentscope_analyzer.ceilings.windows import Windows
from agentscope_analyzer.document import Ceiling, Rows

FAR: Final = 10.0
"""Beyond so many times the sessions seen, proportion is no more than a guess."""
MIN_WINDOWS: Final = 8


def pool_ceiling(
    pool: Mapping[str, Any],
    *,
    live_mean: float,
    stretch_s: float,
    waited_share: float,
    spread: Interval | None = None,
    looks: Mapping[str, float] | None = None,
) -> Ceiling | str:
    """Sessions at which a pool's connections are in use all the time, or why nobody can tell.

    ``pool`` is a row of ``database/pools``. Connections in use on average = uses a second times
    seconds held (Little), and grow with sessions; where sessions spent ``waited_share`` of their
    life waiting for a connection, they would have asked for that much more. ``spread`` is the
    interval of connections a session over its estimate, ``looks`` the deviation and the number of
    looks at the gauge.
    """
    name = pool["pool"] or "default"
    size, used = pool["size_connections"], pool["used_mean"]
    source, said = "connections in use, sampled", None
    if pool["uses"] and pool["use_mean_s"] is not None and stretch_s > 0:
        # Every use is counted, while a gauge looks once a second and misses short ones.
        seen, used = used, pool["uses"] * pool["use_mean_s"] / stretch_s
        source = "uses a second times seconds held"
        if seen is not None and looks is not None:
            error = looking_error(looks["spread"], looks["points"], pool["use_mean_s"])
            said = Little(seen, used, error).says("connections", "uses that ended")
    if not size or not used or live_mean <= 0:
        missing = "its size is not recorded" if not size else "its use is not recorded"
        return f"db.pool:{name}: not enough data ({missing})"
    demand = used / live_mean / max(1e-9, 1.0 - waited_share)
    full = pool["used_most"] is not None and pool["used_most"] >= size
    pending = bool(pool["pending_most"])
    basis = [f"Little's law on {source}: {used:.3g} at {live_mean:.3g} live sessions"]
    if pool["pools"] > 1:
        basis.append(f"{pool['pools']} processes with a pool each, evenly loaded")
    if waited_share > 0:
        basis.append("corrected for waiting")
    if said is not None:
        basis.append(said)
    sessions = size / demand
    if sessions > FAR * live_mean:
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    return Ceiling(
        resource=f"db.pool:{name}",
        dimension="instant",
        limit=float(size),
        unit="connections",
        demand_per_session=demand,
        sessions=float(int(sessions + 1e-9)),
        low=float(int(sessions / spread.high + 1e-9)) if spread else None,
        high=float(int(sessions / spread.low + 1e-9)) if spread and spread.low > 0 else None,
        # Full for a moment while hardly used, as when it is filled at first, is no limit reached.
        reached=full and (pending or waited_share > 0) and sessions <= FAR * live_mean,
        binding=False,
        basis="; ".join(basis),
        relief=(
            "a larger pool helps, or holding connections shorter; more pods will not help once the "
            "database itself is full"
        ),
    )


def spread_of(used: Rows, windows: Windows) -> Interval | None:
    """How far connections a session may lie from their estimate: an interval around 1.

    ``used`` are the rows of ``ceilings/used_by_window`` of one pool.
    """
    inside = [
        (row["used"], float(windows.sessions[row["number"]]))
        for row in used
        if 0 <= row["number"] < windows.count and windows.known[row["number"]]
    ]
    if len(inside) < MIN_WINDOWS:
        return None
    above, below = (np.array(column) for column in zip(*inside, strict=True))
    if above.sum() <= 0 or below.sum() <= 0:
        return None
    found = ratio_interval(above, below)
    mean = float(above.sum() / below.sum())
    return Interval(found.low / mean, found.high / mean) if found is not None else None


def looks_of(used: Rows) -> dict[str, float] | None:
    """Deviation and number of the looks at one pool, from the same rows."""
    if not used:
        return None
    values = np.array([row["used"] for row in used])
    points = np.array([row["points"] for row in used], dtype=np.float64)
    # A window's mean varies less than a single look, by the root of how many looks it holds.
    return {"spread": float(values.std() * np.sqrt(points.mean())), "points": float(points.sum())}
