"""HTTP connection pools as gauges: how many connections each may have, has, and is asked for.

A pool is known from its first request below a span of ours until it is closed or collected; nothing
here keeps it alive. It is called after the server of that request, as the waits for its connections
are; a second living pool of the same name is ``name#2``.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from agentscope import conventions as c
from agentscope.recording.guard import note_error
from agentscope.recording.instruments import OTHER, Instruments, Labels
from agentscope.recording.recorder import Recorder

MAX_NAMED = 32
"""Living pools with gauges of their own; those beyond add up under ``other``."""

MAX_POOLS = 1000
"""Living pools that are looked at. Who has more makes a client for every call."""

_log = logging.getLogger("agentscope")


class PoolState(NamedTuple):
    """Connections of a pool at one moment; ``limit`` is None where there is none."""

    limit: int | None
    in_use: int
    waiting: int


class HttpPool:
    """What is known of one pool."""

    __slots__ = ("_held", "_look", "_pool", "name")

    def __init__(self, pool: Any, look: Look, name: str, key: object) -> None:
        self._pool = weakref.ref(pool, lambda _: _pools.pop(key, None))
        self._look = look
        self.name = name
        self._held: set[weakref.ref[Any]] = set()

    def is_of(self, pool: Any) -> bool:
        """Whether this is about ``pool``, and not about an earlier one of the same id."""
        return self._pool() is pool

    def state(self) -> PoolState | None:
        """The pool's state now; None once it is closed or gone."""
        pool = self._pool()
        return None if pool is None else self._look(pool, self)

    def hold(self, connection: Any) -> None:
        """Remember a connection that was handed out, for a pool that does not count them."""
        self._held.add(weakref.ref(connection, self._held.discard))

    def held(self) -> list[Any]:
        """The connections that were handed out and that somebody has, if only the pool."""
        alive = (reference() for reference in list(self._held))
        return [connection for connection in alive if connection is not None]


Look = Callable[[Any, HttpPool], PoolState | None]
"""Looks at a pool, from the recorder's thread; None once the pool is closed."""


# A dictionary's own operations are atomic; a lock of ours could be held for ever in a forked child.
_pools: dict[object, HttpPool] = {}
_newest: Callable[[], Recorder | None] = lambda: None  # a weak reference, later
_shown: weakref.WeakKeyDictionary[Recorder, set[str]] = weakref.WeakKeyDictionary()
_refused = False


def watch(
    recorder: Recorder, pool: Any, look: Look, name: str, part: object = None
) -> HttpPool | None:
    """Have ``recorder`` sample ``pool`` once a second; None where there are too many pools.

    ``part`` tells parts of one pool apart that have limits of their own.
    """
    key = id(pool) if part is None else (id(pool), part)
    known = _pools.get(key)
    if known is None or not known.is_of(pool):
        known = _register(pool, look, name, key)
    if _newest() is not recorder:
        _sample_with(recorder)
    return known


def _register(pool: Any, look: Look, name: str, key: object) -> HttpPool | None:
    global _refused
    if len(_pools) >= MAX_POOLS:
        if not _refused:
            _refused = True
            _log.warning(
                "more than %d HTTP connection pools are alive; the gauges show no others. "
                "Make one client and share it",
                MAX_POOLS,
            )
        return None
    taken = {known.name for known in list(_pools.values())}
    number, candidate = 1, name
    while candidate in taken and number <= MAX_NAMED:
        number += 1
        candidate = f"{name}#{number}"
    if len(taken) >= MAX_NAMED:
        candidate = OTHER
    known = _pools[key] = HttpPool(pool, look, candidate, key)
    return known


def _sample_with(recorder: Recorder) -> None:
    global _newest
    _newest = weakref.ref(recorder)
    if recorder not in _shown:
        shown = _shown[recorder] = set()
        recorder.samplers.append(lambda instruments: _sample(instruments, shown))


def _sample(instruments: Instruments, shown: set[str]) -> None:
    states: dict[str, PoolState] = {}
    for key, pool in list(_pools.items()):
        state = _state(pool)
        if state is None:
            _pools.pop(key, None)
        elif pool.name in states:
            states[pool.name] = _sum(states[pool.name], state)
        else:
            states[pool.name] = state
    for name in shown - states.keys():
        for metric, labels in _series(name):
            instruments.forget(metric, labels)
    shown.clear()
    shown.update(states)
    for name, state in states.items():
        for (metric, labels), value in zip(_series(name), state, strict=True):
            if value is not None:
                instruments.set(metric, labels, value)


def _state(pool: HttpPool) -> PoolState | None:
    try:
        return pool.state()
    except Exception as error:  # a version of the library that keeps its books otherwise
        note_error("clients.gauges", error)
        return None


def _sum(one: PoolState, other: PoolState) -> PoolState:
    limited = one.limit is not None and other.limit is not None
    return PoolState(
        (one.limit or 0) + (other.limit or 0) if limited else None,
        one.in_use + other.in_use,
        one.waiting + other.waiting,
    )


def _series(name: str) -> tuple[tuple[c.Metric, Labels], ...]:
    labels = (name,)
    return (
        (c.HTTP_POOL_LIMIT, labels),
        (c.HTTP_POOL_IN_USE, labels),
        (c.HTTP_POOL_WAITING, labels),
    )
