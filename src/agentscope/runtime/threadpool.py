"""Pools of worker threads as gauges: how many threads each may have, are busy, and are asked for.

anyio's limiters and the executors of ``concurrent.futures`` are both such pools. One is known from
its first call below a span of ours until it is collected; nothing here keeps it alive. A second
living pool of the same name is ``name#2``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import OTHER, Instruments, Labels

MAX_NAMED = 32
"""Living pools with names of their own; those beyond have no gauges, and share a name."""


class PoolState(NamedTuple):
    """A pool at one moment; ``limit`` is None where there is none."""

    limit: float | None
    borrowed: int
    waiting: int


Look = Callable[[Any], PoolState]
"""Looks at a pool, from the recorder's thread."""

# A dictionary's own operations are atomic; a lock of ours could be held for ever in a forked child.
_pools: dict[int, tuple[Callable[[], Any], Look, str]] = {}


def name_of(pool: Any, look: Look, usual: Callable[[], str]) -> str:
    """What ``pool`` is called in spans and metrics; from now on it has gauges.

    ``usual`` gives the name of a pool that was not known, before others of that name are counted.
    """
    known = _pools.get(id(pool))
    if known is not None and known[0]() is pool:
        return known[2]
    taken = {name for _, _, name in list(_pools.values())}
    if len(taken) >= MAX_NAMED:
        return OTHER
    name = candidate = usual()
    number = 1
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    key = id(pool)
    _pools[key] = (weakref.ref(pool, lambda _: _pools.pop(key, None)), look, candidate)
    return candidate


class ThreadPoolSampler:
    """Sets the ``agentscope.threadpool.*`` gauges, and drops those of pools that are gone."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def sample(self, instruments: Instruments) -> None:
        """Look at every pool."""
        seen: set[str] = set()
        for pool_of, look, name in list(_pools.values()):
            pool = pool_of()
            if pool is None:
                continue
            try:
                state = look(pool)
            except Exception as error:  # a version that keeps its books otherwise
                note_error("runtime.threadpool", error)
                continue
            seen.add(name)
            for (metric, labels), value in zip(_series(name), state, strict=True):
                if value is not None:
                    instruments.set(metric, labels, value)
        for name in self._shown - seen:
            for metric, labels in _series(name):
                instruments.forget(metric, labels)
        self._shown = seen


def _series(name: str) -> tuple[tuple[c.Metric, Labels], ...]:
    labels = (name,)
    return (
        (c.THREADPOOL_LIMIT, labels),
        (c.THREADPOOL_BORROWED, labels),
        (c.THREADPOOL_WAITING, labels),
    )
