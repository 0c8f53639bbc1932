"""asyncpg: waiting for a connection of a pool, holding it, and the statements on it.

A pool is called ``database@host`` (``:port`` where it is not 5432, ``localhost`` for a unix
socket), a second one of that name ``database@host#2``; ``name_pool`` gives another name.

Patched are ``Pool._acquire``, through which ``acquire()`` goes in both its forms and so do
``pool.fetch`` and its kin, ``Pool.release``, and the methods of ``Connection``,
``PreparedStatement`` and ``Cursor`` that talk to the server. A connection from a pool is a proxy
that looks each method up on the connection's class when it is called, so it meets the patch too.
What the pool does on a connection for itself, when it hands it out or takes it back, is part of
waiting or of holding and has no span.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from typing import Any

from agentscope import conventions as c
from agentscope import lifecycle
from agentscope.clients.patches import Hook, Patches
from agentscope.clients.pools import UNNAMED, PoolRecord, PoolState, register, sample_with
from agentscope.clients.statements import NOTHING, Summary, summarize
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error
from agentscope.recording.recorder import Recorder
from agentscope.recording.span import CLIENT, AttributeValue, Role, Span

SYSTEM = "postgresql"
PORT = 5432

_MIN_WAIT_NS = int(c.MIN_WAIT_S * 1e9)

_STATEMENTS = ("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany")
_COPIES = ("copy_from_table", "copy_from_query", "copy_to_table", "copy_records_to_table")
_CURSOR = ("fetch", "fetchrow", "forward")

Described = Callable[[Any, tuple[Any, ...], dict[str, Any]], Summary]

# asyncpg's pools take neither attributes nor weak references; their queues do.
_records: weakref.WeakKeyDictionary[Any, PoolRecord] = weakref.WeakKeyDictionary()

_inside: ContextVar[bool] = ContextVar("agentscope_asyncpg_inside", default=False)
"""A call of ours is being recorded; what asyncpg calls for it is no call of the user's."""


def name_pool(pool: Any, name: str) -> None:
    """Call ``pool`` by ``name`` in spans and metrics; raises ValueError before its first use.

    >>> pool = await asyncpg.create_pool(dsn)
    >>> agentscope.clients.asyncpg.name_pool(pool, "orders")
    """
    record = _record(pool)
    if record is None:
        raise ValueError("the pool is not initialized; await it before name_pool()")
    record.rename(name)


def patch(module: Any, patches: Patches) -> None:
    """Hook ``module``, asyncpg."""
    patches.wrap(module.pool.Pool, "_acquire", _acquire)
    patches.wrap(module.pool.Pool, "release", _release)
    connection, prepared = module.connection.Connection, module.prepared_stmt.PreparedStatement
    for owner, names, described in (
        (connection, _STATEMENTS, _given),
        (connection, ("prepare",), _preparing),
        (connection, _COPIES, _copying),
        (prepared, _STATEMENTS, _kept),
        (module.cursor.Cursor, _CURSOR, _kept),
    ):
        for name in names:
            if name in vars(owner):  # fetchmany came with asyncpg 0.30
                patches.wrap(owner, name, _query_hook(described))


# --- the pool -----------------------------------------------------------------------------------


def _acquire(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    acquiring = wrapped(*args, **kwargs)
    if recorder is None:
        return acquiring
    return _acquiring(recorder, pool, acquiring)


async def _acquiring(recorder: Recorder, pool: Any, acquiring: Awaitable[Any]) -> Any:
    record = _begin_wait(recorder, pool)
    if record is None:
        return await acquiring
    start_ns = recorder.clock.monotonic_ns()
    token = _inside.set(True)
    try:
        connection = await acquiring
    except BaseException as error:
        _end_wait(recorder, record, start_ns, None, error)
        raise
    finally:
        record.pending -= 1
        _leave(token)
    _end_wait(recorder, record, start_ns, connection, None)
    return connection


def _begin_wait(recorder: Recorder, pool: Any) -> PoolRecord | None:
    try:
        record = _record(pool)
        if record is not None:
            sample_with(recorder)
            record.pending += 1
        return record
    except Exception as error:
        internal_error("clients.asyncpg", error)
        return None


def _end_wait(
    recorder: Recorder,
    record: PoolRecord,
    start_ns: int,
    connection: Any,
    error: BaseException | None,
) -> None:
    try:
        end_ns = recorder.clock.monotonic_ns()
        if connection is not None:
            if not record.name:
                record.rename(_usual_name(connection._con))
            record.held_since_ns[id(connection._holder)] = end_ns
        recorder.observe(c.DB_WAIT_TIME, (record.label,), (end_ns - start_ns) / 1e9)
        if end_ns - start_ns < _MIN_WAIT_NS or current_span() is None:
            return
        attributes: dict[str, AttributeValue] = {
            c.WAIT_KIND: c.Wait.DB_POOL.value,
            c.WAIT_RESOURCE: record.label,
            c.DB_POOL_NAME: record.label,
        }
        name = f"wait {c.Wait.DB_POOL.value}"
        span = recorder.start(name, Role.WAIT, attributes, start_ns=start_ns)
        if isinstance(error, Exception):
            span.fail(error)
        recorder.take(span, end_ns)
    except Exception as fault:
        internal_error("clients.asyncpg", fault)


def _release(
    wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recorder = lifecycle.recorder
    releasing = wrapped(*args, **kwargs)
    if recorder is None:
        return releasing
    connection = args[0] if args else kwargs.get("connection")
    return _releasing(recorder, pool, connection, releasing)


async def _releasing(
    recorder: Recorder, pool: Any, connection: Any, releasing: Awaitable[Any]
) -> Any:
    # Taken before: once it is released, the next one may hold it before we are back here.
    since_ns = _held_since(pool, connection)
    token = _inside.set(True)
    try:
        return await releasing
    finally:
        _leave(token)
        if since_ns:
            _end_hold(recorder, pool, since_ns)


def _held_since(pool: Any, connection: Any) -> int:
    """Since when ``connection`` is held; 0 where nobody holds it (any more)."""
    try:
        place = getattr(connection, "_holder", None)
        record = _record(pool)
        if place is None or record is None or place._proxy is not connection:
            return 0
        return record.held_since_ns.pop(id(place), 0)
    except Exception as error:
        internal_error("clients.asyncpg", error)
        return 0


def _end_hold(recorder: Recorder, pool: Any, since_ns: int) -> None:
    try:
        record = _record(pool)
        if record is not None:
            held_s = (recorder.clock.monotonic_ns() - since_ns) / 1e9
            recorder.observe(c.DB_USE_TIME, (record.label,), held_s)
    except Exception as error:
        internal_error("clients.asyncpg", error)


def _record(pool: Any) -> PoolRecord | None:
    """What is known of ``pool``; None before it is initialized."""
    queue = pool._queue
    if queue is None:
        return None
    record = _records.get(queue)
    if record is None:
        # Its places refer to the pool and may be referred to weakly.
        place = weakref.ref(pool._holders[0])
        record = _records[queue] = PoolRecord(lambda: _state(place()))
        register(record)
    return record


def _state(place: Any) -> PoolState | None:
    pool = None if place is None else place._pool
    if pool is None or pool.is_closing():
        return None
    idle = pool.get_idle_size()
    return PoolState(pool.get_size() - idle, idle, pool.get_max_size())


def _usual_name(connection: Any) -> str:
    address = connection._addr
    host, port = address[:2] if isinstance(address, tuple) else ("localhost", PORT)
    database = connection._params.database or UNNAMED
    return f"{database}@{host}" if port == PORT else f"{database}@{host}:{port}"


# --- statements ---------------------------------------------------------------------------------


def _query_hook(described: Described) -> Hook:
    def query(
        wrapped: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recorder = lifecycle.recorder
        querying = wrapped(*args, **kwargs)
        if recorder is None or _inside.get() or current_span() is None:
            return querying
        return _querying(recorder, target, _described(described, target, args, kwargs), querying)

    return query


async def _querying(
    recorder: Recorder, target: Any, summary: Summary, querying: Awaitable[Any]
) -> Any:
    span = _begin_query(recorder, target, summary)
    if span is None:
        return await querying
    token = _inside.set(True)
    try:
        result = await querying
    except BaseException as error:
        _end_query(recorder, span, error)
        raise
    finally:
        _leave(token)
    _end_query(recorder, span, None)
    return result


def _described(
    described: Described, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Summary:
    try:
        return described(target, args, kwargs)
    except Exception as error:
        internal_error("clients.asyncpg", error)
        return NOTHING


def _begin_query(recorder: Recorder, target: Any, summary: Summary) -> Span | None:
    try:
        attributes: dict[str, AttributeValue] = {c.DB_SYSTEM: SYSTEM}
        if summary.operation:
            attributes[c.DB_OPERATION] = summary.operation
            attributes[c.DB_QUERY_SUMMARY] = summary.text
        if summary.collection:
            attributes[c.DB_COLLECTION] = summary.collection
        proxy = getattr(target, "_connection", target)._proxy
        record = None if proxy is None else _record(proxy._holder._pool)
        if record is not None:
            attributes[c.DB_POOL_NAME] = record.label
        return recorder.start(summary.text or SYSTEM, Role.DATABASE, attributes, CLIENT)
    except Exception as error:
        internal_error("clients.asyncpg", error)
        return None


def _end_query(recorder: Recorder, span: Span, error: BaseException | None) -> None:
    try:
        if isinstance(error, Exception):
            span.fail(error)
        recorder.end(span)
    except Exception as fault:
        internal_error("clients.asyncpg", fault)


def _given(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the first argument."""
    return summarize(args[0] if args else kwargs.get("query", kwargs.get("command")))


def _preparing(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    return Summary("PREPARE", _given(target, args, kwargs).collection)


def _copying(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    table = args[0] if args else kwargs.get("table_name")
    if isinstance(table, str) and table.isidentifier():
        return Summary("COPY", table)
    return Summary("COPY", "")  # from a query


def _kept(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Summary:
    """The statement is the prepared statement's, or the cursor's."""
    return summarize(target._query)


def _leave(token: Token[bool]) -> None:
    try:
        _inside.reset(token)
    except ValueError:  # closed from another context than the one that was entered
        return
