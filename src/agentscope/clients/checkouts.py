"""Taking a connection out of a pool: the wait for it, how long it is held, and what for.

A wait is a ``wait db.pool`` span where it lasted a millisecond or more, and an observation always.
A hold is an observation; where the connection was held for ``MIN_IDLE_HOLD_S`` or more without a
statement on it, it is an event in the trace as well, with its exact start and end and the line of
code that gave it back. It is written then, so it costs nothing before.

What a pool does on a connection for itself, when it hands it out or takes it back, is part of
waiting or of holding and has no span.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.pools import Hold, PoolRecord
from agentscope.clients.queries import enter, leave
from agentscope.recording.context import attach, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import AttributeValue, Role
from agentscope.runtime.frames import Site, site

_MIN_WAIT_NS = int(c.MIN_WAIT_S * 1e9)
_MIN_IDLE_NS = int(c.MIN_IDLE_HOLD_S * 1e9)
# Looked up once: an enumeration's member costs more than a global.
_WAIT = c.Wait.DB_POOL.value
_WAIT_NAME = f"wait {_WAIT}"
_HELD = c.RuntimeEvent.CONNECTION_HELD
_HELD_NAME = c.RUNTIME_SPAN_NAMES[_HELD]


class Checkouts:
    """The hooks of one library's pools.

    ``record_of`` gives what is known of a pool, None where it cannot have connections yet;
    ``place_of`` what a connection is known by while it is held, None where it is of no pool;
    ``name_of`` what a pool is called after its first connection. ``timed_out`` tells whether a
    failure means that somebody waited for a connection in vain; ``shares`` whether a pool hands out
    a connection that somebody holds: then the first to take it holds it.
    """

    __slots__ = ("_name_of", "_place_of", "_record_of", "_shares", "_timed_out", "_where")

    def __init__(
        self,
        where: str,
        record_of: Callable[[Any], PoolRecord | None],
        place_of: Callable[[Any], int | None],
        name_of: Callable[[Any, Any], str],
        timed_out: Callable[[BaseException], bool],
        shares: Callable[[Any], bool] = lambda pool: False,
    ) -> None:
        self._where = where
        self._record_of = record_of
        self._place_of = place_of
        self._name_of = name_of
        self._timed_out = timed_out
        self._shares = shares

    # --- hooks: what patches are made of -----------------------------------------------------

    def acquire(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Hook a method of a pool that returns a connection."""
        recorder = lifecycle.recorder
        wait = None if recorder is None else self._begin(recorder, pool)
        if wait is None:
            return wrapped(*args, **kwargs)
        token = enter()
        try:
            connection = wrapped(*args, **kwargs)
        except BaseException as error:
            self._refused(wait, error)
            raise
        finally:
            leave(token)
        self._granted(wait, pool, connection)
        return connection

    def acquire_async(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Hook a method of a pool that returns an awaitable of a connection."""
        recorder = lifecycle.recorder
        # Called here, not in the coroutine: arguments are refused at the call, as they were.
        acquiring = wrapped(*args, **kwargs)
        return acquiring if recorder is None else self._acquiring(recorder, pool, acquiring)

    def release(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Hook a method of a pool that takes the connection back which is its first argument."""
        recorder = lifecycle.recorder
        if recorder is None:
            return wrapped(*args, **kwargs)
        return self.giving_back(recorder, pool, _first(args, kwargs), wrapped, args, kwargs)

    def giving_back(
        self,
        recorder: Recorder,
        pool: Any,
        connection: Any,
        wrapped: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call ``wrapped``, by which ``connection`` goes back to ``pool``."""
        # Taken before: once it is released, the next one may hold it before we are back here.
        held = self._held(recorder, pool, connection)
        token = enter()
        try:
            return wrapped(*args, **kwargs)
        finally:
            leave(token)
            if held is not None:
                held.end()

    def release_async(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Hook a method as for ``release`` that returns an awaitable."""
        recorder = lifecycle.recorder
        releasing = wrapped(*args, **kwargs)
        if recorder is None:
            return releasing
        return self._releasing(recorder, pool, _first(args, kwargs), releasing)

    # --- behind them -------------------------------------------------------------------------

    async def _acquiring(self, recorder: Recorder, pool: Any, acquiring: Awaitable[Any]) -> Any:
        wait = self._begin(recorder, pool)
        if wait is None:
            return await acquiring
        token = enter()
        try:
            connection = await acquiring
        except BaseException as error:
            self._refused(wait, error)
            raise
        finally:
            leave(token)
        self._granted(wait, pool, connection)
        return connection

    async def _releasing(
        self, recorder: Recorder, pool: Any, connection: Any, releasing: Awaitable[Any]
    ) -> Any:
        held = self._held(recorder, pool, connection)
        token = enter()
        try:
            return await releasing
        finally:
            leave(token)
            if held is not None:
                held.end()

    def _begin(self, recorder: Recorder, pool: Any) -> _Waiting | None:
        try:
            record = self._record_of(pool)
            if record is None:
                return None
            record.sample_with(recorder)
            waiting = _Waiting(recorder, record)
            record.waiting.add(waiting)
            return waiting
        except Exception as error:
            internal_error(self._where, error)
            return None

    def _granted(self, wait: _Waiting, pool: Any, connection: Any) -> None:
        try:
            end_ns = wait.recorder.clock.monotonic_ns()
            record = wait.record
            record.waiting.discard(wait)
            if not record.name:
                record.rename(self._name_of(pool, connection))
            place = self._place_of(connection)
            # A hold that is known still is of a connection that was lost without being given back.
            if place is not None and not (place in record.holds and self._shares(pool)):
                record.holds[place] = Hold(end_ns, current_span(), _line_behind_greenlet())
            wait.end(end_ns, None)
        except Exception as error:
            internal_error(self._where, error)

    def _refused(self, wait: _Waiting, error: BaseException) -> None:
        try:
            record = wait.record
            record.waiting.discard(wait)
            if isinstance(error, Exception) and self._timed_out(error):
                wait.recorder.add(c.DB_TIMEOUTS, (record.label,), 1)
            wait.end(wait.recorder.clock.monotonic_ns(), error)
        except Exception as fault:
            internal_error(self._where, fault)

    def _held(self, recorder: Recorder, pool: Any, connection: Any) -> _Held | None:
        """The hold that ends now; None where nobody holds ``connection`` (any more)."""
        try:
            record, place = self._record_of(pool), self._place_of(connection)
            hold = None if record is None or place is None else record.holds.pop(place, None)
            if record is None or hold is None:
                return None
            return _Held(self._where, recorder, record, hold)
        except Exception as error:
            internal_error(self._where, error)
            return None


class _Waiting:
    """One call for a connection."""

    __slots__ = ("record", "recorder", "start_ns")

    def __init__(self, recorder: Recorder, record: PoolRecord) -> None:
        self.recorder = recorder
        self.record = record
        self.start_ns = recorder.clock.monotonic_ns()

    def end(self, end_ns: int, error: BaseException | None) -> None:
        """It has its connection, or has given up."""
        label = self.record.label
        wait_ns = end_ns - self.start_ns
        self.recorder.observe(c.DB_WAIT_TIME, (label,), wait_ns / 1e9)
        if wait_ns >= _MIN_WAIT_NS and current_span() is not None:
            record_wait(self.recorder, label, self.start_ns, end_ns, error)


def record_wait(
    recorder: Recorder, label: str, start_ns: int, end_ns: int, error: BaseException | None = None
) -> None:
    """Write a wait for a connection of the pool called ``label``, below the current span."""
    attributes: dict[str, AttributeValue] = {
        c.WAIT_KIND: _WAIT,
        c.WAIT_RESOURCE: label,
        c.DB_POOL_NAME: label,
    }
    span = recorder.start(_WAIT_NAME, Role.WAIT, attributes, start_ns=start_ns)
    if isinstance(error, Exception):
        span.fail(error)
    recorder.take(span, end_ns)


class _Held:
    """A connection that is being given back."""

    __slots__ = ("_begun_ns", "_hold", "_record", "_recorder", "_where")

    def __init__(self, where: str, recorder: Recorder, record: PoolRecord, hold: Hold) -> None:
        self._where = where
        self._recorder = recorder
        self._record = record
        self._hold = hold
        self._begun_ns = recorder.clock.monotonic_ns()

    def end(self) -> None:
        """It is back."""
        try:
            recorder, hold, label = self._recorder, self._hold, self._record.label
            end_ns = recorder.clock.monotonic_ns()
            held_ns = end_ns - hold.since_ns
            recorder.observe(c.DB_USE_TIME, (label,), held_ns / 1e9)
            # What the pool did on it to take it back is no idle time.
            busy_ns = hold.busy_ns + end_ns - self._begun_ns
            if hold.under is not None and held_ns - busy_ns >= _MIN_IDLE_NS:
                self._write(end_ns, busy_ns)
        except Exception as error:
            internal_error(self._where, error)

    def _write(self, end_ns: int, busy_ns: int) -> None:
        hold, recorder = self._hold, self._recorder
        assert hold.under is not None
        attributes: dict[str, AttributeValue] = {
            c.RUNTIME_EVENT: _HELD.value,
            c.DB_POOL_NAME: self._record.label,
            c.DB_BUSY: busy_ns / 1e9,
        }
        line = hold.line or site(sys._getframe(1))
        if line is not None:
            attributes[c.CODE_FUNCTION] = line.function
            attributes[c.CODE_FILE] = line.file
            attributes[c.CODE_LINE] = line.line
        token = attach(hold.under)  # it belongs where it was taken, wherever it is given back
        try:
            span = recorder.start(_HELD_NAME, Role.OTHER, attributes, start_ns=hold.since_ns)
        finally:
            detach(token)
        recorder.take(span, end_ns)


def _line_behind_greenlet() -> Site | None:
    """The user's line that asked for a connection, where it runs in a greenlet; else None.

    There SQLAlchemy's asyncio is at work, which gives the connection back in a task of its own:
    nothing leads from that to the user's code.
    """
    greenlets = sys.modules.get("greenlet")
    parent = None if greenlets is None else greenlets.getcurrent().parent
    return None if parent is None else site(parent.gr_frame)


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()), None)
