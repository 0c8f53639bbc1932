"""The ceilings of database connection pools, by Little's law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentscope_analyzer.document import Ceiling

FAR = 10.0
"""Beyond so many times the sessions seen, proportion is no more than a guess."""


def pool_ceiling(
    pool: Mapping[str, Any], *, live_mean: float, stretch_s: float, waited_share: float
) -> Ceiling | str:
    """Sessions at which a pool's connections are in use all the time, or why nobody can tell.

    ``pool`` is a row of ``database/pools``. Connections in use on average = uses a second times
    seconds held (Little), and grow with sessions; where sessions spent ``waited_share`` of their
    life waiting for a connection, they would have asked for that much more.
    """
    name = pool["pool"] or "default"
    size, used = pool["size_connections"], pool["used_mean"]
    source = "connections in use, sampled"
    if pool["uses"] and pool["use_mean_s"] is not None and stretch_s > 0:
        # Every use is counted, while a gauge looks once a second and misses short ones.
        used = pool["uses"] * pool["use_mean_s"] / stretch_s
        source = "uses a second times seconds held"
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
    sessions = int(size / demand + 1e-9)
    if sessions > FAR * live_mean:
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    return Ceiling(
        resource=f"db.pool:{name}",
        dimension="instant",
        limit=float(size),
        unit="connections",
        demand_per_session=demand,
        sessions=float(sessions),
        low=None,
        high=None,
        # Full for a moment while hardly used, as when it is filled at first, is no limit reached.
        reached=full and (pending or waited_share > 0) and sessions <= FAR * live_mean,
        binding=False,
        basis="; ".join(basis),
    )
