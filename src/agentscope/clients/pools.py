"""Database connection pools: their names, who waits, who holds, and their gauges."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import NamedTuple

from agentscope import conventions as c
from agentscope.recording.instruments import Instruments
from agentscope.recording.recorder import Recorder

UNNAMED = "postgresql"
"""What a pool is called that never had a connection."""

# A list's own operations are atomic; a lock of ours could be held for ever in a forked child.
_pools: list[PoolRecord] = []
_sampled: weakref.WeakSet[Recorder] = weakref.WeakSet()


class PoolState(NamedTuple):
    """Connections of a pool at one moment."""

    used: int
    idle: int
    limit: int


class PoolRecord:
    """What is known of one pool; it does not keep the pool alive.

    ``look`` gives the pool's state, or None once it is closed or gone.
    """

    __slots__ = ("_look", "held_since_ns", "name", "pending")

    def __init__(self, look: Callable[[], PoolState | None]) -> None:
        self._look = look
        self.name = ""
        self.pending = 0
        """Calls that wait for a connection now."""
        self.held_since_ns: dict[int, int] = {}
        """Since when each connection is held, by the id of its place in the pool."""

    @property
    def label(self) -> str:
        """The name for spans and metrics."""
        return self.name or UNNAMED

    def rename(self, name: str) -> None:
        """Call the pool ``name``, with a number where another living pool is called so."""
        others = [record for record in _pools if record is not self]
        taken = {record.name for record in others if record._look() is not None}
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name}#{number}"
        self.name = candidate

    def sample(self, instruments: Instruments) -> bool:
        """Set the gauges; False when the pool is gone, and its series with it."""
        state = self._look()
        name = self.name
        if state is None:
            for metric, labels in _series(name):
                instruments.forget(metric, labels)
            return False
        if name:
            values = (state.used, state.idle, state.limit, self.pending)
            for (metric, labels), value in zip(_series(name), values, strict=True):
                instruments.set(metric, labels, value)
        return True


def register(record: PoolRecord) -> None:
    """Know of ``record`` from now on."""
    _pools.append(record)


def sample_with(recorder: Recorder) -> None:
    """Have ``recorder`` sample all pools, once a second."""
    if recorder not in _sampled:
        _sampled.add(recorder)
        recorder.samplers.append(_sample_pools)


def _sample_pools(instruments: Instruments) -> None:
    for record in list(_pools):
        if not record.sample(instruments):
            with contextlib.suppress(ValueError):  # another recorder's sampler was first
                _pools.remove(record)


def _series(name: str) -> tuple[tuple[c.Metric, tuple[str, ...]], ...]:
    return (
        (c.DB_CONNECTION_COUNT, (name, "used")),
        (c.DB_CONNECTION_COUNT, (name, "idle")),
        (c.DB_CONNECTION_MAX, (name,)),
        (c.DB_PENDING_REQUESTS, (name,)),
    )
