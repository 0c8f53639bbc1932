"""The true ceilings: the same design under other loads, for long, without the limit in the way."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import chain

from planted.classes import Planted
from planted.provider import MINUTE_S, Bucket
from planted.service import Service
from planted.simulation import run_of

LONG_S = 900.0
SETTLED_S = 100.0
STEADY_S = LONG_S - SETTLED_S
MOST_TIMES = 4
"""So many times the users of the run are looked at."""
LAPS = 4
MINUTES = (LAPS - 1) * STEADY_S / MINUTE_S
MOST_REFUSED = 0.01
"""A quota carries as many sessions as meet it in less than this part of the minutes."""
AMPLE = 100_000

Call = tuple[float, float]
"""When, and what it takes of the quota."""


def sessions_at_limit(planted: Planted, resource: str, seed: int) -> float:
    """At how many live sessions the resource is used up."""
    if resource.startswith("llm."):
        return _at_quota(planted, resource.removeprefix("llm."), seed)
    return _at_pool(planted, resource, seed)


def _at_quota(planted: Planted, dimension: str, seed: int) -> float:
    """Ask the bucket what so many users ask for who are never refused, for ever more users."""
    limit = planted.design.model.quotas[dimension]
    design = replace(planted.design, model=replace(planted.design.model, quotas={}))
    load = replace(planted.load, run_s=LONG_S)
    service = run_of(design, load, seed + 1, recorded=False).service
    streams: list[list[Call]] = [[] for _ in range(load.users)]
    for one in service.provider.asked:
        if SETTLED_S <= one.at_s < LONG_S:
            streams[service.user_of[one.session]].append((one.at_s, one.amount(dimension)))
    # Users who are never refused do not know of each other: more of them, and for longer, are these
    # at other times.
    draw = random.Random(seed)
    streams = [
        [call for lap in range(LAPS) for call in _shifted(streams[i % load.users], lap, draw)]
        for i in range(MOST_TIMES * load.users)
    ]
    low, high = 1, len(streams)
    while high - low > 1:
        middle = (low + high) // 2
        bucket = Bucket(limit, by_the_minute=design.model.by_the_minute)
        if _minutes_refused(sorted(chain(*streams[:middle])), bucket) > MOST_REFUSED * MINUTES:
            high = middle
        else:
            low = middle
    return low * _live_s(service) / STEADY_S / load.users


def _shifted(calls: list[Call], lap: int, draw: random.Random) -> list[Call]:
    by_s = draw.uniform(0, STEADY_S)
    return [(lap * STEADY_S + (at_s + by_s) % STEADY_S, amount) for at_s, amount in calls]


def _minutes_refused(calls: list[Call], bucket: Bucket) -> int:
    """Minutes in which a call was refused; in the first lap what the bucket was full of is used up."""
    found = set()
    for at_s, amount in calls:
        if bucket.level(at_s) >= amount:
            bucket.take(amount)
        elif at_s >= STEADY_S:
            found.add(at_s // MINUTE_S)
    return len(found)


def _live_s(service: Service) -> float:
    """Session-seconds in the steady time: within turns or between two of a session."""
    spans: dict[str, tuple[float, float]] = {}
    for turn in service.turns:
        a, b = spans.get(turn.session, (turn.start_s, turn.end_s))
        spans[turn.session] = (min(a, turn.start_s), max(b, turn.end_s))
    return sum(max(0.0, min(b, LONG_S) - max(a, SETTLED_S)) for a, b in spans.values())


def _at_pool(planted: Planted, resource: str, seed: int) -> float:
    """Places that one live session keeps busy where there are places for everybody."""
    design = planted.design
    size = design.threads if resource == "threadpool" else design.db_pool
    ample = replace(design, threads=AMPLE, db_pool=AMPLE)
    load = replace(planted.load, run_s=LONG_S)
    service = run_of(ample, load, seed + 1, recorded=False).service
    pools = [a.process.threads if resource == "threadpool" else a.db_pool for a in service.agents]
    busy_s = sum(pool.busy_s() for pool in pools) * STEADY_S / LONG_S
    return size * design.instances / (busy_s / _live_s(service))
