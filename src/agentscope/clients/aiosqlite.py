"""aiosqlite: the statements of its connections, and the queue of each.

A connection has a thread that does one call after the other. A call waits in its queue as for a
pool of one connection, which is called after the database's file; then it runs. Both times are
taken in the thread, so a statement is as long as SQLite worked on it, whenever the event loop came
to know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.checkouts import record_wait
from agentscope.clients.patches import Patches
from agentscope.clients.queries import MIN_STEP_NS, Queries, Statement, batch_of, inside
from agentscope.clients.sqlite3 import SYSTEM, database_of
from agentscope.clients.statements import Summary, summarize
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder

_WHERE = "clients.aiosqlite"
_MIN_WAIT_NS = int(c.MIN_WAIT_S * 1e9)

_STATEMENTS = frozenset({"execute", "executescript", "_execute_insert", "_execute_fetchall"})
_ENDS = {"commit": "COMMIT", "rollback": "ROLLBACK"}
_FETCHES = frozenset({"fetchone", "fetchmany", "fetchall"})

_queries = Queries(_WHERE, SYSTEM)


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, aiosqlite."""
    patches.wrap(module.core.Connection, "_execute", _execute)


def _execute(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    if recorder is None or inside() or not args or current_span() is None:
        return wrapped(*args, **kwargs)
    return _executing(recorder, wrapped, connection, args, kwargs)


async def _executing(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    connection: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    statement = _queries.begin(connection, _described, args, kwargs)
    if statement is None:
        return await wrapped(*args, **kwargs)
    call = _Call(recorder, args[0])
    try:
        result = await wrapped(call, *args[1:], **kwargs)
    except BaseException as error:
        call.record(connection, statement, error)
        raise
    call.record(connection, statement, None)
    return result


class _Call:
    """What the thread is to call, and when it did. ``start_ns`` is 0 while it is in the queue."""

    __slots__ = ("_function", "_recorder", "asked_ns", "end_ns", "start_ns")

    def __init__(self, recorder: Recorder, function: Callable[..., Any]) -> None:
        self._function = function
        self._recorder = recorder
        self.asked_ns = recorder.clock.monotonic_ns()
        self.start_ns = self.end_ns = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        clock = self._recorder.clock
        self.start_ns = clock.monotonic_ns()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.end_ns = clock.monotonic_ns()

    def record(self, connection: Any, statement: Statement, error: BaseException | None) -> None:
        """It has ended, or its caller has: a cancelled caller leaves it in the queue."""
        try:
            end_ns = self.end_ns or self._recorder.clock.monotonic_ns()
            start_ns = self.start_ns or end_ns
            if start_ns - self.asked_ns >= _MIN_WAIT_NS:
                name = database_of(connection._connection)
                record_wait(self._recorder, name, self.asked_ns, start_ns)
            if not self.start_ns:
                return
            if _name(self._function) in _FETCHES and end_ns - start_ns < MIN_STEP_NS:
                return
            statement.start_ns = start_ns
            statement.end(error, end_ns)
        except Exception as fault:
            internal_error(_WHERE, fault)


def _described(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    """The first argument is the method of sqlite3's that is to be called, then come its own."""
    name = _name(args[0])
    if name in _STATEMENTS:
        return summarize(args[1] if len(args) > 1 else None)
    if name == "executemany":
        rows = args[2] if len(args) > 2 else ()
        return summarize(args[1])._replace(batch=batch_of(rows))
    if name in _ENDS:
        return Summary(_ENDS[name], "") if connection.in_transaction else None
    return Summary("FETCH", "") if name in _FETCHES else None


def _name(function: object) -> str:
    name = getattr(function, "__name__", "")
    return name if isinstance(name, str) else ""
