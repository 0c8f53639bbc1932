"""The ceilings of HTTP connections to models' servers, by Little's law."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from agentscope_analyzer.ceilings.little import Little, looking_error
from agentscope_analyzer.ceilings.pools import FAR
from agentscope_analyzer.ceilings.resampling import DRAWS, SEED, Interval, interval_of
from agentscope_analyzer.document import Ceiling, Rows
from agentscope_analyzer.wording import amount, number, seconds

RESOURCE: Final = "llm.connections"
MIN_SESSIONS: Final = 5
MIN_ATTEMPTS: Final = 10


def connection_ceilings(
    held: Rows, caps: Rows, *, length_s: float, waited_share: float
) -> Iterator[Ceiling | str]:
    """For each pool to a model's server: sessions that keep all of its connections in use.

    ``held`` are rows of ``ceilings/connections``, ``caps`` those of ``runtime/caps``. An HTTP
    attempt holds a connection from its start to its end, so a session holds as many on average as
    its attempts last in a second of its life; where sessions spent ``waited_share`` of their life
    queued for one, they would have used that much more.
    """
    by_server: dict[str, Rows] = defaultdict(list)
    for row in held:
        by_server[row["server"]].append(row)
    pools: dict[str, Rows] = defaultdict(list)
    for row in caps:
        pools[row["resource"]].append(row)
    for pool, looks in sorted(pools.items()):
        servers = [rows for server, rows in by_server.items() if _is_at(pool, server)]
        if servers:
            yield _ceiling(pool, servers[0], looks, length_s, waited_share)


def _is_at(pool: str, server: str) -> bool:
    """A pool is called by its server, without the port that is usual."""
    return bool(server) and (pool == server or server in (f"{pool}:443", f"{pool}:80"))


def _ceiling(
    pool: str, rows: Rows, looks: Rows, length_s: float, waited_share: float
) -> Ceiling | str:
    known = [row for row in rows if row["row_number"] >= 0]
    attempts = sum(row["attempts"] for row in known)
    if attempts < MIN_ATTEMPTS or len(known) < 2 or length_s <= 0:
        return f"{RESOURCE}: not enough data ({amount(attempts, 'attempt')} to {pool!r})"
    live = np.array([row["live_s"] for row in known])
    told_s = sum(row["held_s"] for row in rows)
    live_mean = float(live.sum()) / length_s
    used = np.array([row["held_s"] for row in known])
    if live_mean <= 0 or used.sum() <= 0:
        return f"{RESOURCE}: not enough data (no attempt to {pool!r} held a connection)"
    little = _little(looks, told_s / length_s, told_s / sum(row["attempts"] for row in rows))
    # What no span explains, gauges may still have seen: the larger one counts.
    more = max(1.0, little.seen / little.told) if not little.holds else 1.0
    demand = more * float(used.sum() / live.sum()) / max(1e-9, 1.0 - waited_share)
    limit = sum(row["size"] for row in looks)
    sessions = limit / demand
    interval = _interval(used, live)
    basis = [
        f"connections to {pool!r}: {number(little.told)} in use on average",
        f"attempts hold one for {seconds(told_s / sum(row['attempts'] for row in rows))}",
        f"{len(known)} sessions",
    ]
    if len(looks) > 1:
        basis.append(f"{len(looks)} processes with a pool each, evenly loaded")
    if waited_share > 0:
        basis.append("corrected for waiting")
    said = little.says("connections", "spans")
    basis += [said] if said else []
    if sessions > FAR * live_mean:
        basis.append("far beyond the sessions seen, so only an order of magnitude")
    scale = limit / demand * float(used.sum() / live.sum())
    return Ceiling(
        resource=RESOURCE,
        dimension="instant",
        limit=float(limit),
        unit="connections",
        demand_per_session=demand,
        sessions=float(math.floor(sessions + 1e-9)),
        low=float(math.floor(scale / interval.high)) if interval else None,
        high=float(math.floor(scale / interval.low)) if interval and interval.low > 0 else None,
        reached=any(row["times_full"] for row in looks) and sessions <= FAR * live_mean,
        binding=False,
        basis="; ".join(basis),
        relief="a larger pool or more processes help, as long as the provider takes more",
    )


def _little(looks: Rows, told: float, held_s: float) -> Little:
    errors = [looking_error(row["spread"] or 0.0, row["points"], held_s) for row in looks]
    return Little(
        seen=sum(row["mean"] for row in looks),
        told=told,
        error=math.hypot(*errors),
    )


def _interval(used: npt.NDArray[np.float64], live: npt.NDArray[np.float64]) -> Interval | None:
    """Connections a live session, by resampling whole sessions."""
    size = used.size
    if size < MIN_SESSIONS:
        return None
    picks = np.random.default_rng(SEED).integers(0, size, (DRAWS, size))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = used[picks].sum(axis=1) / live[picks].sum(axis=1)
    return interval_of(drawn, size)
