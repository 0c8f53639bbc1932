"""Spans of database statements: one a call of the user's, named by what it does to which table.

A library may stand on another's driver (SQLAlchemy on asyncpg), and a method may call another one
that is hooked. The outermost of them is the user's call and has the span; whatever runs inside of
it, in the same task or thread, has none. A span of another instrumentation's is no concern of
ours: it goes where that one sends it, and ours into the run directory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.patches import Hook
from agentscope.clients.pools import Hold, PoolRecord
from agentscope.clients.statements import Summary
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import CLIENT, AttributeValue, Role, Span

MIN_STEP_NS = int(c.MIN_WAIT_S * 1e9)
"""Reading on in a result has a span of its own only where it took so long."""

_DATABASE = Role.DATABASE  # looked up once: an enumeration's member costs more than a global

_inside: ContextVar[bool] = ContextVar("agentscope_database_inside", default=False)
"""A call of ours is being recorded; what the library calls for it is no call of the user's."""

inside = _inside.get


def enter() -> Token[bool]:
    """What is called from here on, in this context, is part of a call that is being recorded."""
    return _inside.set(True)


def leave(token: Token[bool]) -> None:
    """The call is over."""
    try:
        _inside.reset(token)
    except ValueError:  # closed from another context than the one that was entered
        return


class Place(NamedTuple):
    """Where a statement runs: the pool of its connection and who holds that, where there are any."""

    record: PoolRecord | None
    hold: Hold | None
    system: str = ""
    """The database, where the library speaks to several."""


NOWHERE = Place(None, None)

PlaceOf = Callable[[Any], Place]
"""Finds where the object runs its statements whose method was called."""

Described = Callable[[Any, tuple[Any, ...], dict[str, Any]], Summary | None]
"""What a call does; None for a call that does nothing on the database."""


class Statement:
    """One call of the user's that is being recorded. ``start_ns`` is when the database was asked."""

    __slots__ = ("_place", "_recorder", "_span", "_where", "start_ns")

    def __init__(
        self, where: str, recorder: Recorder, place: Place, span: Span | None, start_ns: int
    ) -> None:
        self._where = where
        self._recorder = recorder
        self._place = place
        self._span = span
        self.start_ns = start_ns

    def end(self, error: BaseException | None, end_ns: int = 0) -> None:
        """It has ended, now or at ``end_ns``."""
        try:
            recorder, span = self._recorder, self._span
            if not end_ns:
                end_ns = recorder.clock.monotonic_ns()
            hold = self._place.hold
            if hold is not None:
                hold.busy_ns += end_ns - self.start_ns
            if span is None:
                return
            if isinstance(error, Exception):
                span.fail(error)
                code = status_code(error)
                if code:
                    span.attributes[c.DB_STATUS_CODE] = code
            span.start_ns = self.start_ns
            recorder.take(span, end_ns)
        except Exception as fault:
            internal_error(self._where, fault)


class Queries:
    """The hooks of one library's statements. ``where`` names it where it fails."""

    __slots__ = ("_place_of", "_system", "_where")

    def __init__(self, where: str, system: str, place_of: PlaceOf = lambda target: NOWHERE) -> None:
        self._where = where
        self._place_of = place_of
        self._system = system

    def begin(
        self,
        target: Any,
        described: Described,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Statement | None:
        """The statement that starts now; None where it is no call of the user's, or is not recorded.

        It has a span below the current one, if there is one; its connection is busy either way.
        """
        recorder = lifecycle.recorder
        if recorder is None or inside():
            return None
        try:
            place = self._place_of(target)
            span = None
            if current_span() is None:
                if place.hold is None or place.hold.under is None:
                    return None
            else:
                summary = described(target, args, kwargs)
                if summary is None:
                    return None
                span = _span(recorder, place.system or self._system, summary, place.record)
            start_ns = span.start_ns if span is not None else recorder.clock.monotonic_ns()
            return Statement(self._where, recorder, place, span, start_ns)
        except Exception as error:
            internal_error(self._where, error)
            return None

    def end_step(
        self,
        start_ns: int,
        target: Any,
        described: Described,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: BaseException | None = None,
    ) -> None:
        """A step in reading a result, or in sending rows, has ended: it is recorded if it was long."""
        recorder = lifecycle.recorder
        if recorder is None or recorder.clock.monotonic_ns() - start_ns < MIN_STEP_NS:
            return
        statement = self.begin(target, described, args, kwargs)
        if statement is not None:
            statement.start_ns = start_ns
            statement.end(error)

    def sync_hook(self, described: Described) -> Hook:
        """Hook a method that returns when the database has answered."""

        def query(
            wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            statement = self.begin(target, described, args, kwargs)
            if statement is None:
                return wrapped(*args, **kwargs)
            token = enter()
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                statement.end(error)
                raise
            finally:
                leave(token)
            statement.end(None)
            return result

        return query

    def async_hook(self, described: Described) -> Hook:
        """Hook a method that returns an awaitable of the answer."""

        async def querying(
            target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], asking: Awaitable[Any]
        ) -> Any:
            statement = self.begin(target, described, args, kwargs)
            if statement is None:
                return await asking
            token = enter()
            try:
                result = await asking
            except BaseException as error:
                statement.end(error)
                raise
            finally:
                leave(token)
            statement.end(None)
            return result

        def query(
            wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            # Called here, not in the coroutine: arguments are refused at the call, as they were.
            asking = wrapped(*args, **kwargs)
            if lifecycle.recorder is None or inside():
                return asking
            return querying(target, args, kwargs, asking)

        return query

    def sync_step(self, described: Described) -> Hook:
        """Hook a method that reads on in a result, or sends rows: often called, mostly short."""

        def step(
            wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            recorder = lifecycle.recorder
            if recorder is None or inside():
                return wrapped(*args, **kwargs)
            start_ns = recorder.clock.monotonic_ns()
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                self.end_step(start_ns, target, described, args, kwargs, error)
                raise
            self.end_step(start_ns, target, described, args, kwargs)
            return result

        return step

    def async_step(self, described: Described) -> Hook:
        """Hook such a method that returns an awaitable."""

        async def stepping(
            recorder: Recorder,
            target: Any,
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            reading: Awaitable[Any],
        ) -> Any:
            start_ns = recorder.clock.monotonic_ns()
            try:
                result = await reading
            except BaseException as error:
                self.end_step(start_ns, target, described, args, kwargs, error)
                raise
            self.end_step(start_ns, target, described, args, kwargs)
            return result

        def step(
            wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            recorder = lifecycle.recorder
            reading = wrapped(*args, **kwargs)
            if recorder is None or inside():
                return reading
            return stepping(recorder, target, args, kwargs, reading)

        return step


def _span(recorder: Recorder, system: str, summary: Summary, record: PoolRecord | None) -> Span:
    operation, collection, batch = summary
    attributes: dict[str, AttributeValue] = {c.DB_SYSTEM: system}
    name = system
    if operation:
        name = summary.text
        attributes[c.DB_OPERATION] = operation
        attributes[c.DB_QUERY_SUMMARY] = name
    if collection:
        attributes[c.DB_COLLECTION] = collection
    if batch:
        attributes[c.DB_BATCH_SIZE] = batch
    if record is not None:
        attributes[c.DB_POOL_NAME] = record.label
    return recorder.start(name, _DATABASE, attributes, CLIENT)


def batch_of(rows: object) -> int:
    """How many rows of parameters there are; 0 where only reading them would tell."""
    return len(rows) if isinstance(rows, list | tuple) else 0


def status_code(error: BaseException) -> str:
    """The database's own code of a failure, '' where the exception has none."""
    for raised in (error, getattr(error, "orig", None)):  # SQLAlchemy wraps the driver's
        for name in ("sqlstate", "sqlite_errorname", "pgcode"):
            code = getattr(raised, name, None)
            if isinstance(code, str):
                return code
    return ""
