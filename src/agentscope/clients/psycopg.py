"""psycopg 3: the statements on its connections, synchronous and asynchronous.

psycopg writes what it does on a connection once, as generators that either kind of connection
drives; those are patched, so a statement's time is the server's, without the wait for the lock of a
connection that two tasks share. Sending a statement has a span, and so has fetching a page of a
server-side cursor; reading on in a ``stream``, and writing a piece of a COPY, has one where it took
a millisecond or more, and reading a COPY has none. ``executemany``, which is a pipeline of its own,
is patched where it is called.

In pipeline mode a statement is only queued: then what fetches the results has the span, a batch.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Generator
from typing import Any

from agentscope import lifecycle
from agentscope.clients.patches import Hook, Patches
from agentscope.clients.postgres import SYSTEM
from agentscope.clients.queries import (
    NOWHERE,
    Described,
    Place,
    Queries,
    Statement,
    batch_of,
    inside,
)
from agentscope.clients.statements import MAX_READ, NOTHING, Summary, summarize
from agentscope.recording.recorder import Recorder

_IDLE = 0  # psycopg.pq.TransactionStatus.IDLE: no transaction is open

_queued: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
"""Statements that a pipeline has queued and not yet fetched the results of."""

_timed: set[int] = set()
"""Connections, by id, on which a statement is timed: what is read meanwhile is part of it."""


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, psycopg."""
    queries = Queries("clients.psycopg", SYSTEM, _place_of)
    for kind, name, described in (
        (module.Cursor, "_execute_gen", _executing),
        (module.Cursor, "_stream_send_gen", _given),
        (module.Cursor, "_start_copy_gen", _given),
        (module.ServerCursor, "_declare_gen", _given),
        (module.ServerCursor, "_fetch_gen", _kept),
        (module.Connection, "_commit_gen", _ending("COMMIT")),
        (module.Connection, "_rollback_gen", _ending("ROLLBACK")),
        (module.Transaction, "_enter_gen", _entering),
        (module.Transaction, "_commit_gen", _leaving("COMMIT", "RELEASE")),
        (module.Transaction, "_rollback_gen", _leaving("ROLLBACK", "ROLLBACK")),
        (module.Pipeline, "_sync_gen", _fetching),
        (module.Pipeline, "_exit_gen", _fetching),
    ):
        patches.wrap(_shared(kind, name), name, _timed_hook(queries, described))
    for kind, name, described in (
        (module.Cursor, "_stream_fetchone_gen", _kept),
        (module.ServerCursor, "_close_gen", _closing),
        (module.Pipeline, "_fetch_gen", _fetching_some),
    ):
        patches.wrap(_shared(kind, name), name, _step_hook(queries, described))
    patches.wrap(module.Cursor, "executemany", queries.sync_hook(_given_batch))
    patches.wrap(module.AsyncCursor, "executemany", queries.async_hook(_given_batch))
    for name in ("write", "finish"):
        patches.wrap(module.copy.LibpqWriter, name, queries.sync_step(_copying))
        patches.wrap(module.copy.AsyncLibpqWriter, name, queries.async_step(_copying))


def _shared(kind: type, name: str) -> type:
    """The class from which ``kind``, and its asynchronous sibling, have the method ``name``."""
    found = next((base for base in kind.__mro__ if name in vars(base)), None)
    if found is None:
        raise AttributeError(f"{kind.__qualname__} has no method {name}")
    return found


def _timed_hook(queries: Queries, described: Described) -> Hook:
    """Hook a method that returns a generator which the connection drives."""

    def timed(
        wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        running = wrapped(*args, **kwargs)
        statement = queries.begin(target, described, args, kwargs)
        return running if statement is None else _timing(statement, _key_of(target), running)

    return timed


def _timing(
    statement: Statement, key: int, running: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    _timed.add(key)
    try:
        result = yield from running
    except BaseException as error:
        statement.end(error)
        raise
    finally:
        _timed.discard(key)
    statement.end(None)
    return result


def _step_hook(queries: Queries, described: Described) -> Hook:
    """Hook such a method that reads on in a result: often called, mostly short."""

    def stepping(
        recorder: Recorder,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        running: Generator[Any, Any, Any],
    ) -> Generator[Any, Any, Any]:
        start_ns = recorder.clock.monotonic_ns()
        try:
            result = yield from running
        except BaseException as error:
            queries.end_step(start_ns, target, described, args, kwargs, error)
            raise
        queries.end_step(start_ns, target, described, args, kwargs)
        return result

    def step(
        wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        running = wrapped(*args, **kwargs)
        if recorder is None or inside() or _key_of(target) in _timed:
            return running
        return stepping(recorder, target, args, kwargs, running)

    return step


# --- where --------------------------------------------------------------------------------------


def _connection_of(target: Any) -> Any:
    """The connection of a cursor, a transaction, a pipeline; of itself; of what copies."""
    return getattr(target, "_conn", None) or getattr(target, "connection", target)


def _key_of(target: Any) -> int:
    return id(_connection_of(target))


def _place_of(target: Any) -> Place:
    pools = sys.modules.get("agentscope.clients.psycopg_pool")
    if pools is None:  # no pool was made yet
        return NOWHERE
    place: Place = pools.place_of(_connection_of(target))
    return place


# --- what ---------------------------------------------------------------------------------------


def _given(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the first argument."""
    return _summarize(args[0] if args else kwargs.get("query", kwargs.get("statement")))


def _executing(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    if _queue(target, 1):
        return None
    return _given(target, args, kwargs)


def _given_batch(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    batch = batch_of(args[1] if len(args) > 1 else kwargs.get("params_seq"))
    if _queue(target, batch):
        return None
    return _given(target, args, kwargs)._replace(batch=batch)


def _queue(cursor: Any, statements: int) -> bool:
    """Whether the connection is in pipeline mode, where statements are only queued."""
    pipeline = cursor._conn._pipeline
    if pipeline is None:
        return False
    _queued[pipeline] = _queued.get(pipeline, 0) + statements
    return True


def _kept(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the cursor's; that of a server-side one stands behind its DECLARE."""
    query = target._query
    return NOTHING if query is None else _summarize(query.query)


def _closing(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return Summary("CLOSE", "")


def _copying(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return _kept(target.cursor, args, kwargs)


def _ending(operation: str) -> Described:
    def ending(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
        if target._pipeline is not None or target.pgconn.transaction_status == _IDLE:
            return None
        return Summary(operation, "")

    return ending


def _entering(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    if target._conn._pipeline is not None:
        return None
    outermost = target.pgconn.transaction_status == _IDLE
    return Summary("BEGIN" if outermost else "SAVEPOINT", "")


def _leaving(outermost: str, inner: str) -> Described:
    def leaving(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
        if target._conn._pipeline is not None:
            return None
        return Summary(outermost if target._outer_transaction else inner, "")

    return leaving


def _fetching(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary | None:
    if not target.result_queue and not target.command_queue:
        return None
    return Summary("BATCH", "", _queued.pop(target, 0))


def _fetching_some(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return Summary("BATCH", "")


def _summarize(query: object) -> Summary:
    return summarize(_text(query)[:MAX_READ])


def _text(query: Any) -> str:
    """A statement as text, far enough to be summarized; of composed ones what is no value."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query[:MAX_READ].decode(errors="replace")
    sql = sys.modules["psycopg.sql"]
    if isinstance(query, sql.Composed):
        return "".join(map(_text, query))
    if isinstance(query, sql.SQL | sql.Identifier):
        text: str = query.as_string(None)
        return text
    return " ? "
