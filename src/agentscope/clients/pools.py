"""Database connection pools: their names, who waits, who holds, and their gauges."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from agentscope import conventions as c
from agentscope.recording.instruments import OTHER, Instruments, Labels
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import Span
from agentscope.runtime.frames import Site

MAX_NAMED = 32
"""Living pools with a name of their own; those beyond are ``other``: their user makes one a call."""

# A list's own operations are atomic; a lock of ours could be held for ever in a forked child.
_pools: list[PoolRecord] = []
_shown: weakref.WeakKeyDictionary[Recorder, set[str]] = weakref.WeakKeyDictionary()


class PoolState(NamedTuple):
    """Connections of a pool at one moment; a limit is None where there is none."""

    used: int
    idle: int
    limit: int | None
    idle_limit: int | None = None
    """Connections that the pool keeps open, where it may open more than that for a while."""


class Hold:
    """A connection in somebody's hands."""

    __slots__ = ("busy_ns", "line", "since_ns", "under")

    def __init__(self, since_ns: int, under: Span | None, line: Site | None = None) -> None:
        self.since_ns = since_ns
        self.line = line
        """Where it was taken, if that cannot be seen when it is given back."""
        self.under = under
        """The span in which it was taken; None outside of any."""
        self.busy_ns = 0
        """For how long statements ran on it."""


class PoolRecord:
    """What is known of one pool; it does not keep the pool alive.

    ``look`` gives the pool's state, or None once it is closed or gone; it is told how many of its
    connections we know to be held. ``unnamed`` is what a pool is called that never had a
    connection.
    """

    __slots__ = ("_look", "_sampled_by", "_unnamed", "holds", "name", "waiting")

    def __init__(self, look: Callable[[int], PoolState | None], unnamed: str) -> None:
        self._look = look
        self._unnamed = unnamed
        self._sampled_by: Callable[[], Recorder | None] = lambda: None
        self.name = ""
        self.waiting: set[object] = set()
        """Calls that wait for a connection now: a count of ours would lose steps between threads."""
        self.holds: dict[int, Hold] = {}
        """The connections that are held, by the id of their place in the pool."""

    @property
    def label(self) -> str:
        """The name for spans and metrics."""
        return self.name or self._unnamed

    def rename(self, name: str) -> None:
        """Call the pool ``name``, with a number where another living pool is called so."""
        others = [record for record in _pools if record is not self]
        taken = {record.name for record in others if record.state() is not None}
        number, candidate = 1, name
        while candidate in taken and number <= MAX_NAMED:
            number += 1
            candidate = f"{name}#{number}"
        self.name = candidate if len(taken) < MAX_NAMED else OTHER

    def sample_with(self, recorder: Recorder) -> None:
        """See to it that ``recorder`` samples the pools; asked at every checkout."""
        if self._sampled_by() is not recorder:
            sample_with(recorder)
            self._sampled_by = weakref.ref(recorder)

    def retire(self) -> None:
        """The pool has a successor: forget it, with its series, though somebody may refer to it."""
        self._look = lambda held: None

    def state(self) -> PoolState | None:
        """The pool's state now; None once it is closed or gone."""
        return self._look(len(self.holds))


def new_record(
    records: MutableMapping[Any, PoolRecord],
    key: Any,
    look: Callable[[int], PoolState | None],
    unnamed: str,
    name: str = "",
) -> PoolRecord:
    """The record of the pool that ``key`` stands for, known and in ``records`` from now on."""
    record = PoolRecord(look, unnamed)
    kept = records.setdefault(key, record)
    if kept is record:  # else another thread was first
        _pools.append(record)
        if name:
            record.rename(name)
    return kept


def _after_fork_in_child() -> None:
    # Who holds and who waits are the parent's threads and tasks.
    for record in _pools:
        record.holds.clear()
        record.waiting.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def sample_with(recorder: Recorder) -> None:
    """Have ``recorder`` sample all pools, once a second."""
    if recorder not in _shown:
        shown: set[str] = set()
        if _shown.setdefault(recorder, shown) is shown:
            recorder.samplers.append(lambda instruments: _sample(instruments, shown))


def _sample(instruments: Instruments, shown: set[str]) -> None:
    values: dict[str, list[int | None]] = {}
    for record in list(_pools):
        state = record.state()
        if state is None:
            with contextlib.suppress(ValueError):  # another recorder's sampler was first
                _pools.remove(record)
        elif record.name:
            ours = [*state, len(record.waiting)]
            values[record.name] = list(map(_sum, values.get(record.name, [0] * len(ours)), ours))
    for name in shown - values.keys():
        for metric, labels in _series(name):
            instruments.forget(metric, labels)
    shown.clear()
    shown.update(values)
    for name, of_name in values.items():
        for (metric, labels), value in zip(_series(name), of_name, strict=True):
            if value is not None:
                instruments.set(metric, labels, value)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _series(name: str) -> tuple[tuple[c.Metric, Labels], ...]:
    return (
        (c.DB_CONNECTION_COUNT, (name, "used")),
        (c.DB_CONNECTION_COUNT, (name, "idle")),
        (c.DB_CONNECTION_MAX, (name,)),
        (c.DB_IDLE_MAX, (name,)),
        (c.DB_PENDING_REQUESTS, (name,)),
    )
